//! What each account has stored, for how long: whole bytes times whole milliseconds, nothing rounded.
//!
//! The bytes that an account holds are a sum of steps: + bytes when they come to rest, − bytes when they are released.
//! A step of `b` bytes at time `t` is worth `b · (T − t)` byte-milliseconds by time `T`; so two running sums say
//! everything, Σ b and Σ b · t, and usage(T) = T · Σ b − Σ b · t. Hence the laws:
//!
//! - *Events may come in any order.*
//! - *An event counts once*, however often it is delivered.
//! - *The usage of a period is what the bytes held in it add up to*, wherever the period is cut.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use types::usage::{UsageEvent, UsageKind};
use types::{AccountId, GeometryName, Timestamp};

/// The milliseconds of an hour: byte-milliseconds in a byte-hour.
const HOUR_MILLIS: u128 = 60 * 60 * 1000;

/// The number that the catalog gave to an event. Numbers count up from 0; each is given to one event only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(pub u64);

/// Bytes times milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteMillis(pub u128);

impl ByteMillis {
    /// The whole byte-hours in it. For people to read: charges are reckoned from the exact figure.
    #[must_use]
    pub const fn byte_hours(self) -> u128 {
        self.0 / HOUR_MILLIS
    }

    /// What was used since an `earlier` reading; `None` if that one is larger, so not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Self> {
        self.0.checked_sub(earlier.0).map(Self)
    }
}

impl fmt::Display for ByteMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B·ms", self.0)
    }
}

/// Why a meter cannot take an event or be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// The sums have outgrown 127 bits; the event is not counted. Only a wrong clock or a wrong size can do that.
    #[error("the meter of {0} is full")]
    Overflow(AccountId),
    /// The account has released more than it stored: an event is missing, or was never written.
    #[error("{0} has released more than it stored")]
    Negative(AccountId),
    /// The meter has counted events of a later time than it is asked about.
    #[error("the meter has counted up to {latest:?} and cannot be read as of {at:?}")]
    Past {
        /// The time that was asked about.
        at: Timestamp,
        /// The latest event of this account and geometry.
        latest: Timestamp,
    },
}

/// The storage meters of all accounts: one for each account and geometry.
///
/// It keeps two sums per meter, and of the events that were counted only a number, below which all were, and those
/// that arrived ahead of a gap. So its size is that of the accounts, plus that of the disorder.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    meters: BTreeMap<(AccountId, GeometryName), Sums>,
    counted: Counted,
}

impl Meter {
    /// Meters that stand at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts `event` unless the one numbered `id` was counted before; returns whether it was new.
    ///
    /// # Errors
    /// [`MeterError::Overflow`]; nothing has changed then.
    pub fn count(&mut self, id: EventId, event: &UsageEvent) -> Result<bool, MeterError> {
        if self.counted.contains(id) {
            return Ok(false);
        }
        let (geometry, bytes) = match event.kind {
            UsageKind::Stored { bytes, geometry } => (geometry, i128::from(bytes)),
            UsageKind::Released { bytes, geometry } => (geometry, -i128::from(bytes)),
        };
        let key = (event.account.clone(), geometry);
        let before = self.meters.get(&key).copied().unwrap_or_default();
        let after = before
            .step(event.at, bytes)
            .ok_or_else(|| MeterError::Overflow(event.account.clone()))?;
        self.meters.insert(key, after);
        self.counted.insert(id);
        Ok(true)
    }

    /// The bytes that `account` holds in `geometry` after all events counted so far.
    ///
    /// # Errors
    /// [`MeterError::Negative`]
    pub fn bytes(&self, account: &AccountId, geometry: GeometryName) -> Result<u128, MeterError> {
        let sums = self.sums(account, geometry);
        u128::try_from(sums.bytes).map_err(|_| MeterError::Negative(account.clone()))
    }

    /// What `account` has used of `geometry` from the beginning until `at`. A period's usage is the difference of the
    /// readings at its ends.
    ///
    /// # Errors
    /// [`MeterError::Past`] if `at` lies before the meter's latest event, [`MeterError::Negative`],
    /// [`MeterError::Overflow`].
    pub fn read(
        &self,
        account: &AccountId,
        geometry: GeometryName,
        at: Timestamp,
    ) -> Result<ByteMillis, MeterError> {
        let sums = self.sums(account, geometry);
        if at < sums.latest {
            return Err(MeterError::Past { at, latest: sums.latest });
        }
        let usage = sums.usage(at).ok_or_else(|| MeterError::Overflow(account.clone()))?;
        u128::try_from(usage).map(ByteMillis).map_err(|_| MeterError::Negative(account.clone()))
    }

