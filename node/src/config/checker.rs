//! The tree against the table: every statement becomes a setting with typed values, or an error
//! that says what was expected.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::bounce_categories::CategoryRule;
use super::diagnostic::{Diagnostic, Diagnostics, first_secret};
use super::directive::{Directive, Scope, Support};
use super::directives::SECTIONS;
use super::lexer;
use super::parser::{Item, Section, Statement, place};
use super::position::Text;
use super::settings::Rate;
use super::table;
use super::value::{self, Value, ValueError};

/// The directive of which the reference says that it may stand once in a section.
const ONLY_ONCE: &str = "records";

/// What manuals print in place of lines that do not matter to them; files copied from them have it.
const ELLIPSIS: &str = "...";

/// A directive with its checked values.
#[derive(Clone)]
pub(super) struct Setting {
    /// The row under its present name.
    pub(super) row: &'static Directive,
    pub(super) values: Vec<Value>,
    /// Where each value stands.
    pub(super) texts: Vec<Text>,
    /// As written.
    pub(super) keyword: Text,
}

/// A section whose statements are checked.
pub(super) struct Checked {
    pub(super) scope: Scope,
    /// As written in the tag.
    pub(super) argument: Text,
    /// The argument without quotes.
    pub(super) name: String,
    pub(super) settings: Vec<Setting>,
    /// Directives in it that have an error.
    pub(super) broken: HashSet<&'static str>,
    /// Lines of `<bounce-category-patterns>`.
    pub(super) categories: Vec<CategoryRule>,
    /// Sections in it, in file order.
    pub(super) sections: Vec<Self>,
    /// The `domain-macro` statements in it.
    pub(super) macros: Vec<Statement>,
}

/// Checks the whole tree.
pub(super) fn check(items: Vec<Item>, diagnostics: &mut Diagnostics) -> Checked {
    let [root] = check_all([items], diagnostics);
    root
}

/// Checks trees that are parts of one configuration.
pub(super) fn check_all<const N: usize>(
    parts: [Vec<Item>; N],
    diagnostics: &mut Diagnostics,
) -> [Checked; N] {
    let mut checker = Checker { diagnostics, inert: BTreeMap::new(), moot: HashSet::new() };
    let nowhere = Text::detached("config", "");
    let roots = parts.map(|body| {
        let (tag, argument) = (nowhere.clone(), nowhere.clone());
        checker.section(Section { scope: Scope::Global, tag, argument, body })
    });
    checker.summarize();
    roots
}

struct Checker<'a> {
    diagnostics: &'a mut Diagnostics,
    /// Inert directives that were used, with the first place of each.
    inert: BTreeMap<String, Text>,
    /// Moot directives that have been warned about.
    moot: HashSet<&'static str>,
}

