//! The command line. Verbs may be shortened as long as they stay clear: `mtactl sh ver`.

mod config;
mod show;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

pub(crate) use self::config::{Config, PushOptions};
pub(crate) use self::show::{Domains, Limits, Mode, Queues, Show, Sort, Sorted};
use crate::commands::audit::Audit;
use crate::commands::cluster::Cluster;
use crate::format::parse_duration;

const ABOUT: &str = "Administers a Convoy node";

const EXIT_CODES: &str = "\
Queues are named DOMAIN/VMTA. Without /VMTA, the virtual MTA {default} is meant. In patterns, *
stands for any run of characters: yahoo.com/*, */customer1, '*/*' (quote it from the shell).

Exit codes:
  0  done
  1  refused or failed; the message says why
  2  wrong usage
  3  the node cannot be reached

From another machine, --node and --credentials (or MTACTL_NODE and MTACTL_CREDENTIALS) reach the
cluster listener of any node, with credentials that `mtactl cluster operator` made.

Examples:
  mtactl status
  mtactl --node mx1.example.com:2526 --credentials anna.pem status
  mtactl show topqueues --maxitems 5
  mtactl --json show queues '*/customer1'
  mtactl --local show queues

Any node answers for the whole cluster. Nodes that do not answer are named below the answer.";

/// Arguments of `mtactl`.
#[derive(Debug, Parser)]
#[command(name = "mtactl", version, about = ABOUT, after_help = EXIT_CODES, max_term_width = 100)]
#[command(infer_subcommands = true, infer_long_args = true, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Unix socket of the node (its `admin-socket`); the environment's MTACTL_SOCKET sets it too
    #[arg(long, global = true, env = "MTACTL_SOCKET", hide_env = true, value_name = "PATH")]
    #[arg(default_value = "/run/convoy/mtad.sock")]
    pub(crate) socket: PathBuf,

    /// Cluster listener of a node, in place of the socket; MTACTL_NODE sets it too
    #[arg(id = "listener", long = "node", global = true, env = "MTACTL_NODE", hide_env = true)]
    #[arg(value_name = "HOST:PORT")]
    pub(crate) node: Option<String>,

    /// File with certificate, key and authority for --node; MTACTL_CREDENTIALS sets it too
    #[arg(long, global = true, env = "MTACTL_CREDENTIALS", hide_env = true, value_name = "FILE")]
    pub(crate) credentials: Option<PathBuf>,

    /// Answer for the asked node alone, and not for the whole cluster
    #[arg(long, global = true)]
    pub(crate) local: bool,

    /// Print one JSON object instead of text: {"status":"success","data":...}
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show traffic, connections and queues
    #[command(after_help = "Examples:\n  mtactl status\n  mtactl --local status")]
    Status,
    /// Show queues, domains, virtual MTAs, jobs, settings, a message
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl show topqueues\n  mtactl show queues --help")]
    Show(Show),
    /// List recipients that wait, or hold, release or schedule them
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
    /// Delete recipients that wait; accounting files get a row for each
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(Delete),
    /// Stop sending a queue or a job
    #[command(subcommand, infer_subcommands = true)]
    #[command(
        after_help = "Examples:\n  mtactl pause queue 'yahoo.com/*'\n  mtactl pause job spring"
    )]
    Pause(Held),
    /// Go on sending a queue or a job
    #[command(subcommand, infer_subcommands = true)]
    #[command(
        after_help = "Examples:\n  mtactl resume queue 'yahoo.com/*'\n  mtactl resume job spring"
    )]
    Resume(Held),
    /// Change the mode of queues
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl set queue --mode=backoff yahoo.com/customer1")]
    Set(Set),
    /// Try queues now instead of at their next time
    #[command(after_help = SCHEDULE_EXAMPLES)]
    Schedule(Schedule),
    /// Read the configuration again; with an error in it nothing changes
    #[command(after_help = "Examples:\n  mtactl config check && mtactl reload")]
    Reload,
    /// Begin a new accounting or log file
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl rotate acct\n  mtactl rotate log")]
    Rotate(Rotate),
    /// Show the dialogue of the next connection of a queue
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(Trace),
    /// Show how a domain would be reached
    #[command(after_help = RESOLVE_EXAMPLES)]
    Resolve(Resolve),
    /// Check a configuration, or give all nodes a new one
    #[command(subcommand, infer_subcommands = true)]
    #[command(
        after_help = "Examples:\n  mtactl config check\n  mtactl config push cluster.conf\n  \
                            mtactl config history"
    )]
    Config(Config),
    /// Forget what is remembered
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl clear dnscache")]
    Clear(Clear),
    /// Start counting from zero
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl reset counters")]
    Reset(Reset),
    /// Look at accounting
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl acct status")]
    Acct(Acct),
    /// Hand all partitions over to other nodes and accept no more mail
    #[command(after_help = "Examples:\n  mtactl drain && systemctl stop mtad")]
    Drain,
    /// Make a cluster, let others in, look at members and groups and change them
    #[command(subcommand, infer_subcommands = true)]
    #[command(after_help = "Examples:\n  mtactl cluster status\n  mtactl cluster drain n2")]
    Cluster(Cluster),
    /// Check that all mail is accounted for: accepted = delivered + bounced + deleted + queued
    #[command(after_help = crate::commands::audit::EXAMPLES)]
    Audit(Audit),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  mtactl completions bash > \
                            /etc/bash_completion.d/mtactl")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Examples:\n  mtactl man > mtactl.1")]
    Man,
}

