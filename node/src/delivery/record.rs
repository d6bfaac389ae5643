//! Accounting rows of attempts.

use super::classify::NO_SUCH_DOMAIN;
use crate::clock::Timestamp;
use crate::config::settings::DeliveryType;
use crate::config::{Config, DomainSettings, Lookup};
use crate::id::QueueName;
use crate::message::headers::Headers;
use crate::message::{Class, Outcome, Record, RecordType, Status, TlsInfo};
use crate::queue::model::{Stored, Waiting};

/// The way that an attempt took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    /// `smtp`, `discard` or `file`.
    pub(crate) dlv_type: &'static str,
    /// Local address; empty when nothing was connected.
    pub(crate) source_ip: String,
    /// Remote address.
    pub(crate) destination_ip: String,
    /// Extensions that the server offered, comma separated.
    pub(crate) esmtp: String,
    /// When the connection was encrypted.
    pub(crate) tls: Option<TlsInfo>,
    /// The server passes on requests for delivery reports.
    pub(crate) passes_dsn: bool,
    /// The message has reached its destination; nobody delivers it further.
    pub(crate) is_final: bool,
}

/// One attempt at one message.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub(crate) config: &'a Config,
    pub(crate) settings: &'a DomainSettings,
    pub(crate) stored: &'a Stored,
    /// The message; empty when it could not be loaded.
    pub(crate) body: &'a [u8],
    pub(crate) path: &'a Path,
    pub(crate) now: Timestamp,
}

/// Is the row written at all?
pub(crate) fn is_wanted(config: &Config, settings: &DomainSettings, kind: RecordType) -> bool {
    config.wants_records(kind) && !settings.disable_acct_records.contains(&kind)
}

/// The type of row that an outcome has.
const fn kind(outcome: &Outcome) -> RecordType {
    match outcome.class {
        Class::Delivered => RecordType::Delivery,
        Class::Bounced => RecordType::Bounce,
        Class::Deferred => RecordType::Transient,
    }
}

/// The row for one recipient, if some accounting file wants it.
pub(crate) fn of(
    attempt: &Attempt<'_>,
    headers: Option<&Headers<'_>>,
    waiting: &Waiting,
    outcome: &Outcome,
) -> Option<Record> {
    let Attempt { config, settings, stored, body, path, now } = *attempt;
    let discarded = path.dlv_type == "discard" && outcome.class == Class::Delivered;
    let kind =
        if discarded && discards_as_bounce(settings) { RecordType::Bounce } else { kind(outcome) };
    if !is_wanted(config, settings, kind) {
        return None;
    }
    let mut record = Record::of(kind, now, &stored.envelope, usize::from(waiting.recipient));
    record.set_outcome(outcome);
    if path.is_final && outcome.class == Class::Delivered {
        record.dsn_action = "delivered".to_owned();
    }
    name_missing_domain(&mut record, outcome);
    if outcome.class != Class::Delivered {
        record.bounce_cat = category(config, outcome);
    }
    if config.server.track_time_first_attempt {
        record.first_attempt_at = waiting.first_attempt_at.or(Some(now));
    }
    fill_path(&mut record, path);
    if kind == RecordType::Delivery {
        record.dlv_size = Some(body.len() as u64);
    }
    fill_headers(&mut record, config.accounting_headers(kind), headers);
    Some(record)
}

fn discards_as_bounce(settings: &DomainSettings) -> bool {
    matches!(settings.delivery_type, DeliveryType::Discard { as_bounce: true })
}

/// PowerMTA's rows tell a domain that does not exist by the status alone.
fn name_missing_domain(record: &mut Record, outcome: &Outcome) {
    if outcome.status == Status(5, 1, 2) && outcome.reason == NO_SUCH_DOMAIN {
        record.dsn_status = format!("5.1.2 (bad destination system: {NO_SUCH_DOMAIN})");
        record.dsn_diag.clear();
    }
}

/// Patterns of bounce categories see the bare status, `;` and the diagnostic.
fn category(config: &Config, outcome: &Outcome) -> String {
    let text = format!("{};{}", outcome.status, outcome.diagnostic());
    config.bounce_category(&text).to_owned()
}

fn fill_path(record: &mut Record, path: &Path) {
    path.dlv_type.clone_into(&mut record.dlv_type);
    record.dlv_source_ip.clone_from(&path.source_ip);
    record.dlv_destination_ip.clone_from(&path.destination_ip);
    record.dlv_esmtp_available.clone_from(&path.esmtp);
    if let Some(tls) = &path.tls {
        record.dlv_tls_protocol.clone_from(&tls.protocol);
        record.dlv_tls_cipher.clone_from(&tls.cipher);
    }
}

fn fill_headers(record: &mut Record, names: &[String], headers: Option<&Headers<'_>>) {
    let Some(headers) = headers else { return };
    let value = |name: &String| Some((name.clone(), headers.get(name)?));
    record.headers = names.iter().filter_map(value).collect();
}

/// The row for a failure that concerned a whole queue, if some accounting file wants it.
pub(crate) fn of_queue(
    config: &Config,
    settings: &DomainSettings,
    queue: &QueueName,
    path: &Path,
    outcome: &Outcome,
    now: Timestamp,
) -> Option<Record> {
    let kind = RecordType::TransientQueue;
    if !is_wanted(config, settings, kind) {
        return None;
    }
    let mut record = Record::new(kind, now);
    record.set_outcome(outcome);
    record.dsn_action.clear();
    fill_path(&mut record, path);
    record.vmta.clone_from(&queue.vmta);
    record.queue = queue.to_string();
    Some(record)
}
