//! How the groups of this node stand, for operators.

use std::path::Path;

use super::housekeeping;
use super::local::Queue;
use crate::id::GroupId;

impl Queue {
    /// All groups of this node, with the term in which it leads, if it does.
    #[must_use]
    pub fn groups(&self) -> Vec<(GroupId, Option<u64>)> {
        let led = self.index.led();
        let term = |group: GroupId| led.iter().find(|(g, _)| *g == group).map(|(_, term)| *term);
        self.members.keys().map(|&group| (group, term(group))).collect()
    }
}

/// Bytes free on the file system of `directory`; `None` when it cannot be asked.
#[must_use]
pub fn free_bytes(directory: &Path) -> Option<u64> {
    housekeeping::free_bytes(directory).ok()
}
