//! OpenSSL cipher strings, with OpenSSL's exact semantics, on the suites that rustls has.
//!
//! The string selects and orders the six TLS 1.2 suites. Cutting OpenSSL's hundred and sixty
//! suites down to these six is exact, because every operation of the language acts on each suite
//! alone and keeps relative order. TLS 1.3 suites are not steered by it, in OpenSSL neither; they
//! have a list of their own.

mod atom;
mod list;

use super::name::{self, SuiteName};
use list::List;

/// A suite, by its row in [`name::TLS12`] or [`name::TLS13`].
pub type Suite = &'static SuiteName;

/// The suites that a string selects, in order of preference, and what to tell the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Never empty.
    pub suites: Vec<Suite>,
    /// Warnings, in the order of the string.
    pub notes: Vec<Note>,
}

impl Selection {
    /// OpenSSL names, colon separated.
    #[must_use]
    pub fn list(&self) -> String {
        joined(&self.suites)
    }
}

/// A part of the string that has no effect here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Note {
    /// OpenSSL knows it; no suite of this server is of that kind.
    #[error("{word} cannot be honoured: this server has no such cipher; ignored")]
    Unavailable {
        /// The part as written.
        word: String,
    },
    /// Nobody knows it; OpenSSL ignores it too.
    #[error("unknown cipher {word}{}; ignored", hint(*nearest))]
    Unknown {
        /// The part as written.
        word: String,
        /// The known name that looks most like it.
        nearest: Option<&'static str>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean {name}?")).unwrap_or_default()
}

/// Why a string cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// OpenSSL refuses the string too.
    #[error("cipher list \"{text}\": \"{at}\" is not a cipher, + - ! or @ command")]
    Command {
        /// The whole string.
        text: String,
        /// The rest of the string where reading stopped.
        at: String,
    },
    /// Nothing is left.
    #[error("cipher list \"{text}\" selects nothing that this server has; it has {has}")]
    Empty {
        /// The whole string.
        text: String,
        /// The names that it could select.
        has: String,
    },
}

impl CipherError {
    /// The whole string.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Command { text, .. } | Self::Empty { text, .. } => text,
        }
    }
}

/// Reads a cipher string for TLS 1.2.
///
/// # Errors
/// When OpenSSL would refuse it, or when it selects none of the six suites: all suites instead of
/// none would widen what the operator narrowed.
pub fn select(text: &str) -> Result<Selection, CipherError> {
    let mut list = List::default();
    let mut rest = atom::suite_b(text).unwrap_or(text);
    if let Some(tail) = rest.strip_prefix("DEFAULT") {
        list.add_all();
        rest = tail.strip_prefix(':').unwrap_or(tail);
    }
    while !rest.is_empty() {
        rest = list
            .rule(rest)
            .ok_or_else(|| CipherError::Command { text: text.to_owned(), at: rest.to_owned() })?;
    }
    let suites = list.active();
    if suites.is_empty() {
        return Err(empty(text, &name::TLS12));
    }
    Ok(Selection { suites, notes: list.into_notes() })
}

/// Reads a list of TLS 1.3 suites; none selects all three.
///
/// # Errors
/// When none of the three is named.
pub fn select_tls13(text: Option<&str>) -> Result<Selection, CipherError> {
    let Some(text) = text else {
        return Ok(Selection { suites: name::TLS13.iter().collect(), notes: Vec::new() });
    };
    let (mut suites, mut notes) = (Vec::new(), Vec::new());
    for word in text.split([':', ' ', ',', ';']).filter(|word| !word.is_empty()) {
        if let Some(row) = name::TLS13.iter().find(|row| row.name == word) {
            if !suites.contains(&row) {
                suites.push(row);
            }
        } else if atom::TLS13_UNAVAILABLE.contains(&word) {
            notes.push(Note::Unavailable { word: word.to_owned() });
        } else {
            let known = name::TLS13.iter().map(|row| row.name);
            notes
                .push(Note::Unknown { word: word.to_owned(), nearest: atom::nearest(word, known) });
        }
    }
    if suites.is_empty() { Err(empty(text, &name::TLS13)) } else { Ok(Selection { suites, notes }) }
}

fn empty(text: &str, rows: &'static [SuiteName]) -> CipherError {
    let has = joined(&rows.iter().collect::<Vec<_>>());
    CipherError::Empty { text: text.to_owned(), has }
}

fn joined(suites: &[Suite]) -> String {
    suites.iter().map(|row| row.name).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
#[path = "cipher_test.rs"]
mod tests;
