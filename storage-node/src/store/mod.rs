//! The shard store: the whole disk behind three verbs, [`Store::put`], [`Store::get`] and [`Store::remove`].
//!
//! ```text
//! put     → log (the bytes, in place) → commit (trailer, one fsync for all) → index → receipt
//! get     → index → log (pread, with proofs from the record's outboard)
//! remove  → commit (a notice, fsynced) → index → trash, after the grace → dead bytes → compact
//! open    → recover (replay what the index has not seen; all of it, if there is no index)
//! ```
//!
//! On disk: `store.toml` (format and key), `NNNNNNNN.log` (everything that matters), `index/` (can be deleted; costs one read of the record
//! headers), `LOCK`.
//!
//! Promises: what was answered survives power loss; what was dropped does not come back, whatever happens to the index; the logs never take more
//! than the quota; memory does not grow with the number of shards.

mod commit;
mod compact;
mod disk;
mod entry;
mod index;
mod log;
mod put;
mod read;
mod record;
mod recover;
mod scrub;
mod trash;
mod walk;

#[cfg(test)]
mod fault;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kv::Kv;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use protocol::message::{Dropped, GroupFingerprint, InventoryEntry, LogPosition};
use protocol::receipt::{Receipt, ReceiptEntry, ReceiptSigner};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::clock::SharedClock;
use types::entropy::random_bytes;
use types::{Epoch, GIB, GroupId, MIB, ShardId, SystemClock};

use crate::error::Error;
use crate::store::commit::{Committer, Drops, Job, NoticeJob, QUEUE_JOBS};
use crate::store::disk::{Disk, RealDisk, Space};
use crate::store::index::{Effects, Index, inventory_entry};
use crate::store::log::{Limits, Logs, Purpose, Reservation, number_of};
use crate::store::read::Outboards;
use crate::store::record::{FORMAT, LogHead, StoreKey};

pub use commit::Stored;
pub use put::{NewShard, Put};
pub use read::{Shard, Slices};
pub use record::Place;
pub use scrub::Scrubbed;

/// The file with the store's format and key.
const STORE_FILE: &str = "store.toml";
/// How often a scrub begins at most, however little there is to read.
const SCRUB_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// How long the first scrub waits: a machine that has just started has other things to read.
const SCRUB_DELAY: Duration = Duration::from_secs(600);
/// Rotten shards that are remembered to be reported; more are still found in the index.
const ROT_REMEMBERED: usize = 65_536;
/// How often a shard is looked up again when compaction moves it at the same moment.
const LOOKUPS: usize = 8;

/// How a store behaves. Every field is a default that an owner may change.
#[derive(Clone)]
pub struct StoreOptions {
    /// Bytes that all logs together may take on disk.
    pub quota: u64,
    /// Bytes to leave free on the file system; `None`: 1 GiB or 1 % of it, whichever is less.
    pub min_free: Option<u64>,
    /// Bytes of one log; `None`: a 64th of the quota, between 16 MiB and 1 GiB.
    pub log_size: Option<u64>,
    /// How long dropped shards rest before their space is used again.
    pub trash_grace: Duration,
    /// How often trash and logs are looked through.
    pub upkeep_interval: Duration,
    /// Bytes per second the scrubber reads; `None`: no scrubbing.
    pub scrub_rate: Option<u64>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Signs for what is durable.
    pub signer: ReceiptSigner,
}

impl StoreOptions {
    /// The defaults for a store of `quota` bytes.
    #[must_use]
    pub fn new(quota: u64, signer: ReceiptSigner) -> Self {
        Self {
            quota,
            min_free: None,
            log_size: None,
            trash_grace: Duration::from_secs(24 * 3600),
            upkeep_interval: Duration::from_secs(60),
            scrub_rate: Some(4 * MIB),
            clock: Arc::new(SystemClock),
            signer,
        }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("quota", &self.quota)
            .field("min_free", &self.min_free)
            .field("log_size", &self.log_size)
            .field("trash_grace", &self.trash_grace)
            .field("upkeep_interval", &self.upkeep_interval)
            .field("scrub_rate", &self.scrub_rate)
            .finish_non_exhaustive()
    }
}

