//! `xtext`, the encoding of DSN parameter values (RFC 3461 4).

use std::fmt::Write;

/// The text is not xtext, or stands for something that cannot be printed on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad xtext")]
pub struct InvalidXtext;

/// Decodes `+XX` escapes (two upper-case hexadecimal digits).
///
/// # Errors
///
/// Refuses bad escapes, raw characters outside `!`..`~` and `=`, and values that decode to a
/// control character or to something that is not UTF-8: they would have to be written into headers
/// and rows.
pub fn decode(text: &str) -> Result<String, InvalidXtext> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => {
                let high = hex_digit(bytes.next())?;
                let low = hex_digit(bytes.next())?;
                high << 4 | low
            }
            b'!'..=b'~' if byte != b'=' => byte,
            _ => return Err(InvalidXtext),
        });
    }
    let value = String::from_utf8(decoded).map_err(|_| InvalidXtext)?;
    if value.chars().any(char::is_control) { Err(InvalidXtext) } else { Ok(value) }
}

/// Encodes a value so that it can stand in a parameter.
#[must_use]
pub fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => text.push(char::from(byte)),
            _ => write!(text, "+{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    text
}

fn hex_digit(byte: Option<u8>) -> Result<u8, InvalidXtext> {
    match byte {
        Some(b @ b'0'..=b'9') => Ok(b - b'0'),
        Some(b @ b'A'..=b'F') => Ok(b - b'A' + 10),
        _ => Err(InvalidXtext),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_what_the_rfc_shows() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(decode(text).ok().as_deref(), expected, "{text:?}");
        }
        check("QQ314159", Some("QQ314159"));
        check("a+2Bb+3Dc", Some("a+b=c"));
        check("a+20b", Some("a b"));
        check("gr+C3+BCn", Some("grün"));
        check("", Some(""));
        check("a+2", None);
        check("a+2b", None);
        check("a+", None);
        check("a=b", None);
        check("a b", None);
        check("a+0D+0Ab", None);
        check("+FF", None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(value in "\\PC{0,50}") {
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }
    }
}
