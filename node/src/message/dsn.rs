//! Delivery status notifications (RFC 3464 in the MIME frame of RFC 6522).

use std::fmt::Write as _;

use super::headers::Headers;
use super::trace;
use super::{Class, Envelope, Outcome, Ret};
use crate::clock::Timestamp;
use crate::id::MessageId;

/// How much of the original a notice returns at most, whatever the sender asked for.
const RETURNED_BYTES_MAX: usize = 64 * 1024;

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Delivery failed for good.
    Failure,
    /// Delivery is late.
    Delay,
    /// Delivery succeeded, and the sender wished to know.
    Success,
}

/// What a notice says about one recipient.
#[derive(Clone, Debug)]
pub struct Reported<'a> {
    /// Number of the recipient in the envelope.
    pub recipient: usize,
    /// What happened.
    pub outcome: &'a Outcome,
    /// For a success: it was delivered here (`delivered`) and not handed on (`relayed`).
    pub final_delivery: bool,
}

/// Everything that a notice is made of.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// What it is about.
    pub kind: Kind,
    /// Id of the notice itself.
    pub id: MessageId,
    /// The message it is about.
    pub envelope: &'a Envelope,
    /// Its recipients of this kind; at least one.
    pub reported: Vec<Reported<'a>>,
    /// The message's bytes.
    pub original: &'a [u8],
    /// Name of this host.
    pub host_name: &'a str,
    /// `From:` of the notice; none means `MAILER-DAEMON` at the host.
    pub from: Option<&'a str>,
    /// What to return when the sender did not say (`RET`).
    pub default_return: Ret,
    /// When the notice is made.
    pub at: Timestamp,
    /// For a delay: when the message will be given up.
    pub give_up_at: Option<Timestamp>,
}

/// The notice as a message: CRLF line ends, headers included.
#[must_use]
pub fn compose(notice: &Notice<'_>) -> Vec<u8> {
    let boundary = format!("=_{}", notice.id);
    let mut text = String::new();
    push_header(&mut text, notice, &boundary);
    push_explanation(&mut text, notice, &boundary);
    push_status(&mut text, notice, &boundary);
    let mut message = text.into_bytes();
    push_original(&mut message, notice, &boundary);
    message.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    message
}

/// Appends formatted text; writing to a `String` cannot fail.
macro_rules! put {
    ($text:expr, $($arg:tt)*) => {
        write!($text, $($arg)*).expect("writing to a string does not fail")
    };
}

