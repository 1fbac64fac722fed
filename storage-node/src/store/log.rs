//! The log files: the only code that writes shards durably.
//!
//! A log is `NNNNNNNN.log`: a page that says what it is, then records. One log is *active*: all new records get their range there by
//! [`Logs::reserve`]; a full log is sealed, cut to its length and never written again. A log's disk space is claimed ahead in steps, so
//! that running out of it shows at the reservation and not in the middle of a shard.
//!
//! Invariants:
//! - Σ `allocated` of all logs ≤ quota, at every moment.
//! - a byte range belongs to at most one reservation, ever: ranges are not given out twice, even after one is abandoned;
//! - a file number is not given out twice while the store is open, and the active log has the highest.
//!
//! Cost: one mutex, held for arithmetic as a rule and for one `fallocate` every [`step`](Limits) bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::{GIB, MIB};

use crate::error::{Error, FullReason};
use crate::store::disk::{Disk, DiskFile, Space};
use crate::store::record::{ALIGN, FORMAT, LogHead, Place, StoreKey};

/// The smallest log; with fewer bytes a shard of the default geometry would not fit.
const LOG_MIN: u64 = 16 * MIB;
/// The largest log; more would make compaction move too much at a time.
const LOG_MAX: u64 = GIB;
/// How many logs a quota is cut into between those two.
const LOGS_PER_QUOTA: u64 = 64;
/// The most disk space claimed ahead at a time.
const STEP_MAX: u64 = 16 * MIB;

/// What the owner's frame allows the logs, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// All logs together.
    pub(crate) quota: u64,
    /// What must stay free on the file system.
    pub(crate) min_free: u64,
    /// One log.
    pub(crate) log: u64,
    /// Kept back inside the quota for what must always be possible: compaction and drops.
    pub(crate) reserve: u64,
    /// Disk space is claimed in pieces of this.
    pub(crate) step: u64,
}

impl Limits {
    /// The limits for `quota`; `log` overrides the size of a log that follows from it.
    pub(crate) fn new(quota: u64, min_free: u64, log: Option<u64>) -> Self {
        let log =
            log.unwrap_or_else(|| (quota / LOGS_PER_QUOTA).clamp(LOG_MIN, LOG_MAX)) / ALIGN * ALIGN;
        // Compaction takes a log that is at most half alive, so half a log of room and a few notices let it go on.
        let reserve = log / 2 + log / 8;
        Self { quota, min_free, log, reserve, step: (log / 8).clamp(ALIGN, STEP_MAX) }
    }

    /// The longest record.
    pub(crate) fn record_max(&self) -> u64 {
        self.log - ALIGN
    }
}

/// Who asks for room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// A new shard: must leave the reserve alone.
    Put,
    /// Drops and compaction: may use it.
    Upkeep,
}

/// One log file.
pub(crate) struct Log {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Behind the last reserved range.
    tail: AtomicU64,
    /// Bytes of the file.
    allocated: AtomicU64,
    /// Bytes of records that the index still needs.
    live: AtomicU64,
}

impl Log {
    /// Behind the last record that was ever begun.
    pub(crate) fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Bytes of records that the index still needs.
    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }
}

/// All log files of a store.
pub(crate) struct Logs {
    disk: Arc<dyn Disk>,
    key: StoreKey,
    limits: Limits,
    /// As in `limits` at first; the owner may change both while the store is open.
    quota: AtomicU64,
    min_free: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logs: BTreeMap<u32, Arc<Log>>,
    /// Where every unfinished record begins.
    open: BTreeSet<Place>,
    allocated: u64,
}

/// A range of a log that belongs to its holder alone. Dropped: the range is dead for ever, whatever was written to it.
pub(crate) struct Reservation {
    logs: Arc<Logs>,
    pub(crate) log: Arc<Log>,
    pub(crate) place: Place,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.logs.lock().open.remove(&self.place);
    }
}

/// The name of log `number`.
pub(crate) fn name_of(number: u32) -> String {
    format!("{number:08}.log")
}

/// The number in a log's name.
pub(crate) fn number_of(name: &str) -> Option<u32> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 8).then(|| digits.parse().ok()).flatten()
}

impl Logs {
    /// Opens every log on `disk`. Tails are unknown until recovery has set them.
    ///
    /// # Errors
    /// [`Error::Newer`] for a log of a newer format, [`Error::Io`].
    pub(crate) fn open(disk: Arc<dyn Disk>, key: StoreKey, limits: Limits) -> Result<Self, Error> {
        let mut state = State::default();
        for name in disk.list().map_err(Error::io("list the logs"))? {
            let Some(number) = number_of(&name) else { continue };
            let file = disk.open(&name).map_err(Error::io(format!("open {name}")))?;
            let len = file.len().map_err(Error::io(format!("measure {name}")))?;
            refuse_newer(&name, file.as_ref(), len)?;
            state.allocated += len;
            let log = Log {
                number,
                file,
                tail: AtomicU64::new(len.next_multiple_of(ALIGN)),
                allocated: AtomicU64::new(len),
                live: AtomicU64::new(0),
            };
            state.logs.insert(number, Arc::new(log));
        }
        let (quota, min_free) = (limits.quota.into(), limits.min_free.into());
        Ok(Self { disk, key, limits, quota, min_free, state: Mutex::new(state) })
    }

