//! How RocksDB is set up, and why.

use std::path::Path;
use std::time::Duration;

use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, DataBlockIndexType, LogLevel,
    Options,
};

use super::shared::RocksShared;
use crate::error::KvError;
use crate::migrate;
use crate::scan::{Family, FamilyOptions};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Background threads an engine asks for; all engines of a process draw them from one pool.
const BACKGROUND_JOBS: i32 = 2;
/// Files an engine keeps open. Seven engines of one process then stay below the usual limit of 1,024.
const OPEN_FILES: i32 = 128;
/// Bits of bloom filter per key: one false positive in a hundred lookups.
const BLOOM_BITS: f64 = 10.0;
/// Write buffers are allocated in steps of this size, so that an idle engine holds one step per family.
const ARENA_STEP: usize = 128 * KIB;
/// In the time of [`FamilyOptions::rewrite_after`], a family is rewritten so often: what is deleted just after one round goes in the next, which may take as long again.
const REWRITES: u32 = 2;
/// And write buffers are written out so often: the write-ahead log goes with the last of them.
const FLUSHES: u32 = 4;
/// The level below the write buffers' files holds this many of them. It is rewritten whole whenever four of those files are merged into it, and when twenty
/// of them wait writing slows down: so it must stay in proportion. At RocksDB's own 256 MiB small buffers fill up faster than they are merged, and a store
/// that takes in a few hundred MiB at a stretch comes to a crawl.
const LEVEL_BUFFERS: usize = 8;
/// Write buffers in one file of the levels below. With each file that moves down, some ten of its size are rewritten, which must not take longer than
/// those twenty files need to come together.
const FILE_BUFFERS: usize = 4;
/// Rows that a scan passes over one after the other because they are deleted: where so many of [`DELETED_AMONG`] are, the file is compacted without
/// waiting for its level to fill. Queues leave such runs behind, and so does a bucket that was emptied.
const DELETED_RUN: usize = 512;
/// See [`DELETED_RUN`].
const DELETED_AMONG: usize = 1024;

/// What an acknowledged commit survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Loss of power: the write-ahead log is synced before the answer.
    Fsync,
    /// The end of the process, but not of the machine: for what can be rebuilt.
    Buffered,
}

/// How to open a [`Rocks`](super::Rocks). Start from [`Self::metadata`] or [`Self::index`].
#[derive(Clone, Debug)]
pub struct RocksOptions<'a> {
    /// The families besides [`Family::MAIN`], or with it if it has a policy.
    pub families: Vec<FamilyOptions>,
    /// What an acknowledged commit survives.
    pub durability: Durability,
    /// Bytes of writes a family gathers in memory before they become a file.
    pub write_buffer: usize,
    /// What all engines of the process share.
    pub shared: &'a RocksShared,
}

impl<'a> RocksOptions<'a> {
    /// For the metadata of a gateway: every commit is synced, 16 MiB write buffers.
    #[must_use]
    pub fn metadata(shared: &'a RocksShared) -> Self {
        Self { families: Vec::new(), durability: Durability::Fsync, write_buffer: 16 * MIB, shared }
    }

    /// For an index that can be rebuilt, in a small process: commits are not synced, 4 MiB write buffers.
    #[must_use]
    pub fn index(shared: &'a RocksShared) -> Self {
        Self {
            families: Vec::new(),
            durability: Durability::Buffered,
            write_buffer: 4 * MIB,
            shared,
        }
    }

    /// With these families too.
    #[must_use]
    pub fn with_families(mut self, families: impl IntoIterator<Item = FamilyOptions>) -> Self {
        self.families.extend(families);
        self
    }

    pub(super) fn into_owned(self) -> Owned {
        let Self { families, durability, write_buffer, shared } = self;
        Owned { families, durability, write_buffer, shared: shared.clone() }
    }
}

