//! The engine on disk: RocksDB below, our own concurrency control above.
//!
//! Reads go to a RocksDB snapshot that a transaction takes at its first read. All commits go through **one committer
//! thread**: it takes every transaction that waits, lets the resolver judge each, merges those that pass into one
//! write batch, writes and syncs the write-ahead log once, and answers. While it syncs, the next transactions gather: the more
//! writers, the more of them share an fsync.
//!
//! | call | runs | because |
//! |---|---|---|
//! | `get`, `latest` | on the calling thread | answered from memtable or block cache as a rule, in microseconds; one block read at worst |
//! | `scan` of at most [`SCAN_INLINE`] rows | on the calling thread | likewise |
//! | other scans, `checkpoint`, `open`, `close` | on a blocking thread | they may touch many files |
//! | writes | on the committer thread | one fsync for many |
//!
//! If a write fails, nobody can say what of it a restart will find: all of its transactions get the error and every later
//! commit is refused with [`KvError::Poisoned`]. Reading goes on.

mod commit;
mod options;
mod rewrite;
mod shared;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::DB;
use rocksdb::checkpoint::Checkpoint;

use crate::engine::{Backend, CommitOrder, Leases, Pinned};
use crate::error::KvError;
use crate::resolver::{Print, Printer};
use crate::scan::Family;
use crate::tx::{Snap, Tx};
use crate::{Kv, migrate};
use commit::{Committer, Queue};
use view::RocksView;

pub use options::{Durability, RocksOptions};
pub use shared::RocksShared;
pub use view::SCAN_INLINE;

/// A checkpoint copies write-ahead logs up to this many bytes; above it the write buffers are written out instead. Copying spares
/// frequent checkpoints a small file each.
const CHECKPOINT_LOG_MAX: u64 = 16 << 20;

/// An engine in a folder.
///
/// Dropping it waits for the commits under way and stops its thread, as [`Kv::close`] does without blocking the caller.
/// The folder is free for another engine once the last transaction and snapshot is dropped too.
pub struct Rocks {
    open: Mutex<Option<Open>>,
}

/// The engine while it is open; dropping it closes the engine.
struct Open {
    backend: Arc<RocksBackend>,
    committer: Option<JoinHandle<()>>,
}

/// What transactions hold of the engine.
struct RocksBackend {
    db: Arc<DB>,
    queue: Arc<Queue>,
    leases: Arc<Leases>,
    printer: Printer,
}

impl Rocks {
    /// Opens the store in the folder `path`; makes both if there is none.
    ///
    /// # Errors
    /// [`KvError::Locked`] if it is open already; [`KvError::NewerFormat`], [`KvError::UnknownFormat`];
    /// [`KvError::Engine`] for everything the disk may say.
    pub async fn open(path: impl AsRef<Path>, options: RocksOptions<'_>) -> Result<Self, KvError> {
        let path = path.as_ref().to_path_buf();
        let options = options.into_owned();
        blocking(move || Self::open_blocking(&path, &options)).await
    }

    fn open_blocking(path: &Path, options: &options::Owned) -> Result<Self, KvError> {
        let failed = |source| KvError::engine("make its folder", source);
        std::fs::create_dir_all(path).map_err(failed)?;
        let families = options.descriptors(path)?;
        let db = DB::open_cf_descriptors(&options.database(), path, families)
            .map_err(|error| opening(path, error))?;
        migrate::bring_up_to_date(&db, path)?;
        Self::start(db, options)
    }

    fn start(db: DB, options: &options::Owned) -> Result<Self, KvError> {
        let (db, queue, leases) = (Arc::new(db), Arc::new(Queue::default()), Arc::default());
        let committer = Committer::new(&db, &queue, &leases, options).spawn()?;
        let backend = Arc::new(RocksBackend { db, queue, leases, printer: Printer::default() });
        Ok(Self { open: Mutex::new(Some(Open { backend, committer: Some(committer) })) })
    }

    fn backend(&self) -> Result<Arc<RocksBackend>, KvError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map(|open| Arc::clone(&open.backend)).ok_or(KvError::Closed)
    }
}

#[async_trait]
impl Kv for Rocks {
    async fn begin(&self) -> Result<Tx, KvError> {
        Ok(Tx::new(self.backend()?))
    }

    async fn snapshot(&self) -> Result<Snap, KvError> {
        let backend = self.backend()?;
        Ok(Snap::new(Arc::new(RocksView::new(&backend.db))))
    }

