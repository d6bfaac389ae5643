//! Server replies (RFC 5321 4.2, enhanced codes of RFC 2034).
//!
//! Owns the form on the wire: no reply line ever holds a control character or exceeds the length
//! of RFC 5321 4.5.3.1.5, whatever text it was made from.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

/// Octets of a reply line with code and CRLF (RFC 5321 4.5.3.1.5).
const MAX_LINE_BYTES: usize = 512;
/// Lines of a reply; what is beyond is left out.
const MAX_LINES: usize = 100;

/// An enhanced status code (RFC 3463).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced(pub u8, pub u16, pub u16);

/// One reply of one or more lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    lines: Vec<Cow<'static, str>>,
}

impl Reply {
    /// A reply with an enhanced code, whose class is that of `code`.
    #[must_use]
    pub fn new(code: u16, subject: u16, detail: u16, text: impl Into<Cow<'static, str>>) -> Self {
        let class = u8::try_from(code / 100).unwrap_or(5);
        let enhanced = Some(Enhanced(class, subject, detail));
        Self { code, enhanced, lines: vec![text.into()] }
    }

    /// A reply without enhanced code: banner, EHLO, and intermediate replies.
    #[must_use]
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, lines: vec![text.into()] }
    }

    /// Adds a line.
    #[must_use]
    pub fn line(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.lines.push(text.into());
        self
    }

    /// The three-digit code.
    #[must_use]
    pub const fn code(&self) -> u16 {
        self.code
    }

    /// `4xx`.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Appends the reply as it goes on the wire.
    pub fn write(&self, out: &mut BytesMut) {
        let last = self.lines.len().min(MAX_LINES) - 1;
        for (i, text) in self.lines.iter().take(MAX_LINES).enumerate() {
            let separator = if i == last { ' ' } else { '-' };
            let mut line = format!("{}{separator}", self.code);
            if let Some(Enhanced(class, subject, detail)) = self.enhanced {
                line.push_str(&format!("{class}.{subject}.{detail} "));
            }
            push_visible(&mut line, text);
            out.put_slice(line.as_bytes());
            out.put_slice(b"\r\n");
        }
    }
}

/// Appends `text` as far as the line has room, controls replaced.
fn push_visible(line: &mut String, text: &str) {
    for c in text.chars() {
        let c = if c.is_control() { '?' } else { c };
        if line.len() + c.len_utf8() + "\r\n".len() > MAX_LINE_BYTES {
            return;
        }
        line.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(reply: &Reply, expected: &str) {
        let mut out = BytesMut::new();
        reply.write(&mut out);
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn writes_codes_on_every_line() {
        check(&Reply::new(250, 2, 0, "ok"), "250 2.2.0 ok\r\n");
        check(&Reply::plain(354, "send message"), "354 send message\r\n");
        check(&Reply::plain(250, "a").line("b").line("c"), "250-a\r\n250-b\r\n250 c\r\n");
        check(&Reply::new(214, 0, 0, "a").line("b"), "214-2.0.0 a\r\n214 2.0.0 b\r\n");
    }

    #[test]
    fn text_cannot_leave_its_line() {
        check(&Reply::new(550, 7, 1, "a\r\n250 b\0"), "550 5.7.1 a??250 b?\r\n");
        let mut out = BytesMut::new();
        Reply::new(550, 7, 1, "ü".repeat(600)).write(&mut out);
        assert_eq!(out.len(), 512);
        assert!(std::str::from_utf8(&out).is_ok());
    }

    #[test]
    fn a_reply_has_at_most_a_hundred_lines() {
        let mut reply = Reply::plain(250, "first");
        for _ in 0..200 {
            reply = reply.line("x");
        }
        let mut out = BytesMut::new();
        reply.write(&mut out);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(text.lines().count(), 100);
        assert!(text.ends_with("250 x\r\n"));
    }
}
