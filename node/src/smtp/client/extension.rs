//! What a server offers in its answer to EHLO.

use super::answer::Answer;

/// Words of extensions that are kept for the accounting row.
const MAX_NAMES: usize = 40;

/// The extensions of one answer to EHLO; nothing for an answer to HELO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// `STARTTLS` (RFC 3207).
    pub starttls: bool,
    /// `PIPELINING` (RFC 2920).
    pub pipelining: bool,
    /// `8BITMIME` (RFC 6152).
    pub eight_bit: bool,
    /// `SMTPUTF8` (RFC 6531).
    pub smtputf8: bool,
    /// `CHUNKING` (RFC 3030).
    pub chunking: bool,
    /// `DSN` (RFC 3461).
    pub dsn: bool,
    /// `SIZE` (RFC 1870); 0 when no limit is given.
    pub size: Option<u64>,
    /// Mechanisms of `AUTH`, upper case.
    pub auth: Vec<String>,
    /// All keywords in the order given, upper case, for `dlvEsmtpAvailable`.
    pub names: Vec<String>,
}

impl Extensions {
    /// Reads the lines after the first, which is the server's name.
    #[must_use]
    pub fn read(answer: &Answer) -> Self {
        let mut extensions = Self::default();
        for line in &answer.lines[1..] {
            extensions.add(line);
        }
        extensions
    }

    fn add(&mut self, line: &str) {
        // `AUTH=LOGIN` is an old form that some servers offer beside or instead of the proper one.
        let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
        let Some(name) = words.next().map(str::to_ascii_uppercase) else { return };
        match name.as_str() {
            "STARTTLS" => self.starttls = true,
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "CHUNKING" => self.chunking = true,
            "DSN" => self.dsn = true,
            "SIZE" => self.size = Some(words.next().and_then(|w| w.parse().ok()).unwrap_or(0)),
            "AUTH" => self.auth.extend(words.take(MAX_NAMES).map(str::to_ascii_uppercase)),
            _ => {}
        }
        if self.names.len() < MAX_NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Extensions {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Extensions::read(&Answer { code: 250, enhanced: None, lines })
    }

    #[test]
    fn keywords_are_read_in_any_case_and_order() {
        let e = read(&["STARTTLS", "size 1000", "pipelining", "AUTH PLAIN login", "XCLIENT NAME"]);
        assert!(!e.starttls, "the first line is the server's name");
        assert!(e.pipelining && !e.chunking);
        assert_eq!(e.size, Some(1000));
        assert_eq!(e.auth, ["PLAIN", "LOGIN"]);
        assert_eq!(e.names, ["SIZE", "PIPELINING", "AUTH", "XCLIENT"]);
    }

    #[test]
    fn odd_forms_are_understood() {
        assert_eq!(read(&["x", "AUTH=LOGIN"]).auth, ["LOGIN"]);
        assert_eq!(read(&["x", "SIZE"]).size, Some(0));
        assert_eq!(read(&["x", "", "DSN"]).names, ["DSN"]);
    }
}
