//! Notes attempts whose result is not known in the partitions that hold their recipients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Foreign, Journal};
use crate::id::{GroupId, NodeId};
use crate::queue::door::{Doubts as _, MarkUnknown, Ticket, Work};
use crate::queue::model::FinalDot;

/// Between tries while a partition has no leader.
const AGAIN: Duration = Duration::from_millis(250);
/// Between looks at what this node leads. Marks are best put before the first attempt of a new
/// leader ends.
const LOOK: Duration = Duration::from_millis(20);

/// Marks what this node itself will not report any more.
pub(super) async fn own(journal: Arc<Journal>, mark: Arc<dyn MarkUnknown>, me: NodeId) {
    loop {
        if mark_own(&journal, mark.as_ref(), me).await {
            journal.doubted().await;
        } else {
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// Tries once; true when nothing is left.
pub(super) async fn mark_own(journal: &Journal, mark: &dyn MarkUnknown, me: NodeId) -> bool {
    let mut groups: BTreeMap<GroupId, (Vec<Ticket>, Vec<FinalDot>)> = BTreeMap::new();
    for (ticket, dot) in journal.doubtful() {
        let (tickets, dots) = groups.entry(dot.locator.group).or_default();
        tickets.push(ticket);
        dots.push(dot);
    }
    let mut all = true;
    for (group, (tickets, dots)) in groups {
        match mark.mark_unknown(me, group, dots).await {
            Ok(count) => {
                told(count, me, group);
                for ticket in tickets {
                    journal.end(ticket, true);
                }
            }
            Err(_) => all = false,
        }
    }
    all
}

fn told(count: u64, node: NodeId, group: GroupId) {
    if count > 0 {
        tracing::warn!(
            "{count} recipient(s) in {group} may have been sent by {node}, which did not tell the \
             result; they will be sent again: mtactl list --unknown"
        );
    }
}

/// Marks what earlier leaders had open when this node begins to lead their partitions.
pub(super) async fn taken_over(
    foreign: Arc<Foreign>,
    mark: Arc<dyn MarkUnknown>,
    work: Arc<dyn Work>,
) {
    let mut done: BTreeMap<GroupId, u64> = BTreeMap::new();
    let mut tick = tokio::time::interval(LOOK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for (group, term) in work.led() {
            if done.get(&group) != Some(&term)
                && mark_left(&foreign, mark.as_ref(), group, term).await
            {
                done.insert(group, term);
            }
        }
    }
}

/// True when it is done, or somebody else leads by now.
async fn mark_left(foreign: &Foreign, mark: &dyn MarkUnknown, group: GroupId, term: u64) -> bool {
    let mut all = true;
    for (node, dots) in foreign.left_behind(group, term) {
        match mark.mark_unknown(node, group, dots).await {
            Ok(count) => {
                told(count, node, group);
                foreign.settled(node, group, term);
            }
            Err(_) => all = false,
        }
    }
    all
}
