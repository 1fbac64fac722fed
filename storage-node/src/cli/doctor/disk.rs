//! The disk under the data folder: what it is, how much of it there is, and how fast it is.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, statfs};
use serde::Serialize;
use types::{KIB, MIB};

use crate::advice::{DiskSpace, Finding, size};
use crate::config::NodeConfig;

/// Each of the three measurements takes no longer than this, plus one operation of the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// Syncs that are measured.
const SYNCS: u64 = 20;
/// Bytes written before each sync.
const SYNC_BLOCK: u64 = 4 * KIB;
/// Bytes written and read in a row.
const RUN: u64 = 64 * MIB;
/// Bytes of one write or read of the run.
const PIECE: u64 = MIB;
/// Milliseconds of a sync beyond which every store waits noticeably. A busy hard disk has about 30.
const SYNC_SLOW_MS: u64 = 100;
/// Milliseconds of a sync at which gateways begin to give up on the node.
const SYNC_BAD_MS: u64 = 1000;
/// Bytes per second below which the disk is slower than most home lines.
const RATE_SLOW: u64 = 10_000_000;
/// Less room than this, in bytes, takes no shard.
const ROOM_MIN: u64 = 8 * MIB;

/// How fast the disk is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Speed {
    /// Milliseconds of the median sync of a small write.
    fsync_ms: u64,
    /// Milliseconds of the slowest.
    fsync_max_ms: u64,
    /// Bytes per second written in a row, synced at the end.
    write_rate: u64,
    /// Bytes per second read back in a row.
    read_rate: u64,
}

/// Everything about the disk.
pub(super) fn examine(config: &NodeConfig) -> (Vec<Finding>, Option<Speed>) {
    let dir = &config.dir;
    let mut findings = vec![kind(dir)];
    let space = match DiskSpace::measure(dir) {
        Ok(space) => space,
        Err(error) => return (vec![unknown(&error)], None),
    };
    findings.push(room(config, space));
    match measure(dir, space) {
        Ok(Some(speed)) => {
            findings.push(verdict(speed));
            (findings, Some(speed))
        }
        Ok(None) => {
            findings.push(Finding::note("disk speed", "There is no room to measure it."));
            (findings, None)
        }
        Err(error) => {
            findings.push(Finding::bad(
                "disk speed",
                format!("The data folder {} cannot be written: {error}.", dir.display()),
                "give the folder to the user that runs the node, and look at `dmesg` for errors of the disk",
            ));
            (findings, None)
        }
    }
}

/// When nothing can be said.
pub(super) fn unknown(error: &dyn std::error::Error) -> Finding {
    Finding::bad(
        "disk",
        format!("The disk cannot be examined: {error}."),
        "look at the data folder and at `dmesg`",
    )
}

/// Whether the file system is one that keeps data.
fn kind(dir: &Path) -> Finding {
    let Ok(found) = statfs(dir) else {
        return Finding::note("file system", "Its kind cannot be told.");
    };
    // The numbers are those of statfs(2) and linux/magic.h.
    match found.f_type & 0xffff_ffff {
        0x0102_1994 | 0x8584_58f6 => Finding::bad(
            "file system",
            "The data folder is in memory: at the next start of the machine every shard is gone.",
            "move the folder to a disk: stop the node, `mv` the folder, run the node with --data NEW",
        ),
        0x6969 | 0x517b | 0xff53_4d42 | 0xfe53_4d42 | 0x0102_1997 | 0x00c3_6400 | 0x5346_414f => {
            Finding::bad(
                "file system",
                "The data folder is on a network file system, which may say that bytes are safe when they are not.",
                "lend a disk of this machine, or run the node on the machine that has the disk",
            )
        }
        0x794c_7630 => Finding::warning(
            "file system",
            "The data folder is in a container's own layer: it goes when the container is removed.",
            "mount a volume of the host there",
        ),
        0x6573_5546 => Finding::warning(
            "file system",
            "The data folder is on a FUSE file system, which may be slow or remote.",
            "lend a disk with a file system of the kernel, such as ext4 or XFS",
        ),
        _ => Finding::good("file system", "a file system of this machine"),
    }
}

/// Whether what is lent is there.
fn room(config: &NodeConfig, space: DiskSpace) -> Finding {
    let (lent, min_free) = (config.settings.disk, config.settings.min_free);
    let used = taken(&config.dir);
    let wanted = lent.0.saturating_sub(used);
    let has = space.beyond_minimum(min_free.map(|size| size.0));
    let fix = "make room on the disk, or lend less: `drystone-node frame set disk=SIZE`";
    let words = || {
        format!(
            "You lend {lent}, of which {} are in use; of the {} that are free the node may take {}.",
            size(used),
            size(space.free),
            size(has)
        )
    };
    if wanted > ROOM_MIN && has < ROOM_MIN {
        Finding::bad("disk", format!("The disk is full. {}", words()), fix)
    } else if has < wanted {
        Finding::warning("disk", format!("There is less than you lend. {}", words()), fix)
    } else {
        Finding::good("disk", words())
    }
}

