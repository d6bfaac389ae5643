//! Changes of entries that are being applied, over the database.
//!
//! Reads see the changes. At the end they become one batch.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::StoreError;
use super::database::{Batch, Database, Family, Frozen};
use crate::queue::machine::{BodyPart, Changes, MachineError, Row, Table, View};

impl From<StoreError> for MachineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Inconsistent(what),
            StoreError::Database { .. }
            | StoreError::Failed
            | StoreError::Busy
            | StoreError::Files(_)
            | StoreError::Closed => Self::Store(error.to_string()),
        }
    }
}

#[derive(Default)]
struct TableChanges {
    /// What keys are now; `None` is removed. Stronger than `ranges`.
    points: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Ranges removed from the database.
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl TableChanges {
    fn removed(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|(from, to)| from.as_slice() <= key && key < to.as_slice())
    }
}

/// The changes of one group. Keys of rows are the machine's, without the prefix.
pub(crate) struct Overlay<'a> {
    database: &'a Database,
    prefix: [u8; 6],
    tables: BTreeMap<Table, TableChanges>,
    released: Vec<BodyPart>,
}

impl<'a> Overlay<'a> {
    /// No changes over the state with this prefix.
    pub(crate) fn new(database: &'a Database, prefix: [u8; 6]) -> Self {
        Self { database, prefix, tables: BTreeMap::new(), released: Vec::new() }
    }

    fn full(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_slice(), key].concat()
    }

    /// Puts the changes into `batch` and gives the bodies that were released.
    pub(crate) fn write_to(self, batch: &mut Batch<'_>) -> Vec<BodyPart> {
        for (table, changes) in &self.tables {
            let family = Family::Table(*table);
            for (from, to) in &changes.ranges {
                batch.delete_range(family, &self.full(from), &self.full(to));
            }
            for (key, value) in &changes.points {
                match value {
                    Some(value) => batch.put(family, &self.full(key), value),
                    None => batch.delete(family, &self.full(key)),
                }
            }
        }
        self.released
    }
}

impl View for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, MachineError> {
        if let Some(changes) = self.tables.get(&table) {
            if let Some(value) = changes.points.get(key) {
                return Ok(value.clone());
            }
            if changes.removed(key) {
                return Ok(None);
            }
        }
        Ok(self.database.get(Family::Table(table), &self.full(key))?)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, MachineError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let family = Family::Table(table);
        let Some(changes) = self.tables.get(&table) else {
            let mut rows = self.database.scan(family, &self.full(from), &self.full(to), limit)?;
            rows.iter_mut().for_each(strip);
            return Ok(rows);
        };
        let range = (Bound::Included(from.to_vec()), Bound::Excluded(to.to_vec()));
        let mut points = changes.points.range(range).peekable();
        let mut rows = Vec::new();
        // Both sides are in order: at each row of the database, first take the changes before it.
        self.database.each(family, &self.full(from), &self.full(to), |key, value| {
            let key = &key[self.prefix.len()..];
            let mut changed = false;
            while let Some((point, new)) = points.next_if(|(point, _)| point.as_slice() <= key) {
                changed = point == key;
                if let Some(new) = new {
                    rows.push(Row { key: point.clone(), value: new.clone() });
                }
            }
            if !changed && !changes.removed(key) {
                rows.push(Row { key: key.to_vec(), value: value.to_vec() });
            }
            rows.len() < limit
        })?;
        for (point, new) in points {
            if let Some(new) = new {
                rows.push(Row { key: point.clone(), value: new.clone() });
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }
}

fn strip(row: &mut Row) {
    row.key.drain(..6);
}

impl Changes for Overlay<'_> {
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        let changes = self.tables.entry(table).or_default();
        changes.points.insert(key.to_vec(), Some(value.to_vec()));
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.tables.entry(table).or_default().points.insert(key.to_vec(), None);
    }

    fn delete_range(&mut self, table: Table, from: &[u8], to: &[u8]) {
        if from >= to {
            return;
        }
        let changes = self.tables.entry(table).or_default();
        changes.points.retain(|key, _| key.as_slice() < from || key.as_slice() >= to);
        changes.ranges.push((from.to_vec(), to.to_vec()));
    }

    fn release_body(&mut self, part: BodyPart) {
        self.released.push(part);
    }
}

/// The state of a group in a frozen database.
pub(crate) struct FrozenView<'a> {
    /// The database at one moment.
    pub frozen: &'a Frozen<'a>,
    /// Group and epoch.
    pub prefix: [u8; 6],
}

impl View for FrozenView<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, MachineError> {
        let key = [self.prefix.as_slice(), key].concat();
        Ok(self.frozen.get(Family::Table(table), &key)?)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, MachineError> {
        let full = |key: &[u8]| [self.prefix.as_slice(), key].concat();
        let family = Family::Table(table);
        let mut rows = self.frozen.scan(family, &full(from), &full(to), limit, usize::MAX)?;
        rows.iter_mut().for_each(strip);
        Ok(rows)
    }
}
