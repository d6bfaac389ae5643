//! The fields of accounting files: what each is called, which record types have it, where its value
//! comes from, and which of them `*` means in which order.

use std::borrow::Cow;

use jiff::tz::Offset;

use crate::clock::Timestamp;
use crate::message::Record;
use crate::message::RecordType::{
    self, Bounce, Delivery, FeedbackLoop, Receipt, RemoteBounce, RemoteStatus, Transient,
    TransientQueue,
};

/// What a value depends on besides the record.
#[derive(Clone, Debug)]
pub(crate) struct Style<'a> {
    /// `iso-times`: dates, or else Unix seconds.
    pub iso_times: bool,
    /// Seconds east of UTC of the time zone in which dates are written.
    pub utc_offset_s: i32,
    /// `user-string` of the file.
    pub user_string: &'a str,
}

impl Style<'_> {
    /// `YYYY-MM-DD HH:MM:SS±ZZZZ`, or the seconds since 1970.
    fn time(&self, at: Timestamp) -> String {
        if !self.iso_times {
            return at.as_secs().to_string();
        }
        local(at, self.utc_offset_s).strftime("%Y-%m-%d %H:%M:%S%z").to_string()
    }

    fn optional_time(&self, at: Option<Timestamp>) -> Cow<'static, str> {
        at.map_or(Cow::Borrowed(""), |at| Cow::Owned(self.time(at)))
    }
}

/// `at` in a zone that is always `utc_offset_s` away from UTC.
pub(crate) fn local(at: Timestamp, utc_offset_s: i32) -> jiff::ZonedDateTime {
    let offset = Offset::from_seconds(utc_offset_s).unwrap_or(Offset::UTC);
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis)
        .unwrap_or(jiff::Timestamp::MAX)
        .to_zoned_datetime(offset.to_time_zone())
}

type Value = for<'a> fn(&'a Record, &Style<'a>) -> Cow<'a, str>;

/// One field.
pub(crate) struct Field {
    /// Its name in configurations and header lines.
    pub name: &'static str,
    /// The record types that have it; in others its column is empty.
    pub types: &'static [RecordType],
    /// Its value in a record.
    pub value: Value,
}

const DBT: &[RecordType] = &[Delivery, Bounce, Transient];
const DBT_R: &[RecordType] = &[Delivery, Bounce, Transient, Receipt];
const DBT_TQ: &[RecordType] = &[Delivery, Bounce, Transient, TransientQueue];
const DBT_TQ_R: &[RecordType] = &[Delivery, Bounce, Transient, TransientQueue, Receipt];
const DBT_TQ_REMOTE: &[RecordType] =
    &[Delivery, Bounce, Transient, TransientQueue, RemoteBounce, RemoteStatus];
const DBT_REMOTE: &[RecordType] = &[Delivery, Bounce, Transient, RemoteBounce, RemoteStatus];
const DBT_R_REMOTE: &[RecordType] =
    &[Delivery, Bounce, Transient, Receipt, RemoteBounce, RemoteStatus];
const ALL_BUT_TQ: &[RecordType] =
    &[Delivery, Bounce, Transient, Receipt, RemoteBounce, RemoteStatus, FeedbackLoop];
const REMOTE: &[RecordType] = &[RemoteBounce, RemoteStatus];
const REPORTS: &[RecordType] = &[RemoteBounce, RemoteStatus, FeedbackLoop];

macro_rules! text {
    ($field:ident) => {
        |r, _| Cow::Borrowed(r.$field.as_str())
    };
}

const fn field(name: &'static str, types: &'static [RecordType], value: Value) -> Field {
    Field { name, types, value }
}

/// A field of reports that arrive by mail. No report is parsed yet, so no record has a value.
const fn of_reports(name: &'static str, types: &'static [RecordType]) -> Field {
    field(name, types, |_, _| Cow::Borrowed(""))
}

