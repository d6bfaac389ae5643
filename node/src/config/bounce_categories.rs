//! Sorts bounces into categories by patterns: the first that matches wins.

use std::sync::{Arc, LazyLock};

use fancy_regex::Regex;

use super::builtin_categories::BUILTIN;
use super::value::compile;

/// The category of a bounce that no pattern matches.
const OTHER: &str = "other";
/// No more of a text than this is looked at, in bytes.
const MAX_TEXT_BYTES: usize = 4_096;

/// One line of `<bounce-category-patterns>`.
#[derive(Clone, Debug)]
pub(super) struct CategoryRule {
    pub(super) regex: Regex,
    pub(super) category: String,
}

/// Patterns in order.
#[derive(Clone, Debug)]
pub(super) struct BounceCategories {
    rules: Vec<CategoryRule>,
}

static BUILTIN_RULES: LazyLock<Arc<BounceCategories>> = LazyLock::new(|| {
    let rule = |(pattern, category): &(&str, &str)| CategoryRule {
        regex: compile(pattern).expect("a test compiles every built-in pattern"),
        category: (*category).to_owned(),
    };
    Arc::new(BounceCategories { rules: BUILTIN.iter().map(rule).collect() })
});

impl BounceCategories {
    pub(super) fn new(rules: Vec<CategoryRule>) -> Self {
        Self { rules }
    }

    /// The list that holds without `<bounce-category-patterns>`; compiled once.
    pub(super) fn builtin() -> Arc<Self> {
        BUILTIN_RULES.clone()
    }

    /// The category of `status;type;reply`, for instance `5.1.1;smtp;550 unknown user`.
    pub(super) fn category(&self, text: &str) -> &str {
        let end = (0..=MAX_TEXT_BYTES.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
        let text = &text[..end.unwrap_or(0)];
        // A pattern that runs out of its backtracking limit does not match.
        let found = self.rules.iter().find(|r| r.regex.is_match(text).unwrap_or(false));
        found.map_or(OTHER, |rule| &rule.category)
    }
}
