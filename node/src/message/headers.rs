//! The header section of a message as bytes: finding, counting and leaving out fields without
//! touching the rest (RFC 5322 2.2).

use std::ops::Range;

/// One field, by its place in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// The name.
    name: Range<usize>,
    /// The whole field with folded lines and final CRLF.
    whole: Range<usize>,
}

/// The fields of a message, in order.
///
/// Lines that belong to no field (a body without headers, a first line that is folded) end the
/// section: they are body.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    message: &'a [u8],
    fields: Vec<Field>,
    end: usize,
    body: usize,
}

impl<'a> Headers<'a> {
    /// Finds the header section at the start of `message`. Lines end with CRLF.
    #[must_use]
    pub fn parse(message: &'a [u8]) -> Self {
        let mut fields: Vec<Field> = Vec::new();
        let mut at = 0;
        while at < message.len() {
            let next = line_end(message, at);
            let line = &message[at..next];
            if line == b"\r\n" {
                return Self { message, fields, end: at, body: next };
            }
            if matches!(line.first(), Some(b' ' | b'\t')) {
                match fields.last_mut() {
                    Some(field) => field.whole.end = next,
                    None => break,
                }
            } else if let Some(colon) = field_name_end(line) {
                fields.push(Field { name: at..at + colon, whole: at..next });
            } else {
                break;
            }
            at = next;
        }
        Self { message, fields, end: at, body: at }
    }

    /// Where the body starts: after the blank line.
    #[must_use]
    pub const fn body_offset(&self) -> usize {
        self.body
    }

    /// The header section as it stands, without the blank line.
    #[must_use]
    pub fn section(&self) -> &'a [u8] {
        &self.message[..self.end]
    }

    /// The value of the first field with this name: unfolded, trimmed, invalid UTF-8 replaced.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let field = self.named(name).next()?;
        let value = &self.message[field.name.end + 1..field.whole.end];
        let text = String::from_utf8_lossy(value);
        Some(text.replace("\r\n", "").trim().to_owned())
    }

    /// How many fields have this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// The header section without the named fields; the blank line is not included.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.end);
        for field in &self.fields {
            let name = &self.message[field.name.clone()];
            if !names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(trim_end(name))) {
                kept.extend_from_slice(&self.message[field.whole.clone()]);
            }
        }
        kept
    }

    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Field> + 's {
        self.fields.iter().filter(move |field| {
            trim_end(&self.message[field.name.clone()]).eq_ignore_ascii_case(name.as_bytes())
        })
    }
}

/// The offset after the line that starts at `at`.
fn line_end(message: &[u8], at: usize) -> usize {
    memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |n| at + n + 1)
}

/// Length of the field name, if the line is a field: printable ASCII without blank, then a colon.
/// Blanks before the colon are obsolete syntax (RFC 5322 4.5) and still read.
fn field_name_end(line: &[u8]) -> Option<usize> {
    let colon = memchr::memchr(b':', line)?;
    let name = trim_end(&line[..colon]);
    let valid = !name.is_empty() && name.iter().all(|b| (33..=126).contains(b));
    valid.then_some(colon)
}

fn trim_end(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |n| n + 1);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"Received: from a\r\n\tby b\r\nX-Job: spring \r\nSubject : hi\r\n\
        x-job: second\r\n\r\nbody: not a header\r\n";

    #[test]
    fn fields_are_found_unfolded_and_in_any_case() {
        let headers = Headers::parse(MESSAGE);
        assert_eq!(headers.get("received").as_deref(), Some("from a\tby b"));
        assert_eq!(headers.get("X-JOB").as_deref(), Some("spring"));
        assert_eq!(headers.get("subject").as_deref(), Some("hi"));
        assert_eq!(headers.get("body"), None);
        assert_eq!(headers.count("x-job"), 2);
        assert_eq!(&MESSAGE[headers.body_offset()..], b"body: not a header\r\n");
    }

    #[test]
    fn leaving_out_removes_every_field_of_that_name_with_its_folds() {
        let headers = Headers::parse(MESSAGE);
        assert_eq!(headers.without(&["x-job", "RECEIVED"]), b"Subject : hi\r\n");
        assert_eq!(headers.without(&[]), headers.section());
    }

    #[test]
    fn a_message_without_headers_is_all_body() {
        for text in [&b"no header here\r\n"[..], b" folded first\r\n", b"", b"\r\n"] {
            let headers = Headers::parse(text);
            assert!(headers.section().is_empty(), "{text:?}");
            assert_eq!(headers.count("no header here"), 0);
        }
        assert_eq!(Headers::parse(b"\r\nx").body_offset(), 2);
    }

    #[test]
    fn a_line_that_is_no_field_ends_the_section() {
        let headers = Headers::parse(b"A: 1\r\nnot a field\r\nB: 2\r\n");
        assert_eq!(headers.section(), b"A: 1\r\n");
        assert_eq!(headers.body_offset(), 6);
    }
}
