//! What operators ask.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::command::Draft;
use super::door::{Inspect, Located, ReportError, Work};
use super::local::Queue;
use super::machine::Answer;
use super::model::{Operation, QueueFigures, Stored, Switches, Target};
use super::proposer::When;
use super::work::report_error;
use crate::id::{GroupId, Locator, MessageId, QueueName};

/// Recipients that one command changes at most.
const TARGETS: usize = 500;

impl Inspect for Queue {
    fn queues(&self) -> Vec<(QueueName, QueueFigures)> {
        self.index.queues()
    }

    fn jobs(&self) -> Vec<(String, QueueFigures)> {
        self.index.jobs()
    }

    fn page(&self, after: Option<Locator>, limit: usize) -> BoxFuture<'_, Vec<Stored>> {
        Box::pin(async move {
            let mut page: Vec<Stored> = Vec::new();
            for (group, _) in Work::led(self) {
                let left = limit - page.len();
                if left == 0 {
                    break;
                }
                let from = match after {
                    Some(after) if after.group > group => continue,
                    Some(after) if after.group == group => Some(after),
                    Some(_) | None => None,
                };
                page.extend(self.read(group, move |state| state.page(from, left)).await);
            }
            page
        })
    }

    fn find(&self, id: MessageId) -> BoxFuture<'_, Option<Located>> {
        Box::pin(async move {
            let mut finished = None;
            for (group, term) in self.groups().into_iter().filter(|(g, _)| g.is_partition()) {
                let Some(locator) = self.locate(group, id).await else { continue };
                let stored = self.read(group, move |state| state.message(locator)).await;
                let stored = stored.filter(|stored| stored.envelope.id == id);
                let located = Located { locator, term, stored };
                if located.stored.is_some() {
                    return Some(located);
                }
                // A replica that is behind may have it elsewhere.
                finished = finished.or(Some(located));
            }
            finished
        })
    }

    fn operate(&self, operation: Operation) -> BoxFuture<'_, Result<u64, ReportError>> {
        Box::pin(async move {
            let mut changed = 0;
            for (group, part) in split(operation) {
                let draft = Draft::operation(&part);
                let told = self.propose(group, draft, When::Applied).await.map_err(report_error)?;
                if let Some(Answer::Changed(count)) = told.answer {
                    changed += count;
                }
            }
            Ok(changed)
        })
    }

    fn switches(&self) -> Switches {
        self.meta.switches.borrow().clone()
    }

    fn set_switches(&self, switches: Switches) -> BoxFuture<'_, Result<(), ReportError>> {
        Box::pin(async move {
            let draft = Draft::switches(&switches);
            let told = self.propose(GroupId::META, draft, When::Applied).await;
            told.map(drop).map_err(report_error)
        })
    }
}

/// Messages read at a time where there is no index.
const PAGE: usize = 64;

impl Queue {
    /// The position of a message in a partition. Messages that came before this version made an
    /// index are looked for page by page.
    async fn locate(&self, group: GroupId, id: MessageId) -> Option<Locator> {
        let (found, indexed) = self.read(group, move |state| state.locate(id)).await;
        if found.is_some() || indexed {
            return found;
        }
        let mut after = None;
        loop {
            let page = self.read(group, move |state| state.page(after, PAGE)).await;
            after = Some(page.last()?.locator);
            if let Some(stored) = page.iter().find(|stored| stored.envelope.id == id) {
                return Some(stored.locator);
            }
        }
    }
}

/// One operation for each partition, none of them long.
fn split(operation: Operation) -> Vec<(GroupId, Operation)> {
    let (targets, make): (_, Box<dyn Fn(Vec<Target>) -> Operation>) = match operation {
        Operation::Delete { targets } => {
            (targets, Box::new(|targets| Operation::Delete { targets }))
        }
        Operation::Schedule { targets, at } => {
            (targets, Box::new(move |targets| Operation::Schedule { targets, at }))
        }
        Operation::Hold { targets, held } => {
            (targets, Box::new(move |targets| Operation::Hold { targets, held }))
        }
    };
    let mut groups: BTreeMap<GroupId, Vec<Target>> = BTreeMap::new();
    for target in targets {
        groups.entry(target.locator.group).or_default().push(target);
    }
    let mut parts = Vec::new();
    for (group, targets) in groups {
        parts.extend(targets.chunks(TARGETS).map(|part| (group, make(part.to_vec()))));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_split_by_partition_and_length() {
        let target = |group: u32, index| Target {
            locator: Locator { group: GroupId(group), index, slot: 0 },
            recipient: 0,
            record: None,
        };
        let mut targets: Vec<_> = (0..501).map(|i| target(2, i)).collect();
        targets.push(target(3, 1));
        let parts = split(Operation::Hold { targets, held: true });
        let sizes: Vec<_> = parts
            .iter()
            .map(|(group, part)| match part {
                Operation::Hold { targets, held: true } => (group.0, targets.len()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(sizes, [(2, 500), (2, 1), (3, 1)]);
    }
}
