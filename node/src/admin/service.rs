//! The service: one method per call, each a line that names the file where the work is done.

use std::sync::Arc;

use convoy_proto::admin as proto;
use convoy_proto::admin::admin_server::{Admin, AdminServer};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

use super::monitor::Monitor;
use super::ports::{
    AccountingPort, ClusterPort, DeliveryPort, FoundingPort, IngressPort, Refusal, RuntimePort,
};
use super::spread::Scope;
use super::{
    acct, audit, caller, cluster, limits, members, operate, push, recipients, resolve, show,
    status, story, upkeep, versions,
};
use crate::dns::Resolve;
use crate::queue::door::{Examine, Inspect, Meta, ReportError};
use crate::queue::raft::Peers;

/// All that administration asks.
pub struct Ports {
    /// The queue.
    pub queue: Arc<dyn Inspect>,
    /// Reception.
    pub ingress: Arc<dyn IngressPort>,
    /// Delivery.
    pub delivery: Arc<dyn DeliveryPort>,
    /// Whole partitions and groups.
    pub examine: Arc<dyn Examine>,
    /// The cluster.
    pub cluster: Arc<dyn ClusterPort>,
    /// Accounting.
    pub accounting: Arc<dyn AccountingPort>,
    /// The runtime.
    pub runtime: Arc<dyn RuntimePort>,
    /// Making a cluster.
    pub founding: Arc<dyn FoundingPort>,
    /// The resolver that delivery uses.
    pub dns: Arc<dyn Resolve>,
    /// Filled by [`super::monitor::run`].
    pub monitor: Arc<Monitor>,
    /// What the meta group knows: the versions of the shared configuration.
    pub meta: Arc<dyn Meta>,
    /// The way to other nodes.
    pub peers: Arc<dyn Peers>,
    /// Held while the operator's switches are read, changed and written.
    pub switching: tokio::sync::Mutex<()>,
}

/// The administration service of a node.
#[derive(Clone)]
pub struct Service {
    ports: Arc<Ports>,
}

impl Service {
    /// A service that asks `ports`.
    #[must_use]
    pub const fn new(ports: Arc<Ports>) -> Self {
        Self { ports }
    }
}

/// Metadata key in which a client says which [`proto::Api`] it speaks.
pub const API_KEY: &str = "convoy-api";

/// Refuses clients that speak a newer API than this node.
pub type CheckApi = fn(Request<()>) -> Result<Request<()>, Status>;

/// The service as tonic serves it.
#[must_use]
pub fn server(service: Service) -> InterceptedService<AdminServer<Service>, CheckApi> {
    AdminServer::with_interceptor(service, check_api)
}

fn check_api(request: Request<()>) -> Result<Request<()>, Status> {
    let ours = proto::Api::Current as u32;
    let theirs: Option<u32> =
        request.metadata().get(API_KEY).and_then(|v| v.to_str().ok()?.parse().ok());
    match theirs {
        Some(theirs) if theirs > ours => Err(Status::failed_precondition(format!(
            "mtactl speaks version {theirs} of the administration protocol and this mtad version \
             {ours}: use the mtactl that came with it ({})",
            env!("CARGO_PKG_VERSION")
        ))),
        Some(_) | None => Ok(request),
    }
}

/// A streamed reply.
pub(super) type Stream<T> = ReceiverStream<Result<T, Status>>;

/// Items that may wait for a slow client.
const ITEMS_WAITING: usize = 64;

/// A reply that a task of its own produces. The task ends when the client goes away: sending then
/// fails.
pub(super) fn stream<T, F>(
    produce: impl FnOnce(mpsc::Sender<Result<T, Status>>) -> F + Send + 'static,
) -> Stream<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(), Status>> + Send + 'static,
{
    let (items, reply) = mpsc::channel(ITEMS_WAITING);
    tokio::spawn(async move {
        if let Err(status) = produce(items.clone()).await {
            let _gone = items.send(Err(status)).await;
        }
    });
    ReceiverStream::new(reply)
}

