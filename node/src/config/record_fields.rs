//! Names of accounting fields, and which record types have them.

use crate::message::RecordType;
use RecordType::{
    Bounce, Delivery, FeedbackLoop, Receipt, RemoteBounce, RemoteStatus, Transient, TransientQueue,
};

const ATTEMPTS: &[RecordType] = &[Delivery, Bounce, Transient];
const OUTBOUND: &[RecordType] = &[Delivery, Bounce, Transient, TransientQueue];
const REMOTE: &[RecordType] = &[RemoteBounce, RemoteStatus];
const REPORT: &[RecordType] = &[FeedbackLoop];
const PARSED: &[RecordType] = &[RemoteBounce, RemoteStatus, FeedbackLoop];
const RECEIPT: &[RecordType] = &[Receipt];
const STATUS: &[RecordType] =
    &[Delivery, Bounce, Transient, TransientQueue, RemoteBounce, RemoteStatus];
const MESSAGE: &[RecordType] = &[Delivery, Bounce, Transient, Receipt];
const ENVELOPE: &[RecordType] = &[Delivery, Bounce, Transient, Receipt, RemoteBounce, RemoteStatus];
const ADDRESSED: &[RecordType] =
    &[Delivery, Bounce, Transient, Receipt, RemoteBounce, RemoteStatus, FeedbackLoop];

/// Every field that is not a header, in its own spelling.
pub(crate) const FIELDS: &[(&str, &[RecordType])] = &[
    ("type", &RecordType::ALL),
    ("timeLogged", &RecordType::ALL),
    ("timeQueued", ATTEMPTS),
    ("timeFirstAttempt", ATTEMPTS),
    ("timeImprinted", ATTEMPTS),
    ("totalSecondsQueued", ATTEMPTS),
    ("orig", ADDRESSED),
    ("rcpt", ADDRESSED),
    ("orcpt", ENVELOPE),
    ("dsnAction", &[Delivery, Bounce, Transient, RemoteStatus]),
    ("dsnStatus", STATUS),
    ("dsnDiag", STATUS),
    ("dsnMta", STATUS),
    ("dsnReportingMta", REMOTE),
    ("bounceCat", &[Delivery, Bounce, Transient, RemoteBounce, RemoteStatus]),
    ("srcType", ENVELOPE),
    ("srcMta", ENVELOPE),
    ("dlvType", OUTBOUND),
    ("dlvSourceIp", &[Delivery, Bounce, Transient, TransientQueue, FeedbackLoop]),
    ("dlvDestinationIp", OUTBOUND),
    ("dlvEsmtpAvailable", ATTEMPTS),
    ("dlvSize", ATTEMPTS),
    ("vmta", &[Delivery, Bounce, Transient, TransientQueue, Receipt]),
    ("jobId", MESSAGE),
    ("envId", ADDRESSED),
    ("queue", OUTBOUND),
    ("vmtaPool", MESSAGE),
    ("rcvSourceIp", RECEIPT),
    ("rcvDestinationIp", RECEIPT),
    ("rcvSmtpUser", MESSAGE),
    ("dlvTlsProtocol", ATTEMPTS),
    ("dlvTlsCipher", ATTEMPTS),
    ("repSourceIp", REPORT),
    ("feedbackType", REPORT),
    ("format", PARSED),
    ("userAgent", REPORT),
    ("reportingMta", REPORT),
    ("reportedDomain", REPORT),
    ("userString", &[Delivery, Bounce, Transient, TransientQueue, Receipt]),
];

/// What a name in a field list means for a record type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FieldName {
    /// A field of this type, in its own spelling; a header or report field as written, with its
    /// prefix in lower case.
    Known(String),
    /// A field of other types only: its column stays empty.
    Foreign(&'static str),
    /// No field.
    Unknown,
}

/// Looks a name up in any case.
pub(super) fn find(kind: RecordType, name: &str) -> FieldName {
    for (prefix, allowed) in [("header_", kind != TransientQueue), ("arf_", kind == FeedbackLoop)] {
        let Some(head) = name.get(..prefix.len()) else { continue };
        if head.eq_ignore_ascii_case(prefix) && name.len() > prefix.len() && allowed {
            return FieldName::Known(format!("{prefix}{}", &name[prefix.len()..]));
        }
    }
    match FIELDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        Some((known, kinds)) if kinds.contains(&kind) => FieldName::Known((*known).to_owned()),
        Some((known, _)) => FieldName::Foreign(known),
        None => FieldName::Unknown,
    }
}

/// The names of all fields of a type.
pub(super) fn names(kind: RecordType) -> impl Iterator<Item = &'static str> {
    FIELDS.iter().filter(move |(_, kinds)| kinds.contains(&kind)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_by_type() {
        let known = |name: &str| FieldName::Known(name.to_owned());
        for (kind, name, expected) in [
            (Delivery, "DLVTLSPROTOCOL", known("dlvTlsProtocol")),
            (Delivery, "Header_X-Job", known("header_X-Job")),
            (FeedbackLoop, "arf_Source-IP", known("arf_Source-IP")),
            (Delivery, "arf_Source-IP", FieldName::Unknown),
            (TransientQueue, "rcpt", FieldName::Foreign("rcpt")),
            (TransientQueue, "header_X", FieldName::Unknown),
            (Bounce, "header_", FieldName::Unknown),
            (Bounce, "dsnDiagnostic", FieldName::Unknown),
        ] {
            assert_eq!(find(kind, name), expected, "{name}");
        }
    }
}