fn push_header(text: &mut String, notice: &Notice<'_>, boundary: &str) {
    let host = notice.host_name;
    let subject = match notice.kind {
        Kind::Failure => "Delivery failure",
        Kind::Delay => "Delivery delayed",
        Kind::Success => "Delivery report",
    };
    let default_from = format!("Mail Delivery System <MAILER-DAEMON@{host}>");
    put!(text, "From: {}\r\n", notice.from.unwrap_or(&default_from));
    put!(text, "To: {}\r\n", notice.envelope.sender);
    put!(text, "Subject: {subject}\r\nDate: {}\r\n", trace::date(notice.at));
    put!(text, "Message-ID: <{}@{host}>\r\n", notice.id);
    if let Some(id) = Headers::parse(notice.original).get("message-id") {
        put!(text, "In-Reply-To: {id}\r\n");
    }
    put!(text, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n");
    put!(text, "Content-Type: multipart/report; report-type=delivery-status;\r\n");
    put!(text, "\tboundary=\"{boundary}\"\r\n\r\n");
    put!(text, "This is a delivery status notification in MIME format.\r\n");
}

fn push_explanation(text: &mut String, notice: &Notice<'_>, boundary: &str) {
    put!(text, "\r\n--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n");
    put!(text, "Content-Transfer-Encoding: 8bit\r\n\r\n");
    put!(text, "This is the mail system at {}.\r\n\r\n", notice.host_name);
    text.push_str(match notice.kind {
        Kind::Failure => "Your message could not be delivered to:\r\n\r\n",
        Kind::Delay => "Your message has not been delivered yet to:\r\n\r\n",
        Kind::Success => "Your message was delivered to:\r\n\r\n",
    });
    for reported in &notice.reported {
        let recipient = &notice.envelope.recipients[reported.recipient];
        put!(text, "    {}\r\n", recipient.address);
        for line in explanation(reported.outcome) {
            put!(text, "        {line}\r\n");
        }
    }
    if let (Kind::Delay, Some(until)) = (notice.kind, notice.give_up_at) {
        put!(text, "\r\nDelivery will be tried again until {}.\r\n", trace::date(until));
        text.push_str("You need not send the message again.\r\n");
    }
}

/// Status with host, then the reply or the reason, cut into lines that RFC 5322 allows.
fn explanation(outcome: &Outcome) -> Vec<String> {
    let mut lines = vec![super::status::labelled(outcome.status)];
    if !outcome.mta.is_empty() {
        lines[0].push_str(&format!(" from {}", outcome.mta));
    }
    let said = if outcome.reply.is_empty() { &outcome.reason } else { &outcome.reply };
    let mut rest = clean(said);
    while !rest.is_empty() {
        let cut = rest.char_indices().nth(300).map_or(rest.len(), |(n, _)| n);
        lines.push(rest[..cut].to_owned());
        rest.drain(..cut);
    }
    lines
}

fn push_status(text: &mut String, notice: &Notice<'_>, boundary: &str) {
    let envelope = notice.envelope;
    let kind = if envelope.smtputf8 { "global-delivery-status" } else { "delivery-status" };
    put!(text, "\r\n--{boundary}\r\nContent-Type: message/{kind}\r\n\r\n");
    if let Some(envid) = &envelope.envid {
        put!(text, "Original-Envelope-Id: {}\r\n", clean(envid));
    }
    put!(text, "Reporting-MTA: dns; {}\r\n", notice.host_name);
    put!(text, "Arrival-Date: {}\r\n", trace::date(envelope.received_at));
    for reported in &notice.reported {
        push_recipient(text, notice, reported);
    }
}

fn push_recipient(text: &mut String, notice: &Notice<'_>, reported: &Reported<'_>) {
    let recipient = &notice.envelope.recipients[reported.recipient];
    let outcome = reported.outcome;
    text.push_str("\r\n");
    if let Some(original) = &recipient.orcpt {
        let (kind, address) = original.split_once(';').unwrap_or(("rfc822", original));
        put!(text, "Original-Recipient: {}; {}\r\n", clean(kind), clean(address));
    }
    let utf8 = !recipient.address.to_string().is_ascii();
    let kind = if utf8 { "utf-8" } else { "rfc822" };
    put!(text, "Final-Recipient: {kind}; {}\r\n", recipient.address);
    put!(text, "Action: {}\r\nStatus: {}\r\n", action(reported), outcome.status);
    if let Some((name, _)) = outcome.mta.split_once(' ') {
        put!(text, "Remote-MTA: dns; {}\r\n", clean(name));
    }
    let diagnostic = outcome.diagnostic();
    if let Some((kind, said)) = diagnostic.split_once(';') {
        put!(text, "Diagnostic-Code: {kind}; {}\r\n", fold(&clean(said)));
    }
    put!(text, "Last-Attempt-Date: {}\r\n", trace::date(notice.at));
    if let Some(until) = notice.give_up_at {
        put!(text, "Will-Retry-Until: {}\r\n", trace::date(until));
    }
}

const fn action(reported: &Reported<'_>) -> &'static str {
    match (reported.outcome.class, reported.final_delivery) {
        (Class::Bounced, _) => "failed",
        (Class::Deferred, _) => "delayed",
        (Class::Delivered, true) => "delivered",
        (Class::Delivered, false) => "relayed",
    }
}

/// The last part: the whole message when the sender asked for it and it is small, else its header
/// section. Only a failure returns the whole message (RFC 3461 4.3).
fn push_original(message: &mut Vec<u8>, notice: &Notice<'_>, boundary: &str) {
    let wish = notice.envelope.ret.unwrap_or(notice.default_return);
    let whole = wish == Ret::Full
        && notice.kind == Kind::Failure
        && notice.original.len() <= RETURNED_BYTES_MAX;
    let global = notice.envelope.smtputf8;
    let (kind, bytes) = if whole {
        (if global { "message/global" } else { "message/rfc822" }, notice.original)
    } else {
        let section = Headers::parse(notice.original).section();
        let end = section.len().min(RETURNED_BYTES_MAX);
        let kind = if global { "message/global-headers" } else { "text/rfc822-headers" };
        (kind, whole_lines(&section[..end]))
    };
    message.extend_from_slice(format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\n").as_bytes());
    if !bytes.is_ascii() {
        message.extend_from_slice(b"Content-Transfer-Encoding: 8bit\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(bytes);
}

/// The part of a cut text up to its last complete line.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |n| n + 1)]
}

/// What a remote said, without anything that could end a header line.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Breaks a long value at blanks into folded lines.
fn fold(value: &str) -> String {
    let mut folded = String::with_capacity(value.len() + 16);
    let mut column = 20;
    for word in value.split_inclusive(' ') {
        if column + word.len() > 76 && column > 20 {
            folded.push_str("\r\n ");
            column = 1;
        }
        folded.push_str(word);
        column += word.len();
    }
    folded
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::QueueName;
    use crate::message::{BodyType, Notify, Origin, Recipient, Status};
    use crate::smtp::address::{Address, ReversePath};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn envelope() -> Envelope {
        Envelope {
            id: MessageId(7),
            received_at: Timestamp(0),
            sender: ReversePath::Address(address("sender@example.com")),
            recipients: vec![Recipient {
                address: address("user@example.org"),
                notify: Notify::Unspecified,
                orcpt: Some("rfc822;original@example.org".to_owned()),
                queue: "example.org/v1".parse::<QueueName>().unwrap(),
            }],
            size_bytes: 10,
            body_type: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: Some("env-1".to_owned()),
            job: None,
            vmta_pool: None,
            origin: Origin::Internal,
            suppress_dsn: false,
        }
    }

    fn outcome() -> Outcome {
        Outcome {
            class: Class::Bounced,
            status: Status(5, 1, 1),
            reply: "550 5.1.1 no such\r\nInjected: user".to_owned(),
            reason: String::new(),
            mta: "mx.example.org (192.0.2.9)".to_owned(),
        }
    }

    fn notice<'a>(envelope: &'a Envelope, outcome: &'a Outcome, original: &'a [u8]) -> Notice<'a> {
        Notice {
            kind: Kind::Failure,
            id: MessageId(9),
            envelope,
            reported: vec![Reported { recipient: 0, outcome, final_delivery: false }],
            original,
            host_name: "mta.example.com",
            from: None,
            default_return: Ret::Headers,
            at: Timestamp(1000),
            give_up_at: None,
        }
    }

    const ORIGINAL: &[u8] = b"Message-ID: <1@example.com>\r\nSubject: hi\r\n\r\nsecret text\r\n";

    #[test]
    fn a_failure_names_recipient_status_and_reply() {
        let (envelope, outcome) = (envelope(), outcome());
        let text = String::from_utf8(compose(&notice(&envelope, &outcome, ORIGINAL))).unwrap();
        for line in [
            "To: sender@example.com\r\n",
            "In-Reply-To: <1@example.com>\r\n",
            "Content-Type: multipart/report; report-type=delivery-status;\r\n",
            "Original-Envelope-Id: env-1\r\n",
            "Original-Recipient: rfc822; original@example.org\r\n",
            "Final-Recipient: rfc822; user@example.org\r\n",
            "Action: failed\r\nStatus: 5.1.1\r\n",
            "Remote-MTA: dns; mx.example.org\r\n",
            "Diagnostic-Code: smtp; 550 5.1.1 no such  Injected: user\r\n",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert!(!text.contains("\r\nInjected:"));
    }

    #[test]
    fn the_body_is_returned_only_when_asked_for() {
        let outcome = outcome();
        let mut envelope = envelope();
        let short = compose(&notice(&envelope, &outcome, ORIGINAL));
        assert!(!String::from_utf8_lossy(&short).contains("secret text"));
        envelope.ret = Some(Ret::Full);
        let full = compose(&notice(&envelope, &outcome, ORIGINAL));
        assert!(String::from_utf8_lossy(&full).contains("message/rfc822\r\n\r\nMessage-ID"));
        assert!(String::from_utf8_lossy(&full).contains("secret text"));
    }

    #[test]
    fn parts_are_closed_and_lines_end_with_crlf() {
        let (envelope, outcome) = (envelope(), outcome());
        let text = compose(&notice(&envelope, &outcome, ORIGINAL));
        let boundary = format!("--=_{}", MessageId(9));
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches(&boundary).count(), 4);
        assert!(text.ends_with(&format!("{boundary}--\r\n")));
        assert_eq!(text.matches('\n').count(), text.matches("\r\n").count());
    }
}