    pub(crate) fn key(&self) -> &StoreKey {
        &self.key
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes that all logs together may take now. Below what they take, nothing new is taken until they have shrunk.
    pub(crate) fn quota(&self) -> u64 {
        self.quota.load(Ordering::Relaxed)
    }

    /// Other limits from now on; the size of a log stays what it was made for.
    pub(crate) fn limit(&self, quota: u64, min_free: u64) {
        self.quota.store(quota, Ordering::Relaxed);
        self.min_free.store(min_free, Ordering::Relaxed);
    }

    /// Log `number`, if there is one.
    pub(crate) fn get(&self, number: u32) -> Option<Arc<Log>> {
        self.lock().logs.get(&number).cloned()
    }

    /// All logs, oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Log>> {
        self.lock().logs.values().cloned().collect()
    }

    /// Bytes of all log files.
    pub(crate) fn allocated(&self) -> u64 {
        self.lock().allocated
    }

    /// The logs that nobody writes to any more, oldest first.
    pub(crate) fn sealed(&self) -> Vec<Arc<Log>> {
        let state = self.lock();
        let Some((active, _)) = state.logs.last_key_value() else { return Vec::new() };
        let busy: BTreeSet<u32> = state.open.iter().map(|place| place.file).collect();
        let idle = |log: &&Arc<Log>| log.number != *active && !busy.contains(&log.number);
        state.logs.values().filter(idle).cloned().collect()
    }

    /// Where replay must begin so that it misses nothing: the first unfinished record that is not in `finished`, or the end.
    pub(crate) fn low_water(&self, finished: &BTreeSet<Place>) -> Place {
        let state = self.lock();
        let end = state
            .logs
            .last_key_value()
            .map_or(Place::default(), |(number, log)| Place { file: *number, offset: log.tail() });
        state.open.iter().find(|place| !finished.contains(*place)).copied().unwrap_or(end).min(end)
    }

    /// Claims `span` bytes, a multiple of [`ALIGN`], without touching the disk; `None` if that needs [`Self::reserve`], which blocks.
    pub(crate) fn try_reserve(self: &Arc<Self>, span: u64) -> Option<Reservation> {
        let mut state = self.state.try_lock().ok()?;
        let log = state.logs.values().next_back().cloned()?;
        (log.tail() + span <= log.allocated.load(Ordering::Acquire))
            .then(|| self.claim(&mut state, log, span))
    }

    /// Claims `span` bytes, a multiple of [`ALIGN`], growing the active log or beginning a new one. Blocks.
    ///
    /// # Errors
    /// [`Error::Full`] at the quota, the minimum free space or the disk's end, [`Error::TooLarge`], [`Error::Io`].
    pub(crate) fn reserve(
        self: &Arc<Self>,
        span: u64,
        purpose: Purpose,
    ) -> Result<Reservation, Error> {
        let limit = self.limits.record_max();
        if span > limit {
            return Err(Error::TooLarge { what: "a record", size: span, limit });
        }
        let mut state = self.lock();
        let active = state.logs.values().next_back().cloned();
        let log = match active {
            Some(log) if log.tail() + span <= self.limits.log => {
                self.grow(&mut state, &log, log.tail() + span, purpose)?;
                log
            }
            full => self.begin(&mut state, full.as_deref(), span, purpose)?,
        };
        Ok(self.claim(&mut state, log, span))
    }

    /// Begins a log if there is none yet, so that the active log is always the one with the highest number.
    pub(crate) fn ensure_active(&self) -> Result<(), Error> {
        let mut state = self.lock();
        let last = state.logs.values().next_back().cloned();
        match last {
            Some(log) if log.tail() + ALIGN <= self.limits.log => Ok(()),
            full => self.begin(&mut state, full.as_deref(), 0, Purpose::Upkeep).map(drop),
        }
    }

    /// Deletes a sealed log, durably.
    pub(crate) fn delete(&self, number: u32) -> Result<(), Error> {
        let name = name_of(number);
        self.disk.remove(&name).map_err(Error::io(format!("delete {name}")))?;
        self.disk.sync_dir().map_err(Error::io("sync the log folder"))?;
        let mut state = self.lock();
        if let Some(log) = state.logs.remove(&number) {
            state.allocated -= log.allocated.load(Ordering::Acquire);
        }
        Ok(())
    }

    /// Sets the tail that recovery found and cuts off what is behind it: whatever a crash left there must not be mistaken for a part of
    /// the records that will be written there.
    pub(crate) fn set_tail(&self, log: &Log, tail: u64) -> Result<(), Error> {
        log.tail.store(tail, Ordering::Release);
        cut(&mut self.lock(), log)
    }

    /// Adds to the live bytes of logs, as the index has found.
    pub(crate) fn account(&self, changes: &BTreeMap<u32, i64>) {
        let state = self.lock();
        for (number, change) in changes {
            if let Some(log) = state.logs.get(number) {
                let live = log.live.load(Ordering::Acquire).saturating_add_signed(*change);
                log.live.store(live, Ordering::Release);
            }
        }
    }

