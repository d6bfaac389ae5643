//! Between our values and the protocol buffers of log entries and rows.
//!
//! Encoding cannot fail. Decoding refuses what this version could not have written.

use std::net::IpAddr;

use bytes::Bytes;
use convoy_proto::storage as proto;

use super::model::{
    FinalDot, Operation, RecipientResult, Report, Submission, Switches, Target, UnknownAttempt,
    Waiting,
};
use crate::clock::Timestamp;
use crate::id::{GroupId, Locator, MessageId, NodeId, QueueName};
use crate::message::{
    BodyType, Class, Envelope, Notify, Origin, Outcome, Recipient, Record, RecordType, Ret, Status,
    TlsInfo,
};
use crate::smtp::address::{Address, ReversePath};

/// A value that this version cannot have written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored {0} cannot be read")]
pub struct Unreadable(pub &'static str);

type Result<T> = std::result::Result<T, Unreadable>;

fn present<T>(value: Option<T>, what: &'static str) -> Result<T> {
    value.ok_or(Unreadable(what))
}

// ---- Names ----

/// A position without its group.
#[must_use]
pub fn position(locator: Locator) -> proto::Position {
    proto::Position { index: locator.index, slot: locator.slot.into() }
}

/// A position in `group`.
pub fn read_position(group: GroupId, position: Option<proto::Position>) -> Result<Locator> {
    let position = present(position, "position")?;
    let slot = u16::try_from(position.slot).map_err(|_| Unreadable("position"))?;
    Ok(Locator { group, index: position.index, slot })
}

/// The 16 bytes of a message id.
#[must_use]
pub fn message_id(id: MessageId) -> Bytes {
    Bytes::copy_from_slice(&id.0.to_be_bytes())
}

/// Reads 16 bytes.
pub fn read_message_id(bytes: &[u8]) -> Result<MessageId> {
    let bytes = bytes.try_into().map_err(|_| Unreadable("message id"))?;
    Ok(MessageId(u128::from_be_bytes(bytes)))
}

/// The name of a queue.
#[must_use]
pub fn queue_name(queue: &QueueName) -> proto::QueueName {
    proto::QueueName { domain: queue.domain.clone(), vmta: queue.vmta.clone() }
}

/// Reads the name of a queue.
pub fn read_queue_name(queue: Option<proto::QueueName>) -> Result<QueueName> {
    let queue = present(queue, "queue name")?;
    Ok(QueueName { domain: queue.domain, vmta: queue.vmta })
}

fn recipient_number(number: u32) -> Result<u16> {
    u16::try_from(number).map_err(|_| Unreadable("recipient number"))
}

// ---- Envelope ----

fn read_address(text: &str) -> Result<Address> {
    Address::parse(text).map_err(|_| Unreadable("address"))
}

fn ip(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    }
}

fn read_ip(bytes: &[u8]) -> Result<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Ok(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).map_err(|_| Unreadable("IP address"))?;
    Ok(v6.into())
}

/// An envelope.
#[must_use]
pub fn envelope(e: &Envelope) -> proto::Envelope {
    proto::Envelope {
        id: message_id(e.id),
        received_at: e.received_at.0,
        sender: match &e.sender {
            ReversePath::Null => None,
            ReversePath::Address(sender) => Some(sender.to_string()),
        },
        recipients: e.recipients.iter().map(recipient).collect(),
        size_bytes: e.size_bytes,
        body_type: match e.body_type {
            BodyType::SevenBit => proto::BodyType::SevenBit,
            BodyType::EightBitMime => proto::BodyType::EightBitMime,
        }
        .into(),
        smtputf8: e.smtputf8,
        ret: match e.ret {
            None => proto::Ret::Unspecified,
            Some(Ret::Full) => proto::Ret::Full,
            Some(Ret::Headers) => proto::Ret::Headers,
        }
        .into(),
        envid: e.envid.clone(),
        job: e.job.clone(),
        vmta_pool: e.vmta_pool.clone(),
        smtp: match &e.origin {
            Origin::Internal => None,
            Origin::Smtp { helo, client, local, user, tls } => Some(proto::SmtpOrigin {
                helo: helo.clone(),
                client: ip(*client),
                local: ip(*local),
                user: user.clone(),
                tls: tls.as_ref().map(|tls| proto::TlsInfo {
                    protocol: tls.protocol.clone(),
                    cipher: tls.cipher.clone(),
                }),
            }),
        },
        suppress_dsn: e.suppress_dsn,
    }
}

