//! The working list of a cipher string: OpenSSL's rules applied one after the other.

use super::atom::{self, Atom, STRENGTH_MASK};
use super::{Note, Suite};
use crate::tls::name;

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
pub(super) struct List {
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
    /// Activates every suite: what `DEFAULT` at the head of a string does.
    pub(super) fn add_all(&mut self) {
        self.add(Wanted::all());
    }

    /// Applies the rule at the head of `text` and returns the rest; none when it is malformed.
    pub(super) fn rule<'a>(&mut self, text: &'a str) -> Option<&'a str> {
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

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    fn split(&self, pick: impl Fn(&Entry) -> bool) -> (Vec<Entry>, Vec<Entry>) {
        self.entries.iter().partition(|e| pick(e))
    }

    pub(super) fn active(&self) -> Vec<Suite> {
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
