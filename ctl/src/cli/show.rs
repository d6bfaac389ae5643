//! Options of `show …`.

use clap::{Args, Subcommand, ValueEnum};

const QUEUES_EXAMPLES: &str = "Examples:
  mtactl show queues
  mtactl show queues 'yahoo.com/*' --errors
  mtactl show queues --paused --maxitems 0

Column st: P paused, B back-off mode. Column retry: when the queue is tried again.";

const LIMITS_EXAMPLES: &str = "Examples:
  mtactl show limits
  mtactl show limits 'yahoo.com/*'
  mtactl show limits '*/customer1' --maxitems 0

Column cluster: the limit for all nodes together; here: what this node may use of it; used: its open
connections; node: who shares the limit out. States: alone (no other node), safe share (its part
without asking), granted (a lease), learning (a lease of a node that has just begun to share out),
nothing (nobody to ask for a minute). Limits that are not in use here are not shown.";

/// What to show.
#[derive(Debug, Subcommand)]
pub(crate) enum Show {
    /// Traffic, connections and queues of the node
    #[command(after_help = "Examples:\n  mtactl show status")]
    Status,
    /// Queues that hold recipients
    #[command(after_help = QUEUES_EXAMPLES)]
    Queues(Queues),
    /// The same, those with most recipients first
    #[command(after_help = QUEUES_EXAMPLES)]
    Topqueues(Queues),
    /// Domains: queues added up over the virtual MTAs
    #[command(after_help = "Examples:\n  mtactl show domains '*.fr' --vmta customer1")]
    Domains(Domains),
    /// The same, those with most recipients first
    #[command(after_help = "Examples:\n  mtactl show topdomains --maxitems 5")]
    Topdomains(Domains),
    /// Virtual MTAs: queues added up over the domains
    #[command(after_help = "Examples:\n  mtactl show vmtas --sort rcpt")]
    Vmtas(Sorted),
    /// Jobs
    #[command(after_help = "Examples:\n  mtactl show jobs --sort size --maxitems 0")]
    Jobs(Sorted),
    /// Limits of the cluster, and this node's part of each
    #[command(after_help = LIMITS_EXAMPLES)]
    Limits(Limits),
    /// Settings in force for a queue, and where each is set
    #[command(after_help = "Examples:\n  mtactl show settings yahoo.com/customer1")]
    Settings {
        /// DOMAIN[/VMTA]
        queue: String,
    },
    /// Version of the node
    #[command(after_help = "Examples:\n  mtactl show version")]
    Version,
    /// One message: envelope, recipients, attempts, last reply, next time
    #[command(after_help = "Examples:\n  mtactl show message 01K4Z3X5J8Q6W2E9R7T0YBVCNM")]
    Message {
        /// Id, as in the Received header and in `list`
        id: String,
    },
}

/// Options of `show queues`.
#[derive(Args, Debug)]
pub(crate) struct Queues {
    /// Which queues
    #[arg(value_name = "DOMAIN[/VMTA]")]
    pub(crate) pattern: Option<String>,
    /// Only those with connections
    #[arg(long)]
    pub(crate) connected: bool,
    /// Only those that are paused
    #[arg(long)]
    pub(crate) paused: bool,
    /// Only those in this mode
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Only those with an error
    #[arg(long)]
    pub(crate) errors: bool,
    /// Leave out events of single recipients
    #[arg(long)]
    pub(crate) no_rcpt_events: bool,
    /// Also show changes of mode
    #[arg(long)]
    pub(crate) mode_events: bool,
    #[command(flatten)]
    pub(crate) sorted: Sorted,
}

/// Options of `show limits`.
#[derive(Args, Debug)]
pub(crate) struct Limits {
    /// Which queues; limits of a virtual MTA are those of */VMTA
    #[arg(value_name = "DOMAIN[/VMTA]")]
    pub(crate) pattern: Option<String>,
    /// Rows shown; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) maxitems: u32,
}

/// Options of `show domains`.
#[derive(Args, Debug)]
pub(crate) struct Domains {
    /// Which domains
    #[arg(value_name = "DOMAIN")]
    pub(crate) pattern: Option<String>,
    /// Only queues of this virtual MTA
    #[arg(long, value_name = "NAME")]
    pub(crate) vmta: Option<String>,
    /// Only those with connections
    #[arg(long)]
    pub(crate) connected: bool,
    /// Only those with an error
    #[arg(long)]
    pub(crate) errors: bool,
    #[command(flatten)]
    pub(crate) sorted: Sorted,
}

/// Order and length of a table.
#[derive(Args, Debug)]
pub(crate) struct Sorted {
    /// Rows shown; 0 shows all
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) maxitems: u32,
    /// Order of the rows
    #[arg(long, value_name = "ORDER")]
    pub(crate) sort: Option<Sort>,
}

/// Order of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By name
    Name,
    /// Most recipients first
    Rcpt,
    /// Most kilobytes first
    Size,
}

/// Mode of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Normal limits
    Normal,
    /// Marked as in back-off; no limit depends on it yet
    Backoff,
}
