//! Names of queues and jobs with `*` wildcards, as an operator writes them.

use crate::id::QueueName;

/// Does `pattern`, in which `*` stands for any text, match the whole of `text`? Case counts not.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), retry) {
            (Some('*'), _) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            (Some(c), _) if *c == text[t] => {
                p += 1;
                t += 1;
            }
            (_, Some((after_star, from))) => {
                p = after_star;
                t = from + 1;
                retry = Some((after_star, t));
            }
            (_, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Does one of `patterns` (`domain/vmta`) match the queue?
pub(crate) fn any_matches(patterns: &[String], queue: &QueueName) -> bool {
    if patterns.is_empty() {
        return false;
    }
    let name = queue.to_string();
    patterns.iter().any(|pattern| matches(pattern, &name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        fn check(pattern: &str, text: &str, expected: bool) {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        check("*/*", "x.example/v1", true);
        check("*/v1", "x.example/v1", true);
        check("*/v1", "x.example/v11", false);
        check("X.example/v1", "x.example/V1", true);
        check("*.example/*", "a.b.example/{default}", true);
        check("*a*b*c", "xaxbxbxc", true);
        check("*a*b*c", "xaxcxb", false);
        check("", "", true);
        check("*", "", true);
        check("a", "", false);
        check("[1.2.3.4]/*", "[1.2.3.4]/v", true);
    }
}
