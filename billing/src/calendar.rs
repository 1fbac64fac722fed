//! Hours, days and months of the accounting clock, all in UTC.
//!
//! Usage is added up by the hour, settled by the day and invoiced by the month.

use std::fmt;
use std::str::FromStr;

use kv::{KeyCodec, KvError};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::Date;
use types::Timestamp;

/// Milliseconds of an hour.
pub const HOUR_MILLIS: u64 = 60 * 60 * 1000;
/// Hours of a day.
pub const HOURS: u8 = 24;
/// The Julian day number of 1970-01-01.
const EPOCH_JULIAN: i32 = 2_440_588;

/// The text is not a date of the form that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}; write it as {example}")]
pub struct CalendarError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// An hour: hours since 1970-01-01T00Z. Written as `2026-11-28T13`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hour(pub u32);

/// A day: days since 1970-01-01. Written as `2026-11-28`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub u32);

/// A month: months since January 1970. Written as `2026-11`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Month(pub u32);

impl Hour {
    /// The hour in which `at` lies; the last one there is if that is out of reach.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.0 / HOUR_MILLIS).unwrap_or(u32::MAX))
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(u64::from(self.0) * HOUR_MILLIS)
    }

    /// The first moment after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp((u64::from(self.0) + 1) * HOUR_MILLIS)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The day it belongs to.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.0 / u32::from(HOURS))
    }

    /// Which hour of its day, 0 to 23.
    #[must_use]
    pub fn of_day(self) -> u8 {
        (self.0 % u32::from(HOURS)) as u8
    }
}

impl Day {
    /// The day in which `at` lies.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Hour::of(at).day()
    }

    /// Its first moment.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(u64::from(self.0) * u64::from(HOURS) * HOUR_MILLIS)
    }

    /// Its hour number `hour`, 0 to 23.
    #[must_use]
    pub fn hour(self, hour: u8) -> Hour {
        Hour(self.0.saturating_mul(u32::from(HOURS)).saturating_add(u32::from(hour)))
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The month it belongs to.
    #[must_use]
    pub fn month(self) -> Month {
        let date = self.date();
        let years = u32::try_from(date.year() - 1970).unwrap_or(0);
        Month(years * 12 + u32::from(u8::from(date.month())) - 1)
    }

    /// By the proleptic Gregorian calendar; days beyond the year 9999 are its last.
    fn date(self) -> Date {
        i32::try_from(self.0)
            .ok()
            .and_then(|day| Date::from_julian_day(day.checked_add(EPOCH_JULIAN)?).ok())
            .unwrap_or(Date::MAX)
    }

    fn from_date(date: Date) -> Self {
        Self(u32::try_from(date.to_julian_day() - EPOCH_JULIAN).unwrap_or(0))
    }
}

impl Month {
    /// Its first day.
    #[must_use]
    pub fn first(self) -> Day {
        let month = time::Month::try_from((self.0 % 12 + 1) as u8).unwrap_or(time::Month::January);
        let year = i32::try_from(self.0 / 12).unwrap_or(i32::MAX).saturating_add(1970);
        Day::from_date(Date::from_calendar_date(year, month, 1).unwrap_or(Date::MAX))
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its days, in order.
    pub fn days(self) -> impl DoubleEndedIterator<Item = Day> {
        (self.first().0..self.next().first().0).map(Day)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{:02}", self.day(), self.of_day())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0 / 12 + 1970, self.0 % 12 + 1)
    }
}

impl FromStr for Hour {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let fail =
            || CalendarError { text: text.to_owned(), what: "hour", example: "2026-11-28T13" };
        let (day, hour) = text.split_once('T').ok_or_else(fail)?;
        let day: Day = day.parse().map_err(|_| fail())?;
        let hour = digits(hour, 2).and_then(|hour| u8::try_from(hour).ok());
        hour.filter(|hour| *hour < HOURS).map(|hour| day.hour(hour)).ok_or_else(fail)
    }
}

impl FromStr for Day {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let date = || {
            let mut pieces = text.split('-');
            let year = digits(pieces.next()?, 4).filter(|year| *year >= 1970)?;
            let month = u8::try_from(digits(pieces.next()?, 2)?).ok()?;
            let day = u8::try_from(digits(pieces.next()?, 2)?).ok()?;
            let month = time::Month::try_from(month).ok()?;
            let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()?;
            pieces.next().is_none().then_some(Self::from_date(date))
        };
        date().ok_or_else(|| CalendarError {
            text: text.to_owned(),
            what: "day",
            example: "2026-11-28",
        })
    }
}

impl FromStr for Month {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        let month = || {
            let (year, month) = text.split_once('-')?;
            let year = digits(year, 4)?.checked_sub(1970)?;
            let month = digits(month, 2).filter(|month| (1..=12).contains(month))?;
            Some(Self(year * 12 + month - 1))
        };
        month().ok_or_else(|| CalendarError {
            text: text.to_owned(),
            what: "month",
            example: "2026-11",
        })
    }
}

/// The number of exactly `len` digits.
fn digits(text: &str, len: usize) -> Option<u32> {
    let fine = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    fine.then(|| text.parse().ok()).flatten()
}

/// In keys a number that sorts; in records the same number; in JSON the text.
macro_rules! stored_as_number {
    ($($name:ident),+) => {$(
        impl KeyCodec for $name {
            fn encode_to(&self, out: &mut Vec<u8>) {
                self.0.encode_to(out);
            }

            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                u32::decode_from(input).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_u32(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
                } else {
                    u32::deserialize(deserializer).map(Self)
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    )+};
}

stored_as_number!(Hour, Day, Month);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_itself(hour in 0..24 * 365 * 200_u32) {
            let hour = Hour(hour);
            prop_assert_eq!(hour.to_string().parse(), Ok(hour));
            prop_assert_eq!(hour.day().to_string().parse(), Ok(hour.day()));
            prop_assert_eq!(hour.day().month().to_string().parse(), Ok(hour.day().month()));
        }

        #[test]
        fn every_day_is_in_its_month(day in 0..365 * 200_u32) {
            let month = Day(day).month();
            prop_assert!(month.first() <= Day(day) && Day(day) < month.next().first());
            prop_assert!(month.days().any(|other| other == Day(day)));
        }
    }

    #[test]
    fn the_calendar_knows_leap_years() {
        let days = |month: &str| month.parse::<Month>().unwrap().days().count();
        assert_eq!((days("2026-02"), days("2028-02"), days("2100-02")), (28, 29, 28));
        assert_eq!(Hour::of(Timestamp(1_700_000_000_000)).to_string(), "2023-11-14T22");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "2026", "2026-13", "2026-1", "1969-12", "2026-11-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
        for text in
            ["2026-02-29", "2026-11-31", "2026-11", "2026-11-1", "2026-11-01-01", "+026-11-01"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        for text in ["2026-11-01T24", "2026-11-01", "2026-11-01T1", "2026-11-01T001"] {
            assert!(text.parse::<Hour>().is_err(), "{text}");
        }
    }
}
