//! Lines and words: comments, quotes, patterns between slashes, tags.

use std::path::Path;
use std::sync::Arc;

use super::position::{SourceLine, Text};

/// Longest line in bytes.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// What cannot be a line or a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LexError {
    #[error("this quote is not closed on its line")]
    OpenQuote,
    #[error("a blank is expected after the closing quote")]
    GluedQuote,
    #[error("a pattern stands between slashes: /REGEX/")]
    NoPattern,
    #[error("the pattern's closing slash is missing")]
    OpenPattern,
    #[error("the tag's closing > is missing")]
    OpenTag,
    #[error("a tag stands on a line of its own")]
    AfterTag,
    #[error("the tag has no name")]
    EmptyTag,
}

/// One word of a line.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// As written, quotes included.
    pub(super) text: Text,
    /// Without quotes and escapes.
    pub(super) value: String,
    /// Was it in quotes?
    pub(super) quoted: bool,
}

/// The lines of a file. A byte order mark and carriage returns before line ends are dropped.
pub(super) fn lines(file: &Path, content: &str) -> Vec<Arc<SourceLine>> {
    let file: Arc<Path> = file.into();
    let content = content.strip_prefix('\u{feff}').unwrap_or(content);
    let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
    content
        .lines()
        .enumerate()
        .map(|(n, text)| SourceLine { file: file.clone(), number: number(n), text: text.into() })
        .map(Arc::new)
        .collect()
}

/// The line without its comment and outer blanks. Nothing hides a `#`, not even quotes.
pub(super) fn without_comment(line: &Text) -> Text {
    let end = line.as_str().find('#').unwrap_or(line.as_str().len());
    line.part(0, end).trim()
}

/// First word, ended by a blank, and the trimmed rest. No quotes are seen.
pub(super) fn split_word(text: &Text) -> (Text, Text) {
    let text = text.trim();
    let end = text.as_str().find(char::is_whitespace).unwrap_or(text.as_str().len());
    (text.part(0, end), text.after(end).trim())
}

/// The next word or quoted string, and the trimmed rest. None at the end of the line.
pub(super) fn take_token(text: &Text) -> Result<Option<(Token, Text)>, LexError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let Some(inner) = text.as_str().strip_prefix('"') else {
        let (word, rest) = split_word(&text);
        let value = word.as_str().to_owned();
        return Ok(Some((Token { text: word, value, quoted: false }, rest)));
    };
    let (value, length) = unquote(inner).ok_or(LexError::OpenQuote)?;
    let end = 1 + length;
    let rest = text.after(end);
    if rest.as_str().starts_with(|c: char| !c.is_whitespace()) {
        return Err(LexError::GluedQuote);
    }
    Ok(Some((Token { text: text.part(0, end), value, quoted: true }, rest.trim())))
}

/// Reads a quoted string behind its opening quote: its value, and the bytes read, closing quote
/// included. `\"` and `\\` are escapes, `""` is a quote; any other backslash stands for itself.
fn unquote(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (c, next) {
            ('\\', Some(escaped @ ('"' | '\\'))) => {
                value.push(escaped);
                chars.next();
            }
            ('"', Some('"')) => {
                value.push('"');
                chars.next();
            }
            ('"', _) => return Some((value, at + 1)),
            (c, _) => value.push(c),
        }
    }
    None
}

/// The rest of the line: unquoted if it is one quoted string, else as it stands.
pub(super) fn take_rest(text: &Text) -> Result<Option<Token>, LexError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    match take_token(&text) {
        Ok(Some((token, rest))) if token.quoted && rest.is_empty() => Ok(Some(token)),
        Err(LexError::OpenQuote) => Err(LexError::OpenQuote),
        Ok(_) | Err(_) => {
            let value = text.as_str().to_owned();
            Ok(Some(Token { text, value, quoted: false }))
        }
    }
}

/// `/REGEX/` and the trimmed rest; `\/` in it stands for a slash.
pub(super) fn take_pattern(text: &Text) -> Result<(Token, Text), LexError> {
    let text = text.trim();
    let inner = text.as_str().strip_prefix('/').ok_or(LexError::NoPattern)?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '/' => {
                let end = at + 2;
                let token = Token { text: text.part(0, end), value, quoted: false };
                return Ok((token, text.after(end).trim()));
            }
            '\\' => match chars.next() {
                Some((_, '/')) => value.push('/'),
                Some((_, other)) => value.extend(['\\', other]),
                None => return Err(LexError::OpenPattern),
            },
            c => value.push(c),
        }
    }
    Err(LexError::OpenPattern)
}

/// What stands between `<` and `>`.
#[derive(Clone, Debug)]
pub(super) struct Tag {
    /// Is it `</...>`?
    pub(super) closing: bool,
    /// Name without `<`, `/`, `>`.
    pub(super) name: Text,
    /// What follows the name, trimmed; may be empty.
    pub(super) argument: Text,
}

