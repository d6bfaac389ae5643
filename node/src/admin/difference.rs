//! What differs between two bundles of configuration files, as a unified diff.

use std::collections::BTreeSet;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use crate::config::without_secrets;

/// Unchanged lines around a change.
const CONTEXT: usize = 3;
/// After this time a difference need not be the smallest any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// Files of one side, and what the side is called.
pub(super) struct Side {
    pub(super) label: String,
    pub(super) files: Vec<(String, String)>,
}

impl Side {
    fn text(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The name of the other side's file that stands for this one: main files may be called
    /// differently.
    fn names(&self, other: &Self) -> Vec<(String, String)> {
        let main = |side: &Self| side.files.first().map(|(name, _)| name.clone());
        let mains = main(self).zip(main(other));
        let is_main =
            |name: &String| mains.as_ref().is_some_and(|(old, new)| name == old || name == new);
        let all: BTreeSet<_> = self.files.iter().chain(&other.files).map(|(n, _)| n).collect();
        let rest = all.into_iter().filter(|name| !is_main(name));
        let same = rest.map(|name| (name.clone(), name.clone()));
        mains.clone().into_iter().chain(same).collect()
    }
}

/// The difference; empty when there is none. Secrets count but are not shown unless wanted.
pub(super) fn unified(old: &Side, new: &Side, secrets: bool) -> String {
    let mut text = String::new();
    for (was, is) in old.names(new) {
        let (before, after) = (old.text(&was), new.text(&is));
        if before == after {
            continue;
        }
        let head = |there: bool, label: &str, name: &str| {
            if there { format!("{label}/{name}") } else { "/dev/null".to_owned() }
        };
        text += &format!("--- {}\n", head(before.is_some(), &old.label, &was));
        text += &format!("+++ {}\n", head(after.is_some(), &new.label, &is));
        hunks(before.unwrap_or_default(), after.unwrap_or_default(), secrets, &mut text);
    }
    text
}

fn hunks(before: &str, after: &str, secrets: bool, text: &mut String) {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(before, after);
    for hunk in diff.unified_diff().context_radius(CONTEXT).iter_hunks() {
        *text += &format!("{}\n", hunk.header());
        for change in hunk.iter_changes() {
            text.push(match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            });
            let line = change.value().trim_end_matches(['\r', '\n']);
            *text += &if secrets { line.to_owned() } else { without_secrets(line) };
            text.push('\n');
        }
    }
}

/// The text without its secrets.
pub(super) fn hidden(text: &str) -> String {
    text.lines().map(|line| without_secrets(line) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(label: &str, files: &[(&str, &str)]) -> Side {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        Side { label: label.into(), files: files.iter().map(owned).collect() }
    }

    #[test]
    fn changed_lines_are_shown_by_file() {
        let old =
            side("version 1", &[("a.conf", "x 1\ny 2\n"), ("gone", "z 3\n"), ("same", "q\n")]);
        let new = side("version 2", &[("b.conf", "x 1\ny 3\n"), ("new", "w 4\n"), ("same", "q\n")]);
        let expected = "\
--- version 1/a.conf
+++ version 2/b.conf
@@ -1,2 +1,2 @@
 x 1
-y 2
+y 3
--- version 1/gone
+++ /dev/null
@@ -1 +0,0 @@
-z 3
--- /dev/null
+++ version 2/new
@@ -0,0 +1 @@
+w 4
";
        assert_eq!(unified(&old, &new, false), expected);
        assert_eq!(unified(&old, &old, false), "");
    }

    #[test]
    fn a_changed_password_is_a_change_that_tells_nothing() {
        let old = side("1", &[("c", "<smtp-user a>\npassword one\n</smtp-user>\n")]);
        let new = side("2", &[("c", "<smtp-user a>\npassword twotwo\n</smtp-user>\n")]);
        let shown = unified(&old, &new, false);
        assert!(shown.contains("-password ********\n+password ********\n"), "{shown}");
        assert!(unified(&old, &new, true).contains("+password twotwo\n"));
        assert_eq!(hidden("password one"), "password ********\n");
    }
}