/// Reads an envelope.
pub fn read_envelope(e: proto::Envelope) -> Result<Envelope> {
    let (body_type, ret) = (e.body_type(), e.ret());
    Ok(Envelope {
        id: read_message_id(&e.id)?,
        received_at: Timestamp(e.received_at),
        sender: match e.sender {
            None => ReversePath::Null,
            Some(sender) => ReversePath::Address(read_address(&sender)?),
        },
        recipients: e.recipients.into_iter().map(read_recipient).collect::<Result<_>>()?,
        size_bytes: e.size_bytes,
        body_type: match body_type {
            proto::BodyType::SevenBit => BodyType::SevenBit,
            proto::BodyType::EightBitMime => BodyType::EightBitMime,
        },
        smtputf8: e.smtputf8,
        ret: match ret {
            proto::Ret::Unspecified => None,
            proto::Ret::Full => Some(Ret::Full),
            proto::Ret::Headers => Some(Ret::Headers),
        },
        envid: e.envid,
        job: e.job,
        vmta_pool: e.vmta_pool,
        origin: e.smtp.map_or(Ok(Origin::Internal), read_origin)?,
        suppress_dsn: e.suppress_dsn,
    })
}

fn read_origin(smtp: proto::SmtpOrigin) -> Result<Origin> {
    Ok(Origin::Smtp {
        helo: smtp.helo,
        client: read_ip(&smtp.client)?,
        local: read_ip(&smtp.local)?,
        user: smtp.user,
        tls: smtp.tls.map(|tls| TlsInfo { protocol: tls.protocol, cipher: tls.cipher }),
    })
}

fn recipient(r: &Recipient) -> proto::Recipient {
    proto::Recipient {
        address: r.address.to_string(),
        notify: match r.notify {
            Notify::Unspecified => None,
            Notify::Never => Some(proto::Notify::default()),
            Notify::On { success, failure, delay } => {
                Some(proto::Notify { success, failure, delay })
            }
        },
        orcpt: r.orcpt.clone(),
        queue: Some(queue_name(&r.queue)),
    }
}

fn read_recipient(r: proto::Recipient) -> Result<Recipient> {
    Ok(Recipient {
        address: read_address(&r.address)?,
        notify: match r.notify {
            None => Notify::Unspecified,
            Some(proto::Notify { success: false, failure: false, delay: false }) => Notify::Never,
            Some(proto::Notify { success, failure, delay }) => {
                Notify::On { success, failure, delay }
            }
        },
        orcpt: r.orcpt,
        queue: read_queue_name(r.queue)?,
    })
}

// ---- Outcome ----

/// An outcome.
#[must_use]
pub fn outcome(o: &Outcome) -> proto::Outcome {
    let class = match o.class {
        Class::Delivered => proto::Class::Delivered,
        Class::Bounced => proto::Class::Bounced,
        Class::Deferred => proto::Class::Deferred,
    };
    let Status(status_class, subject, detail) = o.status;
    proto::Outcome {
        class: class.into(),
        status_class: status_class.into(),
        status_subject: subject.into(),
        status_detail: detail.into(),
        reply: o.reply.clone(),
        reason: o.reason.clone(),
        mta: o.mta.clone(),
    }
}

