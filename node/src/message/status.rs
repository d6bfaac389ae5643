//! Texts of enhanced status codes (RFC 3463, RFC 4954), as accounting files print them in parentheses.

use super::Status;

/// Detail texts by subject and detail, without the class.
const DETAILS: &[(u16, u16, &str)] = &[
    (0, 0, "undefined status"),
    (1, 0, "unknown address-related status"),
    (1, 1, "bad destination mailbox address"),
    (1, 2, "bad destination system address"),
    (1, 3, "bad destination mailbox address syntax"),
    (1, 4, "destination mailbox address ambiguous"),
    (1, 5, "destination address valid"),
    (1, 6, "mailbox has moved, no forwarding address"),
    (1, 7, "bad sender's mailbox address syntax"),
    (1, 8, "bad sender's system address"),
    (1, 10, "recipient address has null MX"),
    (2, 0, "unknown mailbox-related status"),
    (2, 1, "mailbox disabled, not accepting messages"),
    (2, 2, "mailbox full"),
    (2, 3, "message length exceeds administrative limit"),
    (2, 4, "mailing list expansion problem"),
    (3, 0, "unknown mail system-related status"),
    (3, 1, "mail system full"),
    (3, 2, "system not accepting network messages"),
    (3, 3, "system not capable of selected features"),
    (3, 4, "message too big for system"),
    (3, 5, "system incorrectly configured"),
    (4, 0, "unknown network or routing status"),
    (4, 1, "no answer from host"),
    (4, 2, "bad connection"),
    (4, 3, "directory server failure"),
    (4, 4, "unable to route"),
    (4, 5, "mail system congestion"),
    (4, 6, "routing loop detected"),
    (4, 7, "delivery time expired"),
    (5, 0, "protocol-related failure"),
    (5, 1, "invalid command"),
    (5, 2, "syntax error"),
    (5, 3, "too many recipients"),
    (5, 4, "invalid command arguments"),
    (5, 5, "wrong protocol version"),
    (6, 0, "unknown media-related error"),
    (6, 1, "media not supported"),
    (6, 2, "conversion required and prohibited"),
    (6, 3, "conversion required but not supported"),
    (6, 4, "conversion with loss performed"),
    (6, 5, "conversion failed"),
    (6, 7, "non-ASCII addresses not permitted"),
    (7, 0, "other or undefined security status"),
    (7, 1, "delivery not authorized"),
    (7, 2, "mailing list expansion prohibited"),
    (7, 3, "security conversion required but not possible"),
    (7, 4, "security features not supported"),
    (7, 5, "cryptographic failure"),
    (7, 6, "cryptographic algorithm not supported"),
    (7, 7, "message integrity failure"),
    (7, 8, "authentication credentials invalid"),
    (7, 9, "authentication mechanism too weak"),
    (7, 10, "encryption needed"),
    (7, 11, "encryption required for requested authentication mechanism"),
];

/// What a status says; `undefined status` for details that have no text.
#[must_use]
pub fn text(status: Status) -> &'static str {
    match status {
        Status(2, 0, 0) => "success",
        Status(4, 0, 0) => "transient failure",
        Status(_, subject, detail) => DETAILS
            .iter()
            .find(|(s, d, _)| (*s, *d) == (subject, detail))
            .map_or("undefined status", |(_, _, text)| *text),
    }
}

/// Code and text as accounting files have them: `5.1.1 (bad destination mailbox address)`.
#[must_use]
pub fn labelled(status: Status) -> String {
    format!("{status} ({})", text(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_carry_the_texts_that_consumers_match() {
        for (status, expected) in [
            (Status(2, 0, 0), "2.0.0 (success)"),
            (Status(5, 1, 1), "5.1.1 (bad destination mailbox address)"),
            (Status(4, 4, 1), "4.4.1 (no answer from host)"),
            (Status(5, 0, 0), "5.0.0 (undefined status)"),
            (Status(4, 0, 0), "4.0.0 (transient failure)"),
            (Status(5, 7, 999), "5.7.999 (undefined status)"),
        ] {
            assert_eq!(labelled(status), expected);
        }
    }

    #[test]
    fn details_stand_once_each() {
        for (i, (subject, detail, _)) in DETAILS.iter().enumerate() {
            let again = DETAILS[i + 1..].iter().any(|(s, d, _)| (s, d) == (subject, detail));
            assert!(!again, "{subject}.{detail} stands twice");
        }
    }
}
