use std::collections::HashMap;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::*;
use crate::dns::Mx;

/// A resolver that knows what a test tells it.
#[derive(Default)]
struct Zone {
    mx: HashMap<String, Result<Vec<Mx>, DnsError>>,
    addresses: HashMap<String, Result<Vec<IpAddr>, DnsError>>,
}

fn down() -> DnsError {
    DnsError::Temporary("server failure".to_owned())
}

impl Zone {
    /// Lines of `NAME mx PREFERENCE HOST`, `NAME a ADDRESS`, or `NAME (mx|a) none|down`.
    fn new(lines: &[&str]) -> Self {
        let mut zone = Self::default();
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            let name = words[0].to_owned();
            match words[1..] {
                ["mx", "none"] => drop(zone.mx.insert(name, Err(DnsError::NoRecords))),
                ["mx", "down"] => drop(zone.mx.insert(name, Err(down()))),
                ["a", "none"] => drop(zone.addresses.insert(name, Err(DnsError::NoRecords))),
                ["a", "down"] => drop(zone.addresses.insert(name, Err(down()))),
                ["a", address] => {
                    let known = zone.addresses.entry(name).or_insert_with(|| Ok(Vec::new()));
                    known.as_mut().unwrap().push(address.parse().unwrap());
                }
                ["mx", preference, host] => {
                    let host = host.trim_end_matches('.').to_owned();
                    let mx = Mx { preference: preference.parse().unwrap(), host };
                    let known = zone.mx.entry(name).or_insert_with(|| Ok(Vec::new()));
                    known.as_mut().unwrap().push(mx);
                }
                _ => panic!("{line}"),
            }
        }
        zone
    }
}

fn answer<T: Clone + Send + 'static>(
    known: Option<&Result<T, DnsError>>,
    exists: bool,
) -> BoxFuture<'static, Result<T, DnsError>> {
    let missing = if exists { DnsError::NoRecords } else { DnsError::NoSuchDomain };
    let answer = known.cloned().unwrap_or(Err(missing));
    async move { answer }.boxed()
}

impl Resolve for Zone {
    fn mx(&self, domain: String) -> BoxFuture<'_, Result<Vec<Mx>, DnsError>> {
        answer(self.mx.get(&domain), self.addresses.contains_key(&domain))
    }

    fn addresses(&self, host: String) -> BoxFuture<'_, Result<Vec<IpAddr>, DnsError>> {
        answer(self.addresses.get(&host), self.mx.contains_key(&host))
    }

    fn names(&self, _address: IpAddr) -> BoxFuture<'_, Result<Vec<String>, DnsError>> {
        async { Err(DnsError::NoRecords) }.boxed()
    }

    fn clear_cache(&self) {}
}

fn sender() -> Sender {
    Sender {
        names: vec!["US.test".to_owned()],
        sockets: vec!["192.0.2.99:25".parse().unwrap()],
        ipv4: true,
        ipv6: true,
    }
}

/// `preference host address`, in order.
fn shown(result: Result<Vec<Candidate>, RouteError>) -> Result<Vec<String>, RouteError> {
    let line = |c: &Candidate| format!("{} {} {}", c.preference, c.host, c.address);
    result.map(|candidates| candidates.iter().map(line).collect())
}

