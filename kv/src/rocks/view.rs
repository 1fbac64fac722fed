//! Reading from a RocksDB snapshot that owns its database.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use rocksdb::{ColumnFamily, DB, ReadOptions, Snapshot};

use super::blocking;
use crate::engine::View;
use crate::error::KvError;
use crate::scan::{Family, Scan};

/// Scans of at most this many rows run on the calling thread: about the cost of as many point reads.
pub const SCAN_INLINE: usize = 64;

self_cell::self_cell!(
    struct OwnedSnapshot {
        owner: Arc<DB>,
        #[covariant]
        dependent: Snapshot,
    }
);

/// A snapshot; the database stays open as long as it lives.
pub(super) struct RocksView(Arc<OwnedSnapshot>);

impl RocksView {
    pub(super) fn new(db: &Arc<DB>) -> Self {
        Self(Arc::new(OwnedSnapshot::new(Arc::clone(db), |db| db.snapshot())))
    }
}

#[async_trait]
impl View for RocksView {
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let found = self.0.borrow_dependent().get_pinned_cf(self.0.column(family)?, key);
        let found = found.map_err(|source| KvError::engine("read a key", source))?;
        Ok(found.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
        if scan.limit <= SCAN_INLINE {
            return self.0.scan(scan);
        }
        let snapshot = Arc::clone(&self.0);
        blocking(move || snapshot.scan(scan)).await
    }
}

/// One key as the database has it now. Takes no snapshot, which would mean its lock twice.
pub(super) fn latest(db: &DB, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
    let column = db.cf_handle(family.0).ok_or(KvError::UnknownFamily(family.0))?;
    let found = db.get_pinned_cf(column, key);
    let found = found.map_err(|source| KvError::engine("read a key", source))?;
    Ok(found.map(|value| Bytes::copy_from_slice(&value)))
}

impl OwnedSnapshot {
    fn column(&self, family: Family) -> Result<&ColumnFamily, KvError> {
        self.borrow_owner().cf_handle(family.0).ok_or(KvError::UnknownFamily(family.0))
    }

    fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
        let mut options = ReadOptions::default();
        if !scan.from.is_empty() {
            options.set_iterate_lower_bound(scan.from);
        }
        if !scan.to.is_empty() {
            options.set_iterate_upper_bound(scan.to);
        }
        let column = self.column(scan.family)?;
        let mut rows = Vec::with_capacity(scan.limit.min(SCAN_INLINE));
        let mut cursor = self.borrow_dependent().raw_iterator_cf_opt(column, options);
        if scan.reverse {
            cursor.seek_to_last()
        } else {
            cursor.seek_to_first()
        }
        while rows.len() < scan.limit
            && let Some((key, value)) = cursor.item()
        {
            rows.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            if scan.reverse { cursor.prev() } else { cursor.next() }
        }
        cursor.status().map_err(|source| KvError::engine("scan a range", source))?;
        Ok(rows)
    }
}
