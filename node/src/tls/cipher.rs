//! OpenSSL cipher strings, with OpenSSL's exact semantics, on the suites that rustls has.
//!
//! The string selects and orders the six TLS 1.2 suites. Cutting OpenSSL's hundred and sixty
//! suites down to these six is exact, because every operation of the language acts on each suite
//! alone and keeps relative order. TLS 1.3 suites are not steered by it, in OpenSSL neither; they
//! have a list of their own.

mod atom;

use super::name::{self, SuiteName};
use atom::{Atom, STRENGTH_MASK};

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

/// Reads a cipher string for TLS 1.2.
///
/// # Errors
/// When OpenSSL would refuse it, or when it selects none of the six suites: all suites instead of
/// none would widen what the operator narrowed.
pub fn select(text: &str) -> Result<Selection, CipherError> {
    let mut list = List::default();
    let mut rest = atom::suite_b(text).unwrap_or(text);
    if let Some(tail) = rest.strip_prefix("DEFAULT") {
        list.add(Wanted::all());
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
    Ok(Selection { suites, notes: list.notes })
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

/// What a token asks for: suites by bit, narrowed by strength classes.
#[derive(Clone, Copy)]
struct Wanted {
    suites: u8,
    strength: u8,
}

impl Wanted {
    const fn all() -> Self {
        Self { suites: u8::MAX, strength: 0 }
    }

    /// None when nothing can have both properties: OpenSSL then ignores the whole token.
    fn and(self, atom: &Atom) -> Option<Self> {
        let strength = match (self.strength, atom.strength & STRENGTH_MASK) {
            (0, other) | (other, 0) => other,
            (one, other) if one & other == 0 => return None,
            (one, other) => one & other,
        };
        Some(Self { suites: self.suites & atom.suites, strength })
    }

    fn has(self, index: usize) -> bool {
        let strength_fits = self.strength == 0 || self.strength & atom::strength_of(index) != 0;
        self.suites & (1 << index) != 0 && strength_fits
    }
}

#[derive(Clone, Copy)]
struct Entry {
    index: usize,
    active: bool,
}

/// OpenSSL's working list: every suite not killed, active or not.
struct List {
    entries: Vec<Entry>,
    notes: Vec<Note>,
}

impl Default for List {
    fn default() -> Self {
        let entries = (0..name::TLS12.len()).map(|index| Entry { index, active: false });
        Self { entries: entries.collect(), notes: Vec::new() }
    }
}

impl List {
    /// Applies the rule at the head of `text` and returns the rest; none when it is malformed.
    fn rule<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let first = text.chars().next()?;
        if is_separator(first) {
            return Some(&text[1..]);
        }
        let body = text.strip_prefix(['-', '+', '!', '@']).unwrap_or(text);
        if first == '@' {
            return self.command(body);
        }
        let (wanted, rest) = self.token(body, first)?;
        if let Some(wanted) = wanted {
            match first {
                '+' => self.order(wanted),
                '-' => self.remove(wanted),
                '!' => self.entries.retain(|e| !wanted.has(e.index)),
                _ => self.add(wanted),
            }
            return Some(rest);
        }
        Some(skip_to_separator(rest))
    }

    /// `@STRENGTH` and `@SECLEVEL=n`; the rest of the token is thrown away.
    fn command<'a>(&mut self, body: &'a str) -> Option<&'a str> {
        let (word, rest) = word(body);
        match word.as_bytes() {
            b"STRENGTH" => {
                self.order_by_strength();
            }
            [b'S', b'E', b'C', b'L', b'E', b'V', b'E', b'L', b'=', b'0'..=b'5'] => {}
            _ => return None,
        }
        Some(skip_to_separator(rest))
    }

    /// Reads `A+B+C`: what it asks for, or none when it is to be ignored, and where it ended.
    fn token<'a>(&mut self, body: &'a str, sign: char) -> Option<(Option<Wanted>, &'a str)> {
        let mut wanted = Wanted::all();
        let mut rest = body;
        loop {
            let (word, tail) = word(rest);
            if word.is_empty() {
                return None;
            }
            rest = tail;
            let Some(atom) = atom::find(word) else {
                let nearest = atom::nearest(word, atom::names());
                self.notes.push(Note::Unknown { word: word.to_owned(), nearest });
                return Some((None, rest));
            };
            let narrowed = wanted.and(&atom);
            let more = rest.strip_prefix('+');
            if narrowed.is_none() || more.is_none() {
                let text = &body[..body.len() - rest.len()];
                self.note_unavailable(text, sign, narrowed);
                return Some((narrowed, more.unwrap_or(rest)));
            }
            wanted = narrowed?;
            rest = more?;
        }
    }

    /// Only what was to be added is worth a word: what is to be taken away is not here anyway.
    fn note_unavailable(&mut self, text: &str, sign: char, wanted: Option<Wanted>) {
        let selects = |wanted: Wanted| (0..name::TLS12.len()).any(|index| wanted.has(index));
        if !matches!(sign, '+' | '-' | '!') && !wanted.is_some_and(selects) {
            self.notes.push(Note::Unavailable { word: text.to_owned() });
        }
    }

    /// Inactive ones become active at the end of the list, in their order.
    fn add(&mut self, wanted: Wanted) {
        let (moved, kept) = self.split(|e| !e.active && wanted.has(e.index));
        self.entries = kept;
        self.entries.extend(moved.into_iter().map(|e| Entry { active: true, ..e }));
    }

    /// Active ones move to the end, in their order.
    fn order(&mut self, wanted: Wanted) {
        let (moved, kept) = self.split(|e| e.active && wanted.has(e.index));
        self.entries = kept;
        self.entries.extend(moved);
    }

    /// Active ones become inactive at the head, in their order: adding again restores it.
    fn remove(&mut self, wanted: Wanted) {
        let (moved, kept) = self.split(|e| e.active && wanted.has(e.index));
        self.entries = moved.into_iter().map(|e| Entry { active: false, ..e }).collect();
        self.entries.extend(kept);
    }

    fn order_by_strength(&mut self) {
        let (mut active, inactive) = self.split(|e| e.active);
        active.sort_by_key(|e| std::cmp::Reverse(name::TLS12[e.index].bits));
        self.entries = inactive;
        self.entries.extend(active);
    }

    fn split(&self, pick: impl Fn(&Entry) -> bool) -> (Vec<Entry>, Vec<Entry>) {
        self.entries.iter().partition(|e| pick(e))
    }

    fn active(&self) -> Vec<Suite> {
        self.entries.iter().filter(|e| e.active).map(|e| &name::TLS12[e.index]).collect()
    }
}

const fn is_separator(c: char) -> bool {
    matches!(c, ':' | ' ' | ';' | ',')
}

/// Splits off the longest run of characters that names are made of.
fn word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '='))
        .unwrap_or(text.len());
    text.split_at(end)
}

fn skip_to_separator(text: &str) -> &str {
    text.find(is_separator).map_or("", |at| &text[at..])
}

#[cfg(test)]
#[path = "cipher_test.rs"]
mod tests;