/// Reads an outcome.
pub fn read_outcome(o: proto::Outcome) -> Result<Outcome> {
    let status = |_| Unreadable("status");
    Ok(Outcome {
        class: match o.class() {
            proto::Class::Unspecified => return Err(Unreadable("class of outcome")),
            proto::Class::Delivered => Class::Delivered,
            proto::Class::Bounced => Class::Bounced,
            proto::Class::Deferred => Class::Deferred,
        },
        status: Status(
            u8::try_from(o.status_class).map_err(status)?,
            u16::try_from(o.status_subject).map_err(status)?,
            u16::try_from(o.status_detail).map_err(status)?,
        ),
        reply: o.reply,
        reason: o.reason,
        mta: o.mta,
    })
}

// ---- Record ----

const fn record_type(kind: RecordType) -> proto::RecordType {
    match kind {
        RecordType::Delivery => proto::RecordType::Delivery,
        RecordType::Bounce => proto::RecordType::Bounce,
        RecordType::Transient => proto::RecordType::Transient,
        RecordType::TransientQueue => proto::RecordType::TransientQueue,
        RecordType::Receipt => proto::RecordType::Receipt,
        RecordType::RemoteBounce => proto::RecordType::RemoteBounce,
        RecordType::RemoteStatus => proto::RecordType::RemoteStatus,
        RecordType::FeedbackLoop => proto::RecordType::FeedbackLoop,
    }
}

const fn read_record_type(kind: proto::RecordType) -> Result<RecordType> {
    Ok(match kind {
        proto::RecordType::Unspecified => return Err(Unreadable("type of record")),
        proto::RecordType::Delivery => RecordType::Delivery,
        proto::RecordType::Bounce => RecordType::Bounce,
        proto::RecordType::Transient => RecordType::Transient,
        proto::RecordType::TransientQueue => RecordType::TransientQueue,
        proto::RecordType::Receipt => RecordType::Receipt,
        proto::RecordType::RemoteBounce => RecordType::RemoteBounce,
        proto::RecordType::RemoteStatus => RecordType::RemoteStatus,
        proto::RecordType::FeedbackLoop => RecordType::FeedbackLoop,
    })
}

/// A record.
#[must_use]
pub fn record(r: &Record) -> proto::Record {
    let header = |(name, value): &(String, String)| proto::Header {
        name: name.clone(),
        value: value.clone(),
    };
    proto::Record {
        kind: record_type(r.kind).into(),
        logged_at: r.logged_at.0,
        queued_at: r.queued_at.map(|t| t.0),
        first_attempt_at: r.first_attempt_at.map(|t| t.0),
        message_id: r.message.map(message_id).unwrap_or_default(),
        orig: r.orig.clone(),
        rcpt: r.rcpt.clone(),
        orcpt: r.orcpt.clone(),
        dsn_action: r.dsn_action.clone(),
        dsn_status: r.dsn_status.clone(),
        dsn_diag: r.dsn_diag.clone(),
        dsn_mta: r.dsn_mta.clone(),
        bounce_cat: r.bounce_cat.clone(),
        src_type: r.src_type.clone(),
        src_mta: r.src_mta.clone(),
        dlv_type: r.dlv_type.clone(),
        dlv_source_ip: r.dlv_source_ip.clone(),
        dlv_destination_ip: r.dlv_destination_ip.clone(),
        dlv_esmtp_available: r.dlv_esmtp_available.clone(),
        dlv_size: r.dlv_size,
        vmta: r.vmta.clone(),
        job_id: r.job_id.clone(),
        env_id: r.env_id.clone(),
        queue: r.queue.clone(),
        vmta_pool: r.vmta_pool.clone(),
        rcv_source_ip: r.rcv_source_ip.clone(),
        rcv_destination_ip: r.rcv_destination_ip.clone(),
        rcv_smtp_user: r.rcv_smtp_user.clone(),
        dlv_tls_protocol: r.dlv_tls_protocol.clone(),
        dlv_tls_cipher: r.dlv_tls_cipher.clone(),
        headers: r.headers.iter().map(header).collect(),
    }
}

