//! `spool` and pickup directories.

use super::terms::{BOOLEAN, DIRECTORY, GLOBAL, IGNORED, SIZE, SPOOL};
use crate::config::directive::{Arg, Directive, Kind};

/// The spool at the top level, and pickup.
pub(super) const GLOBAL_LINES: &[Directive] = &[
    Directive::new("spool", GLOBAL, DIRECTORY)
        .node_local()
        .default("/var/spool/convoy")
        .at_restart()
        .since("3.0")
        .example("spool /var/spool/convoy")
        .doc(
            "Directory of the store in which queued messages and the replicated log are kept. The \
              same directive exists as a section with more settings, which comes first. Convoy has \
              one store: of several lines the last counts, of several sections the first, and the \
              others are warned about.",
        ),
    Directive::new("spool-delete-corrupted", GLOBAL, BOOLEAN)
        .node_local()
        .default("no")
        .inert()
        .example("spool-delete-corrupted no")
        .doc("Delete damaged spool files instead of keeping them for inspection."),
    Directive::new(
        "spool-min-free-space",
        GLOBAL,
        &[Arg::required("MEGABYTES", Kind::Integer { min: 0, max: 4294967295 })],
    )
    .node_local()
    .default("0")
    .since("3.0")
    .example("spool-min-free-space 500")
    .doc(
        "Old form of min-free-space in a spool section, which comes first where both are \
              given. The number counts megabytes.",
    ),
    Directive::new("spool-max-recipients", GLOBAL, &[Arg::required("N or auto", Kind::Word)])
        .node_local()
        .default("auto")
        .inert()
        .example("spool-max-recipients auto")
        .doc("How many recipients may be queued in all."),
    Directive::new("sync-msg-create", GLOBAL, BOOLEAN)
        .node_local()
        .default("yes")
        .since("3.0")
        .moot(
            "a message is acknowledged only when it is on stable storage, and that cannot be \
              switched off",
        )
        .example("sync-msg-create no")
        .doc("Was the choice to force a message to disk before its reception is acknowledged."),
    Directive::new("sync-msg-update", GLOBAL, BOOLEAN)
        .node_local()
        .default("yes")
        .since("3.0")
        .moot(
            "every change of a message's state is on stable storage, and that cannot be switched \
              off",
        )
        .example("sync-msg-update no")
        .doc("Was the choice to force each change of a message's state to disk."),
    Directive::new(
        "pickup",
        GLOBAL,
        &[Arg::required("DIRECTORY", Kind::Path), Arg::required("BAD-DIRECTORY", Kind::Path)],
    )
    .node_local()
    .inert()
    .since("3.0")
    .example("pickup /var/spool/convoy/pickup /var/spool/convoy/bad")
    .doc(
        "Directory from which files with messages are picked up, and the one to which \
              unreadable ones are moved.",
    ),
    Directive::new("pickup-remove-dot", GLOBAL, BOOLEAN)
        .node_local()
        .default("no")
        .inert()
        .example("pickup-remove-dot no")
        .doc("Remove one dot from lines of pickup files that begin with dots."),
    Directive::new("pickup-retry-interval", GLOBAL, IGNORED)
        .node_local()
        .since("3.0")
        .moot("the interval has had no effect in any version that still documents it")
        .example("pickup-retry-interval 10s")
        .doc("Was the interval at which the pickup directory was read."),
];

/// Lines of `<spool DIRECTORY>`.
pub(super) const SECTION: &[Directive] = &[
    Directive::new("min-free-space", SPOOL, SIZE).default("0").example("min-free-space 2G").doc(
        "Accept no more mail while the file system of the store has less free space than \
              this; MAIL is answered 452. The store keeps in any case the room that it \
              needs to write what it holds in memory.",
    ),
    Directive::new("delete-file-holders", SPOOL, BOOLEAN)
        .default("no")
        .inert()
        .example("delete-file-holders no")
        .doc("Delete spool files that are no longer needed instead of using them again."),
    Directive::new("deliver-only", SPOOL, BOOLEAN)
        .default("no")
        .inert()
        .example("deliver-only yes")
        .doc(
            "Deliver what is in this spool but write nothing new into it, as for the spool of a \
              machine that died. In a cluster the other nodes hold the same messages and go on by \
              themselves.",
        ),
    Directive::new(
        "priority",
        SPOOL,
        &[Arg::required("PRIORITY", Kind::Integer { min: 1, max: 100 })],
    )
    .default("1")
    .inert()
    .example("priority 1")
    .doc("Which of several spools to prefer for new messages; equal ones are used in turn."),
];
