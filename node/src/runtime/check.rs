//! Reading a configuration with everything that it names, for the start, a reload, and
//! `mtad --check-config`.

use std::io;
use std::path::{Path, PathBuf};

use super::acct_paths;
use super::say;
use crate::clock::Timestamp;
use crate::config::{self, Config, Diagnostic, Files, Severity, SystemFiles};
use crate::tls;

/// A configuration that was read, and what is to be said about it.
pub struct Checked {
    /// None if it is refused.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads `path`, then the certificates, keys and cipher strings that it names, and looks at the
/// directories of accounting files.
#[must_use]
pub fn read(path: &Path) -> Checked {
    read_with(path, &SystemFiles, Severity::Error)
}

/// Reads a configuration given as a text; files that it includes are read from this machine.
#[must_use]
pub fn read_text(text: &str) -> Checked {
    read_with(Path::new(TEXT), &TextAndSystem(text), Severity::Error)
}

/// How findings name a text that is no file.
const TEXT: &str = "(text)";

/// One text in place of the main file.
struct TextAndSystem<'a>(&'a str);

impl Files for TextAndSystem<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(TEXT) {
            return Ok(self.0.as_bytes().to_vec());
        }
        SystemFiles.read(path)
    }

    fn glob(&self, pattern: &Path) -> io::Result<Vec<PathBuf>> {
        SystemFiles.glob(pattern)
    }

    fn host_name(&self) -> String {
        SystemFiles.host_name()
    }
}

fn read_with(path: &Path, files: &dyn Files, unwritable: Severity) -> Checked {
    let loaded = config::load(path, files);
    let mut diagnostics = loaded.diagnostics;
    let Some(config) = loaded.config else {
        return Checked { config: None, diagnostics };
    };
    diagnostics.extend(tls::check::check(&config, Timestamp::now()));
    diagnostics.extend(acct_paths::check(&config.acct_files, unwritable));
    let refused = diagnostics.iter().any(Diagnostic::is_error);
    Checked { config: (!refused).then_some(config), diagnostics }
}

/// `mtad --check-config FILE`: prints every error and warning; true when the file may be used.
#[must_use]
pub fn print(path: &Path) -> bool {
    // Whoever checks a file need not be the user that the node runs as.
    let checked = read_with(path, &SystemFiles, Severity::Warning);
    for diagnostic in &checked.diagnostics {
        say(format_args!("{diagnostic}\n"));
    }
    let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
    let warnings = checked.diagnostics.len() - errors;
    let verdict = if checked.config.is_some() { "may be used" } else { "is refused" };
    say(format_args!(
        "{} {verdict}: {}, {}",
        path.display(),
        counted(errors, "error"),
        counted(warnings, "warning")
    ));
    checked.config.is_some()
}

fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `mtad --list-ciphers STRING`: prints what the string selects; true when it selects anything.
#[must_use]
pub fn print_ciphers(string: &str) -> bool {
    match tls::cipher::select(string) {
        Ok(selection) => {
            say(format_args!("{}", selection.list().replace(':', "\n")));
            for note in &selection.notes {
                eprintln!("warning: {note}");
            }
            true
        }
        Err(error) => {
            eprintln!("error: {error}");
            false
        }
    }
}
