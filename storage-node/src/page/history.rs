//! What happened over the last thirty days: one sample every five minutes, in a ring in one file.
//!
//! The file `history` is never synced and may be deleted at any time. A sample lies where its time says, and carries its time and a
//! checksum, so one that was torn by a crash, overwritten half-way or never written is simply not there.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use types::Timestamp;

/// The file's name in the data folder.
const FILE: &str = "history";
/// The first bytes of the file; another format begins otherwise, and is begun anew.
const MAGIC: &[u8; 16] = b"drystone hist 1\n";
/// Seconds of one sample.
pub(crate) const INTERVAL: u64 = 300;
/// Samples in the ring: thirty days.
const SAMPLES: u64 = 30 * 24 * 3600 / INTERVAL;
/// Bytes of one sample, and of the head of the file.
const RECORD: usize = 64;
/// Bytes of a sample that its checksum covers.
const SUMMED: usize = 60;

const _: () = assert!(MAGIC.len() <= RECORD && SUMMED + 4 == RECORD);

/// What happened in one interval, and how things were at its end.
///
/// On disk, big-endian, because that is how the house writes numbers:
///
/// | bytes | what |
/// |---|---|
/// | 0–7 | number of the interval: seconds since 1970 by [`INTERVAL`]; it tells an old sample of the same place from this one |
/// | 8–15 | bytes of shards taken |
/// | 16–23 | bytes of shards given |
/// | 24–31 | bytes of live shards at the end |
/// | 32–39 | bytes that the logs took on disk at the end |
/// | 40–43 | seconds with at least one link |
/// | 44–47 | shards dropped |
/// | 48–59 | zero, for later |
/// | 60–63 | first bytes of the BLAKE3 hash of the rest |
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sample {
    /// Which interval.
    pub(crate) number: u64,
    /// Bytes of shards taken in it.
    pub(crate) stored: u64,
    /// Bytes of shards given in it.
    pub(crate) fetched: u64,
    /// Bytes of live shards at its end.
    pub(crate) live: u64,
    /// Bytes of disk space taken at its end.
    pub(crate) allocated: u64,
    /// Seconds of it with at least one link.
    pub(crate) linked: u32,
    /// Shards dropped in it.
    pub(crate) dropped: u32,
}

impl Sample {
    /// The interval that `now` lies in.
    pub(crate) fn number_of(now: Timestamp) -> u64 {
        now.seconds() / INTERVAL
    }

    fn to_bytes(self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let longs = [self.number, self.stored, self.fetched, self.live, self.allocated];
        for (at, value) in longs.into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&value.to_be_bytes());
        }
        bytes[40..44].copy_from_slice(&self.linked.to_be_bytes());
        bytes[44..48].copy_from_slice(&self.dropped.to_be_bytes());
        let sum = sum(&bytes);
        bytes[SUMMED..].copy_from_slice(&sum);
        bytes
    }

    /// The sample in these bytes, if they are whole.
    fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let long = |at: usize| {
            let mut value = [0; 8];
            value.copy_from_slice(&bytes[at..at + 8]);
            u64::from_be_bytes(value)
        };
        let short = |at: usize| {
            let mut value = [0; 4];
            value.copy_from_slice(&bytes[at..at + 4]);
            u32::from_be_bytes(value)
        };
        (sum(bytes)[..] == bytes[SUMMED..]).then(|| Self {
            number: long(0),
            stored: long(8),
            fetched: long(16),
            live: long(24),
            allocated: long(32),
            linked: short(40),
            dropped: short(44),
        })
    }
}

fn sum(bytes: &[u8; RECORD]) -> [u8; RECORD - SUMMED] {
    let mut sum = [0; RECORD - SUMMED];
    sum.copy_from_slice(&blake3::hash(&bytes[..SUMMED]).as_bytes()[..RECORD - SUMMED]);
    sum
}

