//! The table of directives, split by scope, and the sections in which they stand.
//!
//! A row says what the parser accepts, what the checks demand, what the manual prints and whether
//! Convoy acts on it. `since` is the earliest version for which there is evidence: a guide, a
//! sample of that version, or a working configuration.
//!
//! One section has no rows: each line of `<bounce-category-patterns>` is `/REGEX/ CATEGORY`,
//! without a keyword, which the parser reads by itself.

mod domain_tls;
mod listener;
mod sections;
mod server_tls;
mod terms;

use super::directive::Directive;

pub use sections::SECTIONS;

/// All rows, scope by scope in the order of the manual.
pub const TABLES: &[&[Directive]] =
    &[listener::GLOBAL_LINES, listener::SECTION, server_tls::TABLE, domain_tls::TABLE];
