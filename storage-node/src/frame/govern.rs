//! The frame's clockwork: looks at the clock every second, at the machine and the disk every five, and at `node.toml` whenever it changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};
use tokio_util::sync::CancellationToken;
use types::{Clock, MIB, SystemClock, Timestamp};

use crate::config::NodeConfig;
use crate::frame::bucket::Bucket;
use crate::frame::{DiskUse, Frame, process_time};
use crate::join::with_causes;
use crate::store::Store;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(1);
/// The machine and the disk are looked at with every so many ticks: what an owner changes there holds within as many seconds.
const LOOK_EVERY: u64 = 5;
/// How often the processor's share is looked at, if it has a limit.
const HOLD_TICK: Duration = Duration::from_millis(50);
/// A machine whose clocks disagree by more than this, or on which a second took longer, has slept.
const SLEPT: Duration = Duration::from_secs(15);
/// Kept free inside the lent space for the index, which grows between two looks: a quarter of it, and this.
const INDEX_GROWTH: u64 = 4 * MIB;

/// Everything the clockwork turns.
pub(crate) struct Governor {
    frame: Arc<Frame>,
    store: Store,
    config: NodeConfig,
    /// The file's inode, time and length when it was last read.
    seen: Option<Signature>,
    /// The processors that the process had at its start; `None`: it shares the process.
    processors: Option<Vec<usize>>,
    /// As many were given to it.
    given: usize,
}

type Signature = (u64, i64, i64, u64);

impl Governor {
    /// For a node whose store is open and not yet served; its limits are set here for the first time.
    pub(crate) fn new(frame: Arc<Frame>, store: Store, config: NodeConfig) -> Self {
        let processors = config.own_process.then(processors).flatten();
        let given = processors.as_ref().map_or(0, Vec::len);
        let seen = signature(&config.file());
        let mut governor = Self { frame, store, config, seen, processors, given };
        governor.look();
        governor
    }

    /// Runs until `stop`, then writes the month's count down.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let frame = Arc::clone(&self.frame);
        let mut share = Share::new();
        let mut clocks = Clocks::now();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for count in 1_u64.. {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return frame.close(),
                    _ = tick.tick() => break,
                    () = frame.shaper().short.notified() => {
                        let frame = Arc::clone(&frame);
                        drop(tokio::task::spawn_blocking(move || frame.count()).await);
                    }
                    () = tokio::time::sleep(HOLD_TICK), if share.limit.is_some() => {
                        frame.hold(share.is_used_up());
                    }
                }
            }
            if clocks.slept() {
                tracing::info!("the machine has slept; every link is made anew");
                frame.woke();
            }
            // Reads and writes of small files, now and then an fsync: not on a thread that serves links.
            let turned = tokio::task::spawn_blocking(move || {
                self.turn(count.is_multiple_of(LOOK_EVERY));
                self
            });
            match turned.await {
                Ok(governor) => self = governor,
                Err(error) => {
                    return tracing::error!(%error, "the frame's clockwork has stopped");
                }
            }
            share.change(frame.cpu_limit());
        }
    }

    fn turn(&mut self, look: bool) {
        let signature = signature(&self.config.file());
        if signature != self.seen {
            self.seen = signature;
            self.reload();
        } else if look {
            self.look();
        }
        self.frame.tick(look);
    }

    /// Takes over what the owner changed; an unusable file changes nothing.
    fn reload(&mut self) {
        match self.config.reload() {
            Ok(settings) => {
                self.frame.change(settings.lent());
                self.look();
            }
            Err(error) => {
                let why = with_causes(&error);
                tracing::error!(why, "the changed frame is not taken over");
                self.frame.trouble(why);
            }
        }
    }

    /// Measures the disk, and sets what follows from it and from the settings.
    fn look(&mut self) {
        let lent = self.frame.lent();
        let logs = self.store.status().allocated;
        let beside = beside_logs(&self.config.dir);
        let kept = (beside + beside / 4 + INDEX_GROWTH).next_multiple_of(MIB);
        let min_free = lent.min_free.map(|size| size.0);
        let quota = lent.disk.0.saturating_sub(kept);
        self.store.limit(quota, min_free, lent.frame.scrub_share().0);
        let (free, default) = self.store.disk_free().unwrap_or_default();
        self.frame.note_disk(DiskUse { used: logs + beside, free, min_free: default });
        self.bind();
    }

    /// Gives the process as many processors as it may use.
    fn bind(&mut self) {
        let Some(processors) = &self.processors else { return };
        let wanted = self.frame.cores().min(processors.len()).max(1);
        if wanted == self.given {
            return;
        }
        // The last ones: the first has the interrupts of most machines.
        let chosen = processors.get(processors.len() - wanted..).unwrap_or(processors);
        match give(chosen) {
            Ok(()) => self.given = wanted,
            Err(error) => tracing::warn!(%error, wanted, "the processors cannot be limited"),
        }
    }
}

