//! A configuration on its way to three nodes, each a service of its own on a Unix socket.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use convoy_proto::admin as proto;
use convoy_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use proto::ConfigOutcome as Outcome;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

use super::double::{
    Accounting, Board, Delivery, Dns, Door, Founding, Ingress, Others, Partitions, Runtime, Store,
};
use super::monitor::Monitor;
use super::ports::Finding;
use super::{Ports, Service, server, socket};
use crate::config::{Config, InForce};
use crate::id::NodeId;
use crate::queue::cluster::{Member, Standing};
use crate::queue::raft::Peers;

/// The way to the sockets in a directory.
struct Sockets {
    directory: PathBuf,
}

impl Peers for Sockets {
    fn channel(&self, node: NodeId) -> Result<Channel, String> {
        let path = self.directory.join(node.to_string());
        let connector = tower::service_fn(move |_| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        Ok(Endpoint::from_static("http://mtad").connect_with_connector_lazy(connector))
    }

    fn bulk(&self, node: NodeId) -> Result<Channel, String> {
        self.channel(node)
    }

    fn learn(&self, _: &BTreeMap<NodeId, String>) {}

    fn renew(&self, _: NodeId) {}
}

struct Nodes {
    board: Arc<Board>,
    runtimes: Vec<Arc<Runtime>>,
    client: AdminClient<Channel>,
    _directory: TempDir,
}

impl Nodes {
    /// Nodes n1 to n3, of which the given ones are up. n1 is asked.
    async fn start(up: &[u64]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let board = Arc::new(Board::default());
        for node in 1..=3 {
            let member = Member { name: format!("mx{node}"), ..Member::default() };
            board.edit(|cluster| {
                cluster.members.insert(NodeId(node), member);
            });
        }
        let mut runtimes = Vec::new();
        for node in up {
            let runtime = Arc::new(Runtime::new(Config::from_text("").unwrap()));
            serve(NodeId(*node), &runtime, &board, directory.path().to_owned()).await;
            tokio::spawn(follow(Arc::clone(&runtime), Arc::clone(&board), NodeId(*node)));
            runtimes.push(runtime);
        }
        let sockets = Sockets { directory: directory.path().to_owned() };
        let client = AdminClient::new(sockets.channel(NodeId(1)).unwrap());
        Self { board, runtimes, client, _directory: directory }
    }

    async fn push(&mut self, request: proto::ConfigPushRequest) -> proto::ConfigPushReply {
        self.client.config_push(request).await.unwrap().into_inner()
    }

