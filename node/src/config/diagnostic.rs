//! Errors and warnings about a configuration. All of them are collected; none stops the reading.

use std::fmt;

use super::position::{Position, Text};
use super::table;

/// More errors than this are not listed.
const MAX_LISTED: usize = 500;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken.
    Warning,
}

/// One error or warning.
#[derive(Clone, Debug, thiserror::Error)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, or what was ignored.
    pub message: String,
    /// Where; none for a statement about the whole configuration.
    pub position: Option<Position>,
    /// Characters that the caret underlines.
    pub width: usize,
    /// What to write instead.
    pub help: Option<String>,
}

impl Diagnostic {
    pub(super) fn error(at: &Text, message: impl Into<String>) -> Self {
        Self::at(Severity::Error, at, message.into())
    }

    pub(super) fn warning(at: &Text, message: impl Into<String>) -> Self {
        Self::at(Severity::Warning, at, message.into())
    }

    /// A warning about the configuration as a whole.
    pub(super) fn general(message: impl Into<String>) -> Self {
        let severity = Severity::Warning;
        Self { severity, message: message.into(), position: None, width: 0, help: None }
    }

    fn at(severity: Severity, at: &Text, message: String) -> Self {
        let width = at.width().max(1);
        Self { severity, message, position: Some(at.position()), width, help: None }
    }

    pub(super) fn into_error(mut self) -> Self {
        self.severity = Severity::Error;
        self
    }

    pub(super) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn with_optional_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// True when the configuration is refused for it.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `FILE:LINE:COL: error: message`, the line, a caret, and help.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Some(position) = &self.position else {
            write!(f, "{severity}: {}", self.message)?;
            return write_help(f, self.help.as_deref());
        };
        write!(f, "{position}: {severity}: {}", self.message)?;
        if !position.source().is_empty() {
            let line = shown_line(position.source());
            let indent: String = line
                .chars()
                .take(position.column() as usize - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(f, "\n    {}\n    {indent}{}", line.trim_end(), "^".repeat(self.width))?;
        }
        write_help(f, self.help.as_deref())
    }
}

fn write_help(f: &mut fmt::Formatter<'_>, help: Option<&str>) -> fmt::Result {
    match help {
        Some(help) => write!(f, "\n    help: {help}"),
        None => Ok(()),
    }
}

/// Directives whose value must not reach a log, with the number of the first secret word.
const SECRETS: &[(&str, usize)] = &[
    ("password", 1),
    ("auth-password", 1),
    ("api-key", 1),
    ("http-api-key", 1),
    ("access-token", 1),
    ("volume-audit-api-key", 1),
    ("imprinter-password", 1),
    ("smtp-server-tls-certificate", 2),
    ("smtp-client-certificate", 2),
    ("tls-certificate", 2),
];

/// Number of the first argument of a directive that is secret, counted from 1.
pub(super) fn first_secret(name: &str) -> Option<usize> {
    SECRETS.iter().find(|(secret, _)| name.eq_ignore_ascii_case(secret)).map(|(_, first)| *first)
}

/// The same for a name that is misspelled: what follows is as secret as under the right one.
fn secret_meant(name: &str) -> Option<usize> {
    if !table::named(name).is_empty() {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = nearest(&name, SECRETS.iter().map(|(secret, _)| *secret));
    let telling = ["passw", "secret", "api-key", "token"].iter().any(|part| name.contains(part));
    near.and_then(first_secret).or(telling.then_some(1))
}

/// The line as it may be printed: the characters of a secret become asterisks.
fn shown_line(line: &str) -> String {
    // A value behind an equals sign is a mistake, and as secret as behind a blank.
    let name = line.trim_start().split([' ', '\t', '=']).next().unwrap_or_default();
    let Some(first) = first_secret(name).or_else(|| secret_meant(name)) else {
        return line.to_owned();
    };
    let mut word = 0;
    let mut in_word = false;
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_whitespace() || (c == '=' && word == 1) {
            in_word = false;
        } else if !in_word {
            in_word = true;
            word += 1;
        }
        shown.push(if in_word && word > first { '*' } else { c });
    }
    shown
}

/// What stands in place of a secret in a text that is shown as a whole.
const HIDDEN: &str = "********";

/// The line without its secrets, to be shown as a line of a whole file. Stricter than for a
/// message: a directive further behind and one in a comment are seen, and lengths are not told.
#[must_use]
pub fn without_secrets(line: &str) -> String {
    let bare = |word: &str| word.trim_start_matches('#').to_owned();
    let mut hidden_from = None;
    let mut shown = String::with_capacity(line.len());
    for (number, (blanks, word)) in words(line).enumerate() {
        shown.push_str(blanks);
        let name = bare(word);
        let (key, glued) = name.split_once('=').unwrap_or((&name, ""));
        let first = first_secret(key).or_else(|| (number == 0).then(|| secret_meant(key))?);
        if hidden_from.is_some_and(|from| number >= from) {
            shown.push_str(HIDDEN);
            continue;
        }
        match first {
            Some(_) if !glued.is_empty() => {
                let end = word.find('=').map_or(word.len(), |at| at + 1);
                shown.push_str(&word[..end]);
                shown.push_str(HIDDEN);
                hidden_from = Some(number + 1);
            }
            Some(first) => {
                shown.push_str(word);
                hidden_from = Some(number + first);
            }
            None => shown.push_str(word),
        }
    }
    shown
}

