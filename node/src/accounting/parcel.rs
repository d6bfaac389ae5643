//! A record on its way to the collector: the same bytes that the queue stores.

use bytes::Bytes;
use convoy_proto::storage as stored;
use prost::Message as _;

use crate::clock::Timestamp;
use crate::id::MessageId;
use crate::message::{Record, RecordType};

/// The record as bytes.
pub(crate) fn pack(record: &Record) -> Bytes {
    let r = record.clone();
    let headers = r.headers.into_iter().map(|(name, value)| stored::Header { name, value });
    stored::Record {
        kind: kind_of(r.kind).into(),
        logged_at: r.logged_at.as_millis(),
        queued_at: r.queued_at.map(Timestamp::as_millis),
        first_attempt_at: r.first_attempt_at.map(Timestamp::as_millis),
        message_id: r
            .message
            .map_or_else(Bytes::new, |id| Bytes::copy_from_slice(&id.0.to_be_bytes())),
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
        headers: headers.collect(),
    }
    .encode_to_vec()
    .into()
}

/// Reads the record back; nothing when the bytes are none.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Record> {
    let r = stored::Record::decode(bytes).ok()?;
    let message = match r.message_id.as_ref() {
        [] => None,
        id => Some(MessageId(u128::from_be_bytes(id.try_into().ok()?))),
    };
    Some(Record {
        kind: kind_from(stored::RecordType::try_from(r.kind).ok()?)?,
        logged_at: Timestamp(r.logged_at),
        queued_at: r.queued_at.map(Timestamp),
        first_attempt_at: r.first_attempt_at.map(Timestamp),
        message,
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

const fn kind_of(kind: RecordType) -> stored::RecordType {
    match kind {
        RecordType::Delivery => stored::RecordType::Delivery,
        RecordType::Bounce => stored::RecordType::Bounce,
        RecordType::Transient => stored::RecordType::Transient,
        RecordType::TransientQueue => stored::RecordType::TransientQueue,
        RecordType::Receipt => stored::RecordType::Receipt,
        RecordType::RemoteBounce => stored::RecordType::RemoteBounce,
        RecordType::RemoteStatus => stored::RecordType::RemoteStatus,
        RecordType::FeedbackLoop => stored::RecordType::FeedbackLoop,
    }
}

const fn kind_from(kind: stored::RecordType) -> Option<RecordType> {
    Some(match kind {
        stored::RecordType::Unspecified => return None,
        stored::RecordType::Delivery => RecordType::Delivery,
        stored::RecordType::Bounce => RecordType::Bounce,
        stored::RecordType::Transient => RecordType::Transient,
        stored::RecordType::TransientQueue => RecordType::TransientQueue,
        stored::RecordType::Receipt => RecordType::Receipt,
        stored::RecordType::RemoteBounce => RecordType::RemoteBounce,
        stored::RecordType::RemoteStatus => RecordType::RemoteStatus,
        stored::RecordType::FeedbackLoop => RecordType::FeedbackLoop,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_every_type_read_back() {
        for kind in RecordType::ALL {
            let record = Record {
                message: Some(MessageId(u128::MAX - 1)),
                first_attempt_at: Some(Timestamp(0)),
                dlv_size: Some(0),
                rcpt: "bücher@example".into(),
                headers: vec![("X-A".into(), "1".into()), ("x-a".into(), String::new())],
                ..Record::new(kind, Timestamp(7))
            };
            assert_eq!(unpack(&pack(&record)), Some(record));
        }
        assert_eq!(unpack(b"\xff"), None);
        assert_eq!(unpack(b""), None);
    }
}
