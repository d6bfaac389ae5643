//! Who gets a connection and who does not, over real sockets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected as _;

use super::accept::{Caller, Connection, accept};
use super::authority::{self, Authority, NodeKey, Pair};
use super::credentials::{Credentials, PROTOCOL};
use super::dial::TlsDial;
use super::files::Card;
use super::joining::{self, Applicant, JoinError, Readiness};
use super::renewal;
use super::subject::ANY_NODE;
use super::token::JoinToken;
use super::transport::{Dial as _, Io};
use crate::clock::Timestamp;
use crate::id::{NodeId, Peer, Role};
use crate::queue::cluster::{Cluster, Identity, Member};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

/// Credentials of a node in a directory of their own.
struct Own {
    credentials: Arc<Credentials>,
    spool: TempDir,
}

fn card(identity: &Identity, node: u64) -> Card {
    Card {
        cluster: identity.id.clone(),
        node: NodeId(node),
        partitions: 2,
        founder: false,
        started: false,
        address: "localhost:2526".to_owned(),
        members: BTreeMap::new(),
    }
}

fn own(identity: &Identity, node: u64) -> Own {
    let spool = tempfile::tempdir().unwrap();
    let credentials = Arc::new(Credentials::open(spool.path()).unwrap());
    assert!(credentials.loaded().is_none());
    renewal::renew(&credentials, card(identity, node), identity, Timestamp::now()).unwrap();
    Own { credentials, spool }
}

/// A listener of node 1 of a cluster with members 1 and 2.
struct Fixture {
    identity: Identity,
    one: Own,
    address: SocketAddr,
    incoming: ReceiverStream<std::io::Result<Connection>>,
    cluster: watch::Sender<Arc<Cluster>>,
}

fn cluster(members: &[u64]) -> Arc<Cluster> {
    let member = |node: &u64| (NodeId(*node), Member::default());
    let members = members.iter().map(member).collect();
    Arc::new(Cluster { members, next_node: 3, ..Cluster::default() })
}