const LIST_EXAMPLES: &str = "Examples:
  mtactl list --queue yahoo.com/*
  mtactl list --jobid spring --older-than 1d --maxitems 0
  mtactl list --orig '<>' --pause
  mtactl list --unknown

Only the action is applied with --pause, --resume and --schedule; --maxitems bounds it too.";

const DELETE_EXAMPLES: &str = "Examples:
  mtactl delete --queue yahoo.com/customer1
  mtactl delete --jobid spring --rcpt '*@example.com'
  mtactl delete --queue '*/*' --older-than 3d --no-accounting

It asks no question. --queue or --jobid must be given.";

const SCHEDULE_EXAMPLES: &str = "Examples:
  mtactl schedule yahoo.com
  mtactl schedule '*/customer1' --retry-recipients";

const TRACE_EXAMPLES: &str = "Examples:
  mtactl trace yahoo.com/customer1
  mtactl trace yahoo.com --retry-recipients

It waits until the queue connects, and ends with that connection. Lines received begin with >>>,
lines sent with <<<.";

const RESOLVE_EXAMPLES: &str = "Examples:
  mtactl resolve yahoo.com
  mtactl resolve yahoo.com/customer1 --connect

--connect says EHLO and QUIT to each host; no mail is sent.";

const MODE_EXAMPLES: &str = "Examples:
  mtactl set queue --mode=backoff yahoo.com/customer1
  mtactl show queues --mode=backoff
  mtactl set queue --mode=normal yahoo.com/customer1

Back-off mode only marks a queue, to be found by `show queues --mode=backoff`: no limit is lower in
it yet. `mtactl pause queue` stops a queue.";

/// Which recipients.
#[derive(Args, Debug)]
pub(crate) struct Filter {
    /// Queue
    #[arg(long, value_name = "DOMAIN[/VMTA]")]
    pub(crate) queue: Option<String>,
    /// Sender; '<>' for none
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) orig: Option<String>,
    /// Recipient
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) rcpt: Option<String>,
    /// Job
    #[arg(long, alias = "jobId", value_name = "ID")]
    pub(crate) jobid: Option<String>,
    /// Envelope id
    #[arg(long, alias = "envId", value_name = "ID")]
    pub(crate) envid: Option<String>,
    /// In the queue for at least this long: 30m, 12h, 4d
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
}

/// Options of `list`.
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Only those whose last attempt has no known result: the node that sent it ended meanwhile
    #[arg(long)]
    pub(crate) unknown: bool,
    /// Recipients shown or changed; 0 means all
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) maxitems: u64,
    /// Hold them instead of showing them
    #[arg(long, group = "action")]
    pub(crate) pause: bool,
    /// Let them go instead of showing them
    #[arg(long, alias = "release", group = "action")]
    pub(crate) resume: bool,
    /// Make them due now instead of showing them
    #[arg(long, group = "action")]
    pub(crate) schedule: bool,
}

/// Options of `delete`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
    .args(["queue", "jobid"]))]
pub(crate) struct Delete {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// Write no accounting rows
    #[arg(long)]
    pub(crate) no_accounting: bool,
}

/// What to pause or resume.
#[derive(Debug, Subcommand)]
pub(crate) enum Held {
    /// Queues, those to come included
    #[command(after_help = "Examples:\n  mtactl pause queue 'yahoo.com/*'\n  mtactl resume queue \
                            'yahoo.com/*'")]
    Queue {
        /// Which queues
        #[arg(value_name = "DOMAIN[/VMTA]")]
        pattern: String,
    },
    /// A job
    #[command(after_help = "Examples:\n  mtactl pause job spring\n  mtactl resume job spring")]
    Job {
        /// Its id
        id: String,
    },
}

/// What to set.
#[derive(Debug, Subcommand)]
pub(crate) enum Set {
    /// Mode of queues
    #[command(after_help = MODE_EXAMPLES)]
    Queue {
        /// New mode
        #[arg(long)]
        mode: Mode,
        /// Which queues
        #[arg(value_name = "DOMAIN[/VMTA]")]
        pattern: String,
    },
}

