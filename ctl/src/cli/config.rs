//! `config`: checking configurations, and the one that all nodes share.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const PUSH_EXAMPLES: &str = "Examples:
  mtactl config push cluster.conf --dry-run
  mtactl config push cluster.conf --comment 'two more virtual MTAs'

Every node checks the file together with its own one, which keeps what is about the machine
(listeners, spool, log). An error on any node changes nothing. Files that it includes are read here
and sent with it; certificates and other files that it names must be on every node.
`mtad --split-config FILE --out DIR` makes such a file out of one with everything.";

const DIFF_EXAMPLES: &str = "Examples:
  mtactl config diff
  mtactl config diff 6
  mtactl config diff 6 7
  mtactl config diff cluster.conf

A file whose name is a number is given as ./NAME. A changed password is seen as a changed line and
not shown without --secrets.";

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Read it without putting it to use
    #[command(after_help = "Examples:\n  mtactl config check\n  mtactl config check \
                            /etc/convoy/config.new\n  generate-config | mtactl config check -")]
    Check {
        /// A file on the node, - for standard input; without it, the one that the node runs with
        file: Option<PathBuf>,
    },
    /// Give all nodes one configuration, if every one of them accepts it
    #[command(after_help = PUSH_EXAMPLES)]
    Push {
        /// The file, read here with all that it includes; - for standard input
        file: PathBuf,
        #[command(flatten)]
        options: PushOptions,
    },
    /// Make an old version active again, as a new one
    #[command(after_help = "Examples:\n  mtactl config rollback 6\n  mtactl config rollback 6 \
                            --comment 'the limits were too low'")]
    Rollback {
        /// Which version
        version: u64,
        #[command(flatten)]
        options: PushOptions,
    },
    /// List the versions that were pushed: when, by whom, why
    #[command(after_help = "Examples:\n  mtactl config history")]
    History,
    /// Print a version that was pushed
    #[command(after_help = "Examples:\n  mtactl config show\n  mtactl config show 6\n  mtactl \
                            config show --secrets > cluster.conf")]
    Show {
        /// Which version; without it, the active one
        version: Option<u64>,
        /// Show passwords, too
        #[arg(long)]
        secrets: bool,
    },
    /// Show what differs between versions, or between a version and a file
    #[command(after_help = DIFF_EXAMPLES)]
    Diff {
        /// A version or a file each; one version is compared with the active one, the active one
        /// with a file, and without any the active one with the version before it
        #[arg(value_name = "VERSION|FILE", num_args = 0..=2)]
        sides: Vec<String>,
        /// Show passwords, too
        #[arg(long)]
        secrets: bool,
    },
}

/// How to push.
#[derive(Args, Debug)]
pub(crate) struct PushOptions {
    /// Why, for `config history`
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Check on every node and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Push although some nodes do not answer; they follow when they are back
    #[arg(long)]
    pub(crate) skip_unreachable: bool,
}
