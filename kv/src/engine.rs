//! What an engine gives to the handles: a view to read and a way to commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::KvError;
use crate::resolver::Print;
use crate::scan::{Family, Scan};

/// A frozen state.
#[async_trait]
pub(crate) trait View: Send + Sync {
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError>;
    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError>;
}

/// The engine as one transaction sees it.
#[async_trait]
pub(crate) trait Backend: Send + Sync {
    /// Freezes the state for a transaction's reads.
    fn pin(self: Arc<Self>) -> Result<Pinned, KvError>;

    /// The fingerprint of a key, for the resolver of this engine.
    fn print(&self, family: Family, key: &[u8]) -> Print;

    /// Commits, or refuses with [`KvError::Conflict`].
    async fn commit(&self, order: CommitOrder) -> Result<(), KvError>;
}

/// A view, and since which commit it is.
pub(crate) struct Pinned {
    pub(crate) view: Box<dyn View>,
    pub(crate) lease: Lease,
}

/// Everything a transaction wants checked and written.
pub(crate) struct CommitOrder {
    /// When the transaction began.
    pub(crate) began: Instant,
    /// Its snapshot; held until the commit is decided. `None` if it read nothing.
    pub(crate) lease: Option<Arc<Pinned>>,
    /// Keys that nobody may have written since the snapshot.
    pub(crate) checked: Vec<Print>,
    /// Keys that others shall see as written by this commit.
    pub(crate) touched: Vec<Print>,
    /// What to write.
    pub(crate) writes: BTreeMap<Family, Writes>,
    /// The bytes of all keys and values in `writes`.
    pub(crate) bytes: usize,
}

/// New values by key; `None` deletes.
pub(crate) type Writes = BTreeMap<Bytes, Option<Bytes>>;

/// The snapshots in use, by the commit they follow. Invariant: a lease's number is not above any commit that its holder's
/// view misses, so a commit numbered higher may be unseen and one numbered lower or equal is seen.
#[derive(Default)]
pub(crate) struct Leases {
    state: Mutex<LeaseState>,
}

#[derive(Default)]
struct LeaseState {
    /// The newest commit that every new view sees.
    applied: u64,
    /// How many hold a view of each commit.
    held: BTreeMap<u64, usize>,
}

impl Leases {
    /// To be called *before* the view is taken: a view may then see more than its lease says, never less.
    pub(crate) fn lease(self: &Arc<Self>) -> Lease {
        let mut state = self.lock();
        let since = state.applied;
        *state.held.entry(since).or_insert(0) += 1;
        Lease { since, leases: Arc::clone(self) }
    }

    /// To be called *after* views can see the commit.
    pub(crate) fn applied(&self, commit: u64) {
        self.lock().applied = commit;
    }

    /// The oldest commit that somebody's view may follow, now or later.
    pub(crate) fn oldest(&self) -> u64 {
        let state = self.lock();
        state.held.first_key_value().map_or(state.applied, |(since, _)| *since)
    }

    fn lock(&self) -> MutexGuard<'_, LeaseState> {
        // Every change under this lock is whole at each step that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A snapshot in use; given back when dropped.
pub(crate) struct Lease {
    pub(crate) since: u64,
    leases: Arc<Leases>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.leases.lock();
        if let Some(count) = state.held.get_mut(&self.since) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.since);
            }
        }
    }
}