/// Reads a record.
pub fn read_record(r: proto::Record) -> Result<Record> {
    Ok(Record {
        kind: read_record_type(r.kind())?,
        logged_at: Timestamp(r.logged_at),
        queued_at: r.queued_at.map(Timestamp),
        first_attempt_at: r.first_attempt_at.map(Timestamp),
        message: match r.message_id.as_ref() {
            [] => None,
            id => Some(read_message_id(id)?),
        },
        orig: r.orig,
        rcpt: r.rcpt,
        orcpt: r.orcpt,
        dsn_action: r.dsn_action,
        dsn_status: r.dsn_status,
        dsn_diag: r.dsn_diag,
        dsn_mta: r.dsn_mta,
        bounce_cat: r.bounce_cat,
        src_type: r.src_type,
        src_mta: r.src_mta,
        dlv_type: r.dlv_type,
        dlv_source_ip: r.dlv_source_ip,
        dlv_destination_ip: r.dlv_destination_ip,
        dlv_esmtp_available: r.dlv_esmtp_available,
        dlv_size: r.dlv_size,
        vmta: r.vmta,
        job_id: r.job_id,
        env_id: r.env_id,
        queue: r.queue,
        vmta_pool: r.vmta_pool,
        rcv_source_ip: r.rcv_source_ip,
        rcv_destination_ip: r.rcv_destination_ip,
        rcv_smtp_user: r.rcv_smtp_user,
        dlv_tls_protocol: r.dlv_tls_protocol,
        dlv_tls_cipher: r.dlv_tls_cipher,
        headers: r.headers.into_iter().map(|h| (h.name, h.value)).collect(),
    })
}

// ---- Commands ----

/// A submission; where its bytes are is said by `body`.
#[must_use]
pub fn submit(s: &Submission, body: Vec<proto::BodyRef>) -> proto::Submit {
    proto::Submit {
        envelope: Some(envelope(&s.envelope)),
        records: s.records.iter().map(record).collect(),
        body,
    }
}

/// A report; the notice is encoded apart, since its bytes travel with the entry.
#[must_use]
pub fn report(r: &Report, notice: Option<proto::Submit>) -> proto::Report {
    let result = |r: &RecipientResult| proto::RecipientResult {
        recipient: r.recipient.into(),
        outcome: Some(outcome(&r.outcome)),
        next_due: r.next_due.0,
        counts_as_attempt: r.counts_as_attempt,
        record: r.record.as_ref().map(record),
    };
    proto::Report {
        message: Some(position(r.locator)),
        results: r.results.iter().map(result).collect(),
        notice,
    }
}

fn target(t: &Target) -> proto::Target {
    proto::Target {
        message: Some(position(t.locator)),
        recipient: t.recipient.into(),
        record: t.record.as_ref().map(record),
        attempts: None,
        at: 0,
    }
}

/// Attempts of `node` in one term whose results are not known.
#[must_use]
pub fn mark_unknown(node: NodeId, term: u64, dots: &[FinalDot]) -> proto::MarkUnknown {
    let targets = dots.iter().flat_map(|dot| {
        dot.recipients.iter().map(|(recipient, attempts)| proto::Target {
            message: Some(position(dot.locator)),
            recipient: (*recipient).into(),
            record: None,
            attempts: Some(*attempts),
            at: dot.at.0,
        })
    });
    proto::MarkUnknown { term, at: 0, node_id: node.0, targets: targets.collect() }
}

/// Reads a target of an operation in `group`; its record stays encoded.
pub fn read_target(group: GroupId, t: &proto::Target) -> Result<(Locator, u16)> {
    Ok((read_position(group, t.message)?, recipient_number(t.recipient)?))
}

