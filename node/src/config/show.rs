//! Effective settings of a queue as text, for `mtactl show settings`.

use super::checker::Setting;
use super::diagnostic::first_secret;
use super::directive::{Directive, Scope, Support};
use super::position::Position;
use super::settings::Config;
use super::table::{self, rate_of};
use super::value::Value;

/// What stands for a value that must not be shown.
const HIDDEN: &str = "********";
/// How the absence of a value is shown.
const NOTHING: &str = "\"\"";

impl Config {
    /// All directives of the queue `domain/vmta`, sorted by name: name, effective value (`""` for
    /// none), and where it was set; a default was set nowhere. Passwords are hidden.
    #[must_use]
    pub fn show_settings(
        &self,
        domain: &str,
        vmta: &str,
    ) -> Vec<(String, String, Option<Position>)> {
        let view = self.rules.domains.view(domain, vmta);
        let mut shown: Vec<_> = table::all()
            .filter(|row| is_shown(row))
            .map(|row| {
                let settings = view.all(row.name);
                let value = if settings.is_empty() { default(row) } else { values(settings) };
                let position = settings.last().map(|setting| setting.keyword.position());
                (row.name.to_owned(), value, position)
            })
            .collect();
        shown.sort();
        shown
    }
}

fn is_shown(row: &Directive) -> bool {
    let old = matches!(row.support, Support::Alias(_)) || rate_of(row, Scope::Domain).is_some();
    row.scopes.contains(&Scope::Domain) && !old && row.name != "include"
}

fn default(row: &Directive) -> String {
    if row.default.is_empty() { NOTHING.to_owned() } else { row.default.to_owned() }
}

/// The values of a directive; several if it repeats.
fn values(settings: &[Setting]) -> String {
    settings.iter().map(value).collect::<Vec<_>>().join(", ")
}

fn value(setting: &Setting) -> String {
    let secret = first_secret(setting.row.name);
    let mut words = Vec::new();
    for (index, (value, text)) in setting.values.iter().zip(&setting.texts).enumerate() {
        let hidden = secret.is_some_and(|first| index + 1 >= first);
        words.push(match value {
            Value::Empty => NOTHING.to_owned(),
            _ if hidden => HIDDEN.to_owned(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "no".to_owned(),
            Value::Rate(Some(rate)) if !text.as_str().contains('/') => format!("{}/h", rate.events),
            _ => text.as_str().to_owned(),
        });
    }
    words.join(" ")
}
