//! The manual page mtad.conf(5) and the description of one directive, out of the table.

use std::fmt::Write as _;

use super::diagnostic::did_you_mean;
use super::directive::{Applies, Directive, Home, Scope, Support, TagArgument};
use super::directives::SECTIONS;
use super::parser::place;
use super::table;
use super::value::syntax;

const INTRODUCTION: &str = include_str!("manual_introduction.roff");

/// The manual page in roff.
#[must_use]
pub fn manual() -> String {
    let mut page = INTRODUCTION.to_owned();
    for scope in Scope::ALL {
        section(&mut page, scope);
    }
    page += ".SH SEE ALSO\n.BR mtad (8),\n.BR mtactl (1)\n";
    page
}

fn section(page: &mut String, scope: Scope) {
    let known = SECTIONS.iter().find(|s| s.scope == scope);
    match scope.tag() {
        "" => *page += ".SH TOP LEVEL\nDirectives that stand outside of any section.\n",
        tag => {
            let argument = match scope.tag_argument() {
                TagArgument::None => String::new(),
                TagArgument::Optional(label) => format!(" [{label}]"),
                TagArgument::Required(label) => format!(" {label}"),
            };
            let _ = writeln!(page, ".SH SECTION <{}{}>", escaped(tag), escaped(&argument));
        }
    }
    if let Some(known) = known {
        let _ = writeln!(page, "{}", text(known.doc));
        let places: Vec<_> =
            Scope::ALL.into_iter().filter(|o| scope.allowed_in(*o)).map(place).collect();
        let _ = writeln!(page, "Stands {}.", text(&places.join(" or ")));
        if let Some(state) = support(known.support) {
            let _ = writeln!(page, "{}", text(&state));
        }
        let _ = writeln!(page, "{}", text(home(scope.home())));
        let _ = writeln!(page, ".PP\n.nf\n.RS\n{}\n.RE\n.fi", text(known.example));
    }
    for row in table::all().filter(|row| row.scopes.contains(&scope)) {
        entry(page, row, scope);
    }
}

fn entry(page: &mut String, row: &Directive, scope: Scope) {
    let _ = writeln!(page, ".TP\n.B {}", escaped(&syntax(row.name, row.args)));
    let _ = writeln!(page, "{}", text(row.doc));
    for fact in facts(row, &[scope]) {
        let _ = writeln!(page, ".br\n{}", text(&fact));
    }
    let _ = writeln!(page, ".br\nExample:\n.B {}", escaped(row.example));
}

/// Default, repetition, support, version, when a change takes effect and where it stands in a
/// cluster, a sentence each.
fn facts(row: &Directive, scopes: &[Scope]) -> Vec<String> {
    let mut facts = Vec::new();
    if !row.default.is_empty() {
        facts.push(format!("Default: {}.", row.default));
    }
    if row.repeats {
        facts.push("May be given more than once.".to_owned());
    }
    facts.extend(support(row.support));
    let applies = match row.applies {
        Applies::Live => "mtactl reload",
        Applies::Restart => "a restart",
    };
    facts.push(format!("Since {}. A change takes effect with {applies}.", row.since));
    facts.extend(homes(row, scopes));
    facts
}

/// Where it stands in a cluster; by section where that differs.
fn homes(row: &Directive, scopes: &[Scope]) -> Vec<String> {
    let mut homes: Vec<(Home, Vec<String>)> = Vec::new();
    for scope in scopes {
        let here = row.home_in(*scope);
        match homes.iter_mut().find(|(home, _)| *home == here) {
            Some((_, places)) => places.push(place(*scope)),
            None => homes.push((here, vec![place(*scope)])),
        }
    }
    if let [(only, _)] = homes.as_slice() {
        return vec![home(*only).to_owned()];
    }
    let told = |(at, places): (Home, Vec<String>)| format!("{}: {}", places.join(", "), home(at));
    homes.into_iter().map(told).collect()
}

const fn home(home: Home) -> &'static str {
    match home {
        Home::Shared => "Shared in a cluster.",
        Home::NodeLocal => "Node-local: stays in the node's file.",
        Home::Overridable => {
            "Shared in a cluster; what the node's file says comes first and replaces it."
        }
        Home::Anywhere => "May stand in the node's file and in what a cluster shares.",
    }
}

fn support(support: Support) -> Option<String> {
    match support {
        Support::Active => None,
        Support::Inert => Some("Understood and checked; nothing acts on it yet.".to_owned()),
        Support::Moot(why) => Some(format!("Accepted without effect: {why}.")),
        Support::Alias(target) => Some(format!("Old spelling of {target}.")),
    }
}

/// What a directive means, in all sections that have it, or a section.
///
/// # Errors
/// A sentence about the unknown name, with the nearest known one.
pub fn describe(name: &str) -> Result<String, String> {
    let mut description = String::new();
    for row in table::named(name) {
        let places: Vec<_> = row.scopes.iter().map(|scope| place(*scope)).collect();
        let _ =
            writeln!(description, "{}\n    ({})\n", syntax(row.name, row.args), places.join(", "));
        let _ = writeln!(description, "{}\n", filled(row.doc));
        for fact in facts(row, row.scopes) {
            let _ = writeln!(description, "{}", filled(&fact));
        }
        let _ = writeln!(description, "    Example: {}\n", row.example);
    }
    let tag = name.trim_matches(['<', '>']);
    if let Some(section) = SECTIONS.iter().find(|s| s.scope.tag().eq_ignore_ascii_case(tag)) {
        let _ = writeln!(description, "{}\n\n{}\n", section.example, filled(section.doc));
        let _ = writeln!(description, "{}", filled(home(section.scope.home())));
        let rows = table::all().filter(|row| row.scopes.contains(&section.scope));
        let names: Vec<_> = rows.map(|row| row.name).collect();
        let _ = writeln!(description, "{}", filled(&format!("Directives: {}", names.join(", "))));
    }
    if description.is_empty() {
        let near = did_you_mean(name, table::all().map(|row| row.name));
        let near = near.map(|n| format!(": {n}")).unwrap_or_default();
        return Err(format!("there is no directive `{name}`{near}"));
    }
    Ok(description)
}

/// A paragraph in lines of at most 80 columns, indented.
fn filled(paragraph: &str) -> String {
    let mut lines = String::from("   ");
    let mut column = 3;
    for word in paragraph.split_whitespace() {
        if column + 1 + word.len() > 80 {
            lines += "\n   ";
            column = 3;
        }
        lines.push(' ');
        lines += word;
        column += 1 + word.len();
    }
    lines
}

/// Text for roff: nothing in it is a request or an escape.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq")
}

/// A line of running text. Long words such as lists of ciphers may break behind a colon.
fn text(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace(':', ":\\:");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}
