//! Message text on its way in: where it ends, what is stuffed, and whether its lines are sound.
//!
//! Owns the rule that only CRLF `.` CRLF ends a message (RFC 5321 4.1.1.4, and the attacks known as
//! SMTP smuggling): every other arrangement of CR, LF and dot is content, and content with a bare
//! CR or LF is refused once its end has come, so that both sides stay in step.

use bytes::BytesMut;
use memchr::{memchr, memchr2};

/// Room kept free before the text, so that trace fields go in front without copying the message.
pub const HEADROOM_BYTES: usize = 2048;

/// Most bytes set aside because a client announced them.
const MAX_RESERVED_BYTES: u64 = 64 * 1024;

/// Why a message is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A CR without LF, or a LF without CR.
    BareLineEnd,
    /// Longer than allowed.
    TooLarge,
    /// No memory for it now.
    NoRoom,
}

/// The text of a message as far as it has come.
#[derive(Debug)]
pub(super) enum Body {
    /// Headroom and text.
    Kept { bytes: BytesMut, max_bytes: u64 },
    /// Read on, kept no more.
    Dropped(Fault),
}

impl Body {
    pub(super) fn new(max_bytes: u64, announced_bytes: Option<u64>) -> Self {
        let reserved = announced_bytes.unwrap_or(0).clamp(4096, MAX_RESERVED_BYTES);
        let reserved = usize::try_from(reserved).unwrap_or(4096);
        let mut bytes = BytesMut::with_capacity(HEADROOM_BYTES + reserved);
        bytes.resize(HEADROOM_BYTES, 0);
        Self::Kept { bytes, max_bytes }
    }

    fn push(&mut self, text: &[u8]) {
        let Self::Kept { bytes, max_bytes } = self else { return };
        let grown = (bytes.len() - HEADROOM_BYTES + text.len()) as u64;
        if grown > *max_bytes {
            self.drop_for(Fault::TooLarge);
        } else {
            bytes.extend_from_slice(text);
        }
    }

    /// Lets go of the text. The first reason stays.
    pub(super) fn drop_for(&mut self, fault: Fault) {
        if let Self::Kept { .. } = self {
            *self = Self::Dropped(fault);
        }
    }

    /// Bytes of memory in use.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Kept { bytes, .. } => bytes.len(),
            Self::Dropped(_) => 0,
        }
    }
}

/// Where in a line the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// After CRLF, or at the start of the message.
    LineStart,
    /// Within a line.
    Line,
    /// After a CR.
    Cr,
    /// After a dot at the start of a line.
    Dot,
    /// After a dot at the start of a line and a CR.
    DotCr,
}

/// Reads the text after `DATA`: unstuffs dots, finds the end.
#[derive(Debug)]
pub(super) struct DataReader {
    at: At,
    pub(super) body: Body,
}

impl DataReader {
    pub(super) const fn new(body: Body) -> Self {
        Self { at: At::LineStart, body }
    }

    /// Takes text from the front of `input`; gives how many octets, and whether the end was among
    /// them. What follows the end is not taken.
    pub(super) fn read(&mut self, input: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        while taken < input.len() {
            if self.at == At::Line {
                let run = memchr2(b'\r', b'\n', &input[taken..]);
                let run = run.unwrap_or(input.len() - taken);
                self.body.push(&input[taken..taken + run]);
                taken += run;
            }
            let Some(byte) = input.get(taken) else { break };
            taken += 1;
            if self.step(*byte) {
                return (taken, true);
            }
        }
        (taken, false)
    }

    /// True at the end of the message.
    fn step(&mut self, byte: u8) -> bool {
        self.at = match (self.at, byte) {
            (At::DotCr, b'\n') => return true,
            (At::LineStart, b'.') => At::Dot,
            (At::LineStart | At::Line, b'\r') => At::Cr,
            (At::Dot, b'\r') => At::DotCr,
            (At::Cr, b'\n') => {
                self.body.push(b"\r\n");
                At::LineStart
            }
            (At::Cr | At::DotCr, b'\r') => {
                self.body.drop_for(Fault::BareLineEnd);
                At::Cr
            }
            (At::Cr | At::DotCr, _) | (At::LineStart | At::Line | At::Dot, b'\n') => {
                self.body.drop_for(Fault::BareLineEnd);
                At::Line
            }
            (At::LineStart | At::Line | At::Dot, byte) => {
                self.body.push(&[byte]);
                At::Line
            }
        };
        false
    }
}

/// Reads chunks of `BDAT`: no stuffing, lengths known, but the same rule about line ends, because
/// the message may leave by `DATA`.
#[derive(Debug)]
pub(super) struct ChunkReader {
    after_cr: bool,
    ends_line: bool,
    pub(super) body: Body,
}

impl ChunkReader {
    pub(super) const fn new(body: Body) -> Self {
        Self { after_cr: false, ends_line: true, body }
    }

    pub(super) fn read(&mut self, input: &[u8]) {
        if input.is_empty() {
            return;
        }
        if !self.lines_sound(input) {
            self.body.drop_for(Fault::BareLineEnd);
        }
        self.body.push(input);
        self.ends_line = input.ends_with(b"\n");
        self.after_cr = input.ends_with(b"\r");
    }

    /// Is every CR followed by LF and every LF preceded by CR, as far as can be seen?
    fn lines_sound(&self, input: &[u8]) -> bool {
        let mut after_cr = self.after_cr;
        let mut rest = input;
        loop {
            if after_cr {
                match rest.first() {
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => return false,
                    None => return true,
                }
            }
            match memchr2(b'\r', b'\n', rest) {
                Some(n) if rest[n] == b'\r' => rest = &rest[n + 1..],
                Some(_) => return false,
                None => return true,
            }
            after_cr = true;
        }
    }

    /// The last chunk has come. A last line without CRLF gets one.
    pub(super) fn finish(mut self) -> Body {
        if self.after_cr {
            self.body.drop_for(Fault::BareLineEnd);
        } else if !self.ends_line {
            self.body.push(b"\r\n");
        }
        self.body
    }
}

/// A command line at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its CRLF, and how many octets it takes with it.
    Whole(&'a [u8], usize),
    /// The end has not come yet.
    Partial,
    /// A LF without CR ends it: that is not the end of a line.
    BareLf,
    /// Longer than allowed: this many octets of it are here, and its end is beyond them.
    TooLong(usize),
}

/// Finds the line that `input` starts with; `max_bytes` counts its CRLF.
pub(super) fn first_line(input: &[u8], max_bytes: usize) -> Line<'_> {
    match memchr(b'\n', input) {
        Some(end) if end >= max_bytes => Line::TooLong(max_bytes),
        Some(end) if end > 0 && input[end - 1] == b'\r' => Line::Whole(&input[..end - 1], end + 1),
        Some(_) => Line::BareLf,
        None if input.len() >= max_bytes => Line::TooLong(max_bytes),
        None => Line::Partial,
    }
}

#[cfg(test)]
#[path = "text_test.rs"]
mod tests;