/// Bytes on disk of everything below `dir`.
fn taken(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => taken(&entry.path()),
            Ok(found) if found.is_file() => found.blocks().saturating_mul(512),
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

fn verdict(speed: Speed) -> Finding {
    let Speed { fsync_ms, fsync_max_ms, write_rate, read_rate } = speed;
    let words = format!(
        "a sync takes {fsync_ms} ms (the slowest {fsync_max_ms} ms), writing {}/s, reading {}/s",
        size(write_rate),
        size(read_rate)
    );
    let fix = "lend another disk; on a hard disk, look whether another program keeps it busy (`iostat -x 5`), and at `smartctl -a`";
    if fsync_ms >= SYNC_BAD_MS {
        Finding::bad("disk speed", format!("The disk is too slow: {words}."), fix)
    } else if fsync_ms >= SYNC_SLOW_MS || write_rate.min(read_rate) < RATE_SLOW {
        Finding::warning("disk speed", format!("The disk is slow: {words}."), fix)
    } else {
        Finding::good("disk speed", words)
    }
}

/// Measures with a scratch file of the data folder that has no name any more; nothing, if there is no room for one.
fn measure(dir: &Path, space: DiskSpace) -> io::Result<Option<Speed>> {
    let run = RUN.min(space.free / 4) / PIECE * PIECE;
    if run == 0 {
        return Ok(None);
    }
    let path = dir.join("doctor.tmp");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    fs::remove_file(&path)?;
    let mut syncs = time_syncs(&file)?;
    syncs.sort_unstable();
    let written = write_run(&file, run)?;
    let read_rate = read_run(&file, written.bytes)?;
    Ok(Some(Speed {
        fsync_ms: whole_ms(syncs[syncs.len() / 2]),
        fsync_max_ms: whole_ms(syncs[syncs.len() - 1]),
        write_rate: written.rate,
        read_rate,
    }))
}

/// At least one.
fn time_syncs(file: &File) -> io::Result<Vec<Duration>> {
    let block = noise(SYNC_BLOCK);
    let begin = Instant::now();
    let mut took = Vec::new();
    for number in 0..SYNCS {
        let sync = Instant::now();
        file.write_all_at(&block, number * SYNC_BLOCK)?;
        file.sync_data()?;
        took.push(sync.elapsed());
        if begin.elapsed() > PATIENCE {
            break;
        }
    }
    Ok(took)
}

struct Written {
    bytes: u64,
    rate: u64,
}

fn write_run(file: &File, run: u64) -> io::Result<Written> {
    let piece = noise(PIECE);
    let begin = Instant::now();
    let mut bytes = 0;
    while bytes < run && begin.elapsed() < PATIENCE {
        file.write_all_at(&piece, bytes)?;
        bytes += PIECE;
    }
    file.sync_data()?;
    Ok(Written { bytes, rate: rate(bytes, begin.elapsed()) })
}

fn read_run(file: &File, bytes: u64) -> io::Result<u64> {
    // So that the disk is read and not memory; a file system that does not know the advice makes the number too good.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    let mut piece = noise(PIECE);
    let begin = Instant::now();
    let mut read = 0;
    while read < bytes && begin.elapsed() < PATIENCE {
        file.read_exact_at(&mut piece, read)?;
        read += PIECE;
    }
    Ok(rate(read, begin.elapsed()))
}

/// Bytes that no file system can store more cheaply.
fn noise(len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn rate(bytes: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

fn whole_ms(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::Severity;

    #[test]
    fn a_disk_is_measured_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let space = DiskSpace::measure(dir.path()).unwrap();
        let speed = measure(dir.path(), space).unwrap().unwrap();
        assert!(speed.write_rate > 0 && speed.read_rate > 0, "{speed:?}");
        assert!(speed.fsync_ms <= speed.fsync_max_ms);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn slow_disks_are_told_apart_from_useless_ones() {
        let of = |fsync_ms, write_rate| {
            let speed = Speed { fsync_ms, fsync_max_ms: 5000, write_rate, read_rate: 200_000_000 };
            verdict(speed).severity
        };
        assert_eq!(of(12, 150_000_000), Severity::Good);
        assert_eq!(of(12, 5_000_000), Severity::Warning);
        assert_eq!(of(200, 150_000_000), Severity::Warning);
        assert_eq!(of(1500, 150_000_000), Severity::Bad);
    }

    #[test]
    fn what_lies_in_sub_folders_counts_as_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        fs::write(dir.path().join("store/1.log"), vec![1; 100_000]).unwrap();
        assert!((100_000..=200_000).contains(&taken(dir.path())));
    }
}
