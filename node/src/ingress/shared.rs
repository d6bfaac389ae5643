//! What all connections share, and how a message gets from them into the queue.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::admission::{Admission, ByteLease};
use super::authentication::{CertificateUsers, Failures};
use super::counters::Counters;
use super::submission::Reception;
use super::tokens::{Fate, Fingerprint, Token, Tokens};
use super::vmta::Rounds;
use crate::clock::{Timestamp, monotonic};
use crate::config::settings::Config;
use crate::id::MessageId;
use crate::queue::door::Inbox;
use crate::queue::model::{Pressure, Submission, SubmitError};
use crate::smtp::reply::Reply;
use crate::smtp::server::{Conditions, Incoming};

/// How long commits may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// After this time, a client that gave up and comes again is recognised.
    pub(super) slow: Duration,
    /// After this time more, the client is told to try again.
    pub(super) given_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { slow: Duration::from_secs(3), given_up: Duration::from_secs(57) }
    }
}

/// What a listener and its connections are asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serve.
    Running,
    /// Finish transactions, then end; new connections are refused until further notice.
    Declining,
    /// Finish transactions, then end.
    Draining,
    /// End now.
    Ending,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) config: Arc<ArcSwap<Config>>,
    pub(super) inbox: Arc<dyn Inbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) admission: Admission,
    pub(super) certificate_users: ArcSwap<CertificateUsers>,
    pub(super) failures: Failures,
    pub(super) tokens: Tokens,
    pub(super) rounds: Rounds,
    pub(super) phase: watch::Receiver<Phase>,
    patience: Patience,
    connections: AtomicU64,
}

/// A message that the client has been told is stored, though it may not know yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unconfirmed {
    fingerprint: Fingerprint,
    id: MessageId,
}

/// The end of a submission.
pub(super) enum Submitted {
    /// Stored under this id; `unconfirmed` when a lost answer could be recognised later.
    Stored { id: MessageId, unconfirmed: Option<Unconfirmed> },
    /// Refused or unknown.
    Refused(Reply),
}

impl Shared {
    pub(super) fn new(
        config: Arc<ArcSwap<Config>>,
        inbox: Arc<dyn Inbox>,
        phase: watch::Receiver<Phase>,
        patience: Patience,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        Self {
            config,
            inbox,
            admission: Admission::new(Arc::clone(&counters)),
            counters,
            certificate_users: ArcSwap::from_pointee(CertificateUsers::default()),
            failures: Failures::default(),
            tokens: Tokens::default(),
            rounds: Rounds::default(),
            phase,
            patience,
            connections: AtomicU64::new(0),
        }
    }

    /// Are new connections refused for now?
    pub(super) fn declines(&self) -> bool {
        *self.phase.borrow() == Phase::Declining
    }

    /// The number of the next connection, as logs show it.
    pub(super) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What a session has to know before its next command.
    pub(super) fn conditions(&self, config: &Config) -> Conditions {
        let full = self.admission.bytes_in_flight() >= config.server.max_bytes_in_flight;
        Conditions {
            overloaded: full || self.inbox.pressure() != Pressure::Normal,
            handshakes_exhausted: self.admission.handshakes_exhausted(),
        }
    }

    /// Stores a message. `lease` stands for its bytes until its commit is decided, even when the
    /// client is gone by then.
    pub(super) async fn submit(
        self: &Arc<Self>,
        config: &Config,
        client: IpAddr,
        local: IpAddr,
        incoming: Incoming,
        lease: ByteLease,
    ) -> Submitted {
        let now = monotonic();
        let fingerprint = Fingerprint::of(client, &incoming);
        let known = fingerprint.and_then(|fingerprint| self.tokens.take(now, &fingerprint));
        let id = match (known, fingerprint) {
            (Some(Token { id, fate: Fate::Stored }), Some(fingerprint)) => {
                let unconfirmed = Some(Unconfirmed { fingerprint, id });
                return Submitted::Stored { id, unconfirmed };
            }
            (Some(Token { fate: Fate::Pending, .. }), _) => return Submitted::Refused(undecided()),
            (Some(Token { id, fate: Fate::Unknown }), _) => id,
            (Some(Token { fate: Fate::Stored, .. }) | None, _) => MessageId::generate(),
        };
        let at = Timestamp::now();
        let reception = Reception { config, rounds: &self.rounds, client, local, id, at };
        let submission = match reception.compose(incoming) {
            Ok(submission) => submission,
            Err(reply) => return Submitted::Refused(reply),
        };
        // On its own, so that a client that hangs up does not take the message with it half-way.
        let store = actix_rt::spawn(Arc::clone(self).store(submission, fingerprint, lease));
        match self.committed(store, fingerprint, id).await {
            Ok(()) => {
                let unconfirmed = fingerprint.map(|fingerprint| Unconfirmed { fingerprint, id });
                Submitted::Stored { id, unconfirmed }
            }
            Err(error) => Submitted::Refused(refusal(&error)),
        }
    }

