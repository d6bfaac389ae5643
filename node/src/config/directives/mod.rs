//! The table of directives, split by scope.

mod domain;

use super::directive::Directive;

/// All rows, scope by scope in the order of the manual.
pub const TABLES: &[&[Directive]] = &[domain::TLS];
