//! Three nodes, of which the one that sends dies between final dot and report.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_proto::indoubt::in_doubt_server::InDoubtServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;
use tonic::transport::{Channel, Endpoint, Server};

use super::{Foreign, InDoubtService, Journal, Surroundings, marker, start};
use crate::clock::Timestamp;
use crate::cluster::fixture::World;
use crate::id::{GroupId, NodeId, Peer};
use crate::queue::door::{Doubts as _, Inbox as _, Propose as _, Work as _};
use crate::queue::fixture as testing;
use crate::queue::model::FinalDot;
use crate::queue::raft::Peers;

/// Connections to the listeners of this test.
struct Direct(BTreeMap<NodeId, Channel>);

impl Peers for Direct {
    fn channel(&self, node: NodeId) -> Result<Channel, String> {
        self.0.get(&node).cloned().ok_or_else(|| format!("{node} is not known"))
    }

    fn bulk(&self, node: NodeId) -> Result<Channel, String> {
        self.channel(node)
    }

    fn learn(&self, _: &BTreeMap<NodeId, String>) {}

    fn renew(&self, _: NodeId) {}
}

/// Hears what `sender` tells.
async fn listen(foreign: &Arc<Foreign>, sender: NodeId) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let known = move |mut request: Request<()>| {
        request.extensions_mut().insert(Peer::Node(sender));
        Ok(request)
    };
    let service = InDoubtService::new(Arc::clone(foreign));
    let router = Server::builder().add_service(InDoubtServer::with_interceptor(service, known));
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

fn around(world: &World, node: NodeId, peers: Arc<dyn Peers>) -> Surroundings {
    let queue = world.queue(node);
    Surroundings { mark: queue.clone(), work: queue.clone(), meta: queue.clone(), peers }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_marks_what_the_old_one_had_at_its_final_dot() {
    let mut world = World::of(3, 1).await;
    let group = GroupId::partition(0);
    let old = world.leader(group).unwrap();
    let term = world.queue(old).leads(group).unwrap();
    let to = ["a@one.example", "b@one.example"];
    let submitted = world.queue(old).submit(testing::submission(1, &to, "text")).await;
    let at = submitted.unwrap().locator;

    let directory = TempDir::new().unwrap();
    let path = directory.path().join("in-doubt");
    let journal = Arc::new(Journal::open(&path).unwrap());
    let (mut foreigns, mut channels, mut tasks) = (Vec::new(), BTreeMap::new(), Vec::new());
    for node in world.ids().into_iter().filter(|node| *node != old) {
        let foreign = Arc::new(Foreign::default());
        channels.insert(node, listen(&foreign, old).await);
        // It tells nobody: only the old leader sends.
        let nobody: Arc<dyn Peers> = Arc::new(Direct(BTreeMap::new()));
        let idle = Arc::new(Journal::open(&directory.path().join(node.to_string())).unwrap());
        tasks.extend(start(&idle, &foreign, around(&world, node, nobody)));
        foreigns.push(foreign);
    }
    let own = Arc::new(Foreign::default());
    let sending = start(&journal, &own, around(&world, old, Arc::new(Direct(channels))));

    let dot =
        |recipients: Vec<(u16, u32)>| FinalDot { locator: at, term, at: Timestamp(77), recipients };
    journal.begin(dot(vec![(0, 0)]));
    let done = journal.begin(dot(vec![(1, 0)]));
    let heard = |foreign: &Arc<Foreign>| {
        let left = foreign.left_behind(group, u64::MAX);
        left.iter().flat_map(|(_, dots)| dots).count()
    };
    world.until("the others have heard of both", || foreigns.iter().all(|f| heard(f) == 2)).await;
    journal.end(done, true);
    world
        .until("the others have heard of the end", || foreigns.iter().all(|f| heard(f) == 1))
        .await;

    for task in sending {
        task.abort();
    }
    drop(journal);
    world.kill(old).await;
    let new = world.led_by_another(group, old).await;
    let mut unknown = None;
    while unknown.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        unknown = world.queue(new).load(at).await.unwrap().waiting[0].unknown;
    }
    let unknown = unknown.unwrap();
    assert_eq!((unknown.node, unknown.term, unknown.at), (old, term, Timestamp(77)));
    assert_eq!(world.queue(new).load(at).await.unwrap().waiting[1].unknown, None);
    assert!(foreigns.iter().any(|foreign| heard(foreign) == 0), "it is noted once");

    // The old leader comes back, and finds the same in its own journal.
    world.start(old).await;
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.doubtful().len(), 1);
    let queue = world.queue(old).clone();
    while !marker::mark_own(&journal, queue.as_ref(), old).await {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(journal.doubtful(), []);
    for task in tasks {
        task.abort();
    }
}