/// The request itself is at fault.
pub(super) fn refused(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// The queue did not record an operation.
pub(super) fn not_recorded(error: ReportError) -> Status {
    match error {
        ReportError::LostLeadership => Status::unavailable(
            "another node leads the partition now: what was done so far stays done; repeat the \
             command there",
        ),
        ReportError::Stopping => Status::unavailable("mtad is stopping"),
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Refused(text) => Self::failed_precondition(text),
            Refusal::Unavailable(text) => Self::unavailable(text),
            Refusal::Failed(text) => Self::internal(text),
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

/// Boxes the future, so that the large ones do not swell the generated code, and wraps the reply.
fn reply<'a, T: 'a>(
    work: impl Future<Output = Result<T, Status>> + Send + 'a,
) -> BoxFuture<'a, Reply<T>> {
    Box::pin(async move { work.await.map(Response::new) })
}

#[tonic::async_trait]
impl Admin for Service {
    async fn version(&self, _: Request<proto::VersionRequest>) -> Reply<proto::VersionReply> {
        Ok(Response::new(status::version(&self.ports)))
    }

    async fn status(&self, request: Request<proto::StatusRequest>) -> Reply<proto::StatusReply> {
        let scope = Scope::of(&request);
        reply(async move { Ok(status::status(&self.ports, scope).await) }).await
    }

    type QueuesStream = Stream<proto::QueueItem>;

    async fn queues(&self, request: Request<proto::QueuesRequest>) -> Reply<Self::QueuesStream> {
        let scope = Scope::of(&request);
        reply(show::queues(&self.ports, scope, request.into_inner())).await
    }

    type DomainsStream = Stream<proto::DomainItem>;

    async fn domains(&self, request: Request<proto::DomainsRequest>) -> Reply<Self::DomainsStream> {
        let scope = Scope::of(&request);
        reply(show::domains(&self.ports, scope, request.into_inner())).await
    }

    type VmtasStream = Stream<proto::VmtaItem>;

    async fn vmtas(&self, request: Request<proto::VmtasRequest>) -> Reply<Self::VmtasStream> {
        let scope = Scope::of(&request);
        reply(show::vmtas(&self.ports, scope, request.into_inner())).await
    }

    type JobsStream = Stream<proto::JobItem>;

    async fn jobs(&self, request: Request<proto::JobsRequest>) -> Reply<Self::JobsStream> {
        let scope = Scope::of(&request);
        let request = request.into_inner();
        reply(async move { Ok(show::jobs(&self.ports, scope, &request).await) }).await
    }

    async fn limits(&self, request: Request<proto::LimitsRequest>) -> Reply<proto::LimitsReply> {
        limits::limits(&self.ports, &request.into_inner()).map(Response::new)
    }

    async fn settings(
        &self,
        request: Request<proto::SettingsRequest>,
    ) -> Reply<proto::SettingsReply> {
        upkeep::settings(&self.ports, &request.into_inner()).map(Response::new)
    }

    async fn message(&self, request: Request<proto::MessageRequest>) -> Reply<proto::MessageReply> {
        let scope = Scope::of(&request);
        reply(story::message(&self.ports, scope, &request.into_inner().id)).await
    }

    type ListStream = Stream<proto::ListItem>;

    async fn list(&self, request: Request<proto::ListRequest>) -> Reply<Self::ListStream> {
        let scope = Scope::of(&request);
        recipients::list(&self.ports, scope, request.into_inner()).map(Response::new)
    }

    type DeleteStream = Stream<proto::DeleteProgress>;

    async fn delete(&self, request: Request<proto::DeleteRequest>) -> Reply<Self::DeleteStream> {
        let scope = Scope::of(&request);
        recipients::delete(&self.ports, scope, request.into_inner()).map(Response::new)
    }

    async fn pause_queue(
        &self,
        request: Request<proto::QueueRequest>,
    ) -> Reply<proto::SwitchReply> {
        reply(operate::pause_queue(&self.ports, &request.into_inner().pattern)).await
    }

    async fn resume_queue(
        &self,
        request: Request<proto::QueueRequest>,
    ) -> Reply<proto::SwitchReply> {
        reply(operate::resume_queue(&self.ports, &request.into_inner().pattern)).await
    }

    async fn pause_job(&self, request: Request<proto::JobRequest>) -> Reply<proto::SwitchReply> {
        reply(operate::pause_job(&self.ports, &request.into_inner().id)).await
    }

    async fn resume_job(&self, request: Request<proto::JobRequest>) -> Reply<proto::SwitchReply> {
        reply(operate::resume_job(&self.ports, &request.into_inner().id)).await
    }

    async fn set_queue_mode(
        &self,
        request: Request<proto::SetQueueModeRequest>,
    ) -> Reply<proto::SwitchReply> {
        reply(operate::set_mode(&self.ports, &request.into_inner())).await
    }

    async fn schedule(
        &self,
        request: Request<proto::ScheduleRequest>,
    ) -> Reply<proto::ScheduleReply> {
        let scope = Scope::of(&request);
        reply(operate::schedule(&self.ports, scope, &request.into_inner())).await
    }

    type TraceStream = Stream<proto::TraceLine>;

    async fn trace(&self, request: Request<proto::TraceRequest>) -> Reply<Self::TraceStream> {
        let scope = Scope::of(&request);
        reply(resolve::trace(&self.ports, scope, request.into_inner())).await
    }

    type ResolveStream = Stream<proto::ResolveStep>;

    async fn resolve(&self, request: Request<proto::ResolveRequest>) -> Reply<Self::ResolveStream> {
        resolve::resolve(&self.ports, request.into_inner()).map(Response::new)
    }

    async fn clear_dns_cache(
        &self,
        request: Request<proto::ClearDnsCacheRequest>,
    ) -> Reply<proto::ClearDnsCacheReply> {
        let scope = Scope::of(&request);
        reply(async move { Ok(upkeep::clear_dns_cache(&self.ports, scope).await) }).await
    }

    async fn reload(&self, _: Request<proto::ReloadRequest>) -> Reply<proto::ReloadReply> {
        reply(upkeep::reload(&self.ports)).await
    }

    async fn config_check(
        &self,
        request: Request<proto::ConfigCheckRequest>,
    ) -> Reply<proto::ConfigCheckReply> {
        reply(upkeep::config_check(&self.ports, request.into_inner())).await
    }

    async fn config_push(
        &self,
        request: Request<proto::ConfigPushRequest>,
    ) -> Reply<proto::ConfigPushReply> {
        let author = caller::name(&request).await;
        reply(push::push(&self.ports, request.into_inner(), author)).await
    }

    async fn config_rollback(
        &self,
        request: Request<proto::ConfigRollbackRequest>,
    ) -> Reply<proto::ConfigPushReply> {
        let author = caller::name(&request).await;
        reply(push::rollback(&self.ports, request.into_inner(), author)).await
    }

    async fn config_history(
        &self,
        _: Request<proto::ConfigHistoryRequest>,
    ) -> Reply<proto::ConfigHistoryReply> {
        Ok(Response::new(versions::history(&self.ports)))
    }

    async fn config_show(
        &self,
        request: Request<proto::ConfigShowRequest>,
    ) -> Reply<proto::ConfigShowReply> {
        if request.get_ref().secrets {
            caller::may_see_secrets(&request)?;
        }
        reply(versions::show(&self.ports, request.into_inner())).await
    }

    async fn config_diff(
        &self,
        request: Request<proto::ConfigDiffRequest>,
    ) -> Reply<proto::ConfigDiffReply> {
        if request.get_ref().secrets {
            caller::may_see_secrets(&request)?;
        }
        reply(versions::diff(&self.ports, request.into_inner())).await
    }

    async fn config_verify(
        &self,
        request: Request<proto::ConfigVerifyRequest>,
    ) -> Reply<proto::ConfigVerifyReply> {
        reply(push::verify(&self.ports, request.into_inner())).await
    }

    async fn config_await(
        &self,
        request: Request<proto::ConfigAwaitRequest>,
    ) -> Reply<proto::ConfigAwaitReply> {
        Ok(Response::new(push::wait(&self.ports, request.into_inner()).await))
    }

    async fn rotate_acct(
        &self,
        request: Request<proto::RotateAcctRequest>,
    ) -> Reply<proto::RotateAcctReply> {
        reply(upkeep::rotate_acct(&self.ports, request.into_inner().file)).await
    }

    async fn rotate_log(
        &self,
        _: Request<proto::RotateLogRequest>,
    ) -> Reply<proto::RotateLogReply> {
        reply(upkeep::rotate_log(&self.ports)).await
    }

    async fn acct_status(
        &self,
        request: Request<proto::AcctStatusRequest>,
    ) -> Reply<proto::AcctStatusReply> {
        let local = request.get_ref().local;
        let scope = if local { Scope::Here } else { Scope::of(&request) };
        reply(async move { Ok(acct::status(&self.ports, scope).await) }).await
    }

    async fn reset_counters(
        &self,
        request: Request<proto::ResetCountersRequest>,
    ) -> Reply<proto::ResetCountersReply> {
        let scope = Scope::of(&request);
        reply(async move { Ok(status::reset(&self.ports, scope).await) }).await
    }

    async fn drain(&self, _: Request<proto::DrainRequest>) -> Reply<proto::DrainReply> {
        reply(upkeep::drain(&self.ports)).await
    }

    async fn cluster_init(
        &self,
        request: Request<proto::ClusterInitRequest>,
    ) -> Reply<proto::ClusterInitReply> {
        reply(cluster::init(&self.ports, request.into_inner().address)).await
    }

    async fn cluster_token(
        &self,
        request: Request<proto::ClusterTokenRequest>,
    ) -> Reply<proto::ClusterTokenReply> {
        reply(cluster::token(&self.ports, request.into_inner())).await
    }

    async fn cluster_operator(
        &self,
        request: Request<proto::ClusterOperatorRequest>,
    ) -> Reply<proto::ClusterOperatorReply> {
        cluster::operator(&self.ports, &request.into_inner()).map(Response::new)
    }

    async fn cluster_status(
        &self,
        request: Request<proto::ClusterStatusRequest>,
    ) -> Reply<proto::ClusterStatusReply> {
        let scope = Scope::of(&request);
        reply(async move { Ok(members::status(&self.ports, scope).await) }).await
    }

    async fn set_standing(
        &self,
        request: Request<proto::SetStandingRequest>,
    ) -> Reply<proto::SetStandingReply> {
        reply(members::set_standing(&self.ports, &request.into_inner())).await
    }

    async fn transfer_group(
        &self,
        request: Request<proto::TransferGroupRequest>,
    ) -> Reply<proto::TransferGroupReply> {
        let scope = Scope::of(&request);
        reply(members::transfer(&self.ports, scope, &request.into_inner())).await
    }

    async fn balance(&self, request: Request<proto::BalanceRequest>) -> Reply<proto::BalanceReply> {
        let scope = Scope::of(&request);
        reply(members::balance(&self.ports, scope)).await
    }

    async fn audit(&self, request: Request<proto::AuditRequest>) -> Reply<proto::AuditReply> {
        let scope = Scope::of(&request);
        reply(audit::audit(&self.ports, scope, request.into_inner())).await
    }
}
