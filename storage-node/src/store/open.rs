//! Opening a store: its folder, key and logs, then the index, which can be made anew from them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex};

use kv::Kv;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::GIB;
use types::clock::SharedClock;
use types::entropy::random_bytes;

use crate::error::Error;
use crate::store::buffers::Buffers;
use crate::store::commit::{Committer, QUEUE_JOBS};
use crate::store::disk::{Disk, RealDisk, Space};
use crate::store::index::{Effects, Index};
use crate::store::inner::{Inner, Sums};
use crate::store::log::{Limits, Logs, number_of};
use crate::store::read::{Outboards, READ_BATCH};
use crate::store::record::{FORMAT, LogHead, StoreKey};
use crate::store::{Handle, Store, StoreOptions, recover};

/// The file with the store's format and key.
const STORE_FILE: &str = "store.toml";

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
        let sums = Sums::begin(clock.now().0);
        let inner = Arc::new(Self {
            logs: Arc::clone(logs),
            index,
            clock,
            signer: options.signer.clone(),
            outboards: Outboards::default(),
            buffers: Buffers::new(READ_BATCH as usize),
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
}

/// Whether a file is one of a store's logs, by its name.
pub(crate) fn is_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| number_of(&name.to_string_lossy()).is_some())
}

/// What stays free unless the owner says otherwise.
pub(super) fn default_min_free(space: &Space) -> u64 {
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