    async fn latest(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        view::latest(&self.backend()?.db, family, key)
    }

    async fn checkpoint(&self, dir: &Path) -> Result<(), KvError> {
        let (backend, dir) = (self.backend()?, dir.to_path_buf());
        blocking(move || backend.checkpoint(&dir)).await
    }

    async fn close(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(open) = open {
            // A panic while closing has been reported by its hook; there is nothing left to close.
            let _ = tokio::task::spawn_blocking(move || drop(open)).await;
        }
    }
}

impl std::fmt::Debug for Rocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.backend().map(|backend| backend.db.path().to_path_buf());
        f.debug_struct("Rocks")
            .field("path", &path.unwrap_or_else(|_| PathBuf::from("closed")))
            .finish()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.backend.queue.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer thread had panicked");
        }
    }
}

impl RocksBackend {
    fn checkpoint(&self, dir: &Path) -> Result<(), KvError> {
        // RocksDB knows only two ways: 0 writes the buffers out, anything else copies the logs whatever their size
        // (facebook/rocksdb#14193).
        let log_size_for_flush = if self.log_bytes() > CHECKPOINT_LOG_MAX { 0 } else { u64::MAX };
        Checkpoint::new(&self.db)
            .and_then(|at| at.create_checkpoint_with_log_size(dir, log_size_for_flush))
            .map_err(|source| KvError::engine("write a checkpoint", source))
    }

    /// The size of all write-ahead logs; 0 if the folder cannot be read.
    fn log_bytes(&self) -> u64 {
        let entries = std::fs::read_dir(self.db.path()).into_iter().flatten().flatten();
        let logs = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "log"));
        logs.filter_map(|log| log.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

#[async_trait]
impl Backend for RocksBackend {
    fn pin(self: Arc<Self>) -> Result<Pinned, KvError> {
        let lease = self.leases.lease();
        Ok(Pinned { lease, view: Box::new(RocksView::new(&self.db)) })
    }

    fn print(&self, family: Family, key: &[u8]) -> Print {
        self.printer.print(family, key)
    }

    async fn commit(&self, order: CommitOrder) -> Result<(), KvError> {
        // The sender goes unanswered only if the committer ended without seeing the order.
        self.queue.submit(order)?.await.unwrap_or(Err(KvError::Closed))
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KvError> + Send + 'static,
) -> Result<T, KvError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(KvError::engine("finish a task", error)),
    }
}

/// Says why a folder cannot be opened. RocksDB has no error kind for a taken lock, only these words.
fn opening(path: &Path, error: rocksdb::Error) -> KvError {
    let words = error.to_string();
    if words.contains("lock hold by current process") || words.contains("While lock file") {
        KvError::Locked(path.to_path_buf())
    } else {
        KvError::engine("open its folder", error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reads;
    use rocksdb::Options;

    /// An engine whose every write fails: its database is open for reading only.
    async fn failing() -> (tempfile::TempDir, Rocks) {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = RocksShared::new(1 << 20).expect("shared");
        let rocks = Rocks::open(folder.path(), RocksOptions::index(&shared)).await.expect("open");
        rocks.close().await;
        let families = [Family::MAIN.0, migrate::FAMILY];
        let db = DB::open_cf_for_read_only(&Options::default(), folder.path(), families, false);
        let options = RocksOptions::index(&shared).into_owned();
        (folder, Rocks::start(db.expect("readable"), &options).expect("started"))
    }

    #[tokio::test]
    async fn a_failed_write_fails_its_whole_batch_and_poisons_the_engine() {
        let (_folder, rocks) = failing().await;
        let write = async || {
            let tx = rocks.begin().await.expect("open");
            tx.put(Family::MAIN, &b"a"[..], &b"1"[..]);
            tx.commit().await.expect_err("read-only")
        };
        let (a, b) = tokio::join!(write(), write());
        assert!(matches!(a, KvError::Engine { .. }), "{a:?}");
        // Whether both came into one batch depends on the threads; both fail.
        assert!(matches!(b, KvError::Engine { .. } | KvError::Poisoned(_)), "{b:?}");
        assert!(matches!(write().await, KvError::Poisoned(_)));
        let tx = rocks.begin().await.expect("open");
        assert_eq!(tx.get(Family::MAIN, b"a").await.expect("reading goes on"), None);
    }
}
