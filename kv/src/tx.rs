//! The handles: a transaction and a snapshot.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use crate::Reads;
use crate::engine::{Backend, CommitOrder, Pinned, View, Writes};
use crate::error::KvError;
use crate::resolver::Print;
use crate::scan::{Family, Scan};

/// The longest key, in bytes. A longer one dooms its transaction.
pub const KEY_MAX: usize = 10_000;
/// The longest value, in bytes. A longer one dooms its transaction.
pub const VALUE_MAX: usize = 100_000;
/// The most bytes one transaction may write, keys and values together. More dooms it.
pub const TRANSACTION_MAX: usize = 1 << 20;
/// How long a transaction may run from `begin` to `commit`. Later its reads and its commit are refused with
/// [`KvError::TooOld`].
pub const TRANSACTION_TIME: Duration = Duration::from_secs(5);

/// A transaction: a snapshot to read, and writes that nobody else sees before the commit.
///
/// A cheap handle: clones are the same transaction. Dropping all of them without a commit leaves no trace.
#[derive(Clone)]
pub struct Tx(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    began: Instant,
    pinned: OnceLock<Arc<Pinned>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Buffered writes.
    writes: BTreeMap<Family, Writes>,
    /// Keys and values in `writes`, in bytes.
    bytes: usize,
    /// Keys that must be as they were at the snapshot.
    checked: HashSet<Print>,
    /// Keys that others shall see as written although they may not be.
    claimed: HashSet<Print>,
    /// Keys read without a check; they get one if they are written too.
    read: HashSet<Print>,
    /// Ranges read without a check; likewise.
    scanned: Vec<Scan>,
    /// The first thing that makes a commit impossible.
    doom: Option<KvError>,
    /// Whether an operation failed in a way that a repetition may cure.
    repeat: bool,
    finished: bool,
}

/// How a read is kept for the commit.
#[derive(Clone, Copy)]
enum Mode {
    Snapshot,
    Shared,
    ForUpdate,
}

impl Tx {
    pub(crate) fn new(backend: Arc<dyn Backend>) -> Self {
        Self::begun_at(backend, Instant::now())
    }

    fn begun_at(backend: Arc<dyn Backend>, began: Instant) -> Self {
        let (pinned, state) = (OnceLock::new(), Mutex::default());
        Self(Arc::new(Inner { backend, began, pinned, state }))
    }

    /// Reads `key` and makes the commit fail if anyone writes it meanwhile. Others may do the same: readers share.
    ///
    /// # Errors
    /// As [`Reads::get`].
    pub async fn get_shared(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.read(family, key, Mode::Shared).await
    }

    /// Reads `key`, makes the commit fail if anyone writes it meanwhile, and counts as a write of it for the others.
    ///
    /// # Errors
    /// As [`Reads::get`].
    pub async fn get_for_update(
        &self,
        family: Family,
        key: &[u8],
    ) -> Result<Option<Bytes>, KvError> {
        self.read(family, key, Mode::ForUpdate).await
    }

    /// Writes at commit. What breaks a limit dooms the transaction: its commit returns the error.
    pub fn put(&self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.write(family, key.into(), Some(value.into()));
    }

    /// Deletes at commit, whether or not the key is there.
    pub fn delete(&self, family: Family, key: impl Into<Bytes>) {
        self.write(family, key.into(), None);
    }

    /// Bytes that may still be written before [`TRANSACTION_MAX`]: where a long job may cut itself into transactions.
    #[must_use]
    pub fn room(&self) -> usize {
        TRANSACTION_MAX.saturating_sub(self.state().bytes)
    }

    /// Makes everything written visible and durable at once, or nothing.
    ///
    /// # Errors
    /// [`KvError::Conflict`] or [`KvError::TooOld`]: nothing was written, run the transaction again. The limits' errors:
    /// nothing was written. [`KvError::Engine`], [`KvError::Poisoned`]: after a restart, all of it or nothing is there.
    pub async fn commit(self) -> Result<(), KvError> {
        let Some(order) = self.order()? else { return Ok(()) };
        self.0.backend.commit(order).await
    }

    /// Makes the commit fail with `error`, unless it is bound to fail already.
    pub(crate) fn doom(&self, error: KvError) {
        self.state().doom.get_or_insert(error);
    }

    /// Whether an operation on this transaction failed in a way that a repetition may cure.
    pub(crate) fn wants_repeat(&self) -> bool {
        self.state().repeat
    }

