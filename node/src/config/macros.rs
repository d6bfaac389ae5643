//! `domain-macro`: named lists of domains, and what `$NAME` stands for.

use std::collections::HashMap;

use super::diagnostic::{Diagnostic, Diagnostics, did_you_mean};
use super::lexer;
use super::network::DomainPattern;
use super::parser::Statement;
use super::position::Text;

/// A word with macros may stand for at most this many domains.
const MAX_DOMAINS: usize = 200_000;

/// All macros of a configuration.
#[derive(Default)]
pub(super) struct Macros {
    /// Name to the items of its list, not expanded yet.
    lists: HashMap<String, Vec<Text>>,
}

impl Macros {
    /// Reads the `domain-macro NAME LIST` statements. Their order does not matter.
    pub(super) fn define(statements: &[Statement], diagnostics: &mut Diagnostics) -> Self {
        let mut macros = Self::default();
        let mut names = Vec::new();
        for statement in statements {
            let Some((name, items)) = diagnostics.keep(definition(statement)) else { continue };
            if macros.lists.insert(name.as_str().to_owned(), items).is_some() {
                let message = format!("macro `{}` is given twice: this list counts", name.as_str());
                diagnostics.warning(&name, message);
            }
            names.push(name);
        }
        for name in names {
            let whole = format!("${}", name.as_str());
            if let Err(message) = macros.words(&whole, &mut Vec::new()) {
                diagnostics.error(&name, message);
            }
        }
        macros
    }

    /// The patterns that an argument stands for; several only if it has macros in it.
    pub(super) fn patterns(&self, text: &Text) -> Result<Vec<DomainPattern>, Diagnostic> {
        let wrong = |message: String| Diagnostic::error(text, message);
        let words = self.words(text.as_str(), &mut Vec::new()).map_err(wrong)?;
        words.iter().map(|word| DomainPattern::parse(word).map_err(wrong)).collect()
    }

    /// Replaces every `$NAME` of a word by each item of its list: the product, if there are
    /// several.
    fn words(&self, word: &str, open: &mut Vec<String>) -> Result<Vec<String>, String> {
        let mut words = vec![String::new()];
        let mut rest = word;
        while let Some(at) = rest.find('$') {
            append(&mut words, &[rest[..at].to_owned()])?;
            let after = &rest[at + 1..];
            let end = after.find(|c: char| !is_name_character(c)).unwrap_or(after.len());
            let (name, tail) = after.split_at(end);
            append(&mut words, &self.list(name, open)?)?;
            rest = tail;
        }
        append(&mut words, &[rest.to_owned()])?;
        Ok(words)
    }

    /// The expanded items of a macro. `open` are the macros being expanded.
    fn list(&self, name: &str, open: &mut Vec<String>) -> Result<Vec<String>, String> {
        let Some(items) = self.lists.get(name) else {
            let near = did_you_mean(name, self.lists.keys().map(String::as_str));
            let near = near.map(|n| format!("; {n}")).unwrap_or_default();
            return Err(format!("macro `${name}` is not defined{near}"));
        };
        if open.iter().any(|o| o == name) {
            return Err(format!("macro `${name}` contains itself"));
        }
        open.push(name.to_owned());
        let mut words = Vec::new();
        for item in items {
            words.extend(self.words(item.as_str(), open)?);
            bounded(words.len())?;
        }
        open.pop();
        Ok(words)
    }
}

/// Puts each of `tails` behind each of `words`.
fn append(words: &mut Vec<String>, tails: &[String]) -> Result<(), String> {
    bounded(words.len().saturating_mul(tails.len()))?;
    let product = words.iter().flat_map(|w| tails.iter().map(move |tail| format!("{w}{tail}")));
    *words = product.collect();
    Ok(())
}

fn bounded(number: usize) -> Result<(), String> {
    if number > MAX_DOMAINS {
        return Err(format!("this stands for more than {MAX_DOMAINS} domains"));
    }
    Ok(())
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Name and items of one definition.
fn definition(statement: &Statement) -> Result<(Text, Vec<Text>), Diagnostic> {
    let (name, first) = lexer::split_word(&statement.rest);
    if name.is_empty() || first.is_empty() {
        let message = "argument missing: domain-macro NAME DOMAIN, ... is expected";
        return Err(Diagnostic::error(&statement.keyword, message));
    }
    if !name.as_str().chars().all(is_name_character) {
        return Err(Diagnostic::error(&name, "a macro's name has letters, digits and _ only"));
    }
    let lines = 1 + statement.continued.len();
    let mut items = Vec::new();
    for (n, line) in std::iter::once(&first).chain(&statement.continued).enumerate() {
        let mut parts = line.split(',');
        if n + 1 < lines && parts.last().is_some_and(Text::is_empty) {
            parts.pop();
        }
        items.extend(parts);
    }
    match items.iter().find(|i| i.is_empty() || i.as_str().contains(char::is_whitespace)) {
        Some(item) => Err(Diagnostic::error(item, "domains separated by commas are expected")),
        None => Ok((name, items)),
    }
}
