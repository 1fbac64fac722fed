//! The month's traffic: counted for ever, written down ahead of its use, and spread over the days.
//!
//! - A crash can only make the count larger: bytes are written down as used before they may move ([`Month::reserve`]).
//! - A day may take its even share of what is left, and at most twice the month's even share. Whoever saves early has more later, but no
//!   day is a flood, and a node that is asked for all it has serves as much on the last day as on the first: nodes do not fall silent
//!   together at the month's end.
//!
//! Pure, apart from [`Ledger`], which keeps it in a file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use types::{MIB, Timestamp};

use crate::crashsafe;
use crate::error::Error;
use crate::frame::zone::Zone;

/// The file's name in the data folder.
const FILE: &str = "traffic";
/// The file's format.
const FORMAT: u32 = 1;
/// Bytes that are written down ahead at least, and at most: what a crash can make the count too large by.
const AHEAD_MIN: u64 = MIB;
const AHEAD_MAX: u64 = 64 * MIB;
/// A month is written down ahead in so many steps.
const AHEAD_STEPS: u64 = 512;

/// A month's count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Month {
    /// When it began.
    pub(crate) began: Timestamp,
    /// When today began.
    pub(crate) day_began: Timestamp,
    /// Wire bytes moved since the month began. In the file: at least so many.
    pub(crate) used: u64,
    /// Of these, those before today.
    pub(crate) before_today: u64,
}

/// A day's and a month's borders around a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Calendar {
    pub(crate) month_began: Timestamp,
    pub(crate) month_ends: Timestamp,
    pub(crate) day_began: Timestamp,
    pub(crate) day_ends: Timestamp,
    /// Days of the month.
    days: u64,
    /// Days of it from today on, today included.
    days_left: u64,
}

impl Calendar {
    /// Around `now`, in a month that begins on day `start`.
    pub(crate) fn around(now: Timestamp, zone: &Zone, start: u8) -> Self {
        let local = zone.local(now);
        let (year, day) = (local.year, i64::from(local.day));
        let start = i64::from(start);
        let month = i64::from(local.month) - i64::from(day < start);
        let this_month = i64::from(local.month);
        let (began, ends) =
            (zone.begin_of(year, month, start), zone.begin_of(year, month + 1, start));
        let (day_began, day_ends) =
            (zone.begin_of(year, this_month, day), zone.begin_of(year, this_month, day + 1));
        // Days have 23 to 25 hours; whole ones are meant.
        let days = |from: Timestamp, to: Timestamp| (to.since(from).as_secs() + 43_200) / 86_400;
        Self {
            month_began: began,
            month_ends: ends,
            day_began,
            day_ends,
            days: days(began, ends).max(1),
            days_left: days(day_began, ends).max(1),
        }
    }
}

impl Month {
    /// A month in which nothing moved yet.
    pub(crate) fn new(calendar: &Calendar) -> Self {
        Self {
            began: calendar.month_began,
            day_began: calendar.day_began,
            used: 0,
            before_today: 0,
        }
    }

    /// Goes to the day and month of `calendar`. A clock that was set back does not give bytes back within the month.
    pub(crate) fn turn(&mut self, calendar: &Calendar) {
        if calendar.month_began > self.began {
            *self = Self::new(calendar);
        } else if calendar.day_began > self.day_began {
            self.day_began = calendar.day_began;
            self.before_today = self.used;
        }
    }

    /// Bytes that today may take in all.
    pub(crate) fn today_limit(&self, limit: u64, calendar: &Calendar) -> u64 {
        let left = limit.saturating_sub(self.before_today);
        let even = left / calendar.days_left;
        even.min((limit / calendar.days).saturating_mul(2))
    }

    /// Bytes moved today.
    pub(crate) fn today_used(&self) -> u64 {
        self.used - self.before_today
    }

    /// The count to write down before more bytes move: what is used, and a step ahead.
    fn reserve(&self, limit: Option<u64>) -> u64 {
        self.used + limit.map_or(0, |limit| (limit / AHEAD_STEPS).clamp(AHEAD_MIN, AHEAD_MAX))
    }
}

