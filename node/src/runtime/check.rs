//! Reading a configuration with everything that it names, for the start, a reload, and
//! `mtad --check-config`.

use std::io;
use std::path::{Path, PathBuf};

use super::acct_paths;
use super::say;
use crate::clock::Timestamp;
use crate::config::{self, Bundle, Config, Diagnostic, Files, Loaded, Severity, SystemFiles};
use crate::tls;

/// A configuration that was read, and what is to be said about it.
pub struct Checked {
    /// None if it is refused.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
}

/// The configuration that nodes share, which is read together with a node's own file.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Its files.
    pub bundle: Bundle,
    /// Its version, if it has one already.
    pub version: Option<u64>,
}

/// Reads `path`, then the certificates, keys and cipher strings that it names, and looks at the
/// directories of accounting files.
#[must_use]
pub fn read(path: &Path, shared: Option<&Shared>) -> Checked {
    read_with(path, &SystemFiles, shared)
}

/// Reads a configuration given as a text; files that it includes are read from this machine.
#[must_use]
pub fn read_text(text: &str, shared: Option<&Shared>) -> Checked {
    read_with(Path::new(TEXT), &TextAndSystem(text), shared)
}

/// The node-local settings in `path`, without a look at the files that they name. None if they
/// have errors.
#[must_use]
pub fn read_local(path: &Path) -> Option<Config> {
    config::load_local(path, &SystemFiles).config
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

fn read_with(path: &Path, files: &dyn Files, shared: Option<&Shared>) -> Checked {
    let loaded = match shared {
        Some(Shared { bundle, version }) => config::load_with(path, files, bundle, *version),
        None => config::load(path, files),
    };
    look_around(loaded, Severity::Error)
}

/// Looks at the files that a configuration names.
fn look_around(loaded: Loaded, unwritable: Severity) -> Checked {
    let mut diagnostics = loaded.diagnostics;
    let Some(config) = loaded.config else {
        return Checked { config: None, diagnostics };
    };
    diagnostics.extend(tls::check::check(&config, Timestamp::now()));
    diagnostics.extend(acct_paths::check(&config.acct_files, unwritable));
    let refused = diagnostics.iter().any(Diagnostic::is_error);
    Checked { config: (!refused).then_some(config), diagnostics }
}

/// `mtad --check-config FILE [--shared FILE]`: prints every error and warning; true when it may be
/// used.
#[must_use]
pub fn print(path: &Path, shared: Option<&Path>) -> bool {
    let loaded = match shared {
        Some(shared) => config::load_both(path, shared, &SystemFiles),
        None => config::load(path, &SystemFiles),
    };
    // Whoever checks a file need not be the user that the node runs as.
    let checked = look_around(loaded, Severity::Warning);
    for diagnostic in &checked.diagnostics {
        say(format_args!("{diagnostic}\n"));
    }
    let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
    let warnings = checked.diagnostics.len() - errors;
    let verdict = if checked.config.is_some() { "may be used" } else { "is refused" };
    let with = shared.map(|shared| format!(" with {}", shared.display())).unwrap_or_default();
    say(format_args!(
        "{}{with} {verdict}: {}, {}",
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
