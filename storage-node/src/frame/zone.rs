//! The owner's wall clock: hours and days are meant in local time. The rules come from the machine's own time zone file (RFC 9636).

use std::path::Path;

use types::Timestamp;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// A time zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Zone {
    /// From when (seconds since 1970) which offset from UTC (seconds east) holds, in order.
    transitions: Vec<(i64, i64)>,
    /// Before the first of them.
    first: i64,
    /// After the last of them.
    rule: Option<Rule>,
}

/// A moment on the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Local {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    /// 0 is Monday.
    pub(crate) weekday: usize,
    /// 0 to 23.
    pub(crate) hour: u8,
    /// Seconds since the hour began.
    pub(crate) into_hour: i64,
}

/// A year's rule as the file's footer has it (POSIX `TZ`): standard time, and summer time between two days.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Rule {
    standard: i64,
    summer: Option<(i64, Change, Change)>,
}

/// The day and second of a change: the `week`th (5: the last) `weekday` (0: Sunday) of `month`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Change {
    month: u8,
    week: i64,
    weekday: i64,
    second: i64,
}

impl Zone {
    /// Universal time.
    pub(crate) const fn utc() -> Self {
        Self { transitions: Vec::new(), first: 0, rule: None }
    }

    /// The machine's zone: the variable `TZ` if it names one, else `/etc/localtime`, else universal time.
    pub(crate) fn of_machine() -> Self {
        let named = std::env::var("TZ").ok().and_then(|name| {
            let name = name.trim_start_matches(':').to_owned();
            let file = std::fs::read(Path::new("/usr/share/zoneinfo").join(&name)).ok();
            let of_file = file.filter(|_| !name.is_empty()).and_then(|file| Self::parse(&file));
            of_file.or_else(|| Some(Self { rule: Some(Rule::parse(&name)?), ..Self::utc() }))
        });
        let machine = || Self::parse(&std::fs::read("/etc/localtime").ok()?);
        named.or_else(machine).unwrap_or(Self::utc())
    }

    /// Reads a time zone file; `None` if it is none, or of the version of before 2005 with its 32-bit times.
    pub(crate) fn parse(file: &[u8]) -> Option<Self> {
        let first = Counts::parse(file)?;
        let body = file.get(HEAD + first.data(4)..)?;
        let counts = Counts::parse(body)?;
        let data = body.get(HEAD..)?;
        let (times, rest) = data.split_at_checked(counts.times * 8)?;
        let (kinds, rest) = rest.split_at_checked(counts.times)?;
        let (types, _) = rest.split_at_checked(counts.types * 6)?;
        let offset = |kind: usize| {
            let bytes = types.get(kind * 6..kind * 6 + 4)?;
            Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))
        };
        let times = times.chunks_exact(8).filter_map(|time| time.try_into().ok());
        let transitions: Option<Vec<_>> = times
            .zip(kinds)
            .map(|(time, kind)| Some((i64::from_be_bytes(time), offset(usize::from(*kind))?)))
            .collect();
        let footer = data.get(counts.data(8)..).unwrap_or_default();
        let rule = std::str::from_utf8(footer).ok().and_then(|text| Rule::parse(text.trim()));
        Some(Self { transitions: transitions?, first: offset(0)?, rule })
    }

    /// Seconds east of Greenwich at a moment.
    fn offset(&self, seconds: i64) -> i64 {
        let after = self.transitions.partition_point(|(from, _)| *from <= seconds);
        match &self.rule {
            Some(rule) if after == self.transitions.len() => rule.offset(seconds),
            _ => after
                .checked_sub(1)
                .and_then(|last| self.transitions.get(last))
                .map_or(self.first, |(_, offset)| *offset),
        }
    }

    /// What the wall clock shows.
    pub(crate) fn local(&self, at: Timestamp) -> Local {
        let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX / 2);
        let shown = seconds + self.offset(seconds);
        let (days, second) = (shown.div_euclid(DAY), shown.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let weekday = (days + 3).rem_euclid(7) as usize;
        let hour = u8::try_from(second / 3600).unwrap_or_default();
        Local { year, month, day, weekday, hour, into_hour: second % 3600 }
    }

    /// When the wall clock begins this day. A day may be beyond its month's end, and a month beyond its year's.
    pub(crate) fn begin_of(&self, year: i64, month: i64, day: i64) -> Timestamp {
        let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
        let midnight = (days_of(year, month) + day - 1) * DAY;
        // An offset of about that time, then the one that holds there.
        let guess = midnight - self.offset(midnight);
        let exact = midnight - self.offset(guess);
        Timestamp(u64::try_from(exact).unwrap_or_default().saturating_mul(1000))
    }
}