impl Fixture {
    async fn start() -> Self {
        let identity = authority::found(Timestamp::now()).unwrap();
        let one = own(&identity, 1);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cluster, known) = watch::channel(cluster(&[1, 2]));
        let incoming = accept(listener, Arc::clone(&one.credentials), known);
        Self { identity, one, address, incoming, cluster }
    }

    async fn next(&mut self) -> Connection {
        let next = tokio::time::timeout(PATIENCE, self.incoming.next());
        next.await.expect("a connection").unwrap().unwrap()
    }

    async fn dial(&self, from: &Own, node: u64) -> std::io::Result<Box<dyn Io>> {
        let dial = TlsDial::new(Arc::clone(&from.credentials));
        dial.dial(NodeId(node), self.address.to_string()).await
    }

    /// A client with this certificate, or with none.
    async fn client(&self, pair: Option<&Pair>) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let pem = self.identity.authority_certificate_pem.as_bytes();
        roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match pair {
            Some(pair) => {
                let own = CertificateDer::from_pem_slice(pair.certificate_pem.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![own], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(ANY_NODE).unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await
    }

    /// Why a client is turned away. In TLS 1.3 it is ready before the server has judged its
    /// certificate, and hears of it when it reads.
    async fn refusal(&self, pair: Option<&Pair>) -> String {
        let mut stream = self.client(pair).await.unwrap();
        let heard = tokio::time::timeout(PATIENCE, stream.read_u8()).await;
        heard.expect("a refusal").unwrap_err().to_string()
    }

    fn authority(&self) -> Authority {
        Authority::of(&self.identity).unwrap()
    }

    fn node(&self, node: u64, from: Timestamp) -> Pair {
        let key = NodeKey::generate().unwrap();
        let certificate = self.authority().node(NodeId(node), "localhost", &key.public(), from);
        Pair { certificate_pem: certificate.unwrap(), key_pem: key.pem() }
    }
}

#[tokio::test]
async fn members_and_operators_get_in_and_are_known() {
    let mut fixture = Fixture::start().await;
    let two = own(&fixture.identity, 2);
    let mut there = fixture.dial(&two, 1).await.unwrap();
    let mut here = fixture.next().await;
    assert_eq!(here.connect_info(), Caller::Known(Peer::Node(NodeId(2))));
    there.write_all(b"ping").await.unwrap();
    there.flush().await.unwrap();
    let mut heard = [0; 4];
    here.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");

    let anna = fixture.authority().operator("anna", Role::Monitor, Timestamp::now(), DAY).unwrap();
    let _there = fixture.client(Some(&anna)).await.unwrap();
    let anna = Peer::Operator { name: "anna".to_owned(), role: Role::Monitor };
    assert_eq!(fixture.next().await.connect_info(), Caller::Known(anna));

    // A member that this node has not heard of yet.
    let three = fixture.node(3, Timestamp::now());
    let _there = fixture.client(Some(&three)).await.unwrap();
    assert_eq!(fixture.next().await.connect_info(), Caller::Known(Peer::Node(NodeId(3))));
}

#[tokio::test]
async fn everybody_else_is_refused() {
    let fixture = Fixture::start().await;
    let now = Timestamp::now();
    assert!(fixture.refusal(None).await.contains("CertificateRequired"));

    let expired = fixture.node(2, now - DAY * 91);
    let refusal = fixture.refusal(Some(&expired)).await;
    assert!(refusal.contains("CertificateExpired"), "{refusal}");

    let future = fixture.node(2, now + DAY * 2);
    let refusal = fixture.refusal(Some(&future)).await;
    assert!(refusal.contains("alert"), "{refusal}");

    let other = authority::found(now).unwrap();
    let other = Authority::of(&other).unwrap().operator("anna", Role::Admin, now, DAY).unwrap();
    let refusal = fixture.refusal(Some(&other)).await;
    assert!(refusal.contains("alert"), "{refusal}");

    // Its certificate is good; it is no member any more, and the connection just ends.
    fixture.cluster.send_replace(cluster(&[1]));
    let removed = fixture.node(2, now);
    fixture.refusal(Some(&removed)).await;
}

#[tokio::test]
async fn a_node_takes_nobody_but_the_one_it_means() {
    let fixture = Fixture::start().await;
    let two = own(&fixture.identity, 2);
    let wrong = fixture.dial(&two, 3).await.err().unwrap();
    assert!(wrong.to_string().contains("certificate"), "{wrong}");
    let foreign = own(&authority::found(Timestamp::now()).unwrap(), 2);
    let unknown = fixture.dial(&foreign, 1).await.err().unwrap();
    assert!(unknown.to_string().contains("certificate"), "{unknown}");
}

#[tokio::test]
async fn the_connection_of_a_member_ends_with_its_membership() {
    let mut fixture = Fixture::start().await;
    let two = own(&fixture.identity, 2);
    let _there = fixture.dial(&two, 1).await.unwrap();
    let mut here = fixture.next().await;
    let reading = tokio::spawn(async move { here.read_u8().await });
    fixture.cluster.send_replace(cluster(&[1]));
    let ended = tokio::time::timeout(PATIENCE, reading).await.expect("an end").unwrap();
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn renewed_credentials_serve_new_connections_and_spare_the_old() {
    let mut fixture = Fixture::start().await;
    let two = own(&fixture.identity, 2);
    let mut old_there = fixture.dial(&two, 1).await.unwrap();
    let mut old_here = fixture.next().await;
    let before = std::fs::read(fixture.one.spool.path().join("cluster/node.pem")).unwrap();
    let one = card(&fixture.identity, 1);
    renewal::renew(&fixture.one.credentials, one, &fixture.identity, Timestamp::now()).unwrap();
    let after = std::fs::read(fixture.one.spool.path().join("cluster/node.pem")).unwrap();
    assert_ne!(before, after);
    let shown = fixture.client(Some(&fixture.node(2, Timestamp::now()))).await.unwrap();
    let shown = shown.get_ref().1.peer_certificates().unwrap()[0].clone();
    assert_eq!(shown, CertificateDer::from_pem_slice(&after).unwrap());
    old_there.write_all(b"x").await.unwrap();
    old_there.flush().await.unwrap();
    assert_eq!(old_here.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn a_spool_joins_one_cluster() {
    let identity = authority::found(Timestamp::now()).unwrap();
    let fingerprint = Authority::of(&identity).unwrap().fingerprint();
    let token = JoinToken::generate(fingerprint, Timestamp::now() + DAY);
    let other = JoinToken::generate([0; 32], Timestamp::now() + DAY);
    let two = own(&identity, 2);
    let check = |own: &Own, token| joining::check(own.spool.path(), &own.credentials, token);
    assert_eq!(check(&two, &token).unwrap(), Readiness::Member);
    assert!(matches!(check(&two, &other), Err(JoinError::OtherCluster { .. })));

    let spool = tempfile::tempdir().unwrap();
    let credentials = Arc::new(Credentials::open(spool.path()).unwrap());
    let fresh = Own { credentials, spool };
    assert_eq!(check(&fresh, &token).unwrap(), Readiness::Fresh);
    std::fs::create_dir(fresh.spool.path().join("store")).unwrap();
    assert_eq!(check(&fresh, &token).unwrap(), Readiness::Fresh);
    std::fs::write(fresh.spool.path().join("store/CURRENT"), "").unwrap();
    assert!(matches!(check(&fresh, &token), Err(JoinError::Occupied(_))));
}

#[tokio::test]
async fn a_node_that_joins_knows_the_cluster_by_its_token() {
    let fixture = Fixture::start().await;
    let spool = tempfile::tempdir().unwrap();
    let credentials = Credentials::open(spool.path()).unwrap();
    let address = fixture.address.to_string();
    let join = async |token: &JoinToken| {
        let applicant = Applicant {
            address: "localhost:2526".to_owned(),
            name: "mx3".to_owned(),
            level: 1,
            version: "0".to_owned(),
        };
        joining::join(&address, token, applicant, &credentials).await.unwrap_err().to_string()
    };
    let foreign = JoinToken::generate([7; 32], Timestamp::now() + DAY);
    let refused = join(&foreign).await;
    assert!(refused.contains("the token is of another cluster"), "{refused}");
    let expired = JoinToken::generate(fixture.authority().fingerprint(), Timestamp(1));
    let refused = join(&expired).await;
    assert!(refused.starts_with("the token expired at 1970"), "{refused}");
    assert!(credentials.loaded().is_none());
    // Whoever was interrupted comes again with the same key.
    let key = credentials.joining_key().unwrap().public();
    let again = Credentials::open(spool.path()).unwrap();
    assert_eq!(again.joining_key().unwrap().public(), key);
    let card = card(&fixture.identity, 3);
    renewal::renew(&again, card, &fixture.identity, Timestamp::now()).unwrap();
    assert!(!spool.path().join("cluster/joining.pem").exists());
}
