//! The engines under test, and short words for what tests do with them.

use std::sync::Arc;

use bytes::Bytes;
use kv::memory::Memory;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use kv::{Family, FamilyOptions, Kv, KvError, Scan, Tx};
use tempfile::TempDir;

pub(crate) const MAIN: Family = Family::MAIN;
pub(crate) const WRAPS: Family = Family("wraps");

/// Bytes that all engines of a test may hold.
pub(crate) const BUDGET: usize = 8 << 20;

/// An engine and what must outlive it.
pub(crate) struct Engine {
    pub(crate) kv: Arc<dyn Kv>,
    _folder: Option<TempDir>,
}

pub(crate) async fn memory() -> Engine {
    Engine { kv: Arc::new(Memory::new()), _folder: None }
}

/// With fsync, as metadata has it.
pub(crate) async fn rocks() -> Engine {
    rocks_with(|shared| RocksOptions::metadata(shared)).await
}

/// Without fsync: the same code, in less time.
pub(crate) async fn rocks_buffered() -> Engine {
    rocks_with(|shared| RocksOptions::index(shared)).await
}

pub(crate) fn shared() -> RocksShared {
    RocksShared::new(BUDGET).expect("shared")
}

async fn rocks_with(options: impl Fn(&RocksShared) -> RocksOptions<'_>) -> Engine {
    let folder = tempfile::tempdir().expect("a folder");
    let shared = shared();
    let options = options(&shared).with_families([FamilyOptions::from(WRAPS)]);
    let rocks = Rocks::open(folder.path(), options).await.expect("open");
    Engine { kv: Arc::new(rocks), _folder: Some(folder) }
}

/// Runs each sentence on each engine.
#[macro_export]
macro_rules! on_every_engine {
    ($($sentence:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(&*$crate::engines::memory().await.kv).await;
            })+
        }
        mod on_rocks {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence(&*$crate::engines::rocks().await.kv).await;
            })+
        }
    };
}

pub(crate) fn put(tx: &Tx, key: &str, value: &str) {
    tx.put(MAIN, key.to_owned(), value.to_owned());
}

pub(crate) async fn write(kv: &dyn Kv, key: &str, value: &str) -> Result<(), KvError> {
    let tx = kv.begin().await?;
    put(&tx, key, value);
    tx.commit().await
}

pub(crate) fn text(bytes: Option<Bytes>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"))
}

/// Rows as `"key=value"`.
pub(crate) fn texts(rows: &[(Bytes, Bytes)]) -> Vec<String> {
    let show = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    rows.iter().map(|(key, value)| format!("{}={}", show(key), show(value))).collect()
}

pub(crate) fn everything() -> Scan {
    Scan::prefix(MAIN, b"")
}

pub(crate) fn is_conflict(result: &Result<(), KvError>) -> bool {
    matches!(result, Err(KvError::Conflict))
}