    /// Every account and geometry that has a meter, in order.
    pub fn keys(&self) -> impl Iterator<Item = (&AccountId, GeometryName)> {
        self.meters.keys().map(|(account, geometry)| (account, *geometry))
    }

    fn sums(&self, account: &AccountId, geometry: GeometryName) -> Sums {
        self.meters.get(&(account.clone(), geometry)).copied().unwrap_or_default()
    }
}

/// One meter.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Σ b
    bytes: i128,
    /// Σ b · t
    moment: i128,
    /// The latest t.
    latest: Timestamp,
}

impl Sums {
    fn step(self, at: Timestamp, bytes: i128) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.checked_add(bytes)?,
            moment: self.moment.checked_add(bytes.checked_mul(i128::from(at.0))?)?,
            latest: self.latest.max(at),
        })
    }

    fn usage(self, at: Timestamp) -> Option<i128> {
        self.bytes.checked_mul(i128::from(at.0))?.checked_sub(self.moment)
    }
}

/// A set of event numbers that is small while few are missing below its largest.
#[derive(Clone, Debug, Default)]
struct Counted {
    /// Every number below this one is in the set.
    below: u64,
    /// Numbers in the set that are larger than `below`.
    ahead: BTreeSet<u64>,
}

impl Counted {
    fn contains(&self, id: EventId) -> bool {
        id.0 < self.below || self.ahead.contains(&id.0)
    }

