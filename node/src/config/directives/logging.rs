//! Top level: the log file.

use super::terms::{BOOLEAN, COUNT, FILE, GLOBAL};
use crate::config::directive::Directive;

/// Where the log goes and how long it is kept.
pub(super) const TABLE: &[Directive] = &[
    Directive::new("log-file", GLOBAL, FILE)
        .node_local()
        .since("3.0")
        .example("log-file /var/log/convoy/log")
        .doc(
            "The log file. PowerMTA does not start without one; Convoy then logs to standard \
              error.",
        ),
    Directive::new("log-rotate", GLOBAL, COUNT)
        .node_local()
        .default("8")
        .example("log-rotate 14")
        .doc(
            "How many old log files are kept, named with a number behind the name; older ones are \
              deleted. 0 does not rotate.",
        ),
    Directive::new("log-auto-rotation", GLOBAL, BOOLEAN)
        .node_local()
        .default("yes")
        .example("log-auto-rotation yes")
        .doc("Rotate the log at midnight, local time."),
    Directive::new("log-file-world-readable", GLOBAL, BOOLEAN)
        .node_local()
        .default("no")
        .example("log-file-world-readable no")
        .doc(
            "Create log files that every user of the machine may read. With no, the owner and the \
              group may.",
        ),
];