/// How a store is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Bytes its logs may take.
    pub quota: u64,
    /// Bytes its logs take.
    pub allocated: u64,
    /// Bytes that new shards may still take.
    pub room: u64,
    /// Shards that are served.
    pub live_shards: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Bytes of dropped shards that still rest.
    pub trash_bytes: u64,
    /// Shards found damaged and not replaced yet.
    pub rotten: u64,
    /// Why no writes are taken, if so.
    pub broken: Option<String>,
}

/// Drops that are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// For each shard asked for, in order.
    pub outcomes: Vec<Dropped>,
    /// Where the record lies.
    pub place: Place,
    /// The node's signature.
    pub receipt: Receipt,
}

/// A store of shards on one disk. Cheap to clone; [`Store::close`] ends it for all.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

/// A store's parts and its background tasks, which end when it is dropped.
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
    pub(crate) jobs: mpsc::Sender<Job>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Held while the store is open.
    _lock: Option<File>,
}

/// What every part of the store uses.
pub(crate) struct Inner {
    pub(crate) logs: Arc<Logs>,
    pub(crate) index: Index,
    pub(crate) clock: SharedClock,
    pub(crate) signer: ReceiptSigner,
    pub(crate) outboards: Outboards,
    pub(crate) trash_grace: Duration,
    /// Hundredths of its time that a scrub may keep the disk busy.
    pub(crate) scrub_share: AtomicU8,
    sums: Mutex<Sums>,
    /// Wakes upkeep before its time.
    upkeep: Notify,
}

#[derive(Default)]
struct Sums {
    live_shards: i64,
    live_bytes: i64,
    trash_bytes: i64,
    /// Rot in the order it was found, under numbers that only grow.
    rot: BTreeMap<u64, ShardId>,
    rot_numbers: BTreeMap<ShardId, u64>,
    rot_next: u64,
    broken: Option<String>,
}

impl Store {
    /// Opens the store in `dir`, made if it is not there. The index is rebuilt from the logs if it is missing or damaged.
    ///
    /// # Errors
    /// [`Error::Locked`] if another process has it, [`Error::Newer`] if a newer program wrote it, [`Error::Damaged`], [`Error::Io`].
    pub async fn open(
        dir: &Path,
        options: StoreOptions,
        shared: &RocksShared,
    ) -> Result<Self, Error> {
        let shown = dir.display();
        let disk =
            RealDisk::new(dir.to_owned()).map_err(Error::io(format!("use the folder {shown}")))?;
        let lock = lock(&dir.join("LOCK"))?;
        // The logs come first: whatever a newer program wrote is refused before anything is touched.
        let logs = open_logs(Arc::new(disk), &options).await?;
        let index_dir = dir.join("index");
        let kv = open_index(&index_dir, shared).await?;
        let (inner, committer) = match Inner::open(&logs, kv, &options).await {
            Err(Error::Index(error)) => {
                tracing::warn!(%error, "the shard index is damaged; rebuilding it from the logs");
                wipe(&index_dir)?;
                Inner::open(&logs, open_index(&index_dir, shared).await?, &options).await?
            }
            opened => opened?,
        };
        Ok(Self::start(inner, committer, &options, Some(lock)))
    }

    #[cfg(test)]
    pub(crate) async fn open_on(
        disk: Arc<dyn Disk>,
        kv: Arc<dyn Kv>,
        options: StoreOptions,
    ) -> Result<Self, Error> {
        let logs = open_logs(disk, &options).await?;
        let (inner, committer) = Inner::open(&logs, kv, &options).await?;
        Ok(Self::start(inner, committer, &options, None))
    }

    fn start(
        inner: Arc<Inner>,
        committer: Committer,
        options: &StoreOptions,
        lock: Option<File>,
    ) -> Self {
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(committer.run(queue));
        let store = Self(Arc::new(Handle { inner, jobs, stop, tasks, _lock: lock }));
        store.spawn_upkeep(options.upkeep_interval);
        if let Some(rate) = options.scrub_rate {
            store.spawn_scrub(rate);
        }
        store
    }

