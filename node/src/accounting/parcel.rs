//! A record on its way to the collector: the same bytes that the queue stores.

use bytes::Bytes;
use convoy_proto::storage;
use prost::Message as _;

use crate::message::Record;
use crate::queue::codec;

/// The record as bytes.
pub(crate) fn pack(record: &Record) -> Bytes {
    codec::record(record).encode_to_vec().into()
}

/// Reads the record back; nothing when the bytes are none.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Record> {
    codec::read_record(storage::Record::decode(bytes).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::MessageId;
    use crate::message::RecordType;

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
