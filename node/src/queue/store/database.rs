//! The database: column families, their options, and typed access to rows.

use std::path::Path;

use prost::Message;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRecoveryMode, Direction, IteratorMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::captures::Captures;
use super::{StoreError, keys};
use crate::id::GroupId;
use crate::queue::machine::{BodyPart, Row, Table};

/// A column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Votes, positions, epochs.
    Meta,
    /// Records of the logs, without bodies.
    Log,
    /// Bodies, by the log entry that brought them.
    Body,
    /// A table of the machines.
    Table(Table),
}

impl Family {
    const ALL: [Self; 9] = [
        Self::Meta,
        Self::Log,
        Self::Body,
        Self::Table(Table::State),
        Self::Table(Table::Message),
        Self::Table(Table::Recipient),
        Self::Table(Table::Due),
        Self::Table(Table::Outbox),
        Self::Table(Table::Token),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "raft_meta",
            Self::Log => "raft_log",
            Self::Body => "body",
            Self::Table(Table::State) => "state",
            Self::Table(Table::Message) => "message",
            Self::Table(Table::Recipient) => "recipient",
            Self::Table(Table::Due) => "due",
            Self::Table(Table::Outbox) => "outbox",
            Self::Table(Table::Token) => "token",
        }
    }
}

/// Memory that the database may use.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Buffer of new bodies; there are up to four. Bodies of messages that are delivered before
    /// it is full are never written a second time.
    pub body_buffer_bytes: usize,
    /// Buffer of new log records; there are up to two.
    pub log_buffer_bytes: usize,
    /// Cache of blocks read.
    pub cache_bytes: usize,
    /// Entries of each log that are kept in memory.
    pub tail_bytes: usize,
    /// Disk that applied entries of all logs may take, bodies included. They are kept so that a
    /// member that was away for a while needs no snapshot.
    pub log_bytes: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            body_buffer_bytes: 256 << 20,
            log_buffer_bytes: 64 << 20,
            cache_bytes: 64 << 20,
            tail_bytes: 8 << 20,
            log_bytes: 2 << 30,
        }
    }
}

/// The open database. Every method blocks.
pub(crate) struct Database {
    db: DB,
    /// Who wants to see a state at a certain entry.
    pub(crate) captures: Captures,
}

impl Database {
    /// Opens or creates the database in `dir`.
    pub(crate) fn open(dir: &Path, sizes: &Sizes) -> Result<Self, StoreError> {
        let cache = Cache::new_lru_cache(sizes.cache_bytes);
        let families = Family::ALL
            .map(|f| ColumnFamilyDescriptor::new(f.name(), family_options(f, sizes, &cache)));
        let db = DB::open_cf_descriptors(&database_options(), dir, families)
            .map_err(StoreError::database("opening the database"))?;
        Ok(Self { db, captures: Captures::default() })
    }

    fn family(&self, family: Family) -> &ColumnFamily {
        self.db.cf_handle(family.name()).expect("all families were opened")
    }