    /// Begins to store a shard. One that is here under the same id is replaced when the put finishes, and not before.
    ///
    /// # Errors
    /// [`Error::Full`] with nothing written, [`Error::TooLarge`], [`Error::Broken`], [`Error::Io`].
    pub async fn put(&self, new: NewShard) -> Result<Put, Error> {
        let begun = Put::begin(Arc::clone(&self.0.inner), self.0.jobs.clone(), new, None).await;
        if matches!(begun, Err(Error::Full { .. })) {
            self.0.inner.upkeep.notify_one();
        }
        begun
    }

    /// Looks a shard up to read it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Rot`] if it is known to be damaged, [`Error::Index`].
    pub async fn get(&self, id: ShardId) -> Result<Shard, Error> {
        let inner = &self.0.inner;
        for _ in 0..LOOKUPS {
            let entry = inner.index.get(id).await?.ok_or(Error::NotFound(id))?;
            if entry.dropped.is_none() && entry.rot {
                return Err(Error::Rot(id));
            }
            let put = *entry.live().ok_or(Error::NotFound(id))?;
            if let Some(log) = inner.logs.get(put.place.file) {
                return Ok(Shard::new(Arc::clone(inner), id, log, put));
            }
        }
        Err(Error::Damaged(format!("the index of shard {id} names a log that is not there")))
    }

    /// Drops shards, durably. Those that are not here are no error. `revision` and `digest` name the signed statement that asks for it.
    ///
    /// # Errors
    /// [`Error::Full`] if not even the reserve has room for the record, [`Error::Broken`], [`Error::Closed`], [`Error::Index`].
    pub async fn remove(
        &self,
        revision: u64,
        digest: [u8; 32],
        shards: Vec<ShardId>,
    ) -> Result<Removed, Error> {
        let (answer, answered) = oneshot::channel();
        let job = NoticeJob { revision, drops: Drops::New(shards), answer };
        self.0.jobs.send(Job::Notice(job)).await.map_err(|_| Error::Closed)?;
        let noted = answered.await.map_err(|_| Error::Closed)??;
        let entry = ReceiptEntry::Dropped {
            revision: digest,
            outcomes: noted.outcomes.clone(),
            position: noted.place.into(),
        };
        let receipt = self.0.inner.signer.sign(&[entry]).pop();
        let receipt = receipt.expect("one entry gives one receipt");
        Ok(Removed { outcomes: noted.outcomes, place: noted.place, receipt })
    }