impl Checker<'_> {
    fn section(&mut self, section: Section) -> Checked {
        let Section { scope, tag, argument, body } = section;
        let name = self.unquoted(&argument);
        self.note_section(scope, &tag);
        let mut checked = Checked {
            scope,
            argument,
            name,
            settings: Vec::new(),
            broken: HashSet::new(),
            categories: Vec::new(),
            sections: Vec::new(),
            macros: Vec::new(),
        };
        for item in body {
            match item {
                Item::Section(inner) => checked.sections.push(self.section(inner)),
                Item::Statement(statement) => self.statement(statement, &mut checked),
            }
        }
        self.repeated(&checked);
        checked
    }

    fn unquoted(&mut self, argument: &Text) -> String {
        match lexer::take_rest(argument) {
            Ok(token) => token.map(|t| t.value).unwrap_or_default(),
            Err(error) => {
                self.diagnostics.error(argument, error.to_string());
                String::new()
            }
        }
    }

    fn statement(&mut self, statement: Statement, section: &mut Checked) {
        let keyword = statement.keyword.as_str();
        let scope = section.scope;
        if scope == Scope::BounceCategoryPatterns && keyword.starts_with('/') {
            let rule = category_rule(&statement);
            section.categories.extend(self.diagnostics.keep(rule));
            return;
        }
        if scope == Scope::Global && keyword.eq_ignore_ascii_case("domain-macro") {
            section.macros.push(statement);
            return;
        }
        let mut statement = Some(statement);
        while let Some(current) = statement.take() {
            let found = self.row(&current.keyword, scope);
            let Some(row) = self.diagnostics.keep(found) else { return };
            match setting(row, scope, &current) {
                Ok((setting, rest)) => {
                    self.note_support(row, scope, &setting);
                    section.settings.push(setting);
                    statement = self.what_follows(row, scope, &rest);
                }
                Err(error) => {
                    section.broken.insert(row.name);
                    self.diagnostics.error(&error.at, error.message);
                }
            }
        }
    }

    fn row(&self, keyword: &Text, scope: Scope) -> Result<&'static Directive, Diagnostic> {
        let name = keyword.as_str();
        if let Some(row) = table::row(name, scope) {
            return Ok(row);
        }
        if name == ELLIPSIS {
            let said = format!("`{ELLIPSIS}` stands for what a printed text leaves out; ignored");
            return Err(Diagnostic::warning(keyword, said));
        }
        let elsewhere: Vec<_> = table::named(name).iter().flat_map(|row| row.scopes).collect();
        if elsewhere.is_empty() {
            let near = table::nearest_name(name, scope);
            let help = match name.split_once('=') {
                Some((key, _)) => Some(format!("a blank separates name and value: {key} VALUE")),
                None => near.map(|near| format!("did you mean `{near}`?")),
            };
            let shown = name.split_once('=').map_or(name, |(key, _)| key);
            let error = Diagnostic::error(keyword, format!("unknown directive `{shown}`"));
            return Err(error.with_optional_help(help));
        }
        let places: Vec<_> = elsewhere.into_iter().map(|scope| place(*scope)).collect();
        let message = format!("`{name}` cannot stand {}", place(scope));
        let help = format!("this directive belongs {}", places.join(" or "));
        Err(Diagnostic::error(keyword, message).with_help(help))
    }

    /// A second directive on the same line is read as one of its own; anything else is an error.
    fn what_follows(
        &mut self,
        row: &'static Directive,
        scope: Scope,
        rest: &Text,
    ) -> Option<Statement> {
        let (keyword, after) = lexer::split_word(rest);
        if keyword.is_empty() {
            return None;
        }
        let name = keyword.as_str();
        if table::row(name, scope).is_some() {
            let message = format!("`{name}` is read as a directive of its own");
            let warning = Diagnostic::warning(&keyword, message);
            self.diagnostics.push(warning.with_help("write one directive per line"));
            return Some(Statement { keyword, rest: after, continued: Vec::new() });
        }
        let syntax = value::syntax(row.name, row.args);
        let message = match first_secret(row.name) {
            Some(_) => "unexpected words; a password with blanks stands in quotes".to_owned(),
            None => format!("unexpected `{}`", rest.as_str()),
        };
        let error = Diagnostic::error(rest, message);
        self.diagnostics.push(error.with_help(format!("the syntax is: {syntax}")));
        None
    }

    fn note_section(&mut self, scope: Scope, tag: &Text) {
        match section_support(scope) {
            Support::Inert => self.note_inert(format!("<{}>", scope.tag()), tag),
            Support::Moot(why) => self.note_moot(scope.tag(), why, tag),
            Support::Active | Support::Alias(_) => {}
        }
    }

    /// Notes a directive without effect, unless it says what holds anyway or its whole section
    /// has been noted.
    fn note_support(&mut self, row: &'static Directive, scope: Scope, setting: &Setting) {
        let keyword = &setting.keyword;
        let default = setting.values == table::default(scope, setting.row.name);
        if default || section_support(scope) != Support::Active {
            return;
        }
        let present = setting.row;
        for support in [row.support, present.support] {
            match support {
                Support::Inert => self.note_inert(present.name.to_owned(), keyword),
                Support::Moot(why) => self.note_moot(present.name, why, keyword),
                Support::Active | Support::Alias(_) => {}
            }
        }
    }

    fn note_inert(&mut self, name: String, at: &Text) {
        self.inert.entry(name).or_insert_with(|| at.clone());
    }

    fn note_moot(&mut self, name: &'static str, why: &str, keyword: &Text) {
        if self.moot.insert(name) {
            self.diagnostics.warning(keyword, format!("`{name}` has no effect: {why}"));
        }
    }

    fn summarize(&mut self) {
        if self.inert.is_empty() {
            return;
        }
        for (name, at) in &self.inert {
            let message = format!("`{name}` is understood but not acted on yet");
            self.diagnostics.warning(at, message);
        }
        let names: Vec<_> = self.inert.keys().map(String::as_str).collect();
        let (number, verb) = match names.len() {
            1 => ("1 directive".to_owned(), "is"),
            n => (format!("{n} directives"), "are"),
        };
        self.diagnostics.push(Diagnostic::general(format!(
            "{number} {verb} understood but not acted on yet: {}",
            names.join(", ")
        )));
    }

    /// Within one section a directive stands once, unless its values add up.
    fn repeated(&mut self, section: &Checked) {
        let mut seen: HashMap<&str, &Setting> = HashMap::new();
        for setting in section.settings.iter().filter(|s| !s.row.repeats) {
            if let Some(earlier) = seen.insert(setting.row.name, setting) {
                let name = setting.row.name;
                let help = format!("the other one stands at {}", earlier.keyword.position());
                let diagnostic = if name == ONLY_ONCE {
                    Diagnostic::error(&setting.keyword, format!("`{name}` may be given once only"))
                } else {
                    let message = format!("`{name}` is given twice: this value counts");
                    Diagnostic::warning(&setting.keyword, message)
                };
                self.diagnostics.push(diagnostic.with_help(help));
            }
        }
    }
}