/// The words of a line, each with the blanks before it; blanks at the end come with no word.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let start = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let (blanks, after) = rest.split_at(start);
        let end = after.find(char::is_whitespace).unwrap_or(after.len());
        let (word, left) = after.split_at(end);
        rest = left;
        Some((blanks, word))
    })
}

/// Collects diagnostics, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Diagnostics {
    list: Vec<Diagnostic>,
    errors: usize,
    unlisted: usize,
}

impl Diagnostics {
    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            self.errors += 1;
        }
        if self.list.len() < MAX_LISTED {
            self.list.push(diagnostic);
        } else {
            self.unlisted += 1;
        }
    }

    pub(super) fn error(&mut self, at: &Text, message: impl Into<String>) {
        self.push(Diagnostic::error(at, message));
    }

    pub(super) fn warning(&mut self, at: &Text, message: impl Into<String>) {
        self.push(Diagnostic::warning(at, message));
    }

    /// Keeps the value of an `Ok`, collects an `Err`.
    pub(super) fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.push(diagnostic)).ok()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// All, in the order of files and lines; general ones last.
    pub(super) fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| match (&a.position, &b.position) {
            (Some(a), Some(b)) => a.cmp(b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        });
        if self.unlisted > 0 {
            let mut rest = Diagnostic::general(format!("{} more are not listed", self.unlisted));
            if self.errors > 0 {
                rest.severity = Severity::Error;
            }
            self.list.push(rest);
        }
        self.list
    }
}

/// The candidate that looks most like `name`, if any is near enough to be meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|c| (strsim::jaro_winkler(&name, &c.to_ascii_lowercase()), c))
        .filter(|(score, _)| *score > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `did you mean ...?` for a name that has a near candidate.
pub(super) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(name, candidates).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_line_and_a_caret_under_the_word() {
        let line = Text::detached("/etc/c", "\tuse-startls yes # try");
        let shown = Diagnostic::error(&line.part(1, 12), "unknown directive `use-startls`")
            .with_help("did you mean `use-starttls`?")
            .to_string();
        let expected = "/etc/c:1:2: error: unknown directive `use-startls`\n    \
                        \tuse-startls yes # try\n    \t^^^^^^^^^^^\n    \
                        help: did you mean `use-starttls`?";
        assert_eq!(shown, expected);
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, shown) in [
            ("  password hunter2 x", "  password ******* *"),
            ("tls-certificate /a.pem \"b c\"", "tls-certificate /a.pem ** **"),
            ("log-file password", "log-file password"),
            ("pasword hunter2", "pasword *******"),
            ("Password: hunter2", "Password: *******"),
            ("smtp-password hunter2", "smtp-password *******"),
            ("password=hunter2", "password=*******"),
            ("smtp-client-certifcate /a.pem x", "smtp-client-certifcate /a.pem *"),
            ("use-startls yes", "use-startls yes"),
        ] {
            assert_eq!(shown_line(line), shown);
        }
    }

    #[test]
    fn secrets_are_hidden_wherever_they_stand_in_a_whole_text() {
        for (line, shown) in [
            ("  password hunter2 x", "  password ******** ********"),
            ("tls-certificate /a.pem \"b c\"", "tls-certificate /a.pem ******** ********"),
            ("auth-username a auth-password b", "auth-username a auth-password ********"),
            ("#password hunter2", "#password ********"),
            ("# api-key 0815 # old", "# api-key ******** ******** ********"),
            ("pasword hunter2", "pasword ********"),
            ("password=hunter2 x", "password=******** ********"),
            ("imprinter-password x", "imprinter-password ********"),
            ("smtp-client-certificate /a.pem", "smtp-client-certificate /a.pem"),
            ("# tokens of the trade ", "# tokens of the trade "),
            ("<domain *>", "<domain *>"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(line), shown);
        }
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let names = ["use-starttls", "require-starttls", "log-file"];
        assert_eq!(nearest("use-startls", names), Some("use-starttls"));
        assert_eq!(nearest("otype", names), None);
    }

    #[test]
    fn the_list_is_bounded_and_says_so() {
        let at = Text::detached("c", "x");
        let mut all = Diagnostics::default();
        for _ in 0..MAX_LISTED + 7 {
            all.error(&at, "wrong");
        }
        let list = all.into_sorted();
        assert_eq!(list.len(), MAX_LISTED + 1);
        assert!(list[MAX_LISTED].message.starts_with("7 more"));
    }
}
