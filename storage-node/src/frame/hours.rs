//! Weekly hours: a table of 7 × 24 whole hours of the wall clock, and the spelling of it that people read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::frame::zone::{Local, Zone};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// All 24 hours of a day.
const FULL: u32 = (1 << 24) - 1;

/// Weekly hours, such as `mon-fri 18:00-09:00, sat, sun`: days with a span of whole hours, or the whole day. A span whose end is not after its
/// begin goes over midnight into the next day. `always` and `never` are words, too.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hours {
    /// One word for each day from Monday on; bit h stands for the hour that begins at h.
    days: [u32; 7],
    /// As the owner wrote it.
    text: String,
}

/// A text that says no hours.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} says no hours; write `always`, `never`, or days with whole hours such as `mon-fri 18:00-09:00, sat, sun`"
)]
pub struct HoursError(String);

impl Hours {
    /// Every hour.
    #[must_use]
    pub fn always() -> Self {
        Self { days: [FULL; 7], text: "always".to_owned() }
    }

    /// Whether a moment is within them.
    pub(crate) fn contains(&self, at: &Local) -> bool {
        self.days.get(at.weekday).is_some_and(|day| day >> at.hour & 1 == 1)
    }

    /// When, after `now`, that changes; `None`: never.
    pub(crate) fn next_change(&self, now: Timestamp, zone: &Zone) -> Option<Timestamp> {
        if self.days.iter().all(|day| *day == self.days[0]) && [0, FULL].contains(&self.days[0]) {
            return None;
        }
        let is_open = self.contains(&zone.local(now));
        let mut at = Timestamp(now.seconds() * 1000);
        // A week, and a day in which the clock was turned.
        for _ in 0..8 * 24 {
            let into_hour = u64::try_from(zone.local(at).into_hour).unwrap_or_default();
            at = Timestamp(at.0 + (3600 - into_hour) * 1000);
            if self.contains(&zone.local(at)) != is_open {
                return Some(at);
            }
        }
        None
    }

    fn add(&mut self, first: usize, last: usize, begin: u32, end: u32) {
        let span = |begin: u32, end: u32| (FULL >> (24 - end)) & (FULL << begin) & FULL;
        let count = (last + 7 - first) % 7;
        for day in (first..=first + count).map(|day| day % 7) {
            if begin < end {
                self.days[day] |= span(begin, end);
            } else {
                self.days[day] |= span(begin, 24);
                self.days[(day + 1) % 7] |= if end == 0 { 0 } else { span(0, end) };
            }
        }
    }
}

impl PartialEq for Hours {
    fn eq(&self, other: &Self) -> bool {
        self.days == other.days
    }
}

impl Eq for Hours {}

impl FromStr for Hours {
    type Err = HoursError;

    fn from_str(text: &str) -> Result<Self, HoursError> {
        let fail = || HoursError(text.to_owned());
        let lower = text.trim().to_ascii_lowercase();
        let mut hours = Self { days: [0; 7], text: text.trim().to_owned() };
        match lower.as_str() {
            "always" => return Ok(Self::always()),
            "never" => return Ok(hours),
            _ => {}
        }
        for entry in lower.split(',') {
            let mut words = entry.split_whitespace();
            let (first, last) = days(words.next().ok_or_else(fail)?).ok_or_else(fail)?;
            let (begin, end) = match words.next() {
                Some(span) => span_of(span).ok_or_else(fail)?,
                None => (0, 24),
            };
            if words.next().is_some() {
                return Err(fail());
            }
            hours.add(first, last, begin, end);
        }
        Ok(hours)
    }
}

/// `mon`, `mon-fri` or `daily`.
fn days(word: &str) -> Option<(usize, usize)> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    match word.split_once('-') {
        _ if word == "daily" => Some((0, 6)),
        Some((first, last)) => Some((day(first)?, day(last)?)),
        None => day(word).map(|day| (day, day)),
    }
}

/// `18:00-09:00` or `18-9`; 24:00 is an end only.
fn span_of(word: &str) -> Option<(u32, u32)> {
    let hour = |text: &str| text.strip_suffix(":00").unwrap_or(text).parse::<u32>().ok();
    let (begin, end) = word.split_once('-')?;
    let (begin, end) = (hour(begin)?, hour(end)?);
    (begin < 24 && end <= 24 && begin != end).then_some((begin, end))
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Hours {
    type Error = HoursError;

    fn try_from(text: String) -> Result<Self, HoursError> {
        text.parse()
    }
}

impl From<Hours> for String {
    fn from(hours: Hours) -> Self {
        hours.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(text: &str) -> [u32; 7] {
        text.parse::<Hours>().unwrap_or_else(|error| panic!("{error}")).days
    }

    #[test]
    fn an_office_lends_its_nights_and_weekends() {
        let hours: Hours = "mon-fri 18:00-09:00, sat, sun".parse().unwrap();
        let open = |weekday, hour| {
            let at = Local { year: 2026, month: 1, day: 1, weekday, hour, into_hour: 0 };
            hours.contains(&at)
        };
        assert!(open(0, 18) && open(1, 8) && open(4, 23) && open(5, 12) && open(6, 23));
        assert!(!open(0, 17) && !open(1, 9) && !open(4, 12) && !open(0, 0));
    }

    #[test]
    fn one_table_has_many_spellings() {
        assert_eq!(table("daily 8-17"), table("mon-sun 08:00-17:00"));
        assert_eq!(table("sat-mon"), table("sat, sun, mon"));
        assert_eq!(table("Always"), table("daily"));
        assert_eq!(table("daily 00:00-24:00"), [FULL; 7]);
        assert_eq!(table("daily 22:00-00:00"), table("daily 22:00-24:00"));
        assert_eq!(table("never"), [0; 7]);
    }

    #[test]
    fn what_says_no_hours_is_refused_with_an_example() {
        for bad in ["", "monday", "mon 8", "mon 8:30-9", "mon 25-26", "mon 8-8", "mon 8-9 x", ","] {
            let error = bad.parse::<Hours>().expect_err(bad).to_string();
            assert!(error.contains("mon-fri 18:00-09:00"), "{error}");
        }
    }

    #[test]
    fn the_next_change_is_the_end_of_the_span() {
        // 2026-11-28 12:34:56 UTC, a Saturday.
        let now = Timestamp(1_795_869_296_789);
        let zone = Zone::utc();
        let until = |text: &str| text.parse::<Hours>().unwrap().next_change(now, &zone);
        assert_eq!(until("sat 12-14"), Some(Timestamp(1_795_874_400_000)));
        assert_eq!(until("mon 0-1"), Some(Timestamp(1_795_996_800_000)));
        assert_eq!(until("always"), None);
        assert_eq!(until("never"), None);
    }

    proptest! {
        #[test]
        fn until_the_next_change_nothing_changes(days in prop::array::uniform7(0..=FULL), second in 0_u64..700_000) {
            let hours = Hours { days, text: String::new() };
            let (zone, now) = (Zone::utc(), Timestamp(second * 1000));
            let open = hours.contains(&zone.local(now));
            let until = hours.next_change(now, &zone).unwrap_or(Timestamp(now.0 + 7 * 86_400_000));
            for at in (now.0..until.0).step_by(1_800_000) {
                prop_assert_eq!(hours.contains(&zone.local(Timestamp(at))), open);
            }
        }
    }
}