/// Reads the number of a recipient.
pub fn read_recipient_number(number: u32) -> Result<u16> {
    recipient_number(number)
}

/// An operation.
#[must_use]
pub fn operation(operation: &Operation) -> proto::Operation {
    use proto::operation::{Delete, Hold, Kind, Schedule};
    let all = |targets: &[Target]| targets.iter().map(target).collect();
    let kind = match operation {
        Operation::Delete { targets } => Kind::Delete(Delete { targets: all(targets) }),
        Operation::Schedule { targets, at } => {
            Kind::Schedule(Schedule { targets: all(targets), at: at.0 })
        }
        Operation::Hold { targets, held } => {
            Kind::Hold(Hold { targets: all(targets), held: *held })
        }
    };
    proto::Operation { kind: Some(kind) }
}

/// The switches.
#[must_use]
pub fn switches(s: &Switches) -> proto::Switches {
    proto::Switches {
        paused_queues: s.paused_queues.clone(),
        paused_jobs: s.paused_jobs.clone(),
        backoff_queues: s.backoff_queues.clone(),
    }
}

/// Reads the switches.
#[must_use]
pub fn read_switches(s: proto::Switches) -> Switches {
    Switches {
        paused_queues: s.paused_queues,
        paused_jobs: s.paused_jobs,
        backoff_queues: s.backoff_queues,
    }
}

/// Reads the state of an open recipient.
pub fn read_waiting(recipient: u16, row: proto::RecipientRow) -> Result<Waiting> {
    Ok(Waiting {
        recipient,
        due: Timestamp(row.due),
        attempts: row.attempts,
        first_attempt_at: row.first_attempt_at.map(Timestamp),
        last: row.last.map(read_outcome).transpose()?,
        held: row.held,
        unknown: row.unknown.map(|unknown| UnknownAttempt {
            node: NodeId(unknown.node_id),
            term: unknown.term,
            at: Timestamp(unknown.at),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::fixture;

    #[test]
    fn an_envelope_reads_back() {
        let check = |e: Envelope| assert_eq!(read_envelope(envelope(&e)), Ok(e));
        check(fixture::envelope(1, &["a@x.example"]));
        let mut rich = fixture::envelope(2, &["a@x.example", "b@y.example", "c@y.example"]);
        rich.sender = ReversePath::Null;
        rich.ret = Some(Ret::Headers);
        rich.body_type = BodyType::EightBitMime;
        rich.envid = Some("QQ314159".to_owned());
        rich.job = Some("j".to_owned());
        rich.suppress_dsn = true;
        rich.recipients[0].notify = Notify::Never;
        rich.recipients[1].notify = Notify::On { success: true, failure: false, delay: true };
        rich.recipients[2].orcpt = Some("rfc822;z@z.example".to_owned());
        rich.origin = Origin::Smtp {
            helo: "h".to_owned(),
            client: "192.0.2.1".parse().unwrap(),
            local: "2001:db8::1".parse().unwrap(),
            user: Some("u".to_owned()),
            tls: Some(TlsInfo { protocol: "TLSv1.3".to_owned(), cipher: "C".to_owned() }),
        };
        check(rich);
    }

    #[test]
    fn a_record_reads_back() {
        for kind in RecordType::ALL {
            let mut r = Record::new(kind, Timestamp(5));
            r.message = Some(MessageId(7));
            r.dlv_size = Some(0);
            r.headers = vec![("X-A".to_owned(), "1".to_owned())];
            assert_eq!(read_record(record(&r)), Ok(r));
        }
        assert_eq!(read_record(proto::Record::default()), Err(Unreadable("type of record")));
    }

    #[test]
    fn an_outcome_reads_back() {
        for class in [Class::Delivered, Class::Bounced, Class::Deferred] {
            let o = fixture::outcome(class);
            assert_eq!(read_outcome(outcome(&o)), Ok(o));
        }
    }
}