    async fn read(&self, family: Family, key: &[u8], mode: Mode) -> Result<Option<Bytes>, KvError> {
        if let Some(own) = self.prepare_read(family, key, mode)? {
            return Ok(own);
        }
        self.pinned()?.view.get(family, key).await
    }

    /// Takes note of a read; returns the transaction's own write of the key if there is one.
    fn prepare_read(
        &self,
        family: Family,
        key: &[u8],
        mode: Mode,
    ) -> Result<Option<Option<Bytes>>, KvError> {
        let print = self.0.backend.print(family, key);
        let mut state = self.usable()?;
        let own = state.writes.get(&family).and_then(|writes| writes.get(key)).cloned();
        if own.is_none() {
            match mode {
                Mode::Snapshot => state.read.insert(print),
                Mode::Shared => state.checked.insert(print),
                Mode::ForUpdate => state.claimed.insert(print) | state.checked.insert(print),
            };
        }
        Ok(own)
    }

    /// Takes note of a range; returns the transaction's own writes in it.
    fn prepare_scan(&self, scan: &Scan) -> Result<Writes, KvError> {
        let mut state = self.usable()?;
        if scan.is_empty() {
            return Ok(Writes::new());
        }
        state.scanned.push(scan.clone());
        Ok(state.writes.get(&scan.family).map_or_else(Writes::new, |writes| {
            let within = writes
                .range(scan.from.clone()..)
                .take_while(|(key, _)| scan.contains(scan.family, key));
            within.map(|(key, value)| (key.clone(), value.clone())).collect()
        }))
    }

    fn write(&self, family: Family, key: Bytes, value: Option<Bytes>) {
        let mut state = self.state();
        if state.finished {
            tracing::error!(
                family = family.0,
                "a write came after its transaction's commit and is lost"
            );
            return;
        }
        let (key_len, value_len) = (key.len(), value.as_ref().map_or(0, Bytes::len));
        let before = state.writes.entry(family).or_default().insert(key, value);
        state.bytes += value_len;
        match before {
            Some(old) => state.bytes -= old.map_or(0, |old| old.len()),
            None => state.bytes += key_len,
        }
        let broken = if key_len == 0 || key_len > KEY_MAX {
            KvError::KeySize(key_len)
        } else if value_len > VALUE_MAX {
            KvError::ValueTooLarge(value_len)
        } else if state.bytes > TRANSACTION_MAX {
            KvError::TransactionTooLarge
        } else {
            return;
        };
        state.doom.get_or_insert(broken);
    }

    /// Ends the transaction and says what is to commit; `None` if it wrote nothing.
    fn order(&self) -> Result<Option<CommitOrder>, KvError> {
        let mut state = self.usable()?;
        state.finished = true;
        if let Some(doom) = state.doom.take() {
            return Err(doom);
        }
        if state.writes.is_empty() {
            return Ok(None);
        }
        let State { writes, bytes, checked, claimed, read, scanned, .. } =
            std::mem::take(&mut *state);
        state.finished = true;
        drop(state);
        let (mut checked, mut touched) = (checked, claimed);
        for (family, writes) in &writes {
            for key in writes.keys() {
                let print = self.0.backend.print(*family, key);
                if read.contains(&print) || scanned.iter().any(|scan| scan.contains(*family, key)) {
                    checked.insert(print);
                }
                touched.insert(print);
            }
        }
        Ok(Some(CommitOrder {
            began: self.0.began,
            lease: self.0.pinned.get().cloned(),
            checked: checked.into_iter().collect(),
            touched: touched.into_iter().collect(),
            writes,
            bytes,
        }))
    }

    /// The snapshot, taken at the first call.
    fn pinned(&self) -> Result<&Arc<Pinned>, KvError> {
        if let Some(pinned) = self.0.pinned.get() {
            return Ok(pinned);
        }
        // Two clones may both come here; one view wins and nothing was read through the other.
        let pinned = Arc::new(Arc::clone(&self.0.backend).pin()?);
        Ok(self.0.pinned.get_or_init(|| pinned))
    }

    /// The state of a transaction that is neither finished nor overdue.
    fn usable(&self) -> Result<MutexGuard<'_, State>, KvError> {
        let mut state = self.state();
        if state.finished {
            return Err(KvError::Finished);
        }
        let age = self.0.began.elapsed();
        if age > TRANSACTION_TIME {
            state.repeat = true;
            return Err(KvError::TooOld { age });
        }
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under this lock leaves at worst a write without its size counted; the panicking body does not commit.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Reads for Tx {
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.read(family, key, Mode::Snapshot).await
    }