/// Bytes of a time zone file's head.
const HEAD: usize = 44;

/// How many of each thing a part of the file has.
struct Counts {
    utc: usize,
    standard: usize,
    leaps: usize,
    times: usize,
    types: usize,
    names: usize,
}

impl Counts {
    fn parse(part: &[u8]) -> Option<Self> {
        if part.get(..4)? != b"TZif" || *part.get(4)? < b'2' {
            return None;
        }
        let number = |index: usize| {
            let at = 20 + 4 * index;
            let number = u32::from_be_bytes(part.get(at..at + 4)?.try_into().ok()?);
            // More than any zone has: what follows multiplies them.
            usize::try_from(number).ok().filter(|number| *number < 1 << 16)
        };
        Some(Self {
            utc: number(0)?,
            standard: number(1)?,
            leaps: number(2)?,
            times: number(3)?,
            types: number(4)?,
            names: number(5)?,
        })
    }

    /// Bytes of what follows the head, with times of so many bytes.
    fn data(&self, time: usize) -> usize {
        let leaps = self.leaps * (time + 4);
        self.times * (time + 1) + self.types * 6 + self.names + leaps + self.standard + self.utc
    }
}

impl Rule {
    /// `CET-1CEST,M3.5.0,M10.5.0/3`: west is positive there. Rules in the other two forms, which no zone uses today, are not read.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let (standard, rest) = clock(name(parts.next()?)?)?;
        if rest.is_empty() {
            return Some(Self { standard: -standard, summer: None });
        }
        let rest = name(rest)?;
        let summer = if rest.is_empty() { standard - 3600 } else { clock(rest)?.0 };
        let (begin, end) = (Change::parse(parts.next()?)?, Change::parse(parts.next()?)?);
        Some(Self { standard: -standard, summer: Some((-summer, begin, end)) })
    }

    fn offset(&self, seconds: i64) -> i64 {
        let Some((summer, begin, end)) = self.summer else { return self.standard };
        let year = civil((seconds + self.standard).div_euclid(DAY)).0;
        let begin = begin.at(year) - self.standard;
        let end = end.at(year) - summer;
        let within = if begin < end {
            (begin..end).contains(&seconds)
        } else {
            // South of the equator summer goes over the year's end.
            !(end..begin).contains(&seconds)
        };
        if within { summer } else { self.standard }
    }
}

impl Change {
    fn parse(text: &str) -> Option<Self> {
        let (day, time) = text.split_once('/').unwrap_or((text, "2"));
        let mut numbers = day.strip_prefix('M')?.split('.').map(str::parse::<i64>);
        let mut next = || numbers.next()?.ok();
        let (month, week, weekday) = (next()?, next()?, next()?);
        let month = u8::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
        let (second, rest) = clock(time)?;
        let fine = (1..=5).contains(&week) && (0..=6).contains(&weekday) && rest.is_empty();
        fine.then_some(Self { month, week, weekday, second })
    }

    /// Seconds on the wall clock since 1970.
    fn at(self, year: i64) -> i64 {
        let first = days_of(year, i64::from(self.month));
        let next = if self.month == 12 {
            days_of(year + 1, 1)
        } else {
            days_of(year, i64::from(self.month) + 1)
        };
        // 1970 began on a Thursday.
        let first_weekday = (first + 4).rem_euclid(7);
        let mut day = first + (self.weekday - first_weekday).rem_euclid(7) + 7 * (self.week - 1);
        while day >= next {
            day -= 7;
        }
        day * DAY + self.second
    }
}

