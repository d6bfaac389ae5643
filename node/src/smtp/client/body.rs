//! The bytes of a message as they go out: slices of what is stored, nothing copied.

use bytes::Bytes;

/// Most bytes of a slice, and what is held back until the end is allowed.
pub(super) const SLICE_BYTES: usize = 64 * 1024;

/// A message on its way out, without its end.
#[derive(Debug)]
pub(super) struct BodyWriter {
    body: Bytes,
    at: usize,
    dotted: bool,
}

impl BodyWriter {
    /// For DATA: lines that begin with a dot get another one (RFC 5321 4.5.2).
    pub(super) fn dotted(body: Bytes) -> (Option<Bytes>, Self) {
        let first = body.starts_with(b".").then(|| body.slice(..1));
        (first, Self { body, at: 0, dotted: true })
    }

    /// For BDAT: as it is.
    pub(super) const fn plain(body: Bytes) -> Self {
        Self { body, at: 0, dotted: false }
    }

    /// True when what is left may only go out together with the end.
    pub(super) fn is_at_end(&self) -> bool {
        self.body.len() - self.at <= SLICE_BYTES
    }

    /// The next slice; none at the end of the message.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let rest = &self.body[self.at..];
        if rest.is_empty() {
            return None;
        }
        let limit = rest.len().min(SLICE_BYTES);
        // Two bytes further, so that a line end that the slice cuts is seen.
        let searched = &rest[..rest.len().min(limit + 2)];
        let stuffed = if self.dotted { memchr::memmem::find(searched, b"\r\n.") } else { None };
        let length = stuffed.map_or(limit, |at| at + 3);
        let slice = self.body.slice(self.at..self.at + length);
        // The dot belongs to this slice and to the next one: that doubles it.
        self.at += length - usize::from(stuffed.is_some());
        Some(slice)
    }

    /// What ends a message sent by DATA.
    pub(super) fn terminator(&self) -> Bytes {
        if self.body.is_empty() || self.body.ends_with(b"\r\n") {
            Bytes::from_static(b".\r\n")
        } else {
            Bytes::from_static(b"\r\n.\r\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(body: &[u8]) -> Vec<u8> {
        let (first, mut writer) = BodyWriter::dotted(Bytes::copy_from_slice(body));
        let mut out = first.unwrap_or_default().to_vec();
        while let Some(slice) = writer.next() {
            assert!(slice.len() <= SLICE_BYTES + 2);
            out.extend_from_slice(&slice);
        }
        out.extend_from_slice(&writer.terminator());
        out
    }

    #[test]
    fn dots_at_line_starts_are_doubled() {
        fn check(body: &str, expected: &str) {
            assert_eq!(String::from_utf8_lossy(&sent(body.as_bytes())), expected);
        }
        check("", ".\r\n");
        check("a\r\n", "a\r\n.\r\n");
        check("a", "a\r\n.\r\n");
        check(".", "..\r\n.\r\n");
        check(".\r\n.\r\n..\r\n", "..\r\n..\r\n...\r\n.\r\n");
        check("a.b\r\n.c\r\n", "a.b\r\n..c\r\n.\r\n");
        check("a\n.b\r\n", "a\n.b\r\n.\r\n");
    }

    #[test]
    fn a_slice_that_ends_in_a_line_end_does_not_lose_a_dot() {
        for before in SLICE_BYTES - 4..SLICE_BYTES + 2 {
            let mut body = vec![b'x'; before];
            body.extend_from_slice(b"\r\n.y\r\n");
            let mut expected = vec![b'x'; before];
            expected.extend_from_slice(b"\r\n..y\r\n.\r\n");
            assert!(sent(&body) == expected, "{before}");
        }
    }

    #[test]
    fn bdat_changes_nothing() {
        let body = Bytes::from_static(b".\r\n.\r\n");
        let mut writer = BodyWriter::plain(body.clone());
        assert!(writer.is_at_end());
        assert_eq!(writer.next(), Some(body));
        assert_eq!(writer.next(), None);
    }
}