/// The options as they travel to the thread that opens.
pub(super) struct Owned {
    pub(super) families: Vec<FamilyOptions>,
    pub(super) durability: Durability,
    write_buffer: usize,
    shared: RocksShared,
}

impl Owned {
    /// The families of the folder, of the options and our own, each with its policy.
    pub(super) fn descriptors(&self, path: &Path) -> Result<Vec<ColumnFamilyDescriptor>, KvError> {
        let mut names = vec![Family::MAIN.0.to_owned(), migrate::FAMILY.to_owned()];
        names.extend(self.families.iter().map(|options| options.family.0.to_owned()));
        if path.join("CURRENT").exists() {
            // Families we do not know come from a newer program; the format record then says so in words.
            let found = DB::list_cf(&Options::default(), path);
            names.extend(found.map_err(|error| super::opening(path, error))?);
        }
        names.sort();
        names.dedup();
        Ok(names.into_iter().map(|name| ColumnFamilyDescriptor::new(name, self.family())).collect())
    }

    /// Options of the whole database.
    pub(super) fn database(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_env(&self.shared.env);
        options.set_write_buffer_manager(&self.shared.write_buffers);
        options.set_max_background_jobs(BACKGROUND_JOBS);
        options.set_max_open_files(OPEN_FILES);
        options.set_max_file_opening_threads(1);
        options.set_skip_stats_update_on_db_open(true);
        options.set_bytes_per_sync(MIB as u64);
        // A family that is rarely written would keep every log since its last write.
        options.set_max_total_wal_size(2 * self.write_buffer as u64);
        options.set_max_manifest_file_size(4 * MIB);
        // RocksDB's own log: only what went wrong, in two small files. No statistics, so no thread that writes them.
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(MIB);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    fn family(&self) -> Options {
        let mut options = Options::default();
        options.set_block_based_table_factory(&self.table());
        options.set_write_buffer_size(self.write_buffer);
        options.set_arena_block_size(ARENA_STEP.min(self.write_buffer / 8));
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_bytes_for_level_base((LEVEL_BUFFERS * self.write_buffer) as u64);
        options.set_target_file_size_base((FILE_BUFFERS * self.write_buffer) as u64);
        options.add_compact_on_deletion_collector_factory(DELETED_AMONG, DELETED_RUN, 0.0);
        // Fresh data is read and rewritten soon: cheap compression. Most bytes lie at the bottom: the strong one.
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        // By the clock, families are rewritten by `rewrite.rs`, and only those that ask for it.
        options.set_ttl(0);
        options.set_periodic_compaction_seconds(0);
        options
    }

    fn table(&self) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.shared.cache);
        table.set_block_size(8 * KIB);
        table.set_format_version(6);
        table.set_bloom_filter(BLOOM_BITS, false);
        table.set_optimize_filters_for_memory(true);
        table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
        // Index and filter count against the budget, or a large store would outgrow it unseen.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table
    }

    /// How often all write buffers are written out, if a family has a rewriting policy: as often as the strictest asks. All of them, because they share
    /// the write-ahead log: it keeps what was deleted until each family that has rows in it is written out.
    pub(super) fn flush_every(&self) -> Option<Duration> {
        let stages = self.families.iter().filter_map(|options| options.rewrite_after);
        stages.min().map(|after| after / FLUSHES)
    }

    /// The families with a rewriting policy, and how often they are rewritten: as often as the strictest asks.
    pub(super) fn rewritten(&self) -> Option<(Vec<Family>, Duration)> {
        let asking = || self.families.iter().filter(|options| options.rewrite_after.is_some());
        let after = asking().filter_map(|options| options.rewrite_after).min()?;
        Some((asking().map(|options| options.family).collect(), after / REWRITES))
    }

    /// The families that are written to.
    pub(super) fn families(&self) -> Vec<Family> {
        let mut families = vec![Family::MAIN];
        families.extend(self.families.iter().map(|options| options.family));
        families.sort();
        families.dedup();
        families
    }
}
