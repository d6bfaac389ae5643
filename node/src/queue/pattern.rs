//! Patterns that operators write, and the switches that hold such patterns. `*` stands for any run
//! of characters, case does not matter. Pure.

use super::model::Switches;
use crate::id::{DEFAULT_VMTA, QueueName};

/// Does `text` match `pattern`? Takes time in proportion to the product of their lengths at most.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on when the characters after the last `*` do not fit.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p).is_some_and(|c| c.eq_ignore_ascii_case(&text[t])) {
            p += 1;
            t += 1;
        } else if let Some((after_star, taken)) = retry {
            retry = Some((after_star, taken + 1));
            (p, t) = (after_star, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// A pattern for queues, `domain/vmta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePattern {
    domain: String,
    vmta: String,
}

/// The text cannot name a queue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no queue pattern: write DOMAIN, DOMAIN/VMTA or */VMTA")]
pub struct InvalidPattern(pub String);

/// No mail domain and no name of a virtual MTA is longer than this, in bytes.
const LONGEST: usize = 512;

impl QueuePattern {
    /// Reads a pattern. Without a virtual MTA, `{default}` is meant.
    ///
    /// # Errors
    /// An empty part, a blank or control character, or an absurd length.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let (domain, vmta) = text.split_once('/').unwrap_or((text, DEFAULT_VMTA));
        let strange = |c: char| c.is_whitespace() || c.is_control();
        if domain.is_empty() || vmta.is_empty() || text.len() > LONGEST || text.contains(strange) {
            return Err(InvalidPattern(
                text.chars().take(80).filter(|c| !c.is_control()).collect(),
            ));
        }
        Ok(Self { domain: domain.to_ascii_lowercase(), vmta: vmta.to_ascii_lowercase() })
    }

    /// Every queue.
    #[must_use]
    pub fn all() -> Self {
        Self { domain: "*".to_owned(), vmta: "*".to_owned() }
    }

    /// Is this queue meant?
    #[must_use]
    pub fn matches(&self, queue: &QueueName) -> bool {
        matches(&self.domain, &queue.domain) && matches(&self.vmta, &queue.vmta)
    }

    /// Is there a `*` in it?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.domain.contains('*') || self.vmta.contains('*')
    }

    /// Does this pattern mean every queue that `other` means? Exact for patterns with one `*`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        matches(&self.domain, &other.domain) && matches(&self.vmta, &other.vmta)
    }

    /// May there be a queue that both patterns mean?
    #[must_use]
    pub fn touches(&self, other: &Self) -> bool {
        overlap(self.domain.as_bytes(), other.domain.as_bytes())
            && overlap(self.vmta.as_bytes(), other.vmta.as_bytes())
    }
}

impl std::fmt::Display for QueuePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.domain, self.vmta)
    }
}

/// Is there a text that both patterns match? One row of a table per character of `a`.
fn overlap(a: &[u8], b: &[u8]) -> bool {
    // `row[j]`: some text matches the part of `a` seen so far and `b[..j]`.
    let mut row = vec![false; b.len() + 1];
    for i in 0..=a.len() {
        let mut next = vec![false; b.len() + 1];
        for j in 0..=b.len() {
            next[j] = match (i.checked_sub(1).map(|i| a[i]), j.checked_sub(1).map(|j| b[j])) {
                (None, None) => true,
                (Some(x), None) => x == b'*' && row[0],
                (None, Some(y)) => y == b'*' && next[j - 1],
                (Some(x), Some(y)) => {
                    let either_star = x == b'*' || y == b'*';
                    either_star && (row[j] || next[j - 1]) || x == y && row[j - 1]
                }
            };
        }
        row = next;
    }
    row[b.len()]
}

/// The switches, read once for looking many queues up.
#[derive(Debug)]
pub struct Held {
    paused: Vec<QueuePattern>,
    backoff: Vec<QueuePattern>,
    jobs: Vec<String>,
}

impl Held {
    /// Reads the patterns. One that cannot be read holds nothing; none is ever set.
    #[must_use]
    pub fn new(switches: &Switches) -> Self {
        let read = |list: &[String]| list.iter().flat_map(|p| QueuePattern::parse(p)).collect();
        Self {
            paused: read(&switches.paused_queues),
            backoff: read(&switches.backoff_queues),
            jobs: switches.paused_jobs.clone(),
        }
    }