    /// A page of the shards that are served, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn list(
        &self,
        group: Option<GroupId>,
        after: Option<ShardId>,
        limit: usize,
    ) -> Result<(Vec<InventoryEntry>, bool), Error> {
        let mut found = Vec::new();
        let mut after = after;
        loop {
            let rows = self.0.inner.index.list(group, after, limit + 1).await?;
            let is_last = rows.len() <= limit;
            for (shard, entry) in rows {
                after = Some(shard);
                let Some(entry) = inventory_entry(shard, &entry) else { continue };
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(entry);
            }
            if is_last {
                return Ok((found, false));
            }
        }
    }

    /// The fingerprints of groups that have shards here, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn fingerprints(
        &self,
        from: GroupId,
        to: Option<GroupId>,
        limit: usize,
    ) -> Result<(Vec<GroupFingerprint>, bool), Error> {
        let mut found = Vec::new();
        let mut from = Some(from);
        while let Some(start) = from {
            let groups = self.0.inner.index.groups(start, to, limit + 1).await?;
            from = match groups.last() {
                Some(last) if groups.len() > limit => last.group.0.checked_add(1).map(GroupId),
                _ => None,
            };
            for group in groups.into_iter().filter(|group| group.count > 0) {
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(group);
            }
        }
        Ok((found, false))
    }

    /// The newest epoch known of a group that has shards here.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn epoch(&self, group: GroupId) -> Result<Option<Epoch>, Error> {
        self.0.inner.index.epoch(group).await
    }

    /// Learns newer epochs of groups that have shards here; others are ignored.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn raise_epochs(&self, epochs: &[(GroupId, Epoch)]) -> Result<(), Error> {
        self.0.inner.index.raise_epochs(epochs).await
    }

    /// How the store is.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        let inner = &self.0.inner;
        let (quota, allocated) = (inner.logs.quota(), inner.logs.allocated());
        let room = inner.logs.room().min(inner.logs.disk_room().unwrap_or(0));
        let sums = inner.sums();
        StoreStatus {
            quota,
            allocated,
            room,
            live_shards: sums.live_shards.max(0).unsigned_abs(),
            live_bytes: sums.live_bytes.max(0).unsigned_abs(),
            trash_bytes: sums.trash_bytes.max(0).unsigned_abs(),
            rotten: sums.rot.len() as u64,
            broken: sums.broken.clone(),
        }
    }

    /// Keeps to other limits from now on: bytes of all logs together, bytes that stay free (`None`: the default of [`StoreOptions::min_free`]),
    /// and the hundredths of its time that a scrub may keep the disk busy. Of what is stored already nothing is given up.
    pub(crate) fn limit(&self, quota: u64, min_free: Option<u64>, scrub_share: u8) {
        let inner = &self.0.inner;
        let min_free =
            min_free.or_else(|| inner.logs.space().ok().map(|space| default_min_free(&space)));
        // A disk that cannot be measured now fails the next put in words of its own.
        inner.logs.limit(quota, min_free.unwrap_or(GIB));
        inner.scrub_share.store(scrub_share.clamp(1, 100), Ordering::Relaxed);
    }

    /// Bytes free on the file system, and bytes that stay free by default.
    pub(crate) fn disk_free(&self) -> Option<(u64, u64)> {
        let space = self.0.inner.logs.space().ok()?;
        Some((space.free, default_min_free(&space)))
    }

    /// Damaged shards found after the first `heard` ones, at most `limit`, and the number to ask with next time.
    #[must_use]
    pub fn rot_after(&self, heard: u64, limit: usize) -> (Vec<ShardId>, u64) {
        let sums = self.0.inner.sums();
        let found: Vec<(u64, ShardId)> =
            sums.rot.range(heard..).take(limit).map(|(number, shard)| (*number, *shard)).collect();
        let next = found.last().map_or(heard.min(sums.rot_next), |(number, _)| number + 1);
        (found.into_iter().map(|(_, shard)| shard).collect(), next)
    }

    /// Gives up trash whose grace is over and empties logs that are mostly dead. Runs by itself; tests and tools may ask for it.
    ///
    /// # Errors
    /// Those of the disk and the index.
    pub async fn tidy(&self) -> Result<(), Error> {
        tidy(Arc::clone(&self.0)).await
    }

    /// Reads everything once, at most `rate` bytes a second, and notes what is damaged. Runs by itself.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn scrub(&self, rate: Option<u64>) -> Result<Scrubbed, Error> {
        self.0.scrub(rate).await
    }

    /// Finishes what is under way and closes the store. Later calls get [`Error::Closed`].
    pub async fn close(&self) {
        self.0.stop.cancel();
        let (done, finished) = oneshot::channel();
        if self.0.jobs.send(Job::Stop(done)).await.is_ok() {
            let _ = finished.await;
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.inner.index.close().await;
    }

    fn spawn_upkeep(&self, interval: Duration) {
        let (weak, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        let inner = Arc::clone(&self.0.inner);
        self.0.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.upkeep.notified() => {}
                    () = tokio::time::sleep(interval) => {}
                }
                let Some(handle) = weak.upgrade() else { return };
                let tidied = tokio::select! {
                    () = stop.cancelled() => return,
                    tidied = tidy(handle) => tidied,
                };
                if let Err(error) = tidied {
                    tracing::warn!(%error, "upkeep of the store was cut short");
                }
            }
        });
    }

    fn spawn_scrub(&self, rate: u64) {
        let (weak, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let mut pause = SCRUB_DELAY;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = SCRUB_PAUSE;
                let Some(handle) = weak.upgrade() else { return };
                tokio::select! {
                    () = stop.cancelled() => return,
                    seen = handle.scrub(Some(rate)) => match seen {
                        Ok(seen) => tracing::info!(?seen, "the store was scrubbed"),
                        Err(error) => tracing::warn!(%error, "a scrub was cut short"),
                    },
                }
            }
        });
    }
}

