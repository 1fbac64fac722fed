//! The engine without a disk: for tests and simulation. Everything is gone when it is dropped.
//!
//! Each key keeps the versions that some snapshot can still see, so a snapshot costs nothing to take.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Kv;
use crate::engine::{Backend, CommitOrder, Lease, Leases, Pinned, View};
use crate::error::KvError;
use crate::resolver::{Print, Printer, Resolver};
use crate::scan::{Family, Scan};
use crate::tx::{Snap, Tx};

/// An engine in memory. It knows every family there may be.
#[derive(Default)]
pub struct Memory(Arc<Shared>);

#[derive(Default)]
struct Shared {
    printer: Printer,
    leases: Arc<Leases>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    resolver: Resolver,
    families: HashMap<Family, BTreeMap<Bytes, Versions>>,
    /// Keys that got a newer version, by the commit that gave it: to tidy once every snapshot sees that commit.
    outdated: VecDeque<(u64, Family, Bytes)>,
    closed: bool,
}

/// Values by ascending commit number; `None` is a deletion.
type Versions = Vec<(u64, Option<Bytes>)>;

struct MemoryView {
    shared: Arc<Shared>,
    /// The view's own lease keeps its versions.
    lease: Lease,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Kv for Memory {
    async fn begin(&self) -> Result<Tx, KvError> {
        drop(self.0.open()?);
        Ok(Tx::new(Arc::clone(&self.0) as Arc<dyn Backend>))
    }

    async fn snapshot(&self) -> Result<Snap, KvError> {
        drop(self.0.open()?);
        Ok(Snap::new(Arc::new(self.0.view())))
    }

    async fn checkpoint(&self, _dir: &Path) -> Result<(), KvError> {
        Err(KvError::Unsupported("write checkpoints: it keeps nothing on disk"))
    }

    async fn close(&self) {
        self.0.lock().closed = true;
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock panics but for lack of memory.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<MutexGuard<'_, State>, KvError> {
        let state = self.lock();
        if state.closed { Err(KvError::Closed) } else { Ok(state) }
    }

    fn view(self: &Arc<Self>) -> MemoryView {
        MemoryView { shared: Arc::clone(self), lease: self.leases.lease() }
    }
}

#[async_trait]
impl Backend for Shared {
    fn pin(self: Arc<Self>) -> Result<Pinned, KvError> {
        Ok(Pinned { lease: self.leases.lease(), view: Box::new(self.view()) })
    }

    fn print(&self, family: Family, key: &[u8]) -> Print {
        self.printer.print(family, key)
    }

    async fn commit(&self, mut order: CommitOrder) -> Result<(), KvError> {
        let now = Instant::now();
        let mut state = self.open()?;
        let number = state.resolver.admit(&mut order, now)?;
        for (family, writes) in order.writes {
            for (key, value) in writes {
                state.outdated.push_back((number, family, key.clone()));
                let versions = state.families.entry(family).or_default().entry(key).or_default();
                versions.push((number, value));
            }
        }
        drop(order.lease);
        self.leases.applied(number);
        let oldest = self.leases.oldest();
        state.resolver.forget(oldest, now);
        state.tidy(oldest);
        Ok(())
    }
}

impl State {
    /// Drops the versions that no snapshot from `oldest` on can see.
    fn tidy(&mut self, oldest: u64) {
        while self.outdated.front().is_some_and(|(number, ..)| *number <= oldest) {
            let Some((number, family, key)) = self.outdated.pop_front() else { return };
            let Some(keys) = self.families.get_mut(&family) else { continue };
            let Some(versions) = keys.get_mut(&key) else { continue };
            versions.retain(|(version, _)| *version >= number);
            if matches!(versions.as_slice(), [(_, None)]) {
                keys.remove(&key);
            }
        }
    }
}

impl MemoryView {
    fn visible(&self, versions: &Versions) -> Option<Bytes> {
        let (_, value) = versions.iter().rev().find(|(number, _)| *number <= self.lease.since)?;
        value.clone()
    }
}

#[async_trait]
impl View for MemoryView {
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let state = self.shared.lock();
        let versions = state.families.get(&family).and_then(|keys| keys.get(key));
        Ok(versions.and_then(|versions| self.visible(versions)))
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
        let state = self.shared.lock();
        let Some(keys) = state.families.get(&scan.family) else { return Ok(Vec::new()) };
        let row =
            |(key, versions): (&Bytes, &Versions)| Some((key.clone(), self.visible(versions)?));
        let range = if scan.to.is_empty() {
            keys.range(scan.from..)
        } else {
            keys.range(scan.from..scan.to)
        };
        Ok(if scan.reverse {
            range.rev().filter_map(row).take(scan.limit).collect()
        } else {
            range.filter_map(row).take(scan.limit).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reads;

    #[tokio::test]
    async fn versions_that_nobody_sees_are_dropped() {
        let memory = Memory::new();
        let snap = memory.snapshot().await.expect("open");
        for round in 0..5_u8 {
            let tx = memory.begin().await.expect("open");
            tx.put(Family::MAIN, &b"a"[..], vec![round]);
            tx.delete(Family::MAIN, &b"b"[..]);
            tx.commit().await.expect("blind");
        }
        assert_eq!(snap.get(Family::MAIN, b"a").await.expect("read"), None);
        assert_eq!(memory.0.lock().families[&Family::MAIN][&b"a"[..]].len(), 5);
        drop(snap);
        let tx = memory.begin().await.expect("open");
        tx.delete(Family::MAIN, &b"c"[..]);
        tx.commit().await.expect("blind");
        let state = memory.0.lock();
        let keys = &state.families[&Family::MAIN];
        assert_eq!((keys.len(), keys[&b"a"[..]].len(), state.outdated.len()), (1, 1, 0));
    }
}
