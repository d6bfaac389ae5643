//! What a server answers: replies of one or more lines (RFC 5321 4.2), read from a stream whose
//! sender is not trusted.

use std::fmt;

use crate::smtp::reply::Enhanced;

/// Bytes of one line. RFC 5321 4.5.3.1.5 says 512; servers that write more are in use.
const MAX_LINE_BYTES: usize = 4096;
/// Lines of one reply.
const MAX_LINES: usize = 100;
/// Bytes of one reply.
const MAX_BYTES: usize = 8192;
/// Characters of [`Answer`]'s text form: it is kept in the queue and in accounting rows.
const MAX_TEXT_CHARS: usize = 1000;

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The three-digit code, 200 to 599.
    pub code: u16,
    /// The enhanced code at the start of the first line, when its class agrees with `code`.
    pub enhanced: Option<Enhanced>,
    /// Texts after the code, enhanced codes included; at least one. Printable, and UTF-8.
    pub lines: Vec<String>,
}

impl Answer {
    /// `2xx`.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// `4xx`.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// `5xx`.
    #[must_use]
    pub const fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// The server ends the session (RFC 5321 4.2.3).
    #[must_use]
    pub const fn closes_service(&self) -> bool {
        self.code == 421
    }
}

/// Code first, lines joined by blanks; an enhanced code that repeats is written once.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = self.enhanced.map(|Enhanced(c, s, d)| format!("{c}.{s}.{d}"));
        let mut text = self.code.to_string();
        for (i, line) in self.lines.iter().enumerate() {
            let line = match &prefix {
                Some(prefix) if i > 0 => line.strip_prefix(prefix.as_str()).unwrap_or(line),
                Some(_) | None => line,
            };
            let line = line.trim();
            if !line.is_empty() {
                text.push(' ');
                text.push_str(line);
            }
        }
        match text.char_indices().nth(MAX_TEXT_CHARS) {
            Some((cut, _)) => f.write_str(&text[..cut]),
            None => f.write_str(&text),
        }
    }
}

/// The stream is not one of SMTP replies, or too much of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// No line end within the limit.
    #[error("a reply line is too long")]
    LineTooLong,
    /// Too many lines or bytes.
    #[error("a reply is too long")]
    TooLong,
    /// A line does not begin with a code from 200 to 599 and a blank or hyphen.
    #[error("not an SMTP reply: {0}")]
    NotAReply(String),
    /// The lines of one reply have different codes.
    #[error("the lines of a reply have different codes")]
    CodeChanged,
}

/// Collects bytes into replies.
#[derive(Debug, Default)]
pub(super) struct AnswerReader {
    line: Vec<u8>,
    code: Option<u16>,
    lines: Vec<String>,
    size_bytes: usize,
}

