//! Connections to the other nodes of the cluster.
//!
//! Every node has two connections to every other one: one for control, log entries and commands,
//! and one for what is long, so that a snapshot does not hold up a heartbeat. Connections are made
//! when they are needed and made again when they break.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::id::NodeId;
use crate::queue::raft::Peers;

/// A connection that takes longer to make has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A node that does not answer a ping is gone.
const KEEPALIVE: Duration = Duration::from_secs(2);
/// Bytes that one call, and that all calls of a connection, may have on their way.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A byte stream between two nodes.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Makes connections to other nodes.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `HOST:PORT`, where `node` is expected: anybody else is an error.
    fn dial(&self, node: NodeId, address: String) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// Connections to all nodes.
pub struct Transport {
    dial: Arc<dyn Dial>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    addresses: BTreeMap<NodeId, String>,
    channels: HashMap<(NodeId, Purpose), Channel>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    Control,
    Bulk,
}

impl Transport {
    /// Knows nobody yet.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>) -> Arc<Self> {
        Arc::new(Self { dial, known: Mutex::default() })
    }

    fn get(&self, node: NodeId, purpose: Purpose) -> Result<Channel, String> {
        let mut known = self.known.lock();
        let Some(address) = known.addresses.get(&node).cloned() else {
            return Err(format!("{node} is not known"));
        };
        let channel = known
            .channels
            .entry((node, purpose))
            .or_insert_with(|| connect_lazily(Arc::clone(&self.dial), node, address));
        Ok(channel.clone())
    }
}

impl Peers for Transport {
    fn channel(&self, node: NodeId) -> Result<Channel, String> {
        self.get(node, Purpose::Control)
    }

    fn bulk(&self, node: NodeId) -> Result<Channel, String> {
        self.get(node, Purpose::Bulk)
    }

    fn learn(&self, addresses: &BTreeMap<NodeId, String>) {
        let mut known = self.known.lock();
        let Known { addresses: old, channels } = &mut *known;
        channels.retain(|(node, _), _| old.get(node) == addresses.get(node));
        old.clone_from(addresses);
    }

    fn renew(&self, node: NodeId) {
        self.known.lock().channels.retain(|(of, _), _| *of != node);
    }
}

fn connect_lazily(dial: Arc<dyn Dial>, node: NodeId, address: String) -> Channel {
    // The address is the dialer's; the URI is only what HTTP/2 wants to see.
    let connector = tower::service_fn(move |_: Uri| {
        let dialing = dial.dial(node, address.clone());
        async move { dialing.await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://node.convoy.internal")
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .connect_with_connector_lazy(connector)
}
