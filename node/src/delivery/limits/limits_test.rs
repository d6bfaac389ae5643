use futures_util::FutureExt as _;

use super::*;
use crate::id::QueueName;

fn config(total: u32, vmta: u32) -> Config {
    let text = format!(
        "total-max-smtp-out {total}\n<virtual-mta v>\nmax-smtp-out {vmta}\n</virtual-mta>\n\
         <domain *>\nmax-smtp-out unlimited\n</domain>\n"
    );
    Config::from_text(&text).unwrap()
}

fn limits(config: &Config) -> Limits {
    Limits::new(config, Arc::new(Alone::default()))
}

fn bounds(config: &Config, vmta: &str) -> Vec<Bound> {
    use crate::config::settings::Lookup as _;
    let queue = QueueName { domain: "x.example".into(), vmta: vmta.into() };
    OfQueue::new(config, &config.queue(&queue.domain, vmta), &queue).places
}

fn now(limits: &Limits, config: &Config, vmta: &str) -> Option<Permit> {
    limits.acquire(&bounds(config, vmta), 1).now_or_never().flatten()
}

#[test]
fn both_limits_hold_and_permits_come_back() {
    let config = config(3, 2);
    let limits = limits(&config);
    let held: Vec<_> = (0..2).map(|_| now(&limits, &config, "v").unwrap()).collect();
    assert!(now(&limits, &config, "v").is_none(), "the virtual MTA is at its limit");
    let other = now(&limits, &config, "w").unwrap();
    assert!(now(&limits, &config, "w").is_none(), "the node is at its limit");
    drop(held);
    assert!(now(&limits, &config, "v").is_some());
    drop(other);
}

#[test]
fn a_lower_limit_takes_effect_as_connections_end() {
    let (many, one) = (config(10, 10), config(10, 1));
    let limits = limits(&many);
    let mut held: Vec<_> = (0..3).map(|_| now(&limits, &many, "v").unwrap()).collect();
    assert!(now(&limits, &one, "v").is_none());
    limits.settle();
    let stages: Vec<_> = held.iter().map(Permit::stage).collect();
    assert_eq!(stages, [Stage::Stay, Stage::Finish, Stage::Finish]);
    held.truncate(1);
    assert!(now(&limits, &one, "v").is_none(), "one is still out");
    held.clear();
    let first = now(&limits, &one, "v").unwrap();
    assert!(now(&limits, &one, "v").is_none());
    assert!(now(&limits, &config(10, 2), "v").is_some());
    drop(first);
}

#[test]
fn who_waits_first_is_served_first() {
    let config = config(10, 1);
    let limits = limits(&config);
    let bounds = bounds(&config, "v");
    let held = now(&limits, &config, "v").unwrap();
    let mut first = Box::pin(limits.acquire(&bounds, 1));
    let mut second = Box::pin(limits.acquire(&bounds, 1));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    drop(held);
    assert!(second.as_mut().now_or_never().is_none());
    let held = first.as_mut().now_or_never().flatten().unwrap();
    drop(held);
    assert!(second.as_mut().now_or_never().flatten().is_some());
}

#[test]
fn a_rate_outlives_whoever_asks() {
    let rate =
        crate::config::settings::Rate { events: 1, period: std::time::Duration::from_secs(1200) };
    let config = config(1, 1);
    let limits = limits(&config);
    let bound = [Bound::events(Key::from_text("max-msg-rate x/v"), rate)];
    let start = monotonic();
    assert_eq!(limits.spend(&bound, 1, start), Ok(()));
    let when = limits.spend(&bound, 1, start).unwrap_err();
    assert!(when >= start + rate.period);
    limits.book.settle(start + rate.period / 2);
    assert!(limits.spend(&bound, 1, start + rate.period / 2).is_err());
}

#[test]
fn limits_of_one_source_address_are_found() {
    use crate::config::settings::Lookup as _;
    let config = Config::from_text(
        "<domain x.example>\n source-ip-max-smtp-out 10.0.0.0/8 5\n \
         source-ip-max-smtp-out 10.1.0.0/16 2\n max-smtp-out-per-source-ip 9\n \
         source-ip-max-msg-rate 10.0.0.0/8 1000/h\n</domain>\n",
    )
    .unwrap();
    let queue: QueueName = "x.example".parse().unwrap();
    let settings = config.queue(&queue.domain, &queue.vmta);
    let limits = OfSources::new(&settings, &queue);
    let units = |ip: &str| limits.places(ip.parse().unwrap()).first().map(|bound| bound.units);
    assert_eq!(units("10.1.2.3"), Some(2));
    assert_eq!(units("10.2.2.3"), Some(5));
    assert_eq!(units("192.0.2.1"), Some(9));
    assert_eq!(units("2001:db8::1"), Some(9));
    let rates = limits.messages("10.2.2.3".parse().unwrap());
    assert_eq!(rates[0].key.as_str(), "source-ip-max-msg-rate x.example/{default} 10.2.2.3");
    assert!(limits.messages("192.0.2.1".parse().unwrap()).is_empty());
    assert_eq!(OfQueue::new(&config, &settings, &queue).step, 20);
}
