//! Tests of the language as a whole: text in, settings and diagnostics out.

mod checks;
mod parts;
mod precedence;
mod replies;
mod robustness;
mod samples;
mod syntax;

use std::path::Path;

use super::source::MemoryFiles;
use super::*;

/// Two lines without which there are warnings.
const QUIET: &str = "log-file l\nsmtp-listener 127.0.0.1:25\n";

/// The configuration in `text`, which has no errors.
fn good(text: &str) -> Config {
    Config::from_text(text).unwrap_or_else(|list| panic!("{text}\n{}", printed(&list)))
}

fn printed(list: &[Diagnostic]) -> String {
    list.iter().map(|d| format!("{d}\n")).collect()
}

/// `LINE:COLUMN severity message` of all diagnostics, those without a place as `- severity ...`.
fn said(text: &str) -> Vec<String> {
    let files = MemoryFiles::default().with("config", format!("{QUIET}{text}"));
    load(Path::new("config"), &files).diagnostics.iter().map(|d| numbered(d, 2)).collect()
}

fn line_of(diagnostic: &Diagnostic) -> String {
    numbered(diagnostic, 0)
}

/// The same, where `before` lines stand before the first one that counts.
fn numbered(diagnostic: &Diagnostic, before: u32) -> String {
    let severity = if diagnostic.is_error() { "error" } else { "warning" };
    match &diagnostic.position {
        Some(p) => {
            format!("{}:{} {severity} {}", p.line() - before, p.column(), diagnostic.message)
        }
        None => format!("- {severity} {}", diagnostic.message),
    }
}

/// Checks that exactly these diagnostics come of each text.
fn check_said(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(&said(text), expected, "{text}");
    }
}

/// The help of the first diagnostic.
fn first_help(text: &str) -> Option<String> {
    let files = MemoryFiles::default().with("config", format!("{QUIET}{text}"));
    load(Path::new("config"), &files).diagnostics.into_iter().next()?.help
}
