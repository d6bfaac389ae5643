//! `queue-filter`: which queues' rows a file takes.

use super::wire;
use crate::id::{DEFAULT_VMTA, QueueName};
use crate::message::RecordType;

/// Ordered patterns; the first that matches decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueFilter {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    negated: bool,
    domain: String,
    vmta: String,
}

impl QueueFilter {
    /// Takes patterns `domain/vmta`; a pattern without a virtual MTA means the default one.
    pub(crate) fn new(patterns: &[wire::QueuePattern]) -> Self {
        let patterns = patterns
            .iter()
            .map(|p| {
                let (domain, vmta) =
                    p.pattern.split_once('/').unwrap_or((&p.pattern, DEFAULT_VMTA));
                Pattern {
                    negated: p.negated,
                    domain: domain.to_lowercase(),
                    vmta: vmta.to_lowercase(),
                }
            })
            .collect();
        Self { patterns }
    }

    /// Does a row of `kind` about `queue` pass? Without patterns every row does. With patterns a
    /// queue that none matches does not, so that a list of negated ones passes nothing. Rows about
    /// no queue (receptions, reports that came by mail) always pass.
    pub(crate) fn passes(&self, kind: RecordType, queue: &str) -> bool {
        let about_queue = match kind {
            RecordType::Delivery
            | RecordType::Bounce
            | RecordType::Transient
            | RecordType::TransientQueue => true,
            RecordType::Receipt
            | RecordType::RemoteBounce
            | RecordType::RemoteStatus
            | RecordType::FeedbackLoop => false,
        };
        if !about_queue || self.patterns.is_empty() {
            return true;
        }
        let Ok(QueueName { domain, vmta }) = queue.parse();
        let (domain, vmta) = (domain.to_lowercase(), vmta.to_lowercase());
        self.patterns
            .iter()
            .find(|p| matches(&p.domain, &domain) && matches(&p.vmta, &vmta))
            .is_some_and(|p| !p.negated)
    }
}

/// `*` stands for any number of characters.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().expect("a split gives at least one part");
    for part in parts {
        // The first place is as good as any: what follows is matched after a star again.
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(list: &str) -> QueueFilter {
        let patterns: Vec<wire::QueuePattern> = list
            .split_whitespace()
            .map(|p| wire::QueuePattern {
                negated: p.starts_with('!'),
                pattern: p.trim_start_matches('!').to_owned(),
            })
            .collect();
        QueueFilter::new(&patterns)
    }

    #[test]
    fn the_first_matching_pattern_decides() {
        let check = |list: &str, queue: &str, expected: bool| {
            let passes = filter(list).passes(RecordType::Delivery, queue);
            assert_eq!(passes, expected, "{queue} through {list:?}");
        };
        check("", "a.example/v1", true);
        check("a.example/v1", "a.example/v1", true);
        check("A.example/V1", "a.example/v1", true);
        check("a.example/v1", "a.example/v2", false);
        check("a.example/*", "a.example/v2", true);
        check("*/v1", "b.example/v1", true);
        check("*.example/v1", "example/v1", false);
        check("*/*", "b.example/{default}", true);
        check("a.example", "a.example/{default}", true);
        check("a.example", "a.example/v1", false);
        check("*", "b.example/v1", false);
        check("!a.example/*", "b.example/v1", false);
        check("!a.example/* !b.example/*", "c.example/v1", false);
        check("!a.example/* */*", "a.example/v1", false);
        check("!a.example/* */*", "b.example/v1", true);
        check("*/* !a.example/*", "a.example/v1", true);
        check("yahoo.rollup/vmta1*", "yahoo.rollup/vmta18", true);
        check("bücher.de/*", "BÜCHER.de/v", true);
    }

    #[test]
    fn rows_about_no_queue_pass() {
        let check = |kind, expected: bool| {
            assert_eq!(filter("!*/*").passes(kind, "a.example/v1"), expected, "{kind:?}");
        };
        check(RecordType::Delivery, false);
        check(RecordType::Bounce, false);
        check(RecordType::Transient, false);
        check(RecordType::TransientQueue, false);
        check(RecordType::Receipt, true);
        check(RecordType::RemoteBounce, true);
        check(RecordType::RemoteStatus, true);
        check(RecordType::FeedbackLoop, true);
    }

    #[test]
    fn stars_stand_for_any_text() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        };
        check("", "", true);
        check("*", "", true);
        check("a*", "ab", true);
        check("*b", "ab", true);
        check("a*a", "a", false);
        check("a*b*c", "axxbyyc", true);
        check("a*b*c", "axxcyyb", false);
        check("*ab*ab", "ab", false);
        check("*ab*ab", "abab", true);
        check("**", "x", true);
    }
}
