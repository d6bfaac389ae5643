//! Changes of the operator's switches: paused queues and jobs, queues in back-off mode. Pure.

use crate::queue::pattern::QueuePattern;

/// Patterns kept per switch. They are replicated and looked through for each queue.
pub(super) const MOST_PATTERNS: usize = 1000;

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Switched {
    /// False when it had been so already.
    pub changed: bool,
    /// Patterns that still hold some of the queues that were to be let go.
    pub still_held_by: Vec<String>,
}

/// Too many patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST_PATTERNS} patterns are set already: use one with * instead of many")]
pub(super) struct TooMany;

/// Adds a pattern to a list of them.
///
/// # Errors
/// The list is full.
pub(super) fn hold(list: &mut Vec<String>, pattern: &str) -> Result<Switched, TooMany> {
    if list.iter().any(|p| p == pattern) {
        return Ok(Switched::default());
    }
    if list.len() >= MOST_PATTERNS {
        return Err(TooMany);
    }
    list.push(pattern.to_owned());
    Ok(Switched { changed: true, still_held_by: Vec::new() })
}

/// Takes away the patterns that `pattern` covers, and names those that reach beyond it.
pub(super) fn let_go(list: &mut Vec<String>, pattern: &QueuePattern) -> Switched {
    let before = list.len();
    list.retain(|held| !QueuePattern::parse(held).is_ok_and(|held| pattern.covers(&held)));
    let still = |held: &&String| QueuePattern::parse(held).is_ok_and(|h| h.touches(pattern));
    Switched {
        changed: list.len() < before,
        still_held_by: list.iter().filter(still).cloned().collect(),
    }
}

/// Takes a job away from a list of them.
pub(super) fn let_job_go(list: &mut Vec<String>, job: &str) -> Switched {
    let before = list.len();
    list.retain(|held| held != job);
    Switched { changed: list.len() < before, still_held_by: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn letting_go_takes_what_is_covered_and_names_what_reaches_beyond() {
        for (held, resumed, left, changed, still) in [
            (&["a.com/x"][..], "a.com/x", &[][..], true, &[][..]),
            (&["a.com/x", "b.com/x"], "*/*", &[], true, &[]),
            (&["*/*"], "a.com/x", &["*/*"], false, &["*/*"]),
            (&["*/x", "a.com/x"], "a.com/*", &["*/x"], true, &["*/x"]),
            (&["b.com/x"], "a.com/*", &["b.com/x"], false, &[]),
        ] {
            let mut held = list(held);
            let pattern = QueuePattern::parse(resumed).unwrap();
            let switched = let_go(&mut held, &pattern);
            assert_eq!(held, list(left), "{resumed}");
            assert_eq!(switched, Switched { changed, still_held_by: list(still) }, "{resumed}");
        }
    }

    #[test]
    fn holding_twice_changes_nothing() {
        let mut held = Vec::new();
        assert!(hold(&mut held, "a.com/x").unwrap().changed);
        assert!(!hold(&mut held, "a.com/x").unwrap().changed);
        assert_eq!(held, ["a.com/x"]);
    }

    #[test]
    fn the_number_of_patterns_is_bounded() {
        let mut held: Vec<String> = (0..MOST_PATTERNS).map(|n| format!("d{n}/x")).collect();
        assert_eq!(hold(&mut held, "a.com/x"), Err(TooMany));
        assert!(!hold(&mut held, "d1/x").unwrap().changed);
    }
}