    /// Waits for the commit as long as the client does. When that is not long enough, or the
    /// commit stays unknown, a token is left.
    async fn committed(
        &self,
        mut store: JoinHandle<Result<(), SubmitError>>,
        fingerprint: Option<Fingerprint>,
        id: MessageId,
    ) -> Result<(), SubmitError> {
        let leave = |fate| {
            if let Some(fingerprint) = fingerprint {
                self.tokens.leave(monotonic(), fingerprint, Token { id, fate });
            }
        };
        let soon = tokio::time::timeout(self.patience.slow, &mut store).await;
        let ended = match soon {
            Ok(ended) => ended,
            Err(_) => {
                leave(Fate::Pending);
                match tokio::time::timeout(self.patience.given_up, &mut store).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        let waited = self.patience.slow + self.patience.given_up;
                        warn!("message {id} was not committed within {} s", waited.as_secs());
                        return Err(SubmitError::Unknown);
                    }
                }
            }
        };
        let result = ended.unwrap_or_else(|failed| {
            error!("storing message {id} ended abnormally: {failed}");
            Err(SubmitError::Unknown)
        });
        if result == Err(SubmitError::Unknown) {
            leave(Fate::Unknown);
        }
        result
    }

    /// Waits for the commit, however long it takes, and settles the token that was left meanwhile.
    async fn store(
        self: Arc<Self>,
        submission: Submission,
        fingerprint: Option<Fingerprint>,
        _lease: ByteLease,
    ) -> Result<(), SubmitError> {
        let id = submission.envelope.id;
        let (recipients, size_bytes) =
            (submission.envelope.recipients.len(), submission.envelope.size_bytes);
        let result = self.inbox.submit(submission).await;
        let fate = match &result {
            Ok(_) => Some(Fate::Stored),
            Err(SubmitError::Unknown) => Some(Fate::Unknown),
            Err(
                SubmitError::NoQuorum
                | SubmitError::Busy
                | SubmitError::Stopping
                | SubmitError::Failed(_),
            ) => None,
        };
        if let Some(fingerprint) = fingerprint {
            self.tokens.settle(&fingerprint, id, fate);
        }
        let accepted = result?;
        if !accepted.repeated {
            self.counters.message(recipients, size_bytes);
        }
        Ok(())
    }

    /// The client has shown that it knows: the same message again is a second one.
    pub(super) fn confirmed(&self, known: Unconfirmed) {
        self.tokens.settle(&known.fingerprint, known.id, None);
    }

    /// The connection was lost before the client showed that it knows.
    pub(super) fn remember(&self, lost: Unconfirmed) {
        let token = Token { id: lost.id, fate: Fate::Stored };
        self.tokens.leave(monotonic(), lost.fingerprint, token);
    }
}

fn undecided() -> Reply {
    Reply::new(451, 3, 0, "message not committed in time, try again later")
}

fn refusal(error: &SubmitError) -> Reply {
    match error {
        SubmitError::NoQuorum => Reply::new(451, 3, 0, "no quorum, try again later"),
        SubmitError::Busy => Reply::new(452, 3, 1, "server resources temporarily exhausted"),
        SubmitError::Stopping => Reply::new(421, 3, 2, "server is shutting down"),
        SubmitError::Unknown => undecided(),
        SubmitError::Failed(_) => Reply::new(451, 3, 0, "message could not be stored"),
    }
}
