//! The connection to the node.

use std::io;
use std::path::Path;
use std::time::Duration;

use convoy_proto::admin::Api;
use convoy_proto::admin::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::error::Error;

/// Says in each request which version of the protocol this program speaks.
type SayApi = fn(Request<()>) -> Result<Request<()>, Status>;

/// The administration service of a node.
pub(crate) type Client = AdminClient<InterceptedService<Channel, SayApi>>;

/// Metadata key of the protocol's version.
const API_KEY: &str = "convoy-api";

/// A node that is silent for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(20);

/// Connects to the node that listens on `path`.
pub(crate) async fn connect(path: &Path) -> Result<Client, Error> {
    let unreachable = |reason: String| Error::Unreachable { path: path.to_owned(), reason };
    let stream = UnixStream::connect(path).await.map_err(|error| unreachable(hint(&error)))?;
    // The one connection is made; the connector hands it over. The address is never used.
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().ok_or_else(|| io::Error::other("the connection broke"));
        std::future::ready(stream)
    });
    let channel = Endpoint::from_static("http://mtad")
        .http2_keep_alive_interval(SILENCE / 2)
        .keep_alive_timeout(SILENCE)
        .connect_with_connector(connector)
        .await
        .map_err(|error| unreachable(error.to_string()))?;
    Ok(AdminClient::with_interceptor(channel, say_api))
}

fn say_api(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert(API_KEY, MetadataValue::from(Api::Current as u32));
    Ok(request)
}

/// What to do about a socket that cannot be opened.
fn hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such socket. Is mtad running? If admin-socket is set in its \
             configuration, give --socket PATH or set MTACTL_SOCKET"
                .to_owned()
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens. mtad has stopped: start it and look at its log".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied. Run mtactl as the user or in the group of mtad".to_owned()
        }
        _ => error.to_string(),
    }
}