    /// Bytes that new shards may still take.
    pub(crate) fn room(&self) -> u64 {
        let state = self.lock();
        let claimed = state
            .logs
            .values()
            .next_back()
            .map_or(0, |log| log.allocated.load(Ordering::Acquire).saturating_sub(log.tail()));
        (self.quota().saturating_sub(self.limits.reserve)).saturating_sub(state.allocated) + claimed
    }

    /// Bytes of the file system, in all and free.
    pub(crate) fn space(&self) -> std::io::Result<Space> {
        self.disk.space()
    }

    /// Bytes free on the file system beyond the minimum.
    pub(crate) fn disk_room(&self) -> Result<u64, Error> {
        let space = self.disk.space().map_err(Error::io("measure the disk's free space"))?;
        Ok(space.free.saturating_sub(self.min_free.load(Ordering::Relaxed)))
    }

    fn claim(self: &Arc<Self>, state: &mut State, log: Arc<Log>, span: u64) -> Reservation {
        let place = Place { file: log.number, offset: log.tail() };
        log.tail.store(place.offset + span, Ordering::Release);
        state.open.insert(place);
        Reservation { logs: Arc::clone(self), log, place }
    }

    /// Sees to it that `log` has at least `len` bytes of claimed space.
    fn grow(&self, state: &mut State, log: &Log, len: u64, purpose: Purpose) -> Result<(), Error> {
        let have = log.allocated.load(Ordering::Acquire);
        if len <= have {
            return Ok(());
        }
        let kept_back = if purpose == Purpose::Put { self.limits.reserve } else { 0 };
        let room = self.quota().saturating_sub(kept_back).saturating_sub(state.allocated);
        let needed = len - have;
        if needed > room {
            return Err(Error::Full { needed, reason: FullReason::Quota });
        }
        let generous = (have + self.limits.step).min(self.limits.log).min(have + room).max(len);
        let wanted = (generous - have) / ALIGN * ALIGN;
        let wanted = wanted.max(needed);
        if wanted > self.disk_room()? {
            return Err(Error::Full { needed, reason: FullReason::MinimumFree });
        }
        let name = name_of(log.number);
        log.file.allocate(have + wanted).map_err(Error::io(format!("claim room for {name}")))?;
        log.allocated.store(have + wanted, Ordering::Release);
        state.allocated += wanted;
        Ok(())
    }

    /// Seals `full` and begins the next log with room for a record of `span` bytes.
    fn begin(
        &self,
        state: &mut State,
        full: Option<&Log>,
        span: u64,
        purpose: Purpose,
    ) -> Result<Arc<Log>, Error> {
        if let Some(full) = full {
            cut(state, full)?;
        }
        let number = state.logs.last_key_value().map_or(0, |(last, _)| *last) + 1;
        let name = name_of(number);
        let file = self.disk.create(&name).map_err(Error::io(format!("make {name}")))?;
        let log = Arc::new(Log {
            number,
            file,
            tail: AtomicU64::new(ALIGN),
            allocated: AtomicU64::new(0),
            live: AtomicU64::new(0),
        });
        let begun = self.grow(state, &log, ALIGN + span, purpose).and_then(|()| {
            let head = LogHead { format: FORMAT, number, key: self.key };
            log.file.write_at(0, &[&head.encode()]).map_err(Error::io(format!("begin {name}")))?;
            log.file.sync().map_err(Error::io(format!("sync {name}")))?;
            self.disk.sync_dir().map_err(Error::io("sync the log folder"))
        });
        if let Err(error) = begun {
            state.allocated -= log.allocated.load(Ordering::Acquire);
            // Nothing is in it: if it cannot even be removed, the next start finds an empty log and goes on in it.
            let _ = self.disk.remove(&name);
            return Err(error);
        }
        state.logs.insert(number, Arc::clone(&log));
        Ok(log)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is whole at each step that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives back the claimed space behind a log's tail, durably: the space will be claimed again elsewhere, and the quota holds after a crash too.
fn cut(state: &mut State, log: &Log) -> Result<(), Error> {
    let (have, tail) = (log.allocated.load(Ordering::Acquire), log.tail());
    if tail < have {
        let name = name_of(log.number);
        log.file.truncate(tail).map_err(Error::io(format!("cut {name}")))?;
        log.file.sync().map_err(Error::io(format!("sync {name}")))?;
        log.allocated.store(tail, Ordering::Release);
        state.allocated -= have - tail;
    }
    Ok(())
}

fn refuse_newer(name: &str, file: &dyn DiskFile, len: u64) -> Result<(), Error> {
    if len < LogHead::LEN as u64 {
        return Ok(());
    }
    let head = file.read_at(0, LogHead::LEN).map_err(Error::io(format!("read {name}")))?;
    match LogHead::decode(&head) {
        Some(head) if head.format > FORMAT => {
            Err(Error::Newer { what: name.to_owned(), found: head.format, known: FORMAT })
        }
        // A damaged head loses nothing: records are found without it.
        _ => Ok(()),
    }
}