/// Every field but `header_X` and `arf_X`.
pub(crate) const FIELDS: &[Field] = &[
    field("type", &RecordType::ALL, |r, _| Cow::Borrowed(r.kind.short())),
    field("timeLogged", &RecordType::ALL, |r, s| Cow::Owned(s.time(r.logged_at))),
    field("timeQueued", DBT, |r, s| s.optional_time(r.queued_at)),
    field("timeFirstAttempt", DBT, |r, s| s.optional_time(r.first_attempt_at)),
    // Goodmail's stamp, gone since 4.5: old configurations name it, mostly to leave it out.
    field("timeImprinted", DBT, |_, _| Cow::Borrowed("")),
    field("totalSecondsQueued", DBT, total_seconds_queued),
    field("orig", ALL_BUT_TQ, text!(orig)),
    field("rcpt", ALL_BUT_TQ, text!(rcpt)),
    field("orcpt", DBT_R_REMOTE, text!(orcpt)),
    field("dsnAction", &[Delivery, Bounce, Transient, RemoteStatus], text!(dsn_action)),
    field("dsnStatus", DBT_TQ_REMOTE, text!(dsn_status)),
    field("dsnDiag", DBT_TQ_REMOTE, text!(dsn_diag)),
    field("dsnMta", DBT_TQ_REMOTE, text!(dsn_mta)),
    of_reports("dsnReportingMta", REMOTE),
    field("bounceCat", DBT_REMOTE, text!(bounce_cat)),
    field("srcType", DBT_R_REMOTE, text!(src_type)),
    field("srcMta", DBT_R_REMOTE, text!(src_mta)),
    field("dlvType", DBT_TQ, text!(dlv_type)),
    field(
        "dlvSourceIp",
        &[Delivery, Bounce, Transient, TransientQueue, FeedbackLoop],
        text!(dlv_source_ip),
    ),
    field("dlvDestinationIp", DBT_TQ, text!(dlv_destination_ip)),
    field("dlvEsmtpAvailable", DBT, text!(dlv_esmtp_available)),
    field("dlvSize", DBT, |r, _| {
        r.dlv_size.map_or(Cow::Borrowed(""), |size| Cow::Owned(size.to_string()))
    }),
    field("vmta", DBT_TQ_R, text!(vmta)),
    field("jobId", DBT_R, text!(job_id)),
    field("envId", ALL_BUT_TQ, text!(env_id)),
    field("queue", DBT_TQ, text!(queue)),
    field("vmtaPool", DBT_R, text!(vmta_pool)),
    field("rcvSourceIp", &[Receipt], text!(rcv_source_ip)),
    field("rcvDestinationIp", &[Receipt], text!(rcv_destination_ip)),
    field("rcvSmtpUser", DBT_R, text!(rcv_smtp_user)),
    field("dlvTlsProtocol", DBT, text!(dlv_tls_protocol)),
    field("dlvTlsCipher", DBT, text!(dlv_tls_cipher)),
    field("userString", DBT_TQ_R, |_, s| Cow::Borrowed(s.user_string)),
    of_reports("repSourceIp", &[FeedbackLoop]),
    of_reports("feedbackType", &[FeedbackLoop]),
    of_reports("format", REPORTS),
    of_reports("userAgent", &[FeedbackLoop]),
    of_reports("reportingMta", &[FeedbackLoop]),
    of_reports("reportedDomain", &[FeedbackLoop]),
];

fn total_seconds_queued<'a>(record: &'a Record, _: &Style<'a>) -> Cow<'a, str> {
    record.queued_at.map_or(Cow::Borrowed(""), |queued| {
        Cow::Owned(record.logged_at.as_secs().saturating_sub(queued.as_secs()).to_string())
    })
}

/// Finds a field by its name in any case.
pub(crate) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.name.eq_ignore_ascii_case(name))
}

/// Value of the message header `name`, which may be written in any case.
pub(crate) fn header<'a>(record: &'a Record, name: &str) -> &'a str {
    record
        .headers
        .iter()
        .find(|(n, _)| n == name)
        .or_else(|| record.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)))
        .map_or("", |(_, value)| value.as_str())
}

