//! The `Received:` field (RFC 5321 4.4, keywords of RFC 3848 and RFC 6531).

use std::net::IpAddr;

use crate::clock::Timestamp;
use crate::id::MessageId;

/// What the field tells.
#[derive(Clone, Debug)]
pub struct ReceivedFacts<'a> {
    /// Name given in EHLO or HELO; filtered to printable ASCII here.
    pub helo: &'a str,
    /// The client; `None` when `hide-message-source` leaves it out.
    pub client: Option<IpAddr>,
    /// This host.
    pub by: &'a str,
    /// The message.
    pub id: MessageId,
    /// How it came.
    pub protocol: Protocol,
    /// `TLSv1.3`, `TLS_AES_256_GCM_SHA384`; `None` in clear.
    pub tls: Option<(&'a str, &'a str)>,
    /// A word on the client's certificate (`verified`, `not verified`), if one was shown.
    pub client_certificate: Option<&'a str>,
    /// The recipient, when there is exactly one.
    pub recipient: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// What decides the `with` keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// EHLO was used.
    pub esmtp: bool,
    /// Inside TLS.
    pub tls: bool,
    /// After AUTH.
    pub auth: bool,
    /// The message uses SMTPUTF8.
    pub utf8: bool,
}

impl Protocol {
    /// The keyword: `SMTP`, `ESMTP`, `ESMTPSA`, `UTF8SMTPS`, …
    #[must_use]
    pub fn keyword(self) -> String {
        if !self.esmtp {
            return "SMTP".to_owned();
        }
        let base = if self.utf8 { "UTF8SMTP" } else { "ESMTP" };
        let tls = if self.tls { "S" } else { "" };
        let auth = if self.auth { "A" } else { "" };
        format!("{base}{tls}{auth}")
    }
}

/// The folded field, CRLF included.
#[must_use]
pub fn received(facts: &ReceivedFacts<'_>) -> String {
    let mut field = String::from("Received: from ");
    field.push_str(&printable(facts.helo));
    if let Some(client) = facts.client {
        field.push_str(&format!(" ([{}])", literal(client)));
    }
    if let Some((protocol, cipher)) = facts.tls {
        field.push_str(&format!("\r\n\t(using {protocol} with cipher {cipher}"));
        if let Some(word) = facts.client_certificate {
            field.push_str(&format!(", client certificate {word}"));
        }
        field.push(')');
    }
    field.push_str(&format!(
        "\r\n\tby {} (Convoy) with {} id {}",
        facts.by,
        facts.protocol.keyword(),
        facts.id
    ));
    if let Some(recipient) = facts.recipient {
        field.push_str(&format!("\r\n\tfor <{recipient}>"));
    }
    field.push_str(&format!(";\r\n\t{}\r\n", date(facts.at)));
    field
}

/// An RFC 5322 date in the local zone.
#[must_use]
pub fn date(at: Timestamp) -> String {
    at.local().strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// The inside of an address literal (RFC 5321 4.1.3).
#[must_use]
pub fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.to_string(),
            None => format!("IPv6:{v6}"),
        },
    }
}

/// A name that a client chose, made safe for a header: what is not a plain visible character, and
/// what would open a comment or end the field, becomes `?`; at most 255 characters are kept.
fn printable(name: &str) -> String {
    name.chars()
        .take(255)
        .map(|c| if c.is_ascii_graphic() && !"()<>;\\\"".contains(c) { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>() -> ReceivedFacts<'a> {
        ReceivedFacts {
            helo: "client.example",
            client: Some(IpAddr::from([192, 0, 2, 1])),
            by: "mx.example",
            id: MessageId(0),
            protocol: Protocol { esmtp: true, tls: true, auth: true, utf8: false },
            tls: Some(("TLSv1.3", "TLS_AES_256_GCM_SHA384")),
            client_certificate: None,
            recipient: Some("a@example.org"),
            at: Timestamp(0),
        }
    }

    #[test]
    fn the_field_tells_client_encryption_and_id() {
        let field = received(&facts());
        assert!(
            field.starts_with("Received: from client.example ([192.0.2.1])\r\n\t(using TLSv1.3")
        );
        assert!(
            field.contains("by mx.example (Convoy) with ESMTPSA id 00000000000000000000000000")
        );
        assert!(field.contains("for <a@example.org>;\r\n\tThu, 01 Jan 1970"));
        assert!(field.ends_with("\r\n"));
    }

    #[test]
    fn a_hostile_name_cannot_leave_the_field() {
        let field = received(&ReceivedFacts { helo: "x\r\nY: (z\"", ..facts() });
        assert!(field.starts_with("Received: from x??Y:??z? "), "{field}");
        assert_eq!(field.matches("\r\n").count(), field.matches("\r\n\t").count() + 1);
    }

    #[test]
    fn keywords_follow_the_registry() {
        let keyword = |esmtp, tls, auth, utf8| Protocol { esmtp, tls, auth, utf8 }.keyword();
        assert_eq!(keyword(false, false, false, false), "SMTP");
        assert_eq!(keyword(true, false, false, false), "ESMTP");
        assert_eq!(keyword(true, true, false, false), "ESMTPS");
        assert_eq!(keyword(true, false, true, false), "ESMTPA");
        assert_eq!(keyword(true, true, true, true), "UTF8SMTPSA");
    }

    #[test]
    fn literals_of_both_families() {
        assert_eq!(literal("::1".parse().unwrap()), "IPv6:::1");
        assert_eq!(literal("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.7");
    }
}
