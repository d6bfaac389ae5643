//! What operators ask: delete, schedule, hold.

use convoy_proto::storage as proto;

use super::partition::Run;
use crate::id::Locator;
use crate::queue::codec;
use crate::queue::machine::{Answer, MachineError};

impl Run<'_> {
    /// Runs an operation; answers how many recipients it changed.
    pub(super) fn operate(&mut self, operation: proto::Operation) -> Result<Answer, MachineError> {
        use proto::operation::Kind;
        let kind = operation
            .kind
            .ok_or_else(|| MachineError::Inconsistent("an operation without kind".to_owned()))?;
        let changed = match kind {
            Kind::Delete(delete) => {
                self.each(&delete.targets, |run, at, number, row, target| {
                    run.counters.deleted += 1;
                    run.finish(at, number, &row, target.record.as_ref())?;
                    Ok(true)
                })?
            }
            Kind::Schedule(schedule) => self
                .each(&schedule.targets, |run, at, number, row, _| {
                    run.change(at, number, &row, |new| new.due = schedule.at)
                })?,
            Kind::Hold(hold) => self.each(&hold.targets, |run, at, number, row, _| {
                run.change(at, number, &row, |new| new.held = hold.held)
            })?,
        };
        Ok(Answer::Changed(changed))
    }

    /// Notes that the last attempt of these recipients has no known result. A recipient with more
    /// attempts than were seen has been reported since, and keeps what the report said.
    pub(super) fn mark_unknown(
        &mut self,
        unknown: &proto::MarkUnknown,
    ) -> Result<Answer, MachineError> {
        let changed = self.each(&unknown.targets, |run, at, number, row, target| {
            if target.attempts.is_some_and(|seen| seen != row.attempts) {
                return Ok(false);
            }
            let at_dot = if target.at == 0 { unknown.at } else { target.at };
            let attempt =
                proto::UnknownAttempt { term: unknown.term, at: at_dot, node_id: unknown.node_id };
            // What is known of a later attempt stays.
            if row.unknown.is_some_and(|known| known.term > attempt.term) {
                return Ok(false);
            }
            run.change(at, number, &row, |new| new.unknown = Some(attempt))
        })?;
        Ok(Answer::Changed(changed))
    }

    /// Calls `act` for every target that is still open; counts those that it changed.
    fn each(
        &mut self,
        targets: &[proto::Target],
        mut act: impl FnMut(
            &mut Self,
            Locator,
            u16,
            proto::RecipientRow,
            &proto::Target,
        ) -> Result<bool, MachineError>,
    ) -> Result<u64, MachineError> {
        let mut changed = 0;
        for target in targets {
            let (at, number) = codec::read_target(self.group, target)?;
            if let Some(row) = self.recipient(at, number)?
                && act(self, at, number, row, target)?
            {
                changed += 1;
            }
        }
        Ok(changed)
    }

    fn change(
        &mut self,
        at: Locator,
        number: u16,
        row: &proto::RecipientRow,
        change: impl FnOnce(&mut proto::RecipientRow),
    ) -> Result<bool, MachineError> {
        let mut new = row.clone();
        change(&mut new);
        if new == *row {
            return Ok(false);
        }
        self.replace(at, number, row, &new)?;
        Ok(true)
    }
}
