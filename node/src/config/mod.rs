//! PowerMTA's configuration language: table of directives, lexer, parser, scopes, checks, and the
//! effective settings that the rest of the node reads.
//!
//! Pure but for one thing: `include` and the main file are read through [`source::Files`], which
//! tests replace. Nobody else reads configuration files.
//!
//! The way of a file: `lexer` (words), `parser` (sections, included files), `checker`
//! (typed settings by the table), `build` (effective settings), `check` (what names what).
//! No step stops at an error: all are collected in [`diagnostic`].

pub mod address;
mod bounce_categories;
mod build;
mod builtin_categories;
mod bundle;
mod check;
mod checker;
pub mod diagnostic;
pub mod directive;
pub mod directives;
mod domains;
mod lexer;
mod lookup;
mod macros;
pub mod manual;
mod merge;
mod network;
mod parser;
mod parts;
mod position;
pub(crate) mod record_fields;
mod route;
mod rules;
pub mod settings;
mod show;
pub mod source;
pub mod split;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::path::Path;

use checker::Checked;
use diagnostic::Diagnostics;

pub use bundle::{Bundle, BundleError};
pub use diagnostic::{Diagnostic, Severity, without_secrets};
pub use position::Position;
pub use settings::{Config, DomainSettings, Lookup, SourceSettings};
pub use source::{Files, SystemFiles};

/// A configuration that was read, and what is to be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// None if there was an error.
    pub config: Option<Config>,
    /// Errors and warnings in the order of the files.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and checks the configuration in `path`. Files that directives name are not looked at:
/// see [`Config::file_positions`].
#[must_use]
pub fn load(path: &Path, files: &dyn Files) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let items = parser::parse(path, files, &mut diagnostics);
    if items.is_empty() && diagnostics.has_errors() {
        // The file was not read: to name what it lacks would say nothing.
        return Loaded { config: None, diagnostics: diagnostics.into_sorted() };
    }
    let root = checker::check(items, &mut diagnostics);
    finish(&root, files, diagnostics)
}

fn finish(root: &Checked, files: &dyn Files, mut diagnostics: Diagnostics) -> Loaded {
    let config = build::build(root, files.host_name(), &mut diagnostics);
    check::check(root, &config, &mut diagnostics);
    let config = (!diagnostics.has_errors()).then_some(config);
    Loaded { config, diagnostics: diagnostics.into_sorted() }
}

/// The version of the shared configuration that a node runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Its number; 0 when the node's own file is all that there is.
    pub version: u64,
    /// The newest version that the node has tried to run with.
    pub tried: u64,
    /// Why it does not run with that one; empty when it does.
    pub refused: String,
}

/// Reads a node's own file and the configuration that it shares with others, and makes one
/// configuration of both. `version` is that of the shared one, if it has a number already.
#[must_use]
pub fn load_with(path: &Path, files: &dyn Files, shared: &Bundle, version: Option<u64>) -> Loaded {
    let below = version.map(|version| format!("cluster@{version}")).unwrap_or_default();
    let bundle = bundle::BundleFiles::new(shared, Path::new(&below));
    load_parts((path, files), (&bundle.main(), &bundle), version)
}

/// The same for a shared configuration that stands in a file.
#[must_use]
pub fn load_both(path: &Path, shared: &Path, files: &dyn Files) -> Loaded {
    load_parts((path, files), (shared, files), None)
}

fn load_parts(
    (node, node_files): (&Path, &dyn Files),
    (shared, shared_files): (&Path, &dyn Files),
    version: Option<u64>,
) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let own = parser::parse(node, node_files, &mut diagnostics);
    let common = parser::parse(shared, shared_files, &mut diagnostics);
    let unread = own.is_empty() || common.is_empty();
    if unread && diagnostics.has_errors() {
        return Loaded { config: None, diagnostics: diagnostics.into_sorted() };
    }
    let root = parts::join(own, common, version, &mut diagnostics);
    finish(&root, node_files, diagnostics)
}

/// Reads what is node-local in a node's own file, which is all that is needed to open its store.
/// Nothing that the other part could name is checked.
#[must_use]
pub fn load_local(path: &Path, files: &dyn Files) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let items = parser::parse(path, files, &mut diagnostics);
    let root = parts::alone(items, &mut diagnostics);
    let config = build::build(&root, files.host_name(), &mut diagnostics);
    let config = (!diagnostics.has_errors()).then_some(config);
    Loaded { config, diagnostics: diagnostics.into_sorted() }
}

impl Config {
    /// Reads a configuration out of one text, which can include nothing.
    ///
    /// # Errors
    /// All errors and warnings if there is at least one error.
    pub fn from_text(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let files = source::MemoryFiles::default().with("config", text);
        let loaded = load(Path::new("config"), &files);
        loaded.config.ok_or(loaded.diagnostics)
    }
}