    /// One row.
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.db.get_cf(self.family(family), key).map_err(StoreError::database("reading"))
    }

    /// One row, decoded.
    pub(crate) fn message<M: Message + Default>(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<M>, StoreError> {
        match self.get(family, key)? {
            Some(value) => decode(&value).map(Some),
            None => Ok(None),
        }
    }

    /// A number kept about a group.
    pub(crate) fn number(
        &self,
        group: GroupId,
        kind: keys::Meta,
    ) -> Result<Option<u64>, StoreError> {
        let Some(value) = self.get(Family::Meta, &keys::meta(group, kind))? else {
            return Ok(None);
        };
        let value: [u8; 8] = value
            .try_into()
            .map_err(|_| StoreError::Damaged(format!("{kind:?} of {group} is not a number")))?;
        Ok(Some(u64::from_be_bytes(value)))
    }

    /// The epoch of a group's state.
    pub(crate) fn epoch(&self, group: GroupId) -> Result<u16, StoreError> {
        let epoch = self.number(group, keys::Meta::Epoch)?.unwrap_or(0);
        u16::try_from(epoch).map_err(|_| StoreError::Damaged(format!("epoch of {group}")))
    }

    /// Rows with `from <= key < to` in order of their keys, at most `limit`.
    pub(crate) fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        self.each(family, from, to, |key, value| {
            if rows.len() < limit {
                rows.push(Row { key: key.to_vec(), value: value.to_vec() });
            }
            rows.len() < limit
        })?;
        Ok(rows)
    }

    /// Calls `visit` for rows with `from <= key < to` in order, until it says no.
    pub(crate) fn each(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to.to_vec());
        let start = IteratorMode::From(from, Direction::Forward);
        for row in self.db.iterator_cf_opt(self.family(family), options, start) {
            let (key, value) = row.map_err(StoreError::database("scanning"))?;
            if !visit(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    /// The last row with `from <= key < to`.
    pub(crate) fn last(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(from.to_vec());
        options.set_iterate_upper_bound(to.to_vec());
        let mut rows = self.db.iterator_cf_opt(self.family(family), options, IteratorMode::End);
        match rows.next() {
            Some(row) => {
                let (key, value) = row.map_err(StoreError::database("scanning"))?;
                Ok(Some(Row { key: key.into_vec(), value: value.into_vec() }))
            }
            None => Ok(None),
        }
    }

    /// Writes a batch. With `sync` it is on stable storage afterwards, and with it all that was
    /// written before: there is one write-ahead log.
    pub(crate) fn write(&self, batch: Batch<'_>, sync: bool) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(sync);
        self.db.write_opt(batch.batch, &options).map_err(StoreError::database("writing"))
    }

    /// An empty batch.
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch { database: self, batch: WriteBatch::default() }
    }

    /// A consistent view of all families.
    pub(crate) fn snapshot(&self) -> Frozen<'_> {
        Frozen { database: self, snapshot: self.db.snapshot() }
    }

    /// Bytes of buffers that are not in table files yet. Writing them out takes as much room on
    /// the disk, until the log that holds them too is removed.
    pub(crate) fn unwritten_bytes(&self) -> u64 {
        let size = |family: Family| {
            let property = "rocksdb.cur-size-all-mem-tables";
            self.db.property_int_value_cf(self.family(family), property).ok().flatten()
        };
        Family::ALL.iter().filter_map(|family| size(*family)).sum()
    }

    /// Gives room on the disk back: writes the buffers out, so that the write-ahead log can go,
    /// and drops the files of bodies that nobody needs. Bytes that are needed are not moved,
    /// which would take room first.
    pub(crate) fn reclaim(&self) -> Result<(), StoreError> {
        for family in Family::ALL {
            let flushed = self.db.flush_cf(self.family(family));
            flushed.map_err(StoreError::database("writing buffers out"))?;
        }
        let body = self.family(Family::Body);
        let collect = |yes: &str| {
            let options = [("enable_blob_garbage_collection", yes)];
            self.db.set_options_cf(body, &options).map_err(StoreError::database("setting options"))
        };
        collect("false")?;
        self.db.compact_range_cf(body, None::<&[u8]>, None::<&[u8]>);
        collect("true")
    }

    /// True when the database delays or refuses writes because compaction is behind.
    pub(crate) fn stalled(&self) -> bool {
        let property =
            |name: &str| self.db.property_int_value(name).ok().flatten().unwrap_or_default() != 0;
        property("rocksdb.is-write-stopped") || property("rocksdb.actual-delayed-write-rate")
    }
}

/// Changes that are written together.
pub(crate) struct Batch<'a> {
    database: &'a Database,
    batch: WriteBatch,
}

