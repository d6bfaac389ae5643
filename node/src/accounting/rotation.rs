//! When an accounting file ends: at midnight, after `move-interval`, or when an operator says so.

use std::path::Path;

use super::naming;
use super::wire;
use crate::clock::Timestamp;

/// Finished files of a series that a snapshot takes along, unless they were moved.
const CLOSED_MAX: usize = 8;

const DAY_MS: u64 = 86_400_000;

/// Open files and when they end by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rotations(Vec<(wire::AcctFile, wire::Series)>);

impl Rotations {
    /// Takes files with what they have become; those that are not open have no end.
    pub(crate) fn new(files: impl Iterator<Item = (wire::AcctFile, wire::Series)>) -> Self {
        Self(files.filter(|(_, series)| series.open.is_some()).collect())
    }

    /// Is there a file to finish?
    pub(crate) fn due(&self, now: Timestamp, utc_offset_s: i32) -> bool {
        let today = naming::date(now, utc_offset_s);
        self.0.iter().any(|(definition, series)| is_due(series, definition, now, &today))
    }

    /// Names of open files that `rotate` finishes.
    pub(crate) fn told_by(&self, rotate: &wire::Rotate) -> Vec<String> {
        let told = self.0.iter().filter(|(definition, _)| names(rotate, definition));
        told.filter_map(|(_, series)| Some(series.open.as_ref()?.name.clone())).collect()
    }
}

/// Does the open file of this series end by time? `move-interval` counts only with `move-to`.
pub(crate) fn is_due(
    series: &wire::Series,
    file: &wire::AcctFile,
    now: Timestamp,
    today: &str,
) -> bool {
    let Some(open) = &series.open else { return false };
    let age_s = now.since(Timestamp(open.opened_ms)).as_secs();
    let moves = !file.move_to.is_empty() && file.move_interval_s > 0;
    let day_is_over = series.date.as_str() < today;
    let was_wrong = is_wrong(Timestamp(open.opened_ms), now);
    day_is_over || was_wrong || (moves && age_s >= file.move_interval_s)
}

/// The time of the next entry, by the clock of the collector that made it. Clocks of nodes differ a
/// little, and time does not run backwards when another one collects. A clock that was more than a
/// day ahead was wrong, and must not stop rotation until its day comes.
pub(crate) fn time_after(last: Timestamp, next: Timestamp) -> Timestamp {
    if is_wrong(last, next) { next } else { last.max(next) }
}

fn is_wrong(earlier: Timestamp, now: Timestamp) -> bool {
    earlier.as_millis() > now.as_millis().saturating_add(DAY_MS)
}

/// Does the command mean this file? By its path or by the last part of it; an empty name means all.
pub(crate) fn names(rotate: &wire::Rotate, file: &wire::AcctFile) -> bool {
    let last = Path::new(&file.path).file_name().map(|n| n.to_string_lossy());
    rotate.file.is_empty() || rotate.file == file.path || last.is_some_and(|n| n == rotate.file)
}

/// Ends the open file of a series, if there is one.
pub(crate) fn finish(series: &mut wire::Series, move_to: &str) {
    let Some(open) = series.open.take() else { return };
    let finished = wire::Finished {
        name: open.name,
        move_to: move_to.to_owned(),
        length_bytes: open.length_bytes,
    };
    if move_to.is_empty() {
        series.closed.push(finished);
        let beyond = series.closed.len().saturating_sub(CLOSED_MAX);
        series.closed.drain(..beyond);
    } else {
        series.finished.push(finished);
    }
}