/// A span of time that can be looked at, and how finely.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Span {
    /// 24 hours by five minutes.
    Day,
    /// Seven days by the hour.
    Week,
    /// Thirty days by six hours.
    Month,
}

impl Span {
    /// The span of a word in a query.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        match word {
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            "month" => Some(Self::Month),
            _ => None,
        }
    }

    /// Intervals of one step, and steps.
    const fn steps(self) -> (u64, u64) {
        match self {
            Self::Day => (1, 24 * 3600 / INTERVAL),
            Self::Week => (3600 / INTERVAL, 7 * 24),
            Self::Month => (6 * 3600 / INTERVAL, 30 * 4),
        }
    }
}

/// A span as the page draws it.
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Series {
    /// Seconds of one step.
    pub(crate) step_seconds: u64,
    /// Oldest first; the last is still going on.
    pub(crate) steps: Vec<Step>,
}

/// One step of a [`Series`].
#[derive(PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Step {
    /// When it began, in seconds since 1970.
    pub(crate) at: u64,
    /// Bytes of shards taken in it.
    pub(crate) stored: u64,
    /// Bytes of shards given in it.
    pub(crate) fetched: u64,
    /// Bytes of live shards at its end; nothing, if the node did not run at all.
    pub(crate) live: Option<u64>,
    /// Seconds of it with at least one link.
    pub(crate) linked: u64,
}

/// The open ring.
#[derive(Debug)]
pub(crate) struct History {
    file: File,
    /// The sample that goes on: newer than its state on disk.
    current: Mutex<Option<Sample>>,
}

impl History {
    /// Opens the ring in the data folder `dir`; makes it if it is not there, or is none.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join(FILE))?;
        let mut head = [0; MAGIC.len()];
        let known = file.read_exact_at(&mut head, 0).is_ok() && head == *MAGIC;
        if !known {
            file.set_len(0)?;
            file.write_all_at(MAGIC, 0)?;
        }
        Ok(Self { file, current: Mutex::default() })
    }

    /// Shows a sample that goes on, until the next one.
    pub(crate) fn show(&self, sample: Sample) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample);
    }

    /// Writes a sample over the one of thirty days before, or over an earlier state of itself.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write(&self, sample: Sample) -> io::Result<()> {
        self.file.write_all_at(&sample.to_bytes(), place(sample.number))
    }

    /// The sample of an interval, if there is a whole one.
    pub(crate) fn read(&self, number: u64) -> Option<Sample> {
        let current = *self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.filter(|sample| sample.number == number) {
            return Some(current);
        }
        let mut bytes = [0; RECORD];
        self.file.read_exact_at(&mut bytes, place(number)).ok()?;
        Sample::from_bytes(&bytes).filter(|sample| sample.number == number)
    }

    /// The span that ends `now`. Reads at most the whole file, half a megabyte.
    pub(crate) fn series(&self, span: Span, now: Timestamp) -> Series {
        let (width, count) = span.steps();
        // Steps begin on multiples of their width, so that the same bar stays the same.
        let last = Sample::number_of(now) / width;
        let first = last.saturating_sub(count - 1);
        let steps = (first..=last).map(|step| self.step(step * width, width)).collect();
        Series { step_seconds: width * INTERVAL, steps }
    }

    fn step(&self, first: u64, width: u64) -> Step {
        let mut step = Step { at: first * INTERVAL, stored: 0, fetched: 0, live: None, linked: 0 };
        for sample in (first..first + width).filter_map(|number| self.read(number)) {
            step.stored = step.stored.saturating_add(sample.stored);
            step.fetched = step.fetched.saturating_add(sample.fetched);
            step.live = Some(sample.live);
            step.linked += u64::from(sample.linked);
        }
        step
    }
}