    async fn get_many(
        &self,
        family: Family,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Bytes>>, KvError> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.read(family, key, Mode::Snapshot).await?);
        }
        Ok(values)
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
        let own = self.prepare_scan(&scan)?;
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        // Own deletions hide rows below, so that many more are asked for.
        let hidden = own.values().filter(|value| value.is_none()).count();
        let below = scan.clone().limit(scan.limit.saturating_add(hidden));
        let rows = self.pinned()?.view.scan(below).await?;
        Ok(if own.is_empty() { rows } else { overlay(rows, own, &scan) })
    }
}

impl fmt::Debug for Tx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Tx")
            .field("age", &self.0.began.elapsed())
            .field("bytes", &state.bytes)
            .field("finished", &state.finished)
            .finish_non_exhaustive()
    }
}

/// Rows of the snapshot with the transaction's own writes laid over them, both in the scan's direction.
///
/// `rows` holds `scan.limit` rows more than `own` can hide, or all there are: the first `scan.limit` of the result are right.
fn overlay(rows: Vec<(Bytes, Bytes)>, own: Writes, scan: &Scan) -> Vec<(Bytes, Bytes)> {
    let mut own: Vec<_> = own.into_iter().collect();
    if scan.reverse {
        own.reverse();
    }
    let comes_first = |a: &Bytes, b: &Bytes| if scan.reverse { a > b } else { a < b };
    let (mut rows, mut own) = (rows.into_iter().peekable(), own.into_iter().peekable());
    let mut merged = Vec::new();
    while merged.len() < scan.limit {
        let take_own = match (rows.peek(), own.peek()) {
            (None, None) => break,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some((row, _)), Some((key, _))) => !comes_first(row, key),
        };
        if !take_own {
            merged.extend(rows.next());
            continue;
        }
        let Some((key, value)) = own.next() else { break };
        rows.next_if(|(row, _)| *row == key);
        merged.extend(value.map(|value| (key, value)));
    }
    merged
}

/// A frozen state to read for as long as it takes. A cheap handle: clones read the same state.
///
/// An engine keeps what a snapshot shows, however old it becomes: hold it no longer than needed.
#[derive(Clone)]
pub struct Snap(Arc<dyn View>);

impl Snap {
    pub(crate) fn new(view: Arc<dyn View>) -> Self {
        Self(view)
    }
}

#[async_trait]
impl Reads for Snap {
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.0.get(family, key).await
    }

    async fn get_many(
        &self,
        family: Family,
        keys: &[Bytes],
    ) -> Result<Vec<Option<Bytes>>, KvError> {
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            values.push(self.0.get(family, key).await?);
        }
        Ok(values)
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
        if scan.is_empty() { Ok(Vec::new()) } else { self.0.scan(scan).await }
    }
}

impl fmt::Debug for Snap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snap")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;
    use crate::{Kv, transact};

    async fn begun_long_ago() -> Tx {
        let tx = Memory::new().begin().await.expect("open");
        let long_ago = Instant::now().checked_sub(TRANSACTION_TIME * 2).expect("the machine is up");
        Tx::begun_at(Arc::clone(&tx.0.backend), long_ago)
    }

    #[tokio::test]
    async fn an_overdue_transaction_neither_reads_nor_commits() {
        let tx = begun_long_ago().await;
        let too_old = |error| matches!(error, KvError::TooOld { age } if age > TRANSACTION_TIME);
        assert!(!tx.wants_repeat());
        assert!(too_old(tx.get(Family::MAIN, b"a").await.expect_err("late")));
        assert!(tx.wants_repeat());
        tx.put(Family::MAIN, &b"a"[..], &b"1"[..]);
        assert!(too_old(tx.commit().await.expect_err("late")));
    }

    #[tokio::test]
    async fn transaction_handles_and_their_futures_cross_threads() {
        fn sendable<T: Send>(value: T) -> T {
            value
        }
        let kv: Arc<dyn Kv> = Arc::new(Memory::new());
        let run = transact(&*kv, |tx: Tx| async move {
            tx.put(Family::MAIN, &b"a"[..], &b"1"[..]);
            tx.get_for_update(Family::MAIN, b"a").await
        });
        let value: Result<_, KvError> = sendable(run).await;
        assert_eq!(value.expect("alone").as_deref(), Some(&b"1"[..]));
    }
}
