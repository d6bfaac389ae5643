//! What goes to standard output: text for people, or one JSON object for scripts,
//! `{"status":"success","data":…}`.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::error::Error;
use crate::format::plain;

/// The answer of a command in both forms.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    /// Lines for people; may be empty.
    pub(crate) text: String,
    /// The same for scripts; null when there is nothing but the message.
    pub(crate) data: Value,
    /// One sentence on what was done; may be empty.
    pub(crate) message: String,
}

impl Answer {
    /// An answer that only says what was done.
    pub(crate) fn message(message: impl Into<String>) -> Self {
        Self { text: String::new(), data: Value::Null, message: message.into() }
    }

    /// Figures.
    pub(crate) const fn data(text: String, data: Value) -> Self {
        Self { text, data, message: String::new() }
    }
}

/// Standard output in the form that was asked for.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Is JSON wanted?
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints an answer.
    pub(crate) fn answer(&self, answer: &Answer) -> io::Result<()> {
        self.raw(&if self.json { machine(answer) + "\n" } else { human(answer) })
    }

    /// Prints a text of which other programs make a file.
    pub(crate) fn document(&self, text: &str) -> io::Result<()> {
        self.answer(&Answer::data(text.to_owned(), json!({"text": text})))
    }

    /// Prints what was found, and gives the error that fails the command with `message`.
    pub(crate) fn found(&self, answer: &Answer, message: &str) -> Error {
        let printed = if self.json {
            let object =
                json!({"status": "error", "message": message, "data": answer.data.clone()});
            self.raw(&format!("{object}\n"))
        } else {
            self.raw(&answer.text)
        };
        printed.map_or_else(Error::from, |()| Error::Found(message.to_owned()))
    }

    /// Prints text as it is.
    pub(crate) fn raw(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints an error: to standard error, and for scripts as JSON to standard output.
    pub(crate) fn failure(&self, error: &Error) {
        let text = plain(&error.to_string());
        let silent = match error {
            Error::Output(closed) => closed.kind() == io::ErrorKind::BrokenPipe,
            // With JSON, the findings and their verdict are one object that is printed already.
            Error::Found(_) => self.json,
            Error::Unreachable { .. } | Error::Refused(_) | Error::Local(_) => false,
        };
        if silent {
            return;
        }
        // Nothing is left to say it to when these are closed.
        let _closed = if self.json {
            self.raw(&format!("{}\n", json!({"status": "error", "message": text})))
        } else {
            writeln!(io::stderr(), "mtactl: {text}")
        };
    }
}

/// The JSON form.
pub(crate) fn machine(answer: &Answer) -> String {
    let mut object = json!({"status": "success"});
    if !answer.data.is_null() {
        object["data"] = answer.data.clone();
    }
    if !answer.message.is_empty() {
        object["message"] = Value::from(answer.message.clone());
    }
    object.to_string()
}

/// The text form.
pub(crate) fn human(answer: &Answer) -> String {
    let mut text = answer.text.clone();
    if !answer.message.is_empty() {
        text.push_str(&answer.message);
        text.push('\n');
    }
    text
}
