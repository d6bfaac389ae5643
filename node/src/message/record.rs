//! The accounting record: all that a row of any accounting file can show about one event.
//!
//! Built by the proposer (ingress for receptions, delivery for outcomes), carried in the entry
//! that changes the queue, formatted by the collector for each accounting file.

use super::status;
use super::{Class, Envelope, Origin, Outcome};
use crate::clock::Timestamp;
use crate::id::MessageId;

/// The kind of event, `type` in an accounting file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordType {
    /// `d`: delivered, discarded or filed.
    Delivery,
    /// `b`: bounced here, expired, or deleted by an administrator.
    Bounce,
    /// `t`: a transient failure of one recipient.
    Transient,
    /// `tq`: a transient failure of a whole queue (connection, greeting, DNS).
    TransientQueue,
    /// `r`: received.
    Receipt,
    /// `rb`: a bounce that came back by mail.
    RemoteBounce,
    /// `rs`: another delivery status that came back by mail.
    RemoteStatus,
    /// `f`: a feedback loop report.
    FeedbackLoop,
}

impl RecordType {
    /// All types, in the order of the reference.
    pub const ALL: [Self; 8] = [
        Self::Delivery,
        Self::Bounce,
        Self::Transient,
        Self::TransientQueue,
        Self::Receipt,
        Self::RemoteBounce,
        Self::RemoteStatus,
        Self::FeedbackLoop,
    ];

    /// The value of the `type` column.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Delivery => "d",
            Self::Bounce => "b",
            Self::Transient => "t",
            Self::TransientQueue => "tq",
            Self::Receipt => "r",
            Self::RemoteBounce => "rb",
            Self::RemoteStatus => "rs",
            Self::FeedbackLoop => "f",
        }
    }

    /// The long name that configurations may use.
    #[must_use]
    pub const fn long(self) -> &'static str {
        match self {
            Self::Delivery => "delivery",
            Self::Bounce => "bounce",
            Self::Transient => "transient",
            Self::TransientQueue => "transient-queue",
            Self::Receipt => "receipt",
            Self::RemoteBounce => "remote-bounce",
            Self::RemoteStatus => "remote-status",
            Self::FeedbackLoop => "feedback-loop",
        }
    }

    /// Reads either form, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|t| name.eq_ignore_ascii_case(t.short()) || name.eq_ignore_ascii_case(t.long()))
    }
}

/// One event. A field that does not apply is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Kind of event.
    pub kind: RecordType,
    /// `timeLogged`.
    pub logged_at: Timestamp,
    /// `timeQueued`.
    pub queued_at: Option<Timestamp>,
    /// `timeFirstAttempt`.
    pub first_attempt_at: Option<Timestamp>,
    /// The message, for logs and `mtactl`; not a column.
    pub message: Option<MessageId>,
    /// `orig`.
    pub orig: String,
    /// `rcpt`.
    pub rcpt: String,
    /// `orcpt`.
    pub orcpt: String,
    /// `dsnAction`.
    pub dsn_action: String,
    /// `dsnStatus`, text in parentheses included.
    pub dsn_status: String,
    /// `dsnDiag`.
    pub dsn_diag: String,
    /// `dsnMta`.
    pub dsn_mta: String,
    /// `bounceCat`.
    pub bounce_cat: String,
    /// `srcType`.
    pub src_type: String,
    /// `srcMta`.
    pub src_mta: String,
    /// `dlvType`.
    pub dlv_type: String,
    /// `dlvSourceIp`.
    pub dlv_source_ip: String,
    /// `dlvDestinationIp`.
    pub dlv_destination_ip: String,
    /// `dlvEsmtpAvailable`, comma separated.
    pub dlv_esmtp_available: String,
    /// `dlvSize` in bytes.
    pub dlv_size: Option<u64>,
    /// `vmta`.
    pub vmta: String,
    /// `jobId`.
    pub job_id: String,
    /// `envId`.
    pub env_id: String,
    /// `queue`.
    pub queue: String,
    /// `vmtaPool`.
    pub vmta_pool: String,
    /// `rcvSourceIp`.
    pub rcv_source_ip: String,
    /// `rcvDestinationIp`.
    pub rcv_destination_ip: String,
    /// `rcvSmtpUser`.
    pub rcv_smtp_user: String,
    /// `dlvTlsProtocol`.
    pub dlv_tls_protocol: String,
    /// `dlvTlsCipher`.
    pub dlv_tls_cipher: String,
    /// `header_X`: name as the configuration spells it without the prefix, and value. Only headers
    /// that some accounting file asks for.
    pub headers: Vec<(String, String)>,
}