    async fn versions(&mut self) -> Vec<proto::ConfigVersion> {
        let request = proto::ConfigHistoryRequest {};
        self.client.config_history(request).await.unwrap().into_inner().versions
    }
}

/// Serves the administration of a node.
async fn serve(node: NodeId, runtime: &Arc<Runtime>, board: &Arc<Board>, directory: PathBuf) {
    let listener = socket::bind(&directory.join(node.to_string())).await.unwrap();
    let ports = Ports {
        queue: Arc::new(Store::default()),
        ingress: Arc::new(Ingress::default()),
        delivery: Arc::new(Delivery::default()),
        examine: Arc::new(Partitions::default()),
        cluster: Arc::new(Others::default()),
        accounting: Arc::new(Accounting),
        runtime: runtime.clone(),
        founding: Arc::new(Founding),
        dns: Arc::new(Dns::default()),
        monitor: Arc::new(Monitor::default()),
        meta: Arc::new(Door { me: node, board: board.clone() }),
        peers: Arc::new(Sockets { directory }),
        switching: tokio::sync::Mutex::new(()),
    };
    let router = Server::builder().add_service(server(Service::new(Arc::new(ports))));
    tokio::spawn(router.serve_with_incoming(UnixListenerStream::new(listener)));
}

/// A node that switches as soon as it knows of a version, unless it has found something by then.
async fn follow(runtime: Arc<Runtime>, board: Arc<Board>, me: NodeId) {
    use crate::queue::door::Meta as _;
    let mut cluster = Door { me, board }.cluster();
    loop {
        let version = cluster.borrow_and_update().configuration.as_ref().map_or(0, |c| c.version);
        let found = runtime.verified.lock().first().map(|finding| finding.text.clone());
        runtime.in_force.send_modify(|state| {
            *state = match found {
                None => InForce { version, tried: version, refused: String::new() },
                Some(refused) => InForce { version: state.version, tried: version, refused },
            };
        });
        if cluster.changed().await.is_err() {
            return;
        }
    }
}

fn bundle(files: &[(&str, &str)]) -> proto::ConfigBundle {
    let file = |(name, text): &(&str, &str)| proto::ConfigFile {
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    proto::ConfigBundle { files: files.iter().map(file).collect(), asked: Vec::new() }
}

fn text(text: &str) -> proto::ConfigPushRequest {
    let bundle = Some(bundle(&[("c.conf", text)]));
    proto::ConfigPushRequest { bundle, comment: "why".into(), ..Default::default() }
}

fn finding(is_error: bool) -> Finding {
    let (file, text) = ("c.conf".to_owned(), "odd".to_owned());
    Finding { is_error, file, line: 3, column: 5, text }
}

#[tokio::test]
async fn a_push_is_checked_by_all_and_waits_for_all() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    let reply = nodes.push(text("postmaster a@b.example\n")).await;
    assert_eq!((reply.outcome(), reply.version), (Outcome::Pushed, 1));
    let running: Vec<_> = reply.members.iter().map(|m| (m.node, m.running)).collect();
    assert_eq!(running, [(1, 1), (2, 1), (3, 1)]);
    assert!(reply.members.iter().all(|m| m.unreachable.is_empty() && m.refused.is_empty()));
    let versions = nodes.versions().await;
    assert_eq!((versions.len(), versions[0].comment.as_str()), (1, "why"));
    assert!(!["", "unknown"].contains(&versions[0].author.as_str()), "{:?}", versions[0]);

    let same = nodes.push(text("postmaster a@b.example\n")).await;
    assert_eq!((same.outcome(), same.version), (Outcome::Unchanged, 1));
}

#[tokio::test]
async fn an_error_on_one_node_changes_nothing() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    *nodes.runtimes[1].verified.lock() = vec![finding(true)];
    let reply = nodes.push(text("postmaster a@b.example\n")).await;
    assert_eq!((reply.outcome(), reply.version), (Outcome::Rejected, 0));
    let found: Vec<_> = reply.members.iter().map(|m| m.diagnostics.len()).collect();
    assert_eq!(found, [0, 1, 0]);
    let error = &reply.members[1].diagnostics[0];
    assert_eq!((error.file.as_str(), error.line, error.column), ("c.conf", 3, 5));
    assert!(nodes.versions().await.is_empty());

    *nodes.runtimes[1].verified.lock() = vec![finding(false)];
    let dry = proto::ConfigPushRequest { dry_run: true, ..text("postmaster a@b.example\n") };
    let reply = nodes.push(dry).await;
    assert_eq!(reply.outcome(), Outcome::Acceptable);
    assert_eq!(reply.members[1].diagnostics.len(), 1);
    assert!(nodes.versions().await.is_empty());
}

#[tokio::test]
async fn a_member_that_is_away_holds_it_up_unless_it_is_skipped() {
    let mut nodes = Nodes::start(&[1, 3]).await;
    let reply = nodes.push(text("postmaster a@b.example\n")).await;
    assert_eq!(reply.outcome(), Outcome::Unreachable);
    assert!(!reply.members[1].unreachable.is_empty());
    assert!(nodes.versions().await.is_empty());

    let skip = proto::ConfigPushRequest { skip_unreachable: true, ..text("postmaster a@b.c\n") };
    let reply = nodes.push(skip).await;
    assert_eq!((reply.outcome(), reply.version), (Outcome::Pushed, 1));
    let running: Vec<_> = reply.members.iter().map(|m| m.running).collect();
    assert_eq!(running, [1, 0, 1]);

    nodes.board.edit(|cluster| {
        let member = cluster.members.get_mut(&NodeId(2)).unwrap();
        member.standing = Standing::Removing;
    });
    let reply = nodes.push(text("postmaster c@d.example\n")).await;
    assert_eq!((reply.outcome(), reply.members.len()), (Outcome::Pushed, 2));
}