/// The count in its file.
pub(crate) struct Ledger {
    path: PathBuf,
    pub(crate) month: Month,
    /// The file says at least so much.
    written: Month,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    format: u32,
    month: Month,
}

impl Ledger {
    /// Reads the count in `dir`, or begins one.
    ///
    /// # Errors
    /// [`Error::Damaged`] for a file that is none: guessing a count could break the owner's limit. [`Error::Newer`], [`Error::Io`].
    pub(crate) fn open(dir: &Path, calendar: &Calendar) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let damaged = |what: &dyn std::fmt::Display| {
            Error::Damaged(format!(
                "{} holds no count of traffic ({what}); if the month's count may begin anew, delete it",
                path.display()
            ))
        };
        let mut month = match std::fs::read(&path) {
            Ok(json) => {
                let found: OnDisk =
                    serde_json::from_slice(&json).map_err(|error| damaged(&error))?;
                if found.format > FORMAT {
                    let what = path.display().to_string();
                    return Err(Error::Newer { what, found: found.format, known: FORMAT });
                }
                if found.month.before_today > found.month.used {
                    return Err(damaged(&"more before today than in all"));
                }
                found.month
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Month::new(calendar),
            Err(error) => return Err(Error::io(format!("read {}", path.display()))(error)),
        };
        let written = month;
        month.turn(calendar);
        Ok(Self { path, month, written })
    }