/// What `*` stands for, `type` not included.
#[rustfmt::skip]
pub(crate) const fn default_columns(kind: RecordType) -> &'static [&'static str] {
    match kind {
        Delivery | Bounce | Transient => &[
            "timeLogged", "timeQueued", "orig", "rcpt", "orcpt", "dsnAction", "dsnStatus",
            "dsnDiag", "dsnMta", "bounceCat", "srcType", "srcMta", "dlvType", "dlvSourceIp",
            "dlvDestinationIp", "dlvEsmtpAvailable", "dlvSize", "vmta", "jobId", "envId", "queue",
            "vmtaPool",
        ],
        TransientQueue => &[
            "timeLogged", "dsnStatus", "dsnDiag", "dsnMta", "dlvType", "dlvSourceIp",
            "dlvDestinationIp", "vmta", "queue",
        ],
        Receipt => &[
            "timeLogged", "orig", "rcpt", "orcpt", "srcType", "srcMta", "rcvSourceIp",
            "rcvDestinationIp", "vmta", "jobId", "envId", "vmtaPool",
        ],
        RemoteBounce => &[
            "timeLogged", "orig", "rcpt", "orcpt", "dsnStatus", "dsnDiag", "dsnMta",
            "dsnReportingMta", "bounceCat", "srcType", "srcMta", "envId", "format",
        ],
        RemoteStatus => &[
            "timeLogged", "orig", "rcpt", "orcpt", "dsnAction", "dsnStatus", "dsnDiag", "dsnMta",
            "dsnReportingMta", "bounceCat", "srcType", "srcMta", "envId",
        ],
        FeedbackLoop => &[
            "timeLogged", "repSourceIp", "feedbackType", "format", "userAgent", "envId", "orig",
            "rcpt", "reportingMta", "dlvSourceIp", "reportedDomain", "header_From",
            "header_Return-Path", "header_X-job", "header_Subject",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_columns_are_fields_of_their_type() {
        for kind in RecordType::ALL {
            for name in default_columns(kind) {
                if name.starts_with("header_") {
                    continue;
                }
                let field = find(name).expect(name);
                assert_eq!(field.name, *name);
                assert!(field.types.contains(&kind), "{name} in {}", kind.short());
            }
        }
    }

    #[test]
    fn field_names_are_unique() {
        for (i, field) in FIELDS.iter().enumerate() {
            assert!(FIELDS[i + 1..].iter().all(|f| !f.name.eq_ignore_ascii_case(field.name)));
        }
    }

    #[test]
    fn times_are_written_in_the_given_zone() {
        let check = |iso_times, utc_offset_s, expected: &str| {
            let style = Style { iso_times, utc_offset_s, user_string: "" };
            assert_eq!(style.time(Timestamp(1_464_477_051_999)), expected);
        };
        check(true, 0, "2016-05-28 23:10:51+0000");
        check(true, 7200, "2016-05-29 01:10:51+0200");
        check(true, -12_600, "2016-05-28 19:40:51-0330");
        check(false, 7200, "1464477051");
    }

    #[test]
    fn seconds_queued_never_go_below_zero() {
        let check = |queued: Option<u64>, expected: &str| {
            let mut record = Record::new(Delivery, Timestamp(5_000));
            record.queued_at = queued.map(Timestamp);
            let style = Style { iso_times: true, utc_offset_s: 0, user_string: "" };
            assert_eq!(total_seconds_queued(&record, &style), expected);
        };
        check(None, "");
        check(Some(2_000), "3");
        check(Some(9_000), "0");
    }

    /// The parser refuses what the collector could not fill, and nothing else.
    #[test]
    fn configurations_may_name_exactly_these_fields() {
        let sorted = |mut types: Vec<RecordType>| {
            types.sort();
            types
        };
        for (name, types) in crate::config::record_fields::FIELDS {
            let field = find(name).unwrap_or_else(|| panic!("{name} is accepted and unknown here"));
            assert_eq!(sorted(field.types.to_vec()), sorted(types.to_vec()), "{name}");
        }
        for field in FIELDS {
            let known =
                crate::config::record_fields::FIELDS.iter().any(|(name, _)| *name == field.name);
            assert!(known, "{} cannot be configured", field.name);
        }
    }
}