impl Record {
    /// A record of `kind` with every other field empty.
    #[must_use]
    pub fn new(kind: RecordType, logged_at: Timestamp) -> Self {
        Self {
            kind,
            logged_at,
            queued_at: None,
            first_attempt_at: None,
            message: None,
            orig: String::new(),
            rcpt: String::new(),
            orcpt: String::new(),
            dsn_action: String::new(),
            dsn_status: String::new(),
            dsn_diag: String::new(),
            dsn_mta: String::new(),
            bounce_cat: String::new(),
            src_type: String::new(),
            src_mta: String::new(),
            dlv_type: String::new(),
            dlv_source_ip: String::new(),
            dlv_destination_ip: String::new(),
            dlv_esmtp_available: String::new(),
            dlv_size: None,
            vmta: String::new(),
            job_id: String::new(),
            env_id: String::new(),
            queue: String::new(),
            vmta_pool: String::new(),
            rcv_source_ip: String::new(),
            rcv_destination_ip: String::new(),
            rcv_smtp_user: String::new(),
            dlv_tls_protocol: String::new(),
            dlv_tls_cipher: String::new(),
            headers: Vec::new(),
        }
    }

    /// A record of `kind` about one recipient, with all that the envelope tells.
    ///
    /// # Panics
    ///
    /// When the envelope has no recipient of that number.
    #[must_use]
    pub fn of(kind: RecordType, logged_at: Timestamp, envelope: &Envelope, number: usize) -> Self {
        let recipient = &envelope.recipients[number];
        let mut record = Self {
            queued_at: Some(envelope.received_at),
            message: Some(envelope.id),
            orig: envelope.sender.to_string(),
            rcpt: recipient.address.to_string(),
            orcpt: recipient.orcpt.clone().unwrap_or_default(),
            vmta: recipient.queue.vmta.clone(),
            job_id: envelope.job.clone().unwrap_or_default(),
            env_id: envelope.envid.clone().unwrap_or_default(),
            queue: recipient.queue.to_string(),
            vmta_pool: envelope.vmta_pool.clone().unwrap_or_default(),
            ..Self::new(kind, logged_at)
        };
        match &envelope.origin {
            Origin::Smtp { helo, client, local, user, .. } => {
                record.src_type = "smtp".to_owned();
                record.src_mta = format!("{helo} ({client})");
                record.rcv_source_ip = client.to_string();
                record.rcv_destination_ip = local.to_string();
                record.rcv_smtp_user = user.clone().unwrap_or_default();
            }
            Origin::Internal => record.src_type = "api".to_owned(),
        }
        record
    }

    /// Fills the columns that tell the result: `dsnAction`, `dsnStatus`, `dsnDiag`, `dsnMta`.
    pub fn set_outcome(&mut self, outcome: &Outcome) {
        self.dsn_action = match outcome.class {
            Class::Delivered => "relayed",
            Class::Bounced => "failed",
            Class::Deferred => "delayed",
        }
        .to_owned();
        self.dsn_status = status::labelled(outcome.status);
        self.dsn_diag = outcome.diagnostic();
        self.dsn_mta.clone_from(&outcome.mta);
    }
}