/// Options of `schedule`.
#[derive(Args, Debug)]
pub(crate) struct Schedule {
    /// Which queues
    #[arg(value_name = "DOMAIN[/VMTA]")]
    pub(crate) pattern: String,
    /// Also recipients that a server deferred by an answer of their own
    #[arg(long)]
    pub(crate) retry_recipients: bool,
}

/// What to rotate.
#[derive(Debug, Subcommand)]
pub(crate) enum Rotate {
    /// Accounting files
    #[command(after_help = "Examples:\n  mtactl rotate acct\n  mtactl rotate acct \
                            /var/log/convoy/acct.csv")]
    Acct {
        /// One of them, as the configuration names it
        file: Option<String>,
    },
    /// The log file
    #[command(after_help = "Examples:\n  mtactl rotate log")]
    Log,
}

/// Options of `trace`.
#[derive(Args, Debug)]
pub(crate) struct Trace {
    /// One queue
    #[arg(value_name = "DOMAIN[/VMTA]")]
    pub(crate) queue: String,
    /// Make its recipients due now, so that there is something to trace
    #[arg(long)]
    pub(crate) retry_recipients: bool,
}

/// Options of `resolve`.
#[derive(Args, Debug)]
pub(crate) struct Resolve {
    /// The domain, with a virtual MTA to use its routes
    #[arg(value_name = "DOMAIN[/VMTA]")]
    pub(crate) queue: String,
    /// Connect to each host
    #[arg(long)]
    pub(crate) connect: bool,
}

/// What to forget.
#[derive(Debug, Subcommand)]
pub(crate) enum Clear {
    /// Answers of name servers; all of them, since a domain's exchangers have names of their own
    #[command(after_help = "Examples:\n  mtactl clear dnscache yahoo.com")]
    Dnscache {
        /// The domain that gave the reason
        domain: Option<String>,
    },
}

/// What to reset.
#[derive(Debug, Subcommand)]
pub(crate) enum Reset {
    /// Traffic, and the tops of traffic and connections
    #[command(alias = "status", after_help = "Examples:\n  mtactl reset counters")]
    Counters,
}

/// What to look at.
#[derive(Debug, Subcommand)]
pub(crate) enum Acct {
    /// Files being written, and rows that wait for the collector
    #[command(after_help = "Examples:\n  mtactl acct status")]
    Status,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_is_accepted_or_refused() {
        for (line, good) in [
            ("status", true),
            ("sh ver", true),
            ("show ver --json", true),
            ("show queues a/* --connected --mode=backoff --sort=rcpt --maxitems 5", true),
            ("show queues --mode=slow", false),
            ("reset count", true),
            ("reset status", true),
            ("clear dns", true),
            ("delete", false),
            ("delete --rcpt a@b", false),
            ("delete --jobId x --rcpt a@b", true),
            ("delete --queue a --jobid x", true),
            ("list --pause --resume", false),
            ("list --older-than 4d12h", true),
            ("list --older-than soon", false),
            ("set queue a.com/b", false),
            ("set queue --mode=normal a.com/b", true),
            ("config check -", true),
            ("config push", false),
            ("config push c.conf --dry-run --comment why --skip-unreachable", true),
            ("config rollback", false),
            ("config rollback 6", true),
            ("config show 6 --secrets", true),
            ("config diff", true),
            ("config diff 6 c.conf", true),
            ("config diff 6 7 8", false),
            ("pause queue", false),
            ("cluster init --address mx1.example.com:2526", true),
            ("cluster token --ttl 1h --replaces n3", true),
            ("cluster token --replaces 3", true),
            ("cluster token --replaces third", false),
            ("cluster operator anna --role admin --ttl 30d", true),
            ("cluster operator anna", false),
            ("--node mx1:2526 --credentials anna.pem status", true),
            ("list --unknown", true),
            ("--local show queues", true),
            ("cluster status", true),
            ("cluster drain n2", true),
            ("cluster drain 2", true),
            ("cluster drain two", false),
            ("cluster remove n2 --yes", true),
            ("cluster replace n2 --ttl 2h", true),
            ("cluster transfer p3 n2", true),
            ("cluster transfer p3", false),
            ("audit --no-bodies --timeout 5m", true),
            ("nonsense", false),
        ] {
            let arguments = ["mtactl"].into_iter().chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(arguments).is_ok(), good, "{line}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        fn visit(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands() {
                let path = format!("{path} {}", sub.get_name());
                let example =
                    sub.get_after_help().is_some_and(|h| h.to_string().contains("Examples:"));
                assert!(example, "{path}");
                visit(sub, &path);
            }
        }
        visit(&Cli::command(), "mtactl");
    }
}
