//! Runs with faults: what is done to which node when, as data, and the engine that does it.

mod engine;
mod report;
mod scenarios;

use std::time::Duration;

pub use engine::{Options, run};
pub use report::{Idle, Outcome, Report};
pub use scenarios::SCENARIOS;

/// A run with faults.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// For the command line.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Nodes that found the cluster.
    pub nodes: u8,
    /// What the run needs of the machine.
    pub needs: Needs,
    /// What is done, in order, while the load goes on.
    pub steps: &'static [Step],
    /// How often the steps are done.
    pub times: u32,
}

/// What a run needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: the nodes live on loopback.
    Nothing,
    /// Network namespaces, and root.
    Namespaces,
    /// A C compiler, for a library between the nodes and their disks and clocks.
    Shim,
    /// A file system of its own for every node, and root.
    SmallDisks,
    /// Proxies between the nodes.
    Proxies,
}

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The node that leads most partitions.
    Leader,
    /// The node that leads fewest.
    Follower,
    /// The leader of the accounting group.
    Collector,
    /// The leader of the group that grants shares of limits.
    Granting,
    /// The leader of the meta group.
    Meta,
}

/// One thing that is done.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Nothing, for so many milliseconds.
    Wait(u64),
    /// Waits until the cluster is healthy.
    Healthy,
    /// `kill -9`, and measures how long it takes until its mail goes on.
    Kill(Who),
    /// `kill -9` of every node at once.
    KillAll,
    /// Kills every node and takes from the disks what they had not synced.
    PowerCut,
    /// Starts every node that is down.
    Restart,
    /// SIGTERM, and waits for the end.
    Terminate(Who),
    /// SIGSTOP.
    Pause(Who),
    /// SIGCONT.
    Resume,
    /// No packet between this node and the others.
    Isolate(Who),
    /// No packet between this node and the next; all others reach both.
    Bridge(Who),
    /// No packet from this node to the others.
    Mute(Who),
    /// Ends all cuts.
    Heal,
    /// Delay and jitter between the nodes, in milliseconds.
    Delay(u64, u64),
    /// `cluster drain`, and measures it.
    Drain(Who),
    /// `cluster undrain` of the node that was drained.
    Undrain,
    /// Kills a node, removes its disk and has a new node take its place.
    Replace(Who),
    /// A new node joins.
    Join,
    /// `cluster drain` and `cluster remove`, and the end of the process.
    Remove(Who),
    /// `config push` of a configuration that differs.
    Push,
    /// Fills a node's disk.
    Fill(Who),
    /// Makes room again, and starts the node if it has ended.
    Free,
    /// The next sync fails; the node must end.
    FailSync(Who),
    /// Every sync of the node takes so many milliseconds longer; 0 ends it.
    SlowDisk(Who, u64),
    /// The node's wall clock is off by so many milliseconds.
    Clock(Who, i64),
}

/// How long the load goes on after the last step.
const AFTERWARDS: Duration = Duration::from_secs(3);