/// What is done with a section as a whole.
fn section_support(scope: Scope) -> Support {
    SECTIONS.iter().find(|s| s.scope == scope).map_or(Support::Active, |s| s.support)
}

/// Reads the values of a statement; returns what was left of its line.
fn setting(
    row: &'static Directive,
    scope: Scope,
    statement: &Statement,
) -> Result<(Setting, Text), ValueError> {
    let resolved = table::resolved(row, scope);
    let is_directive = |word: &str| table::row(word, scope).is_some();
    let keyword = &statement.keyword;
    let taken = value::take_arguments(row.args, keyword, &statement.rest, &is_directive)?;
    let values = match table::rate_of(row, scope) {
        Some(_) => taken.values.into_iter().map(per_hour).collect(),
        None => taken.values,
    };
    let keyword = keyword.clone();
    Ok((Setting { row: resolved, values, texts: taken.texts, keyword }, taken.rest))
}

/// The old `max-msg-per-hour N` is `max-msg-rate N/h`.
fn per_hour(value: Value) -> Value {
    match value {
        Value::Integer(events) => {
            let period = std::time::Duration::from_secs(3_600);
            Value::Rate((events > 0).then_some(Rate { events, period }))
        }
        other => other,
    }
}

/// `/REGEX/ CATEGORY`.
fn category_rule(statement: &Statement) -> Result<CategoryRule, Diagnostic> {
    let line = statement.keyword.joined(&statement.rest);
    let (pattern, rest) =
        lexer::take_pattern(&line).map_err(|error| Diagnostic::error(&line, error.to_string()))?;
    let (category, after) = lexer::split_word(&rest);
    if category.is_empty() {
        return Err(Diagnostic::error(&line, "argument missing: /REGEX/ CATEGORY is expected"));
    }
    if !after.is_empty() {
        return Err(Diagnostic::error(&after, "a category is one word"));
    }
    let regex = value::compile(&pattern.value).map_err(|m| Diagnostic::error(&pattern.text, m))?;
    Ok(CategoryRule { regex, category: category.as_str().to_owned() })
}

impl Setting {
    /// The value that stands at `index`; none if it was left out or is `""`.
    pub(super) fn value(&self, index: usize) -> Option<&Value> {
        self.values.get(index).filter(|v| **v != Value::Empty)
    }

    /// A text value; none if it was left out or is `""`.
    pub(super) fn text(&self, index: usize) -> Option<&str> {
        match self.value(index)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The place of the value at `index`, of the keyword if there is none.
    pub(super) fn at(&self, index: usize) -> &Text {
        self.texts.get(index).unwrap_or(&self.keyword)
    }

    /// All words behind the keyword.
    pub(super) fn words(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().flat_map(|text| text.as_str().split_whitespace())
    }

    /// The place of one item in a list of values.
    pub(super) fn item(&self, item: &str) -> Text {
        let part_of_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        for text in &self.texts {
            let all = text.as_str();
            let whole = |at: &usize| {
                !all[..*at].ends_with(part_of_word)
                    && !all[at + item.len()..].starts_with(part_of_word)
            };
            if let Some(at) = all.match_indices(item).map(|(at, _)| at).find(whole) {
                return text.part(at, at + item.len());
            }
        }
        self.at(0).clone()
    }
}