    /// The pattern by which this queue is paused.
    #[must_use]
    pub fn paused_by(&self, queue: &QueueName) -> Option<&QueuePattern> {
        self.paused.iter().find(|p| p.matches(queue))
    }

    /// Did an operator set this queue to back-off mode?
    #[must_use]
    pub fn is_backoff(&self, queue: &QueueName) -> bool {
        self.backoff.iter().any(|p| p.matches(queue))
    }

    /// Is this job paused?
    #[must_use]
    pub fn is_job_paused(&self, job: &str) -> bool {
        self.jobs.iter().any(|held| held == job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "yahoo.com", true),
            ("yahoo.com", "YAHOO.com", true),
            ("yahoo.com", "yahoo.com.au", false),
            ("yahoo.*", "yahoo.com.au", true),
            ("*.au", "yahoo.com.au", true),
            ("*oo*oo*", "yahoo", false),
            ("*a*o", "yahoo", true),
            ("", "", true),
            ("", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_vmta_means_the_default_one() {
        for (pattern, queue, expected) in [
            ("yahoo.com", "yahoo.com/{default}", true),
            ("yahoo.com", "yahoo.com/customer1", false),
            ("yahoo.com/*", "yahoo.com/customer1", true),
            ("*/customer1", "gmail.com/customer1", true),
            ("*/Customer1", "gmail.com/customer1", true),
            ("*/*", "gmail.com/customer2", true),
        ] {
            let queue: QueueName = queue.parse().unwrap();
            let pattern = QueuePattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(&queue), expected, "{pattern} {queue}");
        }
    }

    #[test]
    fn what_cannot_name_a_queue_is_refused() {
        for text in ["", "/", "/a", "a/", "a b/c", "a\n/b", &"x".repeat(600)] {
            assert!(QueuePattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_that_share_a_queue_touch() {
        for (a, b, expected) in [
            ("yahoo.com/*", "*/customer1", true),
            ("yahoo.com/x", "yahoo.com/x", true),
            ("yahoo.com/x", "yahoo.com/y", false),
            ("a*/x", "*b/x", true),
            ("a*c/x", "ab*/x", true),
            ("a*/x", "b*/x", false),
            ("*a/x", "*b/x", false),
            ("*/*", "gmail.com/{default}", true),
            ("a*b*c/x", "axc/x", false),
            ("a*b*c/x", "a*x/x", false),
        ] {
            let (one, two) = (QueuePattern::parse(a).unwrap(), QueuePattern::parse(b).unwrap());
            assert_eq!(one.touches(&two), expected, "{a} {b}");
            assert_eq!(two.touches(&one), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one() {
        for (wide, narrow, expected) in [
            ("*/*", "yahoo.com/*", true),
            ("yahoo.com/*", "yahoo.com/x", true),
            ("yahoo.com/x", "yahoo.com/*", false),
            ("*.com/*", "*.org/*", false),
        ] {
            let (one, two) =
                (QueuePattern::parse(wide).unwrap(), QueuePattern::parse(narrow).unwrap());
            assert_eq!(one.covers(&two), expected, "{wide} {narrow}");
        }
    }

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|p| (*p).to_owned()).collect()
    }

    #[test]
    fn held_queues_are_found_by_pattern() {
        let held = Held::new(&Switches {
            paused_queues: list(&["yahoo.com/*"]),
            paused_jobs: list(&["job1"]),
            backoff_queues: list(&["*/vm1"]),
        });
        let queue: QueueName = "yahoo.com/vm1".parse().unwrap();
        assert_eq!(held.paused_by(&queue).map(ToString::to_string).unwrap(), "yahoo.com/*");
        assert!(held.is_backoff(&queue));
        let other: QueueName = "gmail.com/vm2".parse().unwrap();
        assert!(held.paused_by(&other).is_none() && !held.is_backoff(&other));
        assert!(held.is_job_paused("job1") && !held.is_job_paused("job"));
    }
}
