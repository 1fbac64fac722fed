//! Rewriting families by the clock, so that what was deleted is in no file for long.
//!
//! RocksDB's own periodic compaction looks at the clock only when something else happens to the family, so a store at rest would keep what was deleted last.
//! A thread does it here, one family after the other, beside all other work; reads and commits go on meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rocksdb::{BottommostLevelCompaction, CompactOptions, DB};

use super::commit::column;
use crate::scan::Family;

/// Rewrites families every so often. One thread at a time.
pub(super) struct Rewriter {
    families: Vec<Family>,
    every: Duration,
    last: Instant,
    running: Option<JoinHandle<()>>,
}

impl Rewriter {
    pub(super) fn new(families: Vec<Family>, every: Duration) -> Self {
        Self { families, every, last: Instant::now(), running: None }
    }

    pub(super) fn due_in(&self) -> Duration {
        self.every.saturating_sub(self.last.elapsed())
    }

    /// Begins if it is time and the last round has ended; a round that takes longer than its time is waited for.
    pub(super) fn begin_if_due(&mut self, db: &Arc<DB>) {
        if !self.due_in().is_zero() {
            return;
        }
        self.last = Instant::now();
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        let (db, families) = (Arc::clone(db), self.families.clone());
        let begun = std::thread::Builder::new()
            .name("kv-rewrite".to_owned())
            .spawn(move || families.into_iter().for_each(|family| rewrite(&db, family)));
        match begun {
            Ok(running) => self.running = Some(running),
            Err(error) => tracing::warn!(%error, "deleted rows are not rewritten away now"),
        }
    }

    /// Breaks off what is running. Nothing is lost by that: the files are as they were. The store takes no more writes afterwards.
    pub(super) fn stop(self, db: &DB) {
        let Some(running) = self.running.filter(|running| !running.is_finished()) else { return };
        db.cancel_all_background_work(true);
        if running.join().is_err() {
            tracing::error!("the rewriting thread had panicked");
        }
    }
}

fn rewrite(db: &DB, family: Family) {
    let Ok(column) = column(db, family) else { return };
    let mut options = CompactOptions::default();
    options.set_exclusive_manual_compaction(false);
    // The lowest level, too: a row that a snapshot held fast when it was deleted lies there beside its deletion.
    options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
    db.compact_range_cf_opt(column, None::<&[u8]>, None::<&[u8]>, &options);
}
