//! Records of the journal: 48 bytes each, so that a torn end is told by its length or checksum.

use crate::clock::Timestamp;
use crate::id::{GroupId, Locator};
use crate::queue::model::FinalDot;

/// Bytes of a record.
pub(super) const RECORD: usize = 48;

const BEGIN: u8 = 1;
const RECIPIENT: u8 = 2;
const END: u8 = 3;

struct Fields {
    kind: u8,
    /// Slot of the message, or number of the recipient.
    short: u16,
    ticket: u64,
    /// Group, or attempts.
    number: u32,
    /// Recipients that follow.
    count: u32,
    longs: [u64; 3],
}

fn put(out: &mut Vec<u8>, fields: &Fields) {
    let mut record = [0; RECORD];
    record[4] = fields.kind;
    record[6..8].copy_from_slice(&fields.short.to_be_bytes());
    record[8..16].copy_from_slice(&fields.ticket.to_be_bytes());
    record[16..20].copy_from_slice(&fields.number.to_be_bytes());
    record[20..24].copy_from_slice(&fields.count.to_be_bytes());
    for (at, long) in (24..).step_by(8).zip(fields.longs) {
        record[at..at + 8].copy_from_slice(&long.to_be_bytes());
    }
    let sum = crc32fast::hash(&record[4..]);
    record[..4].copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&record);
}

/// A transaction begins to be in doubt.
pub(super) fn begin(out: &mut Vec<u8>, ticket: u64, dot: &FinalDot) {
    put(
        out,
        &Fields {
            kind: BEGIN,
            short: dot.locator.slot,
            ticket,
            number: dot.locator.group.0,
            count: u32::try_from(dot.recipients.len()).unwrap_or(u32::MAX),
            longs: [dot.locator.index, dot.term, dot.at.0],
        },
    );
    for (recipient, attempts) in &dot.recipients {
        let number = *attempts;
        let (kind, short) = (RECIPIENT, *recipient);
        put(out, &Fields { kind, short, ticket, number, count: 0, longs: [0; 3] });
    }
}

/// Its result is known.
pub(super) fn end(out: &mut Vec<u8>, ticket: u64) {
    put(out, &Fields { kind: END, short: 0, ticket, number: 0, count: 0, longs: [0; 3] });
}

/// What is begun and not ended. Reads up to the first record that is damaged or cut off.
pub(super) fn read_open(bytes: &[u8]) -> std::collections::BTreeMap<u64, FinalDot> {
    let mut open = std::collections::BTreeMap::<u64, FinalDot>::new();
    for record in bytes.chunks_exact(RECORD) {
        let Some(fields) = read(record) else { break };
        match fields.kind {
            BEGIN => {
                let [index, term, at] = fields.longs;
                let locator = Locator { group: GroupId(fields.number), index, slot: fields.short };
                let dot = FinalDot { locator, term, at: Timestamp(at), recipients: Vec::new() };
                open.insert(fields.ticket, dot);
            }
            RECIPIENT => {
                if let Some(dot) = open.get_mut(&fields.ticket) {
                    dot.recipients.push((fields.short, fields.number));
                }
            }
            END => drop(open.remove(&fields.ticket)),
            _ => break,
        }
    }
    open.retain(|_, dot| !dot.recipients.is_empty());
    open
}

fn read(record: &[u8]) -> Option<Fields> {
    let four = |at: usize| Some(u32::from_be_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let eight = |at: usize| Some(u64::from_be_bytes(record.get(at..at + 8)?.try_into().ok()?));
    if four(0)? != crc32fast::hash(record.get(4..)?) {
        return None;
    }
    Some(Fields {
        kind: *record.get(4)?,
        short: u16::from_be_bytes(record.get(6..8)?.try_into().ok()?),
        ticket: eight(8)?,
        number: four(16)?,
        count: four(20)?,
        longs: [eight(24)?, eight(32)?, eight(40)?],
    })
}

#[cfg(test)]
pub(super) fn dot(group: u32, index: u64, recipients: &[(u16, u32)]) -> FinalDot {
    FinalDot {
        locator: Locator { group: GroupId(group), index, slot: 3 },
        term: 7,
        at: Timestamp(1_700_000_000_000),
        recipients: recipients.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_begun_and_not_ended_is_read_back_whatever_the_end_looks_like() {
        let (one, two) = (dot(2, 10, &[(0, 1), (5, 0)]), dot(3, 11, &[(1, 2)]));
        let mut bytes = Vec::new();
        begin(&mut bytes, 1, &one);
        let first = bytes.len();
        begin(&mut bytes, 2, &two);
        end(&mut bytes, 1);
        let open: Vec<_> = read_open(&bytes).into_iter().collect();
        assert_eq!(open, [(2, two)]);
        // Cut off anywhere, nothing is made up.
        for length in 0..bytes.len() {
            for (ticket, dot) in read_open(&bytes[..length]) {
                let (of, least) = if ticket == 1 { (&one, RECORD * 2) } else { (&one, first) };
                assert!(length >= least && dot.recipients.len() <= of.recipients.len());
            }
        }
        bytes[first + 9] ^= 1;
        let open: Vec<_> = read_open(&bytes).into_iter().collect();
        assert_eq!(open, [(1, one)], "a damaged record ends the journal");
    }
}
