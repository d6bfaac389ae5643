//! The table of directives by name and section.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::diagnostic::nearest;
use super::directive::{Directive, Scope, Support};
use super::directives::TABLES;
use super::position::Text;
use super::value::{Value, take_arguments};

static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static Directive>>> = LazyLock::new(|| {
    let mut names: HashMap<_, Vec<_>> = HashMap::new();
    for row in all() {
        names.entry(row.name).or_default().push(row);
    }
    names
});

static DEFAULTS: LazyLock<HashMap<(Scope, &'static str), Vec<Value>>> = LazyLock::new(|| {
    let mut defaults = HashMap::new();
    for row in all() {
        for scope in row.scopes {
            defaults.insert((*scope, row.name), default_values(row));
        }
    }
    defaults
});

/// All rows, in the order of the manual.
pub(super) fn all() -> impl Iterator<Item = &'static Directive> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The rows with this name, in any case.
pub(super) fn named(name: &str) -> &'static [&'static Directive] {
    BY_NAME.get(name.to_ascii_lowercase().as_str()).map_or(&[], Vec::as_slice)
}

/// The row with this name in this section.
pub(super) fn row(name: &str, scope: Scope) -> Option<&'static Directive> {
    named(name).iter().find(|row| row.scopes.contains(&scope)).copied()
}

/// Old directives that count per hour, and the rates that they are now.
const PER_HOUR: &[(&str, &str)] =
    &[("max-msg-per-hour", "max-msg-rate"), ("backoff-max-msg-per-hour", "backoff-max-msg-rate")];

/// The rate that an old directive per hour is now.
pub(super) fn rate_of(row: &Directive, scope: Scope) -> Option<&'static Directive> {
    let (_, rate) = PER_HOUR.iter().find(|(old, _)| *old == row.name)?;
    self::row(rate, scope)
}

/// The row that `row` is an old spelling of in this section; itself if it is none.
pub(super) fn resolved(row: &'static Directive, scope: Scope) -> &'static Directive {
    if let Some(rate) = rate_of(row, scope) {
        return rate;
    }
    match row.support {
        Support::Alias(target) => self::row(target, scope).unwrap_or(row),
        Support::Active | Support::Inert | Support::Moot(_) => row,
    }
}

/// The default of a directive; no values if it has none.
pub(super) fn default(scope: Scope, name: &'static str) -> &'static [Value] {
    DEFAULTS.get(&(scope, name)).map_or(&[], Vec::as_slice)
}

fn default_values(row: &'static Directive) -> Vec<Value> {
    if row.default.is_empty() {
        return Vec::new();
    }
    let keyword = Text::detached("table", row.name);
    let rest = Text::detached("table", row.default);
    let taken = take_arguments(row.args, &keyword, &rest, &|_| false);
    taken.ok().filter(|t| t.rest.is_empty()).map_or_else(Vec::new, |taken| taken.values)
}

/// The directive that was probably meant, first among those of the section.
pub(super) fn nearest_name(name: &str, scope: Scope) -> Option<&'static str> {
    let here = all().filter(|row| row.scopes.contains(&scope)).map(|row| row.name);
    nearest(name, here).or_else(|| nearest(name, all().map(|row| row.name)))
}
