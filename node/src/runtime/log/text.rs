//! The text of an event, made safe for a file of lines.

use std::fmt::{self, Write as _};

use tracing::Event;
use tracing::field::{Field, Visit};

/// Bytes of one line; the rest is cut. Remote replies can be long.
const LONGEST: usize = 8 * 1024;

/// Message first; fields, which only libraries have, as `name=value` behind it.
pub(super) fn of(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    safe(&if text.fields.is_empty() { text.message } else { text.message + &text.fields })
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _infallible = if field.name() == "message" {
            self.message.write_fmt(value)
        } else {
            write!(self.fields, " {}={value}", field.name())
        };
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

/// One line: control characters, which a remote host may have sent, are written as `\xNN`.
fn safe(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(LONGEST) + 16);
    for c in text.trim_end().chars() {
        if line.len() >= LONGEST {
            line.push_str(" [cut]");
            break;
        }
        if c == '\t' || !c.is_control() {
            line.push(c);
        } else {
            let _infallible = write!(line, "\\x{:02X}", u32::from(c));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line() {
        for (text, expected) in [
            ("hello", "hello"),
            ("a\r\nb\n", "a\\x0D\\x0Ab"),
            ("tab\tkept", "tab\tkept"),
            ("\u{1b}[31m", "\\x1B[31m"),
        ] {
            assert_eq!(safe(text), expected);
        }
        let long = safe(&"x".repeat(LONGEST * 2));
        assert!(long.len() < LONGEST + 10 && long.ends_with(" [cut]"));
    }
}