/// What follows a zone's name: letters, or anything in angle brackets.
fn name(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('<') {
        return quoted.split_once('>').map(|(_, rest)| rest);
    }
    let rest = text.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    (rest.len() < text.len()).then_some(rest)
}

/// Seconds of `[+-]h[h[h]][:mm[:ss]]`, and what follows.
fn clock(text: &str) -> Option<(i64, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "+-:".contains(c)));
    let (clock, rest) = text.split_at(end.unwrap_or(text.len()));
    let (sign, digits) = match clock.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
        let number: i64 = part.parse().ok().filter(|number| (0..=167).contains(number))?;
        seconds += number * unit;
    }
    Some((sign * seconds, rest))
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * index + 2) / 5 + 1;
    let month = if index < 10 { index + 3 } else { index - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1), u8::try_from(day).unwrap_or(1))
}

/// Days from 1970 to the first of a month; the reverse of [`civil`].
fn days_of(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> Zone {
        Zone { rule: Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3"), ..Zone::utc() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn the_wall_clock_follows_summer_time() {
        // 2026-03-29 00:59:59 and 01:00:00 UTC.
        let before = berlin().local(at(1_774_745_999));
        let after = berlin().local(at(1_774_746_000));
        assert_eq!((before.hour, before.into_hour), (1, 3599));
        assert_eq!((after.hour, after.into_hour, after.weekday), (3, 0, 6));
        assert_eq!((after.year, after.month, after.day), (2026, 3, 29));
        // 2026-11-28 12:00 UTC, a Saturday.
        let winter = berlin().local(at(1_795_867_200));
        assert_eq!((winter.month, winter.day, winter.weekday, winter.hour), (11, 28, 5, 13));
    }

    #[test]
    fn the_south_has_summer_over_the_new_year() {
        let sydney = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(sydney.offset(1_767_225_600), 11 * 3600);
        assert_eq!(sydney.offset(1_782_864_000), 10 * 3600);
        assert_eq!(Rule::parse("<+0530>-5:30").unwrap().offset(0), 19_800);
    }

    #[test]
    fn a_file_of_the_second_version_is_read_and_rubbish_is_not() {
        // Two types, one transition, and a footer; the first part is empty.
        let mut file = Vec::new();
        let head = |counts: [u32; 6]| {
            let mut head = b"TZif2".to_vec();
            head.resize(20, 0);
            head.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
            head
        };
        file.extend(head([0, 0, 0, 0, 1, 1]));
        file.extend([0; 7]);
        file.extend(head([0, 0, 0, 1, 2, 8]));
        file.extend(1000_i64.to_be_bytes());
        file.push(1);
        for offset in [0_i32, 7200] {
            file.extend(offset.to_be_bytes());
            file.extend([0, 0]);
        }
        file.extend(b"UTC\0XXX\0\nXXX-2\n");
        let zone = Zone::parse(&file).unwrap();
        assert_eq!((zone.offset(999), zone.offset(1000), zone.offset(1 << 33)), (0, 7200, 7200));
        for end in 0..file.len() - 8 {
            assert!(Zone::parse(&file[..end]).is_none_or(|zone| zone.rule.is_none()));
        }
        assert_eq!(Zone::parse(b"rubbish"), None);
    }

    proptest! {
        #[test]
        fn a_day_begins_at_midnight_of_that_day(days in 1_i64..40_000) {
            let (year, month, day) = civil(days);
            let zone = berlin();
            let local = zone.local(zone.begin_of(year, i64::from(month), i64::from(day)));
            prop_assert_eq!((local.year, local.month, local.day), (year, month, day));
            prop_assert_eq!((local.hour, local.into_hour), (0, 0));
        }
    }
}