impl AnswerReader {
    /// Takes bytes from the front of `input` until a reply is complete or `input` is empty.
    ///
    /// # Errors
    ///
    /// When a limit is passed or the bytes are no reply. The stream cannot be read on.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Answer>, AnswerError> {
        while let Some(line) = self.next_line(input)? {
            if let Some(answer) = self.add(&line)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// A line without its end. A bare LF ends a line too: the server has no message to smuggle.
    fn next_line(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, AnswerError> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + taken > MAX_LINE_BYTES {
            return Err(AnswerError::LineTooLong);
        }
        self.line.extend_from_slice(&input[..taken]);
        *input = &input[taken..];
        if end.is_none() {
            return Ok(None);
        }
        let mut line = std::mem::take(&mut self.line);
        self.size_bytes += line.len();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    fn add(&mut self, line: &[u8]) -> Result<Option<Answer>, AnswerError> {
        let (code, last, text) =
            split(line).ok_or_else(|| AnswerError::NotAReply(visible(line, 80)))?;
        if self.code.is_some_and(|earlier| earlier != code) {
            return Err(AnswerError::CodeChanged);
        }
        if self.lines.len() >= MAX_LINES || self.size_bytes > MAX_BYTES {
            return Err(AnswerError::TooLong);
        }
        self.lines.push(visible(text, MAX_LINE_BYTES));
        self.code = Some(code);
        if !last {
            return Ok(None);
        }
        self.code = None;
        self.size_bytes = 0;
        let lines = std::mem::take(&mut self.lines);
        Ok(Some(Answer { code, enhanced: enhanced(code, &lines[0]), lines }))
    }
}

/// Code, whether the line is the last one, and its text.
fn split(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if !(200..600).contains(&code) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    match rest.split_first() {
        None => Some((code, true, rest)),
        Some((b' ', text)) => Some((code, true, text)),
        Some((b'-', text)) => Some((code, false, text)),
        Some(_) => None,
    }
}

/// The enhanced code at the start of a line (RFC 2034 4): its class is that of the reply code.
fn enhanced(code: u16, line: &str) -> Option<Enhanced> {
    let word = line.split_whitespace().next()?;
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |part: &str| {
        let digits = (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    };
    let class = u8::try_from(number(class)?).ok()?;
    let agrees = matches!(class, 2 | 4 | 5) && u16::from(class) == code / 100;
    (agrees && parts.next().is_none()).then_some(Enhanced(class, number(subject)?, number(detail)?))
}

/// Text without anything that could end a line or move a cursor.
fn visible(bytes: &[u8], max_chars: usize) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(max_chars)
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '?',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Result<Option<Answer>, AnswerError> {
        AnswerReader::default().read(&mut &input[..])
    }

    #[test]
    fn replies_are_read_whatever_their_form() {
        fn check(input: &str, code: u16, enhanced: Option<Enhanced>, text: &str) {
            let answer = read(input.as_bytes()).unwrap().unwrap();
            assert_eq!((answer.code, answer.enhanced), (code, enhanced), "{input:?}");
            assert_eq!(answer.to_string(), text, "{input:?}");
        }
        check("250 ok\r\n", 250, None, "250 ok");
        check("250\r\n", 250, None, "250");
        check("250 ok\n", 250, None, "250 ok");
        check("250-a\r\n250-\r\n250 b\r\n", 250, None, "250 a b");
        let bad_mailbox = Some(Enhanced(5, 1, 1));
        check("550 5.1.1 <x@y> no\r\n", 550, bad_mailbox, "550 5.1.1 <x@y> no");
        check(
            "550-5.1.1 no such\r\n550 5.1.1 user\r\n",
            550,
            bad_mailbox,
            "550 5.1.1 no such user",
        );
        check("550 4.1.1 no\r\n", 550, None, "550 4.1.1 no");
        check("550 5.1 no\r\n", 550, None, "550 5.1 no");
        check("550 5.1.1000 no\r\n", 550, None, "550 5.1.1000 no");
        check("250 a\tb\x07c\r\n", 250, None, "250 a b?c");
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        fn check(input: &[u8], expected: &AnswerError) {
            assert_eq!(read(input).unwrap_err(), *expected);
        }
        check(b"hello\r\n", &AnswerError::NotAReply("hello".to_owned()));
        check(b"199 x\r\n", &AnswerError::NotAReply("199 x".to_owned()));
        check(b"600 x\r\n", &AnswerError::NotAReply("600 x".to_owned()));
        check(b"+50 x\r\n", &AnswerError::NotAReply("+50 x".to_owned()));
        check(b"250x\r\n", &AnswerError::NotAReply("250x".to_owned()));
        check(b"\r\n", &AnswerError::NotAReply(String::new()));
        check(b"250-a\r\n251 b\r\n", &AnswerError::CodeChanged);
        check(&[b'2'; 5000], &AnswerError::LineTooLong);
        check("250-x\r\n".repeat(101).as_bytes(), &AnswerError::TooLong);
        let long = format!("250-{}\r\n", "x".repeat(1000)).repeat(20);
        check(long.as_bytes(), &AnswerError::TooLong);
    }

    #[test]
    fn pieces_join_and_the_next_reply_stays() {
        let mut reader = AnswerReader::default();
        let mut input: &[u8] = b"250-on";
        assert_eq!(reader.read(&mut input), Ok(None));
        let mut input: &[u8] = b"e\r\n250 two\r\n354 go";
        assert_eq!(reader.read(&mut input).unwrap().unwrap().lines, ["one", "two"]);
        assert_eq!(input, b"354 go");
    }
}
