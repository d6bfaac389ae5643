//! Values that several tests need.

use bytes::Bytes;

use super::machine::{
    Answer, Changes, Committed, LiveBodies, Machine, MachineError, Table, View, no_bodies,
};
use super::model::{RecipientResult, Report, Submission};
use crate::clock::Timestamp;
use crate::id::{Locator, MessageId, QueueName};
use crate::message::{
    BodyType, Envelope, Notify, Origin, Outcome, Recipient, Record, RecordType, Status,
};
use crate::smtp::address::{Address, ReversePath};

pub(crate) use super::store::fixture::SIZES;
pub(crate) use crate::message::Class;

/// Keeps the last payload.
pub(crate) struct Last;

impl Machine for Last {
    fn opened(&mut self, _view: &dyn View) -> Result<(), MachineError> {
        Ok(())
    }

    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        changes.put(Table::State, b"last", &entry.payload);
        Ok(Vec::new())
    }

    fn written(&mut self) -> Result<(), MachineError> {
        Ok(())
    }

    fn live_bodies(&self) -> LiveBodies {
        no_bodies
    }
}

pub(crate) fn envelope(id: u128, recipients: &[&str]) -> Envelope {
    let recipient = |address: &&str| {
        let address = Address::parse(address).unwrap();
        let queue = QueueName { domain: address.domain_key(), vmta: "v1".to_owned() };
        Recipient { address, notify: Notify::Unspecified, orcpt: None, queue }
    };
    Envelope {
        id: MessageId(id),
        received_at: Timestamp(1000),
        sender: ReversePath::Address(Address::parse("from@sender.example").unwrap()),
        recipients: recipients.iter().map(recipient).collect(),
        size_bytes: 0,
        body_type: BodyType::SevenBit,
        smtputf8: false,
        ret: None,
        envid: None,
        job: Some("job1".to_owned()),
        vmta_pool: None,
        origin: Origin::Internal,
        suppress_dsn: false,
    }
}

pub(crate) fn record(kind: RecordType) -> Record {
    Record::new(kind, Timestamp(5))
}

pub(crate) fn submission(id: u128, recipients: &[&str], body: impl Into<Bytes>) -> Submission {
    let body = body.into();
    let mut envelope = envelope(id, recipients);
    envelope.size_bytes = body.len() as u64;
    let records = recipients.iter().map(|_| record(RecordType::Receipt)).collect();
    Submission { envelope, body, records }
}

pub(crate) fn outcome(class: Class) -> Outcome {
    Outcome {
        class,
        status: Status(2, 0, 0),
        reply: "250 ok".to_owned(),
        reason: String::new(),
        mta: "mx.example (192.0.2.1)".to_owned(),
    }
}

pub(crate) fn result(recipient: u16, class: Class) -> RecipientResult {
    let kind = match class {
        Class::Delivered => RecordType::Delivery,
        Class::Bounced => RecordType::Bounce,
        Class::Deferred => RecordType::Transient,
    };
    RecipientResult {
        recipient,
        outcome: outcome(class),
        next_due: Timestamp(1_000_000),
        counts_as_attempt: true,
        record: Some(record(kind)),
    }
}

pub(crate) fn report(locator: Locator, results: Vec<RecipientResult>) -> Report {
    Report { locator, results, notice: None }
}
