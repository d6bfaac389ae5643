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
mod position;
pub(crate) mod record_fields;
mod route;
mod rules;
pub mod settings;
mod show;
pub mod source;
mod table;
mod value;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use diagnostic::{Diagnostic, Severity};
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
    let mut diagnostics = diagnostic::Diagnostics::default();
    let items = parser::parse(path, files, &mut diagnostics);
    if items.is_empty() && diagnostics.has_errors() {
        // The file was not read: to name what it lacks would say nothing.
        return Loaded { config: None, diagnostics: diagnostics.into_sorted() };
    }
    let root = checker::check(items, &mut diagnostics);
    let config = build::build(&root, files.host_name(), &mut diagnostics);
    check::check(&root, &config, &mut diagnostics);
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
