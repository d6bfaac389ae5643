use proptest::prelude::*;

use super::*;

const NO_LIMIT: u64 = u64::MAX;

fn text(body: &Body) -> Result<&[u8], Fault> {
    match body {
        Body::Kept { bytes, .. } => Ok(&bytes[HEADROOM_BYTES..]),
        Body::Dropped(fault) => Err(*fault),
    }
}

/// Reads in one piece and octet by octet; both must agree.
fn read_data(input: &[u8]) -> (usize, bool, Result<Vec<u8>, Fault>) {
    let mut whole = DataReader::new(Body::new(NO_LIMIT, None));
    let (taken, ended) = whole.read(input);
    let mut pieces = DataReader::new(Body::new(NO_LIMIT, None));
    for byte in &input[..taken] {
        assert_eq!(pieces.read(&[*byte]).0, 1);
    }
    let content = text(&whole.body).map(<[u8]>::to_vec);
    assert_eq!(text(&pieces.body).map(<[u8]>::to_vec), content);
    (taken, ended, content)
}

#[test]
fn only_a_dot_between_line_ends_ends_a_message() {
    fn check(input: &[u8], expected: &[u8]) {
        let (taken, ended, content) = read_data(input);
        assert!(ended && taken == input.len(), "{input:?}");
        assert_eq!(content.as_deref(), Ok(expected), "{input:?}");
    }
    check(b"a\r\n.\r\n", b"a\r\n");
    check(b".\r\n", b"");
    check(b"\r\n.\r\n", b"\r\n");
    check(b"..\r\n.\r\n", b".\r\n");
    check(b".a\r\n...\r\n.\r\n", b"a\r\n..\r\n");
    check(b"a.\r\nb.c\r\n.\r\n", b"a.\r\nb.c\r\n");
    check(b"\0.\r\n.\r\n", b"\0.\r\n");
}

#[test]
fn other_endings_are_content_that_is_refused() {
    for ending in [
        &b"\n.\n"[..],
        b"\n.\r\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\r",
        b"\r\n.\n",
        b"\r\n.\r\r\n",
        b"\r\r\n.\r\r\n",
        b"\n\n.\r\n",
    ] {
        let input = [b"a", ending, b"b\r\n.\r\n"].concat();
        let (taken, ended, content) = read_data(&input);
        assert!(ended, "{ending:?}");
        assert_eq!((taken, content), (input.len(), Err(Fault::BareLineEnd)), "{ending:?}");
    }
}

#[test]
fn what_follows_the_end_is_left() {
    let (taken, ended, content) = read_data(b"a\r\n.\r\nMAIL FROM:<>\r\n");
    assert_eq!((taken, ended, content.as_deref()), (6, true, Ok(&b"a\r\n"[..])));
}

#[test]
fn a_body_over_the_limit_is_dropped_and_read_on() {
    let mut reader = DataReader::new(Body::new(3, Some(u64::MAX)));
    assert_eq!(reader.read(b"a\r\n"), (3, false));
    assert_eq!(text(&reader.body), Ok(&b"a\r\n"[..]));
    assert_eq!(reader.read(b"b"), (1, false));
    assert_eq!(text(&reader.body), Err(Fault::TooLarge));
    assert_eq!(reader.body.held_bytes(), 0);
    assert_eq!(reader.read(b"\r\n.\r\n"), (5, true));
}

#[test]
fn chunks_keep_dots_and_sound_lines() {
    fn check(chunks: &[&[u8]], expected: Result<&[u8], Fault>) {
        let mut reader = ChunkReader::new(Body::new(NO_LIMIT, None));
        for chunk in chunks {
            reader.read(chunk);
        }
        let body = reader.finish();
        assert_eq!(text(&body), expected, "{chunks:?}");
    }
    check(&[b"a\r\n.\r\nb\r\n"], Ok(b"a\r\n.\r\nb\r\n"));
    check(&[b"a\r", b"\nb"], Ok(b"a\r\nb\r\n"));
    check(&[b"a\r\n", b"", b"b\r\n"], Ok(b"a\r\nb\r\n"));
    check(&[], Ok(b""));
    check(&[b"a\r", b"b\r\n"], Err(Fault::BareLineEnd));
    check(&[b"a\nb\r\n"], Err(Fault::BareLineEnd));
    check(&[b"a\r\n\n"], Err(Fault::BareLineEnd));
    check(&[b"\n"], Err(Fault::BareLineEnd));
    check(&[b"a\r"], Err(Fault::BareLineEnd));
    check(&[b"a\r\r\n"], Err(Fault::BareLineEnd));
}

#[test]
fn lines_end_with_crlf_alone() {
    assert_eq!(first_line(b"NOOP\r\nx", 10), Line::Whole(b"NOOP", 6));
    assert_eq!(first_line(b"\r\n", 10), Line::Whole(b"", 2));
    assert_eq!(first_line(b"NOOP\r", 10), Line::Partial);
    assert_eq!(first_line(b"NOOP\n", 10), Line::BareLf);
    assert_eq!(first_line(b"\n", 10), Line::BareLf);
    assert_eq!(first_line(b"12345678\r\n", 10), Line::Whole(b"12345678", 10));
    assert_eq!(first_line(b"123456789\r\nx", 10), Line::TooLong(10));
    assert_eq!(first_line(b"1234567890", 10), Line::TooLong(10));
}

proptest! {
    /// The rule said slowly: the first CRLF `.` CRLF ends, counting from a CRLF before the text.
    #[test]
    fn the_reader_agrees_with_a_plain_search(input in "[\r\n.a]{0,40}") {
        let framed = format!("\r\n{input}");
        let end = framed.find("\r\n.\r\n");
        let (taken, ended, content) = read_data(input.as_bytes());
        prop_assert_eq!(ended, end.is_some());
        if let Some(end) = end {
            prop_assert_eq!(taken, end + 3);
            let raw = &framed[..end + 2];
            let sound = raw.replace("\r\n", "").chars().all(|c| !"\r\n".contains(c));
            let plain = raw.replace("\r\n.", "\r\n")[2..].to_owned();
            let expected = if sound { Ok(plain.into_bytes()) } else { Err(Fault::BareLineEnd) };
            prop_assert_eq!(content, expected);
        }
    }
}
