//! The machine of group `meta`: the operator's switches, and what is known of the cluster.

mod roster;
mod rows;

use std::sync::Arc;

use convoy_proto::storage as proto;
use prost::Message;
use tokio::sync::watch;

use self::roster::Roster;
use super::cluster::Cluster;
use super::codec;
use super::command::FORMAT;
use super::machine::{
    Answer, Changes, Committed, LiveBodies, Machine, MachineError, Table, View, no_bodies,
};
use super::model::Switches;

pub(crate) use rows::version_row;

const SWITCHES: &[u8] = b"switches";

/// The machine. Who watches switches and cluster sees them when they are applied.
pub(crate) struct MetaMachine {
    switches: Switches,
    roster: Roster,
    show_switches: watch::Sender<Switches>,
    show_cluster: watch::Sender<Arc<Cluster>>,
}

/// What the machine shows.
#[derive(Clone)]
pub(crate) struct MetaView {
    pub switches: watch::Receiver<Switches>,
    pub cluster: watch::Receiver<Arc<Cluster>>,
}

impl MetaMachine {
    /// A machine and what it shows.
    pub(crate) fn new() -> (Self, MetaView) {
        let (show_switches, switches) = watch::channel(Switches::default());
        let (show_cluster, cluster) = watch::channel(Arc::default());
        let machine = Self {
            switches: Switches::default(),
            roster: Roster::default(),
            show_switches,
            show_cluster,
        };
        (machine, MetaView { switches, cluster })
    }

    fn publish(&mut self) {
        self.show_switches.send_if_modified(|shown| {
            let changed = *shown != self.switches;
            if changed {
                shown.clone_from(&self.switches);
            }
            changed
        });
        if let Some(cluster) = self.roster.take_changed() {
            self.show_cluster.send_replace(Arc::new(cluster));
        }
    }
}

impl Machine for MetaMachine {
    fn opened(&mut self, view: &dyn View) -> Result<(), MachineError> {
        self.switches = match view.get(Table::State, SWITCHES)? {
            Some(row) => codec::read_switches(decode(&row)?),
            None => Switches::default(),
        };
        self.roster = Roster::open(view)?;
        self.publish();
        Ok(())
    }

    fn apply(
        &mut self,
        entry: &Committed,
        changes: &mut dyn Changes,
    ) -> Result<Vec<Answer>, MachineError> {
        use proto::command::Kind;
        let read: proto::Entry = decode(&entry.payload)?;
        if read.format > FORMAT {
            let what = format!("entry {} has format {}", entry.index, read.format);
            return Err(MachineError::Inconsistent(what));
        }
        let mut answers = Vec::with_capacity(read.commands.len());
        for command in read.commands {
            match command.kind {
                Some(Kind::Switches(switches)) => {
                    changes.put(Table::State, SWITCHES, &switches.encode_to_vec());
                    self.switches = codec::read_switches(switches);
                    answers.push(Answer::Done);
                }
                Some(Kind::Cluster(change)) => {
                    let at = roster::At { index: entry.index, proposed_at: read.proposed_at };
                    answers.push(self.roster.apply(at, change, changes)?);
                }
                Some(_) | None => {
                    let what = format!("entry {} is not for this group", entry.index);
                    return Err(MachineError::Inconsistent(what));
                }
            }
        }
        Ok(answers)
    }

    fn written(&mut self) -> Result<(), MachineError> {
        self.publish();
        Ok(())
    }

    fn live_bodies(&self) -> LiveBodies {
        no_bodies
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, MachineError> {
    M::decode(bytes).map_err(|e| MachineError::Inconsistent(e.to_string()))
}

#[cfg(test)]
#[path = "meta_test.rs"]
mod tests;