/// Where the sample of an interval lies.
fn place(number: u64) -> u64 {
    (1 + number % SAMPLES) * RECORD as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Sample = Sample {
        number: 0x0102,
        stored: 3,
        fetched: 4,
        live: 5,
        allocated: 6,
        linked: 7,
        dropped: 8,
    };

    fn ring() -> (tempfile::TempDir, History) {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        (dir, history)
    }

    fn at(number: u64) -> Timestamp {
        Timestamp(number * INTERVAL * 1000)
    }

    #[test]
    fn a_sample_lies_on_disk_as_ever() {
        let bytes = SAMPLE.to_bytes();
        let numbers: Vec<u64> = bytes[..40]
            .chunks_exact(8)
            .map(|chunk| u64::from_be_bytes(chunk.try_into().unwrap()))
            .collect();
        assert_eq!(numbers, [0x0102, 3, 4, 5, 6]);
        assert_eq!(
            &bytes[40..SUMMED],
            [0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(bytes[SUMMED..], blake3::hash(&bytes[..SUMMED]).as_bytes()[..4]);
        assert_eq!(Sample::from_bytes(&bytes), Some(SAMPLE));
        let (dir, history) = ring();
        history.write(SAMPLE).unwrap();
        let file = std::fs::read(dir.path().join(FILE)).unwrap();
        assert_eq!(&file[..16], b"drystone hist 1\n");
        assert_eq!(file[RECORD * (1 + 0x0102)..], bytes);
    }

    #[test]
    fn a_torn_sample_is_not_there_and_its_neighbours_are() {
        let (dir, history) = ring();
        for number in 5000..5003 {
            history.write(Sample { number, ..SAMPLE }).unwrap();
        }
        let file = OpenOptions::new().write(true).open(dir.path().join(FILE)).unwrap();
        file.write_all_at(b"torn", place(5001) + 20).unwrap();
        let reopened = History::open(dir.path()).unwrap();
        let there: Vec<bool> = (5000..5003).map(|number| reopened.read(number).is_some()).collect();
        assert_eq!(there, [true, false, true]);
    }

    #[test]
    fn the_ring_never_grows_beyond_thirty_days_and_forgets_what_is_older() {
        let (dir, history) = ring();
        for number in [10, 10 + SAMPLES, SAMPLES - 1, 3 * SAMPLES - 1] {
            history.write(Sample { number, ..SAMPLE }).unwrap();
        }
        assert_eq!(history.read(10), None);
        assert_eq!(history.read(10 + SAMPLES).map(|sample| sample.number), Some(10 + SAMPLES));
        let len = std::fs::metadata(dir.path().join(FILE)).unwrap().len();
        assert_eq!(len, (SAMPLES + 1) * RECORD as u64);
    }

    #[test]
    fn a_span_sums_what_moved_keeps_the_last_level_and_shows_gaps() {
        let (_dir, history) = ring();
        let hour = 3600 / INTERVAL;
        // Two intervals of one hour, none of the next, one of the hour that goes on.
        for (number, live) in [(100 * hour, 50), (100 * hour + 3, 70), (102 * hour, 90)] {
            history.write(Sample { number, live, ..SAMPLE }).unwrap();
        }
        let week = history.series(Span::Week, at(102 * hour + 1));
        assert_eq!(week.step_seconds, 3600);
        let tail = &week.steps[week.steps.len() - 3..];
        let shown: Vec<_> =
            tail.iter().map(|step| (step.stored, step.fetched, step.live)).collect();
        assert_eq!(shown, [(6, 8, Some(70)), (0, 0, None), (3, 4, Some(90))]);
        assert_eq!(tail[0].at, 100 * 3600);
        for span in [Span::Day, Span::Month] {
            let (_, count) = span.steps();
            assert_eq!(history.series(span, at(1_000_000)).steps.len() as u64, count);
        }
    }

    #[test]
    fn a_file_of_another_format_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), vec![0xff; 5000]).unwrap();
        let history = History::open(dir.path()).unwrap();
        assert_eq!(history.read(1), None);
        history.write(Sample { number: 1, ..SAMPLE }).unwrap();
        assert!(History::open(dir.path()).unwrap().read(1).is_some());
    }
}
