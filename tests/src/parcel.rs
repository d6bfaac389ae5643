//! Test messages that can be recognised: a number in every recipient's address and in the
//! Message-ID, and a checksum over the body.

use std::fmt::Write as _;

use crate::history::Recipient;

/// What the receivers are asked to do with a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Take it.
    Mail,
    /// Refuse it for good.
    Bounce,
}

impl Kind {
    const fn letter(self) -> char {
        match self {
            Self::Mail => 'm',
            Self::Bounce => 'b',
        }
    }
}

/// The address of a recipient.
#[must_use]
pub fn address(recipient: Recipient, kind: Kind, domain: &str) -> String {
    format!("{}{recipient}@{domain}", kind.letter())
}

/// Reads an address that [`address`] made, with or without angle brackets and parameters.
#[must_use]
pub fn recognise(address: &str) -> Option<(Kind, Recipient)> {
    let text = address.trim_start_matches('<');
    let (local, _) = text.split_once('@')?;
    let (kind, numbers) = match local.split_at_checked(1)? {
        ("m", numbers) => (Kind::Mail, numbers),
        ("b", numbers) => (Kind::Bounce, numbers),
        _ => return None,
    };
    let (id, n) = numbers.split_once('.')?;
    Some((kind, Recipient { id: id.parse().ok()?, n: n.parse().ok()? }))
}

const LINE: &str = "The quick brown fox jumps over the lazy dog, and the dog does not mind it.";

/// The text of message `id` with a body of about `size` bytes, CRLF line ends, dots not doubled.
#[must_use]
pub fn text(id: u32, size: usize) -> String {
    let mut body = String::with_capacity(size + LINE.len() + 16);
    let mut number = 0;
    while body.len() < size {
        // Some lines begin with a dot, so that doubling and undoubling are part of every run.
        let dot = if number % 7 == 3 { "." } else { "" };
        let _infallible = write!(body, "{dot}{id} {number} {LINE}\r\n");
        number += 1;
    }
    let sum = crc32fast::hash(body.as_bytes());
    format!(
        "From: load@load.example\r\nSubject: message {id}\r\n\
         Message-ID: <{id}@load.example>\r\nX-Checksum: {sum:08x}\r\n\r\n{body}"
    )
}

/// Is this message, as it arrived, the one that [`text`] made?
#[must_use]
pub fn is_intact(data: &[u8]) -> bool {
    let end = data.windows(4).position(|four| four == b"\r\n\r\n");
    let Some((headers, body)) = end.map(|at| (&data[..at], &data[at + 4..])) else { return false };
    let headers = String::from_utf8_lossy(headers);
    let told = headers.lines().find_map(|line| line.strip_prefix("X-Checksum: "));
    told.is_some_and(|told| told.trim() == format!("{:08x}", crc32fast::hash(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        let recipient = Recipient { id: 12, n: 3 };
        for kind in [Kind::Mail, Kind::Bounce] {
            let text = address(recipient, kind, "one.example");
            assert_eq!(recognise(&text), Some((kind, recipient)));
            assert_eq!(recognise(&format!("<{text}> NOTIFY=NEVER")), Some((kind, recipient)));
        }
        for other in ["<>", "", "postmaster@one.example", "m1@one.example", "mx.1@one.example"] {
            assert_eq!(recognise(other), None, "{other}");
        }
    }

    #[test]
    fn a_changed_message_is_seen() {
        let text = text(7, 2000);
        assert!(is_intact(format!("Received: by x\r\n{text}").as_bytes()));
        assert!(text.contains("\r\n."), "no line begins with a dot");
        assert!(!is_intact(text.replace("\r\n.", "\r\n..").as_bytes()));
        assert!(!is_intact(&text.as_bytes()[..text.len() - 2]));
        assert!(!is_intact(b"Subject: none\r\n\r\nbody"));
    }
}
