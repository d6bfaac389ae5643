//! A session: the task that owns one outbound connection, from name resolution to QUIT.
//!
//! It takes batches from its destination one by one and reports each to the queue before it takes
//! the next, so that at most one transaction per connection is in doubt after a crash.

mod doubt;
mod file;
mod local;
mod open;
mod settle;
mod source;
mod transfer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tokio::sync::mpsc;

use crate::config::settings::DeliveryType;
use crate::config::{Config, DomainSettings};
use crate::delivery::classify::{self, QueueFailure};
use crate::delivery::destination::Destination;
use crate::delivery::environment::Environment;
use crate::delivery::feed::Batch;
use crate::delivery::limits::{Bound, Permit};
use crate::delivery::message::{FromSession, SessionEnd, SessionEvent};
use crate::delivery::trace::About;
use crate::id::QueueName;
use crate::message::{Class, Outcome, Status};
use crate::smtp::client::{Event, Failure};
use open::{Link, Unopened};
use transfer::{After, Transferred};

pub(crate) use settle::settle;

/// Handshakes that take longer have failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a session is started with.
pub(crate) struct Spec {
    pub(crate) env: Arc<Environment>,
    pub(crate) config: Arc<Config>,
    pub(crate) settings: Arc<DomainSettings>,
    pub(crate) queue: QueueName,
    /// Its number in the destination.
    pub(crate) number: u64,
    pub(crate) destination: Addr<Destination>,
    /// Hosts that are not to be tried now.
    pub(crate) skipped: Vec<SocketAddr>,
    /// Limits on opening connections of the queue.
    pub(crate) connects: Vec<Bound>,
    /// Right to a connection.
    pub(crate) permit: Permit,
    /// Dropped when the session is over: tells the destination.
    pub(crate) presence: Arc<()>,
    /// Dropped when the session is over: tells the node.
    pub(crate) alive: mpsc::Sender<()>,
}

impl Spec {
    async fn tell(&self, what: SessionEvent) {
        let message = FromSession { session: self.number, what };
        // A destination that is gone needs to know nothing.
        let _gone = self.destination.send(message).await;
    }
}

/// Runs a session to its end.
pub(crate) async fn run(spec: Spec, mut assignments: mpsc::Receiver<Batch>) {
    let end = match &spec.settings.delivery_type {
        DeliveryType::Smtp => Box::pin(smtp(&spec, &mut assignments)).await,
        DeliveryType::Discard { .. } | DeliveryType::File { .. } => {
            local::run(&spec, &mut assignments).await
        }
        DeliveryType::Unavailable(name) => {
            let reason = format!("delivery type {name} is not available on this server");
            failed(classify::own(Class::Deferred, Status(4, 3, 3), reason))
        }
    };
    spec.tell(SessionEvent::Gone(end)).await;
    drop((spec.permit, spec.presence, spec.alive));
}

fn failed(outcome: Outcome) -> SessionEnd {
    SessionEnd::Failed { failure: QueueFailure::Retry(outcome), path: Box::default() }
}

async fn smtp(spec: &Spec, assignments: &mut mpsc::Receiver<Batch>) -> SessionEnd {
    let opened = tokio::select! {
        opened = open::open(spec) => opened,
        () = spec.env.stopped() => return SessionEnd::Finished,
    };
    let (link, unreachable) = match opened {
        Ok(opened) => opened,
        Err(Unopened::Failed { failure, path }) => return SessionEnd::Failed { failure, path },
        Err(Unopened::Held { until }) => return SessionEnd::Held { until },
    };
    spec.env.board.connected(&spec.queue);
    spec.tell(SessionEvent::Ready { unreachable, source: link.source }).await;
    let end = Box::pin(work(spec, link, assignments)).await;
    spec.env.board.disconnected(&spec.queue);
    end
}

/// What to do in an open session.
enum Turn {
    Batch(Batch),
    Leave,
    Closed(Failure),
}

async fn work(spec: &Spec, mut link: Link, assignments: &mut mpsc::Receiver<Batch>) -> SessionEnd {
    let end = loop {
        let turn = tokio::select! {
            biased;
            () = spec.env.stopped() => Turn::Leave,
            () = spec.permit.recalled() => Turn::Leave,
            batch = assignments.recv() => batch.map_or(Turn::Leave, Turn::Batch),
            event = link.driver.event() => idle_event(event),
        };
        let batch = match turn {
            Turn::Batch(batch) => batch,
            Turn::Leave => {
                link.driver.quit().await;
                break SessionEnd::Finished;
            }
            // The server ended a connection that it had no use for.
            Turn::Closed(failure) => break closed_idle(spec, &link, &failure),
        };
        let Transferred { result, after } = transfer::transfer(spec, &mut link, &batch).await;
        drop(batch);
        // Told at once with the host, so that the next connection does not go there.
        if let After::HostUnavailable(failure) = after {
            break host_unavailable(&link, failure);
        }
        let last = !matches!(after, After::Ready);
        spec.tell(SessionEvent::Ended { result, last }).await;
        match after {
            After::Ready => {}
            After::Quit => {
                link.driver.quit().await;
                break SessionEnd::Finished;
            }
            After::Closed | After::HostUnavailable(_) => break SessionEnd::Finished,
        }
    };
    let text =
        format!("closed {} in={} out={}", link.mta, link.driver.bytes_in, link.driver.bytes_out);
    link.driver.dialogue.say(About::Connection, &text);
    link.driver.dialogue.say(About::Connection, &format!("done {}", spec.queue));
    link.driver.dialogue.say(About::Connection, &format!("done {}", spec.queue));
    end
}

fn idle_event(event: Event) -> Turn {
    match event {
        Event::Failed(failure) => Turn::Closed(failure),
        // The machine tells nothing else while it waits for a message.
        Event::Hello
        | Event::TlsRefused(_)
        | Event::StartTls
        | Event::Ready
        | Event::Finishing
        | Event::Done(_)
        | Event::Closed => Turn::Leave,
    }
}

/// A connection that ends before it was of any use is a failure of the host.
fn closed_idle(spec: &Spec, link: &Link, failure: &Failure) -> SessionEnd {
    if link.transfers > 0 {
        return SessionEnd::Finished;
    }
    let failure = classify::session(failure, &link.mta, &spec.settings);
    SessionEnd::Failed { failure, path: Box::new(link.path.clone()) }
}

fn host_unavailable(link: &Link, failure: QueueFailure) -> SessionEnd {
    let path = Box::new(link.path.clone());
    SessionEnd::HostUnavailable { host: link.host, failure, path }
}