/// The processor's share.
struct Share {
    limit: Option<u64>,
    bucket: Bucket,
    used: Duration,
    began: Instant,
}

impl Share {
    fn new() -> Self {
        let bucket = Bucket::new(1, 1, 0);
        Self { limit: None, bucket, used: process_time(), began: Instant::now() }
    }

    /// Another limit, in microseconds of processor time per second.
    fn change(&mut self, limit: Option<u64>) {
        if limit == self.limit {
            return;
        }
        let now = self.now();
        self.limit = limit;
        self.used = process_time();
        // Half a second of it at a time.
        let rate = limit.unwrap_or(1);
        self.bucket = Bucket::new(rate, rate / 2, now);
    }

    fn is_used_up(&mut self) -> bool {
        let (now, used) = (self.now(), process_time());
        let micros = used.saturating_sub(self.used).as_micros();
        self.bucket.spend(u64::try_from(micros).unwrap_or(u64::MAX), now);
        self.used = used;
        self.bucket.level(now) == 0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The wall clock, which goes on while the machine sleeps, and the other one, which does not.
struct Clocks {
    wall: Timestamp,
    steady: Instant,
}

impl Clocks {
    fn now() -> Self {
        Self { wall: SystemClock.now(), steady: Instant::now() }
    }

    /// Whether the machine, or this process, stood still since the last call.
    fn slept(&mut self) -> bool {
        let before = std::mem::replace(self, Self::now());
        let wall = self.wall.since(before.wall);
        let steady = self.steady.duration_since(before.steady);
        wall > steady + SLEPT || steady > SLEPT
    }
}

fn signature(file: &Path) -> Option<Signature> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len()))
}

/// Bytes on disk of everything in the data folder but the store's logs: the index, above all.
fn beside_logs(dir: &Path) -> u64 {
    let mut sum = 0;
    let mut folders: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        // What vanishes meanwhile takes no space.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if !crate::store::is_log(&entry.path()) {
                sum += metadata.blocks() * 512;
            }
        }
    }
    sum
}

/// The processors that this process may use.
fn processors() -> Option<Vec<usize>> {
    let set = sched_getaffinity(None).ok()?;
    let found: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect();
    (!found.is_empty()).then_some(found)
}

/// Binds every thread of the process; threads to come inherit it from those that make them.
fn give(processors: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor);
    }
    for task in fs::read_dir("/proc/self/task")?.flatten() {
        let id = task.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        // A thread that has ended meanwhile needs no processor.
        match id.map(|id| sched_setaffinity(Some(id), &set)) {
            Some(Err(error)) if error != rustix::io::Errno::SRCH => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_not_counted_twice_and_everything_else_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("store/index")).unwrap();
        fs::write(dir.path().join("store/00000001.log"), vec![1; 100_000]).unwrap();
        fs::write(dir.path().join("store/index/000012.log"), vec![1; 50_000]).unwrap();
        fs::write(dir.path().join("node.toml"), b"x").unwrap();
        let beside = beside_logs(dir.path());
        assert!((50_000..80_000).contains(&beside), "{beside}");
    }

    #[test]
    fn a_process_that_had_its_share_is_held_until_it_is_made_good() {
        let mut share = Share::new();
        share.change(Some(1_000));
        let begun = process_time();
        while process_time() - begun < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        assert!(share.is_used_up());
        share.change(None);
        assert_eq!(share.limit, None);
    }

    #[test]
    fn a_second_that_took_a_minute_was_a_sleep() {
        let mut clocks = Clocks::now();
        assert!(!clocks.slept());
        clocks.wall = Timestamp(clocks.wall.0 - 60_000);
        assert!(clocks.slept());
        clocks.steady = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        assert!(clocks.slept());
    }
}
