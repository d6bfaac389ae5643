//! Law 4: one row per outcome, in files that are the same everywhere.

use std::collections::{HashMap, HashSet};

use super::mail::repeats;
use super::{Figures, Law, Violation};
use crate::history::{History, Recipient, Replica, Row, Sent};

pub(super) fn judge(history: &History, figures: &mut Figures) -> Vec<Violation> {
    let mut rows: HashMap<Recipient, Vec<bool>> = HashMap::new();
    for Row { recipient, delivered } in &history.rows {
        rows.entry(*recipient).or_default().push(*delivered);
    }
    figures.rows = history.rows.len();
    let mut found = Vec::new();
    found.extend(missing(history, &rows, figures));
    found.extend(twice(history, &rows, figures));
    found.extend(untrue(history, &rows));
    found.extend(differing(&history.replicas));
    found
}

/// Accepted recipients without a row; as many as are queued may have none yet.
fn missing(
    history: &History,
    rows: &HashMap<Recipient, Vec<bool>>,
    figures: &mut Figures,
) -> Option<Violation> {
    let accepted = history.sent.iter().filter(|sent| sent.is_accepted());
    let all = accepted.flat_map(Sent::recipients);
    let missing: Vec<_> = all.filter(|recipient| !rows.contains_key(recipient)).collect();
    figures.rows_missing = missing.len().saturating_sub(history.queued);
    let wrong = if figures.rows_missing == 0 { &[][..] } else { &missing };
    Violation::about(Law::RowsOnce, "accepted recipients have no row", wrong)
}

fn twice(
    history: &History,
    rows: &HashMap<Recipient, Vec<bool>>,
    figures: &mut Figures,
) -> Option<Violation> {
    let repeats = repeats(history);
    let allowed = |recipient: &Recipient| 1 + repeats.get(&recipient.id).copied().unwrap_or(0);
    let over = rows.iter().filter(|(recipient, found)| found.len() > allowed(recipient));
    let mut wrong: Vec<_> = over.map(|(recipient, _)| *recipient).collect();
    wrong.sort();
    figures.rows_twice = wrong.len();
    Violation::about(Law::RowsOnce, "recipients have more than one terminal row", &wrong)
}

/// Rows of deliveries that no receiver saw.
fn untrue(history: &History, rows: &HashMap<Recipient, Vec<bool>>) -> Option<Violation> {
    let taken = history.transactions.iter().filter(|transaction| transaction.taken);
    let came: HashSet<Recipient> = taken.flat_map(|t| t.recipients.iter().copied()).collect();
    let claims = rows.iter().filter(|(_, found)| found.contains(&true));
    let mut wrong: Vec<_> =
        claims.map(|(recipient, _)| *recipient).filter(|r| !came.contains(r)).collect();
    wrong.sort();
    Violation::about(Law::RowsOnce, "rows tell of deliveries that nobody saw", &wrong)
}

fn differing(replicas: &[Replica]) -> Vec<Violation> {
    let Some((first, others)) = replicas.split_first() else { return Vec::new() };
    let mut found = Vec::new();
    for other in others {
        if let Some(what) = difference(first, other) {
            let nodes = format!("files of nodes {} and {}", first.node, other.node);
            found.push(Violation::new(Law::RowsOnce, format!("{nodes} differ: {what}")));
        }
    }
    found
}

fn difference(one: &Replica, other: &Replica) -> Option<String> {
    let names = |replica: &Replica| -> Vec<String> {
        replica.files.iter().map(|(name, _)| name.clone()).collect()
    };
    if names(one) != names(other) {
        return Some(format!("{:?} and {:?}", names(one), names(other)));
    }
    one.files.iter().zip(&other.files).find_map(|((name, a), (_, b))| {
        let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
        (a != b).then(|| format!("{name}, {} and {} bytes, from {same} on", a.len(), b.len()))
    })
}
