use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Record;
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA};
use tokio::net::UdpSocket;

use super::*;

/// A name server on this machine that answers from a fixed zone.
struct Server {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&queries);
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let query = Message::from_vec(&buffer[..length]).expect("a query");
                if let Some(reply) = reply(&query) {
                    socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
                }
            }
        });
        Self { address, queries }
    }

    /// A resolver that asks this server alone, once, and not for long.
    fn resolver(&self, hosts: &str) -> SystemResolver {
        let config = ResolverConfig::from_name_servers(vec![server(&self.address)]);
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_millis(200);
        options.attempts = 0;
        let mut table = Hosts::default();
        table.read_hosts_conf(hosts.as_bytes()).unwrap();
        SystemResolver::with(config, options, table).expect("a resolver")
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// The answer to a query; none leaves it without one.
fn reply(query: &Message) -> Option<Message> {
    let question = query.queries[0].clone();
    let asked = question.name().to_ascii().to_ascii_lowercase();
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.recursion_desired = true;
    reply.metadata.recursion_available = true;
    reply.add_query(question.clone());
    let answers: Vec<RData> = match (asked.as_str(), question.query_type()) {
        ("silent.test.", _) | ("halfsilent.test.", RecordType::A) => return None,
        ("broken.test.", _) | ("half.test.", RecordType::AAAA) => {
            reply.metadata.response_code = ResponseCode::ServFail;
            return Some(reply);
        }
        ("refused.test.", _) => {
            reply.metadata.response_code = ResponseCode::Refused;
            return Some(reply);
        }
        ("d.test.", RecordType::MX) => vec![
            RData::MX(MX::new(20, name("MX2.d.test."))),
            RData::MX(MX::new(10, name("mx1.d.test."))),
        ],
        ("null.test.", RecordType::MX) => vec![RData::MX(MX::new(0, Name::root()))],
        ("alias.test.", _) => vec![RData::CNAME(CNAME(name("d.test.")))],
        ("dangling.test.", _) => vec![RData::CNAME(CNAME(name("gone.test.")))],
        ("mx1.d.test.", RecordType::A) | ("half.test.", RecordType::A) => {
            vec![RData::A(A::new(192, 0, 2, 1))]
        }
        ("mx1.d.test.", RecordType::AAAA) => {
            vec![RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))]
        }
        ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => {
            vec![RData::PTR(PTR(name("Host.d.test.")))]
        }
        ("d.test." | "empty.test." | "half.test." | "halfsilent.test.", _) => Vec::new(),
        _ => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
    };
    if answers.is_empty() {
        let soa = SOA::new(name("ns.test."), name("root.test."), 1, 3600, 600, 86400, 600);
        reply.add_authority(Record::from_rdata(name("test."), 600, RData::SOA(soa)));
    }
    let owner = question.name();
    reply.add_answers(answers.into_iter().map(|d| Record::from_rdata(owner.clone(), 300, d)));
    Some(reply)
}

/// `PREFERENCE HOST` sorted, or the error.
fn shown(found: Result<Vec<Mx>, DnsError>) -> Result<Vec<String>, DnsError> {
    found.map(|mut list| {
        list.sort();
        list.iter().map(|mx| format!("{} {}", mx.preference, mx.host)).collect()
    })
}

fn is_temporary<T: std::fmt::Debug>(found: &Result<T, DnsError>) -> bool {
    matches!(found, Err(DnsError::Temporary(_)))
}

#[tokio::test]
async fn exchangers_are_found_through_aliases() {
    let server = Server::start().await;
    let resolver = server.resolver("");
    for domain in ["d.test", "D.Test.", "alias.test"] {
        let found = shown(resolver.mx(domain).await);
        assert_eq!(found, Ok(vec!["10 mx1.d.test".into(), "20 mx2.d.test".into()]), "{domain}");
    }
    assert_eq!(shown(resolver.mx("null.test").await), Ok(vec!["0 ".into()]));
}