    fn insert(&mut self, id: EventId) {
        self.ahead.insert(id.0);
        while self.ahead.remove(&self.below) {
            self.below += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::BucketId;

    use super::*;

    const END: Timestamp = Timestamp(20_000);

    fn account() -> AccountId {
        "alice".parse().unwrap()
    }

    fn event(at: u64, kind: UsageKind) -> UsageEvent {
        UsageEvent { at: Timestamp(at), account: account(), bucket: BucketId([7; 16]), kind }
    }

    fn stored(at: u64, bytes: u64) -> UsageEvent {
        event(at, UsageKind::Stored { bytes, geometry: GeometryName::Local })
    }

    fn released(at: u64, bytes: u64) -> UsageEvent {
        event(at, UsageKind::Released { bytes, geometry: GeometryName::Local })
    }

    /// Objects that come and, most of them, go: (bytes, from, until).
    type Life = (u64, u64, Option<u64>);

    fn lives() -> impl Strategy<Value = Vec<Life>> {
        let life = (0..1_u64 << 45, 0..10_000_u64, prop::option::of(0..10_000_u64)).prop_map(
            |(bytes, from, lasting)| (bytes, from, lasting.map(|lasting| from + lasting)),
        );
        prop::collection::vec(life, 0..30)
    }

    fn events(lives: &[Life]) -> Vec<(EventId, UsageEvent)> {
        let steps = lives.iter().flat_map(|&(bytes, from, until)| {
            [Some(stored(from, bytes)), until.map(|until| released(until, bytes))]
        });
        (0..).map(EventId).zip(steps.flatten()).collect()
    }

    fn metered<'a>(events: impl IntoIterator<Item = &'a (EventId, UsageEvent)>) -> Meter {
        let mut meter = Meter::new();
        for (id, event) in events {
            meter.count(*id, event).unwrap();
        }
        meter
    }

    fn reading(meter: &Meter, at: Timestamp) -> ByteMillis {
        meter.read(&account(), GeometryName::Local, at).unwrap()
    }

    proptest! {
        #[test]
        fn the_usage_of_a_period_is_what_the_bytes_held_in_it_add_up_to(lives in lives(), cut in 0..20_000_u64) {
            let mut events = events(&lives);
            events.sort_by_key(|(_, event)| event.at);
            let early = metered(events.iter().filter(|(_, event)| event.at.0 <= cut));
            let held = |begin: u64, end: u64| -> u128 {
                lives.iter().map(|&(bytes, from, until)| {
                    let time = until.unwrap_or(END.0).min(end).saturating_sub(from.max(begin));
                    u128::from(bytes) * u128::from(time)
                }).sum()
            };
            let first = reading(&early, Timestamp(cut));
            let all = reading(&metered(&events), END);
            prop_assert_eq!(first, ByteMillis(held(0, cut)));
            prop_assert_eq!(all.since(first), Some(ByteMillis(held(cut, END.0))));
        }

        #[test]
        fn events_may_come_in_any_order(
            (straight, shuffled) in lives().prop_flat_map(|lives| {
                let events = events(&lives);
                (Just(events.clone()), Just(events).prop_shuffle())
            })
        ) {
            let meter = metered(&shuffled);
            prop_assert_eq!(reading(&meter, END), reading(&metered(&straight), END));
            prop_assert!(meter.counted.ahead.is_empty());
        }

        #[test]
        fn an_event_counts_once(
            (once, often) in lives().prop_flat_map(|lives| {
                let once = events(&lives);
                let twice = [once.clone(), once.clone()].concat();
                (Just(once), Just(twice).prop_shuffle())
            })
        ) {
            prop_assert_eq!(reading(&metered(&often), END), reading(&metered(&once), END));
        }
    }

    #[test]
    fn ten_bytes_for_an_hour_are_ten_byte_hours() {
        let meter = metered(&[(EventId(0), stored(5_000, 10))]);
        let usage = reading(&meter, Timestamp(5_000 + 3_600_000));
        assert_eq!(usage.byte_hours(), 10);
        assert_eq!(meter.bytes(&account(), GeometryName::Local), Ok(10));
    }

    #[test]
    fn each_account_and_geometry_has_a_meter_of_its_own() {
        let mut meter = metered(&[(EventId(0), stored(0, 10))]);
        let mut others = stored(0, 99);
        others.account = "bob".parse().unwrap();
        meter.count(EventId(1), &others).unwrap();
        let wide = event(0, UsageKind::Stored { bytes: 5, geometry: GeometryName::Wide });
        meter.count(EventId(2), &wide).unwrap();
        assert_eq!(reading(&meter, Timestamp(1)), ByteMillis(10));
        assert_eq!(meter.bytes(&account(), GeometryName::Wide), Ok(5));
        assert_eq!(meter.bytes(&account(), GeometryName::Home), Ok(0));
        assert_eq!(meter.keys().count(), 3);
    }

    #[test]
    fn a_meter_is_not_read_in_its_past() {
        let meter = metered(&[(EventId(0), stored(10, 1))]);
        let (at, latest) = (Timestamp(9), Timestamp(10));
        let answer = meter.read(&account(), GeometryName::Local, at);
        assert_eq!(answer, Err(MeterError::Past { at, latest }));
    }

    #[test]
    fn releasing_what_was_never_stored_is_an_error_not_a_credit() {
        let meter = metered(&[(EventId(0), released(10, 1))]);
        assert_eq!(
            meter.bytes(&account(), GeometryName::Local),
            Err(MeterError::Negative(account()))
        );
        let answer = meter.read(&account(), GeometryName::Local, END);
        assert_eq!(answer, Err(MeterError::Negative(account())));
    }

    #[test]
    fn a_full_meter_refuses_an_event_and_stays_as_it_was() {
        let mut meter = metered(&[(EventId(0), stored(1, 1))]);
        let before = reading(&meter, END);
        let absurd = stored(u64::MAX, u64::MAX);
        assert_eq!(meter.count(EventId(1), &absurd), Err(MeterError::Overflow(account())));
        assert_eq!(reading(&meter, END), before);
        assert_eq!(meter.count(EventId(1), &stored(2, 1)), Ok(true));
    }

    #[test]
    fn a_gap_in_the_numbers_keeps_what_came_ahead_of_it_apart() {
        let mut counted = Counted::default();
        for id in [0, 2, 3] {
            counted.insert(EventId(id));
        }
        assert_eq!((counted.below, counted.ahead.len()), (1, 2));
        assert!(!counted.contains(EventId(1)));
        counted.insert(EventId(1));
        assert_eq!((counted.below, counted.ahead.len()), (4, 0));
    }
}
