//! Attempts whose result is not known are noted in the partitions that hold their recipients.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use super::command::Draft;
use super::door::{MarkUnknown, ReportError};
use super::local::Queue;
use super::machine::Answer;
use super::model::FinalDot;
use super::proposer::When;
use super::work::report_error;
use crate::id::{GroupId, NodeId};

/// Recipients that one command marks at most.
const TARGETS: usize = 500;

impl MarkUnknown for Queue {
    fn mark_unknown(
        &self,
        node: NodeId,
        group: GroupId,
        dots: Vec<FinalDot>,
    ) -> BoxFuture<'_, Result<u64, ReportError>> {
        Box::pin(async move {
            let mut changed = 0;
            for (term, dots) in pieces(group, dots) {
                let draft = Draft::mark_unknown(node, term, &dots);
                let told = self.propose(group, draft, When::Applied).await.map_err(report_error)?;
                if let Some(Answer::Changed(count)) = told.answer {
                    changed += count;
                }
            }
            Ok(changed)
        })
    }
}

/// Attempts of `group` by their term, in pieces that are not long.
fn pieces(group: GroupId, dots: Vec<FinalDot>) -> Vec<(u64, Vec<FinalDot>)> {
    let mut terms: BTreeMap<u64, Vec<FinalDot>> = BTreeMap::new();
    for dot in dots.into_iter().filter(|dot| dot.locator.group == group) {
        let all = terms.entry(dot.term).or_default();
        let part =
            |recipients: &[(u16, u32)]| FinalDot { recipients: recipients.to_vec(), ..dot.clone() };
        all.extend(dot.recipients.chunks(TARGETS).map(part));
    }
    let mut pieces = Vec::new();
    for (term, dots) in terms {
        let (mut piece, mut count) = (Vec::new(), 0);
        for dot in dots {
            if count + dot.recipients.len() > TARGETS {
                pieces.push((term, std::mem::take(&mut piece)));
                count = 0;
            }
            count += dot.recipients.len();
            piece.push(dot);
        }
        pieces.push((term, piece));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::id::Locator;

    #[test]
    fn attempts_are_split_by_term_and_length() {
        let dot = |group: u32, index, term, count: u16| FinalDot {
            locator: Locator { group: GroupId(group), index, slot: 0 },
            term,
            at: Timestamp(1),
            recipients: (0..count).map(|n| (n, 0)).collect(),
        };
        let dots = vec![dot(2, 1, 7, 1100), dot(2, 2, 7, 300), dot(2, 3, 8, 1), dot(3, 1, 7, 1)];
        let pieces: Vec<(u64, usize)> = pieces(GroupId(2), dots)
            .iter()
            .map(|(term, dots)| (*term, dots.iter().map(|d| d.recipients.len()).sum()))
            .collect();
        assert_eq!(pieces, [(7, 500), (7, 500), (7, 400), (8, 1)]);
    }
}
