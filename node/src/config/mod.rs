//! PowerMTA's configuration language: table of directives, lexer, parser, scopes, checks, and the
//! effective settings that the rest of the node reads.
//!
//! Pure but for one thing: `include` and the main file are read through [`source::Files`], which
//! tests replace. Nobody else reads configuration files.

pub mod directive;
pub mod directives;
pub mod settings;

pub use settings::{Config, DomainSettings, SourceSettings};