#[tokio::test]
async fn nothing_there_and_no_answer_are_told_apart() {
    let server = Server::start().await;
    let resolver = server.resolver("");
    let check = async |domain: &str, expected: DnsError| {
        assert_eq!(resolver.mx(domain).await, Err(expected.clone()), "{domain}");
        assert_eq!(resolver.addresses(domain).await, Err(expected), "{domain}");
    };
    check("gone.test", DnsError::NoSuchDomain).await;
    check("dangling.test", DnsError::NoSuchDomain).await;
    check("empty.test", DnsError::NoRecords).await;
    let too_long = format!("{}.test", "x".repeat(64));
    check(&too_long, DnsError::NoSuchDomain).await;
    check("two..dots.test", DnsError::NoSuchDomain).await;
    for domain in ["broken.test", "refused.test", "silent.test"] {
        assert!(is_temporary(&resolver.mx(domain).await), "{domain}");
        assert!(is_temporary(&resolver.addresses(domain).await), "{domain}");
    }
}

#[tokio::test]
async fn addresses_of_both_families_are_found() {
    let server = Server::start().await;
    let resolver = server.resolver("");
    let both = vec!["2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap()];
    assert_eq!(resolver.addresses("mx1.d.test").await, Ok(both));
    // One family that fails does not hide the other, and does not pass for empty.
    let one = vec!["192.0.2.1".parse().unwrap()];
    assert_eq!(resolver.addresses("half.test").await, Ok(one));
    assert!(is_temporary(&resolver.addresses("halfsilent.test").await));
}

#[tokio::test]
async fn addresses_have_names() {
    let server = Server::start().await;
    let resolver = server.resolver("");
    let names = resolver.names("192.0.2.1".parse().unwrap()).await;
    assert_eq!(names, Ok(vec!["host.d.test".to_owned()]));
    let none = resolver.names("192.0.2.2".parse().unwrap()).await;
    assert_eq!(none, Err(DnsError::NoSuchDomain));
}

#[tokio::test]
async fn the_hosts_file_and_localhost_are_honoured() {
    let server = Server::start().await;
    let resolver = server.resolver("192.0.2.7 static.test\n192.0.2.8 mx1.d.test\n");
    let check = async |host: &str, expected: &[&str]| {
        let expected: Vec<IpAddr> = expected.iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(resolver.addresses(host).await, Ok(expected), "{host}");
    };
    check("static.test", &["192.0.2.7"]).await;
    check("mx1.d.test", &["192.0.2.8"]).await;
    check("localhost", &["::1", "127.0.0.1"]).await;
    assert_eq!(server.queries.load(Ordering::SeqCst), 0);
    // It exists, though the name server says that it does not.
    assert_eq!(resolver.mx("static.test").await, Err(DnsError::NoRecords));
}

#[tokio::test]
async fn answers_are_kept_until_the_cache_is_cleared() {
    let server = Server::start().await;
    let resolver = server.resolver("");
    let ask = async |expected: usize| {
        resolver.mx("d.test").await.expect("found");
        assert_eq!(resolver.mx("gone.test").await, Err(DnsError::NoSuchDomain));
        assert_eq!(server.queries.load(Ordering::SeqCst), expected);
    };
    ask(2).await;
    ask(2).await;
    Resolve::clear_cache(&resolver);
    ask(4).await;
}

#[test]
fn look_ups_may_come_from_other_runtimes() {
    let owner =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (resolver, _server) = owner.block_on(async {
        let server = Server::start().await;
        (Arc::new(server.resolver("")), server)
    });
    for _ in 0..2 {
        let asked = Arc::clone(&resolver);
        let asking = std::thread::spawn(move || {
            let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            own.block_on(Resolve::addresses(&*asked, "mx1.d.test".to_owned()))
        });
        assert_eq!(asking.join().unwrap().map(|found| found.len()), Ok(2));
        resolver.resolver.clear_cache();
    }
}

#[test]
fn without_a_name_server_there_is_no_resolver() {
    let check = |file: io::Result<&str>, expected: Result<&[&str], &str>| match (
        system(file.map(|text| text.as_bytes().to_vec())),
        expected,
    ) {
        (Ok((config, _)), Ok(servers)) => {
            let found: Vec<_> = config.name_servers.iter().map(|s| s.ip.to_string()).collect();
            assert_eq!(found, servers);
            assert!(config.search.is_empty() && config.domain.is_none());
        }
        (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
        (found, _) => panic!("{found:?}"),
    };
    check(Err(io::ErrorKind::NotFound.into()), Err("no name servers: none configured"));
    check(Ok("search example.com\n"), Err("no name servers: none configured"));
    let usual = "domain example.com\nsearch a.example b.example\nnameserver 192.0.2.53\n";
    check(Ok(usual), Ok(&["192.0.2.53"]));
}
