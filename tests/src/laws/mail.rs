//! Laws 1 to 3: nothing lost, nothing that was refused, nothing twice.

use std::collections::{HashMap, HashSet};

use super::{Figures, Law, Tolerance, Violation, is_in_flight};
use crate::history::{Fault, History, Recipient, Sent, Transaction};

/// Every copy that a receiver took, by recipient, in the order of the final dots.
type Copies<'a> = HashMap<Recipient, Vec<&'a Transaction>>;

pub(super) fn judge(
    history: &History,
    tolerance: Tolerance,
    figures: &mut Figures,
) -> Vec<Violation> {
    let copies = copies(history);
    let bounced: HashSet<Recipient> =
        history.rows.iter().filter(|row| !row.delivered).map(|row| row.recipient).collect();
    let mut violations = lost(history, &copies, &bounced, figures);
    violations.extend(changed(history));
    violations.extend(refused(history, &copies));
    violations.extend(duplicates(history, &copies, tolerance, figures));
    figures.in_flight = in_flight(history, tolerance);
    violations
}

fn copies(history: &History) -> Copies<'_> {
    let mut copies: Copies<'_> = HashMap::new();
    for transaction in history.transactions.iter().filter(|t| t.taken) {
        for recipient in &transaction.recipients {
            copies.entry(*recipient).or_default().push(transaction);
        }
    }
    for found in copies.values_mut() {
        found.sort_by_key(|transaction| transaction.dot);
    }
    copies
}

/// Transactions between final dot and recorded outcome, at each fault.
fn in_flight(history: &History, tolerance: Tolerance) -> usize {
    let at = |fault: &Fault| {
        history.transactions.iter().filter(|t| is_in_flight(t, fault, tolerance)).count()
    };
    history.faults.iter().map(at).sum()
}

fn lost(
    history: &History,
    copies: &Copies<'_>,
    bounced: &HashSet<Recipient>,
    figures: &mut Figures,
) -> Vec<Violation> {
    let mut unaccounted = Vec::new();
    for sent in &history.sent {
        if !sent.is_accepted() {
            let doubt = sent.attempts.iter().any(|attempt| attempt.answer.is_in_doubt());
            figures.in_doubt += if doubt { usize::from(sent.recipients) } else { 0 };
            continue;
        }
        for recipient in sent.recipients() {
            figures.accepted += 1;
            if copies.contains_key(&recipient) {
                figures.delivered += 1;
            } else if bounced.contains(&recipient) {
                figures.bounced += 1;
            } else {
                unaccounted.push(recipient);
            }
        }
    }
    figures.queued = history.queued;
    figures.lost = unaccounted.len().saturating_sub(history.queued);
    if figures.lost == 0 {
        return Vec::new();
    }
    let what = format!("accepted, and neither delivered nor bounced; {} queued", history.queued);
    Violation::about(Law::NothingLost, &what, &unaccounted).into_iter().collect()
}

fn changed(history: &History) -> Option<Violation> {
    let changed = history.transactions.iter().filter(|t| t.taken && !t.intact);
    let recipients: Vec<_> = changed.flat_map(|t| t.recipients.iter().copied()).collect();
    Violation::about(Law::NothingLost, "came changed", &recipients)
}

fn refused(history: &History, copies: &Copies<'_>) -> Option<Violation> {
    let surely = |sent: &&Sent| {
        !sent.is_accepted() && !sent.attempts.iter().any(|attempt| attempt.answer.is_in_doubt())
    };
    let refused = history.sent.iter().filter(surely).flat_map(Sent::recipients);
    let came: Vec<_> = refused.filter(|recipient| copies.contains_key(recipient)).collect();
    Violation::about(Law::RefusedStaysOut, "refused, and came to a receiver", &came)
}

/// How often the load source may have brought a message into the cluster more than once.
pub(super) fn repeats(history: &History) -> HashMap<u32, usize> {
    let again = |sent: &Sent| {
        let stored = |n: &crate::history::Attempt| {
            n.answer.is_in_doubt() || n.answer == crate::history::Answer::Accepted
        };
        sent.attempts.iter().filter(|attempt| stored(attempt)).count().saturating_sub(1)
    };
    history.sent.iter().map(|sent| (sent.id, again(sent))).filter(|(_, n)| *n > 0).collect()
}

fn duplicates(
    history: &History,
    copies: &Copies<'_>,
    tolerance: Tolerance,
    figures: &mut Figures,
) -> Option<Violation> {
    let repeats = repeats(history);
    let mut wrong = Vec::new();
    for (recipient, found) in copies {
        let mut by_source = repeats.get(&recipient.id).copied().unwrap_or(0);
        for pair in found.windows(2) {
            let (earlier, later) = (pair[0], pair[1]);
            let explained = earlier.replied.is_none()
                || history.faults.iter().any(|fault| {
                    fault.from <= later.dot && is_in_flight(earlier, fault, tolerance)
                });
            if explained {
                figures.duplicates += 1;
            } else if by_source > 0 {
                by_source -= 1;
                figures.repeated += 1;
            } else {
                figures.duplicates += 1;
                wrong.push(*recipient);
            }
        }
    }
    wrong.sort();
    Violation::about(Law::NoDuplicates, "came again, and no fault explains it", &wrong)
}