impl Batch<'_> {
    pub(crate) fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.batch.put_cf(self.database.family(family), key, value);
    }

    pub(crate) fn put_number(&mut self, group: GroupId, kind: keys::Meta, value: u64) {
        self.put(Family::Meta, &keys::meta(group, kind), &value.to_be_bytes());
    }

    pub(crate) fn delete(&mut self, family: Family, key: &[u8]) {
        self.batch.delete_cf(self.database.family(family), key);
    }

    /// Removes rows with `from <= key < to`.
    pub(crate) fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) {
        if from < to {
            self.batch.delete_range_cf(self.database.family(family), from, to);
        }
    }

    /// Removes the whole state of a group in `epoch`.
    pub(crate) fn delete_state(&mut self, group: GroupId, epoch: u16) {
        let (from, to) = (keys::state(group, epoch), keys::state_end(group, epoch));
        for table in Table::ALL {
            self.delete_range(Family::Table(table), &from, &to);
        }
        self.delete(Family::Meta, &keys::meta(group, keys::Meta::Applied(epoch)));
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.batch.size_in_bytes()
    }
}

/// The database as it was at one moment.
pub(crate) struct Frozen<'a> {
    database: &'a Database,
    snapshot: rocksdb::Snapshot<'a>,
}

impl Frozen<'_> {
    pub(crate) fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.snapshot
            .get_cf(self.database.family(family), key)
            .map_err(StoreError::database("reading a snapshot"))
    }

    /// The bytes of a part of a body.
    pub(crate) fn body(
        &self,
        group: GroupId,
        part: BodyPart,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Family::Body, &keys::body(group, part))
    }

    /// Rows with `from <= key < to`, at most `limit` of them and little more than `bytes`.
    pub(crate) fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to.to_vec());
        let start = IteratorMode::From(from, Direction::Forward);
        let family = self.database.family(family);
        let (mut rows, mut size) = (Vec::new(), 0);
        for row in self.snapshot.iterator_cf_opt(family, options, start) {
            if rows.len() >= limit || size >= bytes {
                break;
            }
            let (key, value) = row.map_err(StoreError::database("scanning a snapshot"))?;
            size += key.len() + value.len();
            rows.push(Row { key: key.into_vec(), value: value.into_vec() });
        }
        Ok(rows)
    }
}

/// Decodes a row.
pub(crate) fn decode<M: Message + Default>(value: &[u8]) -> Result<M, StoreError> {
    M::decode(value)
        .map_err(|e| StoreError::Damaged(format!("{} in a row: {e}", std::any::type_name::<M>())))
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(4);
    options.set_bytes_per_sync(1 << 20);
    options.set_max_total_wal_size(1 << 30);
    // RocksDB's own log: at most 32 MiB, and its statistics once an hour.
    options.set_keep_log_file_num(8);
    options.set_max_log_file_size(4 << 20);
    options.set_stats_dump_period_sec(3600);
    options.set_paranoid_checks(true);
    // What was recovered after a crash must be a prefix of what was written: a later row is
    // never kept without an earlier one.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options
}

fn family_options(family: Family, sizes: &Sizes, cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    match family {
        Family::Body => {
            options.set_compression_type(DBCompressionType::None);
            options.set_write_buffer_size(sizes.body_buffer_bytes);
            options.set_max_write_buffer_number(4);
            options.set_enable_blob_files(true);
            options.set_min_blob_size(1 << 10);
            options.set_blob_file_size(256 << 20);
            options.set_blob_compression_type(DBCompressionType::None);
            // Blob files vanish only through compaction, so one must come from time to time.
            options.set_enable_blob_gc(true);
            options.set_blob_gc_age_cutoff(0.5);
            options.set_periodic_compaction_seconds(6 * 3600);
        }
        Family::Log => options.set_write_buffer_size(sizes.log_buffer_bytes),
        Family::Table(Table::Message | Table::Recipient | Table::Token) => {
            // Most look-ups of tokens find nothing, and finished recipients are asked for again.
            blocks.set_bloom_filter(10.0, false);
            options.set_write_buffer_size(32 << 20);
        }
        Family::Table(Table::Due) => options.set_write_buffer_size(32 << 20),
        Family::Meta | Family::Table(Table::State | Table::Outbox) => {
            options.set_write_buffer_size(16 << 20);
        }
    }
    options.set_block_based_table_factory(&blocks);
    options
}
