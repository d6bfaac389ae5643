//! Probes over a real socket, with owners that say what a test wants.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::double::{
    Accounting, Delivery, Dns, Door, Founding, Ingress, Others, Partitions, Runtime, Store, stored,
};
use super::monitor::Monitor;
use super::ports::{CertificateFigures, ConnectionFigures, HealthPort, Leadership};
use super::probes::Probes;
use super::service::Ports;
use super::window::Tally;
use crate::clock::Timestamp;
use crate::config::Config;
use crate::id::{GroupId, NodeId};
use crate::queue::raft::Alone;

/// A health that a test sets.
#[derive(Default)]
struct Health {
    leader: Mutex<Option<NodeId>>,
}

impl HealthPort for Health {
    fn groups(&self) -> Vec<Leadership> {
        vec![Leadership { group: GroupId(2), leader: *self.leader.lock(), led: false }]
    }

    fn leaving(&self) -> bool {
        false
    }

    fn certificates(&self) -> Vec<CertificateFigures> {
        vec![CertificateFigures { name: "smtp".into(), expires_at: Timestamp(0) }]
    }
}

struct Site {
    probes: Probes,
    health: Arc<Health>,
    ingress: Arc<Ingress>,
}

impl Site {
    async fn start() -> Self {
        let store = Arc::new(Store::default());
        store.insert(stored(1, 1000));
        let config = Config::from_text("host-name mx.example.com").unwrap();
        let (ingress, health) = (Arc::new(Ingress::default()), Arc::new(Health::default()));
        let ports = Ports {
            queue: store,
            ingress: ingress.clone(),
            delivery: Arc::new(Delivery::default()),
            accounting: Arc::new(Accounting),
            founding: Arc::new(Founding),
            runtime: Arc::new(Runtime::new(config)),
            dns: Arc::new(Dns::default()),
            monitor: Arc::new(Monitor::default()),
            meta: Arc::new(Door { me: NodeId(1), board: Arc::default() }),
            peers: Arc::new(Alone),
            examine: Arc::new(Partitions::default()),
            cluster: Arc::new(Others::default()),
            switching: tokio::sync::Mutex::new(()),
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let probes = Probes::start(any, Arc::new(ports), health.clone()).await.unwrap();
        Self { probes, health, ingress }
    }

    /// Status line and body of the answer.
    async fn ask(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.probes.address()).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }
}

#[tokio::test]
async fn a_node_is_live_and_ready_when_it_can_store() {
    let site = Site::start().await;
    let ok = |body: &str| ("HTTP/1.1 200 OK".to_owned(), body.to_owned());
    assert_eq!(site.ask("GET", "/health/live").await, ok("live\n"));
    let (status, body) = site.ask("GET", "/health/ready").await;
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert_eq!(body, "not ready: no partition has a leader\n");
    *site.health.leader.lock() = Some(NodeId(2));
    assert_eq!(site.ask("GET", "/health/ready").await, ok("ready\n"));
    assert_eq!(site.ask("HEAD", "/health/ready").await, ok(""));
}

#[tokio::test]
async fn figures_come_from_their_owners() {
    let site = Site::start().await;
    *site.ingress.tally.lock() = Tally { recipients: 5, messages: 2, bytes: 900 };
    *site.ingress.connections.lock() = ConnectionFigures { current: 3, top: 9 };
    let (status, text) = site.ask("GET", "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "convoy_ready 0",
        "convoy_queue_recipients 3",
        "convoy_accepted_recipients_total 5",
        "convoy_connections{direction=\"in\"} 3",
        "convoy_accounting_rows_waiting 3",
        "convoy_group_has_leader{group=\"p0\"} 0",
        "convoy_info{version=\"0.1.0\",node=\"n1\",host=\"mx.example.com\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
    }
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let site = Site::start().await;
    assert!(site.ask("GET", "/").await.0.ends_with("404 Not Found"));
    assert!(site.ask("POST", "/health/ready").await.0.ends_with("405 Method Not Allowed"));
    // A client that speaks no HTTP is turned away, and the next one is served.
    let mut stream = TcpStream::connect(site.probes.address()).await.unwrap();
    stream.write_all(b"EHLO client.example\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(site.ask("GET", "/health/live").await.0.ends_with("200 OK"));
}