async fn tidy(handle: Arc<Handle>) -> Result<(), Error> {
    handle.sweep().await?;
    handle.compact().await?;
    Ok(())
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.status()).finish()
    }
}

impl Inner {
    /// Recovers the index and prepares the committer.
    async fn open(
        logs: &Arc<Logs>,
        kv: Arc<dyn Kv>,
        options: &StoreOptions,
    ) -> Result<(Arc<Self>, Committer), Error> {
        let index = Index::new(kv);
        let recovered = match recover::recover(logs, &index).await {
            Ok(recovered) => recovered,
            Err(error) => {
                index.close().await;
                return Err(error);
            }
        };
        let clock = SharedClock::clone(&options.clock);
        // Numbers of rot that a gateway has heard of in an earlier life of this store lie below all of this one.
        let sums = Sums { rot_next: clock.now().0, ..Sums::default() };
        let inner = Arc::new(Self {
            logs: Arc::clone(logs),
            index,
            clock,
            signer: options.signer.clone(),
            outboards: Outboards::default(),
            trash_grace: options.trash_grace,
            scrub_share: AtomicU8::new(100),
            sums: Mutex::new(sums),
            upkeep: Notify::new(),
        });
        let totals = Effects { logs: BTreeMap::new(), ..recovered.totals };
        inner.settle(&totals);
        let committer = Committer { inner: Arc::clone(&inner), applied: recovered.applied };
        Ok((inner, committer))
    }

    /// Claims room in the active log; blocks a thread of the blocking pool only when the log must grow.
    pub(crate) async fn reserve(&self, span: u64, purpose: Purpose) -> Result<Reservation, Error> {
        if let Some(reservation) = self.logs.try_reserve(span) {
            return Ok(reservation);
        }
        let logs = Arc::clone(&self.logs);
        tokio::task::spawn_blocking(move || logs.reserve(span, purpose))
            .await
            .map_err(|_| Error::Closed)?
    }

    /// Adds up what an update of the index changed.
    pub(crate) fn settle(&self, effects: &Effects) {
        self.logs.account(&effects.logs);
        let mut sums = self.sums();
        sums.live_shards += effects.live_shards;
        sums.live_bytes += effects.live_bytes;
        sums.trash_bytes += effects.trash_bytes;
        for shard in &effects.healed {
            if let Some(number) = sums.rot_numbers.remove(shard) {
                sums.rot.remove(&number);
            }
        }
        for shard in &effects.rotted {
            if sums.rot.len() < ROT_REMEMBERED && !sums.rot_numbers.contains_key(shard) {
                let number = sums.rot_next;
                sums.rot_next += 1;
                sums.rot.insert(number, *shard);
                sums.rot_numbers.insert(*shard, number);
            }
        }
    }

    /// Whether writes may still be taken.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        match &self.sums().broken {
            Some(why) => Err(Error::Broken(why.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.sums().broken.is_some()
    }

    /// Takes no more writes: what the disk holds is unknown until it has been read again.
    pub(crate) fn break_with(&self, why: &str) {
        tracing::error!(why, "the store takes no more writes until it is opened again");
        self.sums().broken.get_or_insert_with(|| why.to_owned());
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        // Sums are whole at each step that could panic.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Place> for LogPosition {
    fn from(place: Place) -> Self {
        Self { file: place.file, offset: place.offset }
    }
}

/// Whether a file is one of a store's logs, by its name.
pub(crate) fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| number_of(&name.to_string_lossy()).is_some())
}

/// What stays free unless the owner says otherwise.
fn default_min_free(space: &Space) -> u64 {
    (space.total / 100).min(GIB)
}

