//! The machine of group `meta`: the operator's switches.

use convoy_proto::storage as proto;
use prost::Message;
use tokio::sync::watch;

use super::codec;
use super::command::FORMAT;
use super::machine::{
    Answer, Changes, Committed, LiveBodies, Machine, MachineError, Table, View, no_bodies,
};
use super::model::Switches;

const SWITCHES: &[u8] = b"switches";

/// The machine. Who watches the switches sees them when they are applied.
pub(crate) struct MetaMachine {
    current: Switches,
    watch: watch::Sender<Switches>,
}

impl MetaMachine {
    /// A machine and the switches that it keeps.
    pub(crate) fn new() -> (Self, watch::Receiver<Switches>) {
        let (watch, receiver) = watch::channel(Switches::default());
        (Self { current: Switches::default(), watch }, receiver)
    }

    fn publish(&self) {
        self.watch.send_if_modified(|shown| {
            let changed = *shown != self.current;
            if changed {
                shown.clone_from(&self.current);
            }
            changed
        });
    }
}

impl Machine for MetaMachine {
    fn opened(&mut self, view: &dyn View) -> Result<(), MachineError> {
        self.current = match view.get(Table::State, SWITCHES)? {
            Some(row) => codec::read_switches(decode(&row)?),
            None => Switches::default(),
        };
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
        if read.format != FORMAT {
            let what = format!("entry {} has format {}", entry.index, read.format);
            return Err(MachineError::Inconsistent(what));
        }
        let mut answers = Vec::with_capacity(read.commands.len());
        for command in read.commands {
            let Some(Kind::Switches(switches)) = command.kind else {
                let what = format!("entry {} is not for this group", entry.index);
                return Err(MachineError::Inconsistent(what));
            };
            changes.put(Table::State, SWITCHES, &switches.encode_to_vec());
            self.current = codec::read_switches(switches);
            answers.push(Answer::Done);
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
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::GroupId;
    use crate::queue::command::{Draft, entry};
    use crate::queue::machine::Memory;

    #[test]
    fn switches_are_shown_when_written_and_read_back_at_start() {
        let switches = Switches { paused_jobs: vec!["j1".to_owned()], ..Switches::default() };
        let proposal = entry(Timestamp(1), [Draft::switches(&switches)].iter());
        let committed = Committed {
            group: GroupId::META,
            index: 3,
            term: 1,
            payload: proposal.payload,
            bodies: Vec::new(),
        };
        let (mut machine, shown) = MetaMachine::new();
        let mut state = Memory::default();
        machine.apply(&committed, &mut state).unwrap();
        assert_eq!(*shown.borrow(), Switches::default());
        machine.written().unwrap();
        assert_eq!(*shown.borrow(), switches);
        let (mut again, shown) = MetaMachine::new();
        again.opened(&state).unwrap();
        assert_eq!(*shown.borrow(), switches);
    }
}