    /// Counts bytes that moved.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.month.used = self.month.used.saturating_add(bytes);
    }

    /// Makes sure that some more bytes are written down as used, and says how many may move until the next call.
    ///
    /// # Errors
    /// [`Error::Io`]; then no more bytes may move than were written down before.
    pub(crate) fn allowance(&mut self, limit: u64) -> Result<u64, Error> {
        let ahead = self.month.reserve(Some(limit));
        let same_day = self.written.began == self.month.began
            && self.written.day_began == self.month.day_began;
        // Half a step is left until it is written again.
        if !same_day || self.written.used < self.month.used + (ahead - self.month.used) / 2 {
            self.write(Month { used: ahead, ..self.month })?;
        }
        Ok(self.written.used.min(limit).saturating_sub(self.month.used))
    }

    /// Writes the exact count down: when there is no limit, and at the end.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn keep(&mut self) -> Result<(), Error> {
        if self.written == self.month { Ok(()) } else { self.write(self.month) }
    }

    /// Bytes by which the file lags behind.
    pub(crate) fn lag(&self) -> u64 {
        self.month.used.saturating_sub(self.written.used)
    }

    fn write(&mut self, month: Month) -> Result<(), Error> {
        let json = serde_json::to_vec(&OnDisk { format: FORMAT, month })
            .map_err(|error| Error::Damaged(format!("the count cannot be written: {error}")))?;
        crashsafe::replace(&self.path, &json)
            .map_err(Error::io(format!("write {}", self.path.display())))?;
        self.written = month;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000;

    fn at(days: u64) -> Timestamp {
        // From 2026-01-01 on.
        Timestamp(1_767_225_600_000 + days * DAY)
    }

    #[test]
    fn a_month_begins_on_the_day_that_the_contract_says() {
        let calendar = Calendar::around(at(9), &Zone::utc(), 15);
        assert_eq!(
            (calendar.month_began, calendar.month_ends),
            (Timestamp(at(0).0 - 17 * DAY), at(14))
        );
        assert_eq!((calendar.days, calendar.days_left), (31, 5));
        let calendar = Calendar::around(at(31 + 27), &Zone::utc(), 1);
        assert_eq!((calendar.days, calendar.days_left), (28, 1));
        assert_eq!((calendar.month_began, calendar.month_ends), (at(31), at(59)));
    }

    proptest! {
        /// Whatever is asked for, and whenever.
        #[test]
        fn days_stay_in_their_share_and_the_month_in_its_limit(
            limit in 1_000_000_u64..1 << 45, start in 1_u8..=28, asked in prop::collection::vec(0_u64..1 << 42, 70),
        ) {
            let mut month = Month::new(&Calendar::around(at(0), &Zone::utc(), start));
            for (day, asked) in asked.into_iter().enumerate() {
                let calendar = Calendar::around(at(day as u64), &Zone::utc(), start);
                month.turn(&calendar);
                let today = month.today_limit(limit, &calendar);
                month.used += asked.min(today);
                prop_assert!(month.used <= limit);
                prop_assert!(today <= 2 * (limit / calendar.days));
            }
        }

        #[test]
        fn a_node_that_is_asked_for_everything_serves_on_the_last_day_as_on_the_first(
            limit in 1_000_000_000_u64..1 << 45, start in 1_u8..=28,
        ) {
            let begin = Calendar::around(at(40), &Zone::utc(), start).month_began;
            let mut month = Month::new(&Calendar::around(begin, &Zone::utc(), start));
            let days = Calendar::around(begin, &Zone::utc(), start).days;
            for day in 0..days {
                let calendar = Calendar::around(Timestamp(begin.0 + day * DAY), &Zone::utc(), start);
                month.turn(&calendar);
                let today = month.today_limit(limit, &calendar);
                prop_assert!(today.abs_diff(limit / days) <= days, "day {day}: {today}");
                month.used += today;
            }
        }
    }

    #[test]
    fn a_crash_makes_the_count_larger_and_never_smaller() {
        let dir = tempfile::tempdir().unwrap();
        let calendar = Calendar::around(at(3), &Zone::utc(), 1);
        let limit = 10_000_000_000;
        let mut moved = 0;
        for _ in 0..5 {
            let mut ledger = Ledger::open(dir.path(), &calendar).unwrap();
            assert!(ledger.month.used >= moved);
            for _ in 0..10 {
                let allowance = ledger.allowance(limit).unwrap();
                assert!(allowance >= AHEAD_MIN / 2);
                ledger.add(allowance / 3);
                moved += allowance / 3;
            }
            // Dropped without a word: the process was killed.
        }
        let mut last = Ledger::open(dir.path(), &calendar).unwrap();
        last.keep().unwrap();
        let used = last.month.used;
        assert_eq!(Ledger::open(dir.path(), &calendar).unwrap().month.used, used);
        assert!(used - moved <= 5 * limit / AHEAD_STEPS, "{used} {moved}");
        let next = Calendar::around(at(31), &Zone::utc(), 1);
        assert_eq!(Ledger::open(dir.path(), &next).unwrap().month.used, 0);
    }

    #[test]
    fn the_last_bytes_of_a_month_are_not_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let calendar = Calendar::around(at(3), &Zone::utc(), 1);
        let mut ledger = Ledger::open(dir.path(), &calendar).unwrap();
        let limit = 3 * MIB;
        let mut moved = 0;
        while let Ok(more @ 1..) = ledger.allowance(limit) {
            ledger.add(more);
            moved += more;
        }
        assert_eq!(moved, limit);
    }

    #[test]
    fn the_file_is_as_ever_and_a_damaged_one_is_not_guessed_at() {
        let dir = tempfile::tempdir().unwrap();
        let calendar = Calendar::around(at(3), &Zone::utc(), 1);
        let mut ledger = Ledger::open(dir.path(), &calendar).unwrap();
        ledger.add(77);
        ledger.keep().unwrap();
        let path = dir.path().join(FILE);
        let golden = r#"{"format":1,"month":{"began":1767225600000,"day_began":1767484800000,"used":77,"before_today":0}}"#;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), golden);
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Ledger::open(dir.path(), &calendar), Err(Error::Damaged(_))));
        std::fs::write(&path, golden.replace("\"format\":1", "\"format\":2")).unwrap();
        assert!(matches!(Ledger::open(dir.path(), &calendar), Err(Error::Newer { .. })));
    }
}