/// Opens the logs with the store's key.
async fn open_logs(disk: Arc<dyn Disk>, options: &StoreOptions) -> Result<Arc<Logs>, Error> {
    let (quota, min_free, log_size) = (options.quota, options.min_free, options.log_size);
    let open = move || {
        let min_free = match min_free {
            Some(bytes) => bytes,
            None => default_min_free(&disk.space().map_err(Error::io("measure the disk"))?),
        };
        let key = store_key(disk.as_ref())?;
        Logs::open(disk, key, Limits::new(quota, min_free, log_size))
    };
    tokio::task::spawn_blocking(open).await.map_err(|_| Error::Closed)?.map(Arc::new)
}

/// `store.toml`: the format of the store and its key in hexadecimal.
#[derive(Serialize, Deserialize)]
struct StoreFile {
    format: u32,
    key: String,
}

/// Reads the store's key; finds it in the logs if its file is lost; makes one if there is nothing yet.
fn store_key(disk: &dyn Disk) -> Result<StoreKey, Error> {
    match disk.read(STORE_FILE) {
        Ok(bytes) => parse_store_file(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let logs = disk.list().map_err(Error::io("list the store's files"))?;
            let logs: Vec<String> =
                logs.into_iter().filter(|name| number_of(name).is_some()).collect();
            let key = if logs.is_empty() {
                StoreKey(random_bytes())
            } else {
                logs.iter().find_map(|name| key_in(disk, name)).ok_or_else(|| {
                    Error::Damaged(format!(
                        "{STORE_FILE} is lost, and no log holds a copy of the key"
                    ))
                })?
            };
            let file = StoreFile { format: FORMAT, key: hex::encode(key.0) };
            let text = toml::to_string(&file)
                .map_err(|error| Error::Damaged(format!("cannot write {STORE_FILE}: {error}")))?;
            disk.replace(STORE_FILE, text.as_bytes())
                .map_err(Error::io(format!("write {STORE_FILE}")))?;
            Ok(key)
        }
        Err(error) => Err(Error::io(format!("read {STORE_FILE}"))(error)),
    }
}

fn parse_store_file(bytes: &[u8]) -> Result<StoreKey, Error> {
    let bad = |why: String| Error::Damaged(format!("{STORE_FILE} is damaged: {why}"));
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let table: toml::Table = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
    // The format is looked at before anything whose meaning it may change.
    let format = table.get("format").and_then(toml::Value::as_integer);
    let format = format.and_then(|format| u32::try_from(format).ok());
    match format {
        Some(found) if found > FORMAT => {
            return Err(Error::Newer { what: STORE_FILE.to_owned(), found, known: FORMAT });
        }
        Some(_) => {}
        None => return Err(bad("it names no format".to_owned())),
    }
    let file: StoreFile = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
    let mut key = [0; 32];
    hex::decode_to_slice(file.key, &mut key).map_err(|error| bad(error.to_string()))?;
    Ok(StoreKey(key))
}

fn key_in(disk: &dyn Disk, name: &str) -> Option<StoreKey> {
    let head = disk.open(name).ok()?.read_at(0, LogHead::LEN).ok()?;
    LogHead::decode(&head).filter(|head| head.format == FORMAT).map(|head| head.key)
}

fn lock(path: &Path) -> Result<File, Error> {
    let shown = path.display();
    let file = File::create(path).map_err(Error::io(format!("make {shown}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Locked(PathBuf::from(path))),
        Err(std::fs::TryLockError::Error(error)) => Err(Error::io(format!("lock {shown}"))(error)),
    }
}

/// Opens the index; one that cannot be opened is thrown away, for the logs have everything.
async fn open_index(dir: &Path, shared: &RocksShared) -> Result<Arc<dyn Kv>, Error> {
    match Rocks::open(dir, RocksOptions::index(shared)).await {
        Ok(kv) => Ok(Arc::new(kv)),
        Err(error) => {
            tracing::warn!(%error, "the shard index cannot be opened; rebuilding it from the logs");
            wipe(dir)?;
            Ok(Arc::new(Rocks::open(dir, RocksOptions::index(shared)).await?))
        }
    }
}

fn wipe(dir: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("delete {}", dir.display()))(error))
        }
        _ => Ok(()),
    }
}