#[tokio::test]
async fn whoever_was_quicker_wins() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    *nodes.board.overtaken.lock() = true;
    let reply = nodes.push(text("postmaster a@b.example\n")).await;
    assert_eq!((reply.outcome(), reply.version), (Outcome::Overtaken, 1));
    assert_eq!(nodes.versions().await.len(), 1);
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_made_once() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    for (version, made) in [(1, false), (2, true)] {
        *nodes.board.lost.lock() = Some(made);
        let reply = nodes.push(text(&format!("postmaster a{version}@b.example\n"))).await;
        assert_eq!((reply.outcome(), reply.version), (Outcome::Pushed, version), "{made}");
        assert_eq!(nodes.versions().await.len() as u64, version);
    }
}

#[tokio::test]
async fn a_node_that_finds_something_only_then_says_so() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    nodes.push(text("postmaster a@b.example\n")).await;
    // A warning at the check, and in this fixture no switch.
    *nodes.runtimes[2].verified.lock() = vec![finding(false)];
    let reply = nodes.push(text("postmaster c@d.example\n")).await;
    assert_eq!((reply.outcome(), reply.version), (Outcome::Pushed, 2));
    assert_eq!((reply.members[2].running, reply.members[2].refused.as_str()), (1, "odd"));
}

#[tokio::test]
async fn what_is_included_is_asked_for_first() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    let main = ("c.conf", "include isp.conf\ninclude d/*.conf\n");
    let mut request = text("");
    request.bundle = Some(bundle(&[main]));
    let reply = nodes.push(request.clone()).await;
    assert_eq!(reply.missing, ["d/*.conf", "isp.conf"]);
    assert_eq!((reply.outcome(), reply.members.len()), (Outcome::Unspecified, 0));

    let mut whole = bundle(&[main, ("isp.conf", "postmaster a@b.example\n")]);
    whole.asked = reply.missing;
    request.bundle = Some(whole.clone());
    let diff = proto::ConfigDiffRequest {
        old: None,
        new: Some(proto::ConfigSide { what: Some(proto::config_side::What::Bundle(whole)) }),
        secrets: false,
    };
    assert_eq!(nodes.push(request).await.outcome(), Outcome::Pushed);
    let reply = nodes.client.config_diff(diff).await.unwrap().into_inner();
    assert_eq!((reply.missing.len(), reply.text.as_str()), (0, ""));
}

#[tokio::test]
async fn old_versions_are_shown_compared_and_made_active_again() {
    let mut nodes = Nodes::start(&[1, 2, 3]).await;
    let user = |password: &str| text(&format!("<smtp-user a>\npassword {password}\n</smtp-user>"));
    nodes.push(user("one")).await;
    nodes.push(user("two")).await;

    let show = |version, secrets| proto::ConfigShowRequest { version, secrets };
    let reply = nodes.client.config_show(show(1, false)).await.unwrap().into_inner();
    assert!(!reply.active && reply.files[0].text.contains("password ********"));
    let reply = nodes.client.config_show(show(0, true)).await.unwrap().into_inner();
    assert!(reply.active && reply.files[0].text.contains("password two"));

    let side = |version| {
        Some(proto::ConfigSide { what: Some(proto::config_side::What::Version(version)) })
    };
    let diff = proto::ConfigDiffRequest { old: side(1), new: side(2), secrets: true };
    let reply = nodes.client.config_diff(diff).await.unwrap().into_inner();
    assert!(reply.text.contains("-password one\n+password two\n"), "{}", reply.text);

    let back = |version| proto::ConfigRollbackRequest { version, ..Default::default() };
    let reply = nodes.client.config_rollback(back(1)).await.unwrap().into_inner();
    assert_eq!((reply.outcome(), reply.version), (Outcome::Pushed, 3));
    assert_eq!(nodes.versions().await[2].comment, "back to version 1");
    let reply = nodes.client.config_show(show(3, true)).await.unwrap().into_inner();
    assert!(reply.files[0].text.contains("password one"));
    let error = nodes.client.config_rollback(back(9)).await.unwrap_err();
    assert!(error.message().contains("no version 9"), "{error}");
}