/// Reads a line that starts with `<`.
pub(super) fn read_tag(text: &Text) -> Result<Tag, LexError> {
    let end = text.as_str().rfind('>').ok_or(LexError::OpenTag)?;
    if !text.after(end + 1).trim().is_empty() {
        return Err(LexError::AfterTag);
    }
    let inner = text.part(1, end).trim();
    let closing = inner.as_str().starts_with('/');
    let inner = if closing { inner.after(1) } else { inner };
    let (name, argument) = split_word(&inner);
    if name.is_empty() { Err(LexError::EmptyTag) } else { Ok(Tag { closing, name, argument }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(s: &str) -> Text {
        Text::detached("c", s)
    }

    /// Writes a string so that [`take_token`] reads it back.
    fn quote(value: &str) -> String {
        let plain = |c: char| !c.is_whitespace() && c != '"';
        if !value.is_empty() && value.chars().all(plain) {
            return value.to_owned();
        }
        format!("\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
    }

    #[test]
    fn comments_start_anywhere_even_in_quotes() {
        for (line, expected) in [
            ("# all", ""),
            ("  log-file x   # why", "log-file x"),
            ("password \"a#b\"", "password \"a"),
            ("retry-after 1m#x", "retry-after 1m"),
            ("\t", ""),
        ] {
            assert_eq!(without_comment(&text(line)).as_str(), expected);
        }
    }

    #[test]
    fn words_are_split_at_blanks_and_quotes() {
        let cases: &[(&str, &[&str])] = &[
            ("a  b\tc", &["a", "b", "c"]),
            (r#""a b" c"#, &["a b", "c"]),
            (r#""a \"b\" \\ \x23" "#, &[r#"a "b" \ \x23"#]),
            (r#""--from=""$from"" --to=""$to""""#, &[r#"--from="$from" --to="$to""#]),
            (r#""" x"#, &["", "x"]),
            (r#""""a""""#, &["\"a\""]),
            (r#""c:\my stuff\\acctproc.exe""#, &[r"c:\my stuff\acctproc.exe"]),
            (r#"a"b c"#, &["a\"b", "c"]),
            ("", &[]),
        ];
        for (line, expected) in cases {
            let mut rest = text(line);
            let mut words = Vec::new();
            while let Some((token, after)) = take_token(&rest).unwrap() {
                words.push(token.value);
                rest = after;
            }
            assert_eq!(&words, expected, "{line}");
        }
    }

    #[test]
    fn broken_words_are_refused() {
        assert_eq!(take_token(&text("\"a b")).unwrap_err(), LexError::OpenQuote);
        assert_eq!(take_token(&text(r#""a\""#)).unwrap_err(), LexError::OpenQuote);
        assert_eq!(take_token(&text("\"a\"b")).unwrap_err(), LexError::GluedQuote);
    }

    #[test]
    fn the_rest_of_a_line_loses_its_quotes_only_as_a_whole() {
        for (line, expected) in [
            ("a b  c ", "a b  c"),
            ("\"a b\"", "a b"),
            ("\"a\" \"b\"", "\"a\" \"b\""),
            ("\"Mail\"@x", "\"Mail\"@x"),
        ] {
            assert_eq!(take_rest(&text(line)).unwrap().unwrap().value, expected);
        }
    }

    #[test]
    fn patterns_stand_between_slashes() {
        for (line, pattern, rest) in [
            ("/^5\\.1/ bad-mailbox", "^5\\.1", "bad-mailbox"),
            ("// other", "", "other"),
            (r"/a\/b\\/ x", r"a/b\\", "x"),
            ("/a b/", "a b", ""),
        ] {
            let (token, after) = take_pattern(&text(line)).unwrap();
            assert_eq!((token.value.as_str(), after.as_str()), (pattern, rest));
        }
        assert_eq!(take_pattern(&text("a")).unwrap_err(), LexError::NoPattern);
        assert_eq!(take_pattern(&text("/a\\/")).unwrap_err(), LexError::OpenPattern);
        assert_eq!(take_pattern(&text("/a\\")).unwrap_err(), LexError::OpenPattern);
    }

    #[test]
    fn tags_have_a_name_and_perhaps_an_argument() {
        for (line, closing, name, argument) in [
            ("<domain *>", false, "domain", "*"),
            ("<mx-rollup-list >", false, "mx-rollup-list", ""),
            ("< Source  0/0 >", false, "Source", "0/0"),
            ("</domain>", true, "domain", ""),
            ("</domain-key-list k>", true, "domain-key-list", "k"),
            (
                "<acct-file |/usr/bin/php a.php --x=y>",
                false,
                "acct-file",
                "|/usr/bin/php a.php --x=y",
            ),
        ] {
            let tag = read_tag(&text(line)).unwrap();
            let found = (tag.closing, tag.name.as_str(), tag.argument.as_str());
            assert_eq!(found, (closing, name, argument));
        }
        assert_eq!(read_tag(&text("<a")).unwrap_err(), LexError::OpenTag);
        assert_eq!(read_tag(&text("<a> b")).unwrap_err(), LexError::AfterTag);
        assert_eq!(read_tag(&text("</>")).unwrap_err(), LexError::EmptyTag);
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(value in "[^#\r\n]{0,40}") {
            let line = format!("{} tail", quote(&value));
            let (token, rest) = take_token(&text(&line)).unwrap().unwrap();
            prop_assert_eq!(token.value, value);
            prop_assert_eq!(rest.as_str(), "tail");
        }

        #[test]
        fn no_line_makes_the_lexer_panic(line in "\\PC{0,60}") {
            let line = without_comment(&text(&line));
            let _ = take_token(&line);
            let _ = take_rest(&line);
            let _ = take_pattern(&line);
            if line.as_str().starts_with('<') {
                let _ = read_tag(&line);
            }
        }
    }
}