async fn check(lines: &[&str], domain: &str, expected: Result<&[&str], RouteError>) {
    let zone = Zone::new(lines);
    for seed in 0..8 {
        let found = shown(plan(&zone, domain, 25, &sender(), seed).await);
        let expected = expected.clone().map(|list| list.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(found, expected, "{lines:?} with seed {seed}");
    }
}

#[tokio::test]
async fn exchangers_are_tried_by_preference_and_families_in_turn() {
    let zone = [
        "d.test mx 20 two.test",
        "d.test mx 10 one.test",
        "one.test a 192.0.2.1",
        "two.test a 2001:db8::2",
        "two.test a 192.0.2.2",
    ];
    let expected =
        ["10 one.test 192.0.2.1:25", "20 two.test [2001:db8::2]:25", "20 two.test 192.0.2.2:25"];
    check(&zone, "d.test", Ok(&expected)).await;
}

#[tokio::test]
async fn equals_are_shuffled_by_the_seed() {
    let lines: Vec<String> = (1..=4)
        .flat_map(|n| [format!("d.test mx 10 h{n}.test"), format!("h{n}.test a 192.0.2.{n}")])
        .collect();
    let zone = Zone::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let mut first = std::collections::HashSet::new();
    for seed in 0..64 {
        let found = plan(&zone, "d.test", 25, &sender(), seed).await.unwrap();
        assert_eq!(found.len(), 4);
        let again = plan(&zone, "d.test", 25, &sender(), seed).await.unwrap();
        assert_eq!(found, again);
        first.insert(found[0].host.clone());
    }
    assert_eq!(first.len(), 4, "every host comes first sometimes");
}

#[tokio::test]
async fn a_domain_without_exchangers_is_its_own() {
    check(&["d.test mx none", "d.test a 192.0.2.1"], "d.test", Ok(&["0 d.test 192.0.2.1:25"]))
        .await;
    check(&["d.test mx none"], "d.test", Err(RouteError::NoMx)).await;
    check(&["d.test mx none", "d.test a down"], "d.test", Err(down().into())).await;
    check(&[], "d.test", Err(RouteError::NoSuchDomain)).await;
    // Without an answer about MX records nothing may be concluded from an address.
    check(&["d.test mx down", "d.test a 192.0.2.1"], "d.test", Err(down().into())).await;
}

#[tokio::test]
async fn a_null_exchanger_refuses_mail() {
    check(&["d.test mx 0 .", "d.test a 192.0.2.1"], "d.test", Err(RouteError::NullMx)).await;
    // Beside others it means nothing.
    let zone = ["d.test mx 0 .", "d.test mx 10 one.test", "one.test a 192.0.2.1"];
    check(&zone, "d.test", Ok(&["10 one.test 192.0.2.1:25"])).await;
}

#[tokio::test]
async fn exchangers_without_an_address_are_passed_over() {
    let zone = [
        "d.test mx 5 gone.test",
        "d.test mx 6 bare.test",
        "bare.test a none",
        "d.test mx 7 slow.test",
        "slow.test a down",
        "d.test mx 10 one.test",
        "one.test a 192.0.2.1",
    ];
    check(&zone, "d.test", Ok(&["10 one.test 192.0.2.1:25"])).await;
    check(&zone[..3], "d.test", Err(RouteError::NoMx)).await;
    check(&zone[..5], "d.test", Err(down().into())).await;
}

#[tokio::test]
async fn mail_never_goes_to_this_server_or_away_from_its_destination() {
    let zone = [
        "d.test mx 10 one.test",
        "d.test mx 20 us.test",
        "d.test mx 20 two.test",
        "d.test mx 30 three.test",
        "one.test a 192.0.2.1",
        "two.test a 192.0.2.2",
        "three.test a 192.0.2.3",
        "us.test a 192.0.2.98",
    ];
    check(&zone, "d.test", Ok(&["10 one.test 192.0.2.1:25"])).await;
    check(&zone[1..], "d.test", Err(RouteError::Loop)).await;
    // The same by its address under another name.
    let alias = [
        "d.test mx 10 one.test",
        "d.test mx 20 alias.test",
        "d.test mx 30 three.test",
        "one.test a 192.0.2.1",
        "alias.test a 192.0.2.99",
        "three.test a 192.0.2.3",
    ];
    check(&alias, "d.test", Ok(&["10 one.test 192.0.2.1:25"])).await;
    check(&alias[1..], "d.test", Err(RouteError::Loop)).await;
    let mut slow = alias;
    slow[3] = "one.test a down";
    check(&slow, "d.test", Err(down().into())).await;
    check(&["us.test mx none", "us.test a 192.0.2.98"], "us.test", Err(RouteError::Loop)).await;
}

#[tokio::test]
async fn literals_need_no_look_up() {
    check(&[], "[192.0.2.1]", Ok(&["0 192.0.2.1 192.0.2.1:25"])).await;
    check(&[], "[IPv6:2001:db8::1]", Ok(&["0 2001:db8::1 [2001:db8::1]:25"])).await;
    check(&[], "[192.0.2.99]", Err(RouteError::Loop)).await;
    check(&[], "[192.0.2]", Err(RouteError::NoSuchDomain)).await;
    assert_eq!(literal("[ipv6:::1]"), Some("::1".parse().unwrap()));
    assert_eq!(literal("[2001:db8::1]"), None);
    assert_eq!(literal("192.0.2.1"), None);
    assert_eq!(literal("[é]"), None);
}

#[tokio::test]
async fn a_family_that_cannot_be_sent_from_is_no_failure_of_the_domain() {
    let zone = Zone::new(&["d.test mx 10 six.test", "six.test a 2001:db8::1"]);
    let old = Sender { ipv6: false, ..sender() };
    let found = plan(&zone, "d.test", 25, &old, 0).await;
    assert!(matches!(&found, Err(RouteError::Temporary(text)) if text.contains("six.test")));
}

#[tokio::test]
async fn a_plan_is_bounded() {
    let lines: Vec<String> = (1..=30)
        .flat_map(|n| {
            let address = |net| format!("h{n}.test a 192.0.{net}.{n}");
            [format!("d.test mx {n} h{n}.test"), address(1), address(2), address(3)]
        })
        .collect();
    let zone = Zone::new(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let found = plan(&zone, "d.test", 25, &sender(), 0).await.unwrap();
    assert_eq!(found.len(), CANDIDATES_MAX);
    assert_eq!((found[0].preference, found[19].preference), (1, 7));
}

#[tokio::test]
async fn configured_hosts_go_by_levels() {
    let zone = Zone::new(&[
        "d.test mx 20 two.test",
        "d.test mx 10 one.test",
        "one.test a 192.0.2.1",
        "two.test a 192.0.2.2",
        "relay.test a 192.0.2.5",
        "slow.test a down",
    ]);
    let hop = |target, port| Hop { target, port };
    let host = |name: &str| Target::Host(name.to_owned());
    let address = Target::Address("192.0.2.99".parse().unwrap());
    let levels = [
        vec![hop(host("relay.test"), 2525)],
        vec![hop(host("gone.test"), 25)],
        vec![hop(Target::Mx("d.test".to_owned()), 26)],
        vec![hop(address, 25)],
    ];
    let found = shown(plan_hosts(&zone, &levels, &sender(), 0).await).unwrap();
    let expected = [
        "0 relay.test 192.0.2.5:2525",
        "2 one.test 192.0.2.1:26",
        "2 two.test 192.0.2.2:26",
        "3 192.0.2.99 192.0.2.99:25",
    ];
    assert_eq!(found, expected);
    let check = async |hosts: &[&str], expected| {
        let levels = [hosts.iter().map(|name| hop(host(name), 25)).collect::<Vec<_>>()];
        assert_eq!(plan_hosts(&zone, &levels, &sender(), 0).await, Err(expected));
    };
    check(&["gone.test"], RouteError::NoSuchDomain).await;
    check(&["gone.test", "slow.test"], down().into()).await;
    check(&["slow.test", "gone.test"], down().into()).await;
    check(&[], RouteError::NoMx).await;
}
