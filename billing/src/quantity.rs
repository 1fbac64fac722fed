//! Amounts of use and of work, exact: whole bytes times whole milliseconds, nothing rounded.
//!
//! The bytes that somebody holds are a sum of steps: + bytes when they come to rest, − bytes when they are released. A step
//! of `b` bytes at time `t` is worth `b · (T − t)` byte-milliseconds by time `T`; so two running sums say everything, Σ b
//! and Σ b · t. Hence steps may come in any order, and add up across whoever counts them.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::geometry::GEOMETRIES;
use types::usage::RequestClass;
use types::{GeometryName, Timestamp};

use crate::calendar::{HOUR_MILLIS, Hour};

/// Bytes of a gigabyte, as prices mean it.
pub const GB: u64 = 1_000_000_000;
/// Hours of a month, as prices mean it: thirty days, whatever the calendar says.
pub const MONTH_HOURS: u64 = 30 * 24;
/// Byte-milliseconds of a gigabyte-month.
pub const GB_MONTH: u128 = GB as u128 * (MONTH_HOURS * HOUR_MILLIS) as u128;
/// Fuel units of a gigafuel.
pub const GIGAFUEL: u64 = 1_000_000_000;
/// Requests that one price is for.
pub const REQUESTS_PRICED: u64 = 1_000;

/// How many storage classes there are.
pub const CLASSES: usize = GEOMETRIES.len();
/// How many kinds of requests there are.
pub const REQUEST_CLASSES: usize = RequestClass::ALL.len();
/// How many things have a price.
pub const ITEMS: usize = CLASSES + REQUEST_CLASSES + 2;

/// Something that has a price.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Item {
    /// Logical bytes held, by storage class.
    Storage(GeometryName),
    /// Bytes sent to clients.
    Egress,
    /// Requests answered.
    Requests(RequestClass),
    /// Fuel burnt by functions.
    Compute,
}

/// Out of which pot work is paid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Pool {
    /// Byte-hours and requests; pays proven byte-hours, repair and audits.
    Storage = 0,
    /// Egress; pays bytes served and verified.
    Egress = 1,
    /// Fuel; pays validated fuel.
    Compute = 2,
}

impl Pool {
    /// Every pool there is.
    pub const ALL: [Self; 3] = [Self::Storage, Self::Egress, Self::Compute];
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storage => "storage",
            Self::Egress => "egress",
            Self::Compute => "compute",
        })
    }
}

impl Item {
    /// Everything that has a price, in the order of the arrays that are kept by item.
    pub const ALL: [Self; ITEMS] = [
        Self::Storage(GeometryName::Local),
        Self::Storage(GeometryName::Home),
        Self::Storage(GeometryName::Wide),
        Self::Egress,
        Self::Requests(RequestClass::Write),
        Self::Requests(RequestClass::Read),
        Self::Requests(RequestClass::List),
        Self::Compute,
    ];

    /// Its place in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Storage(class) => class as usize,
            Self::Egress => CLASSES,
            Self::Requests(class) => CLASSES + 1 + class as usize,
            Self::Compute => ITEMS - 1,
        }
    }

    /// How much of it one price is for, in the unit it is counted in (byte-milliseconds, bytes, requests, fuel).
    #[must_use]
    pub const fn priced(self) -> u128 {
        match self {
            Self::Storage(_) => GB_MONTH,
            Self::Egress => GB as u128,
            Self::Requests(_) => REQUESTS_PRICED as u128,
            Self::Compute => GIGAFUEL as u128,
        }
    }

    /// What one price is for, in words.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Storage(_) => "GB-month (10^9 bytes for 720 hours)",
            Self::Egress => "GB (10^9 bytes)",
            Self::Requests(_) => "1000 requests",
            Self::Compute => "gigafuel (10^9 units)",
        }
    }

    /// Where what is paid for it goes.
    #[must_use]
    pub const fn pool(self) -> Pool {
        match self {
            Self::Storage(_) | Self::Requests(_) => Pool::Storage,
            Self::Egress => Pool::Egress,
            Self::Compute => Pool::Compute,
        }
    }

    /// Its name on an invoice.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Storage(class) => format!("storage, class {class}"),
            Self::Egress => "egress".to_owned(),
            Self::Requests(class) => format!("{class} requests"),
            Self::Compute => "compute".to_owned(),
        }
    }
}

/// What a customer used in some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Byte-milliseconds of each storage class. Below zero only where an event that takes back came before the event it
    /// takes back from; the sum over all hours is right.
    #[serde(with = "text_numbers")]
    pub stored: [i128; CLASSES],
    /// Bytes sent.
    pub egress: u64,
    /// Requests of each class.
    pub requests: [u64; REQUEST_CLASSES],
    /// Fuel units.
    pub fuel: u64,
}

impl Usage {
    /// How much of `item`, in the unit it is counted in.
    #[must_use]
    pub fn of(&self, item: Item) -> i128 {
        match item {
            Item::Storage(class) => self.stored[class as usize],
            Item::Egress => self.egress.into(),
            Item::Requests(class) => self.requests[class as usize].into(),
            Item::Compute => self.fuel.into(),
        }
    }

    /// Both together; `None` if that cannot be counted.
    #[must_use]
    pub fn plus(self, other: &Self) -> Option<Self> {
        let mut sum = self;
        for (class, more) in sum.stored.iter_mut().zip(other.stored) {
            *class = class.checked_add(more)?;
        }
        for (class, more) in sum.requests.iter_mut().zip(other.requests) {
            *class = class.checked_add(more)?;
        }
        sum.egress = sum.egress.checked_add(other.egress)?;
        sum.fuel = sum.fuel.checked_add(other.fuel)?;
        Some(sum)
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// What a node did in some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Byte-milliseconds of shards held. As for [`Usage::stored`], only the sum over all hours is never below zero.
    #[serde(with = "text_number")]
    pub held: i128,
    /// Of these, not proven.
    #[serde(with = "text_number")]
    pub unproven: i128,
    /// Bytes served to customers, verified.
    pub served: u64,
    /// Bytes moved for repair.
    pub repair: u64,
    /// Bytes served to audits.
    pub audit: u64,
    /// Validated fuel units.
    pub fuel: u64,
}

impl Work {
    /// Byte-milliseconds that are paid: held and proven.
    #[must_use]
    pub fn proven(&self) -> u128 {
        u128::try_from(self.held.saturating_sub(self.unproven)).unwrap_or(0)
    }

    /// Both together; `None` if that cannot be counted.
    #[must_use]
    pub fn plus(self, other: &Self) -> Option<Self> {
        Some(Self {
            held: self.held.checked_add(other.held)?,
            unproven: self.unproven.checked_add(other.unproven)?,
            served: self.served.checked_add(other.served)?,
            repair: self.repair.checked_add(other.repair)?,
            audit: self.audit.checked_add(other.audit)?,
            fuel: self.fuel.checked_add(other.fuel)?,
        })
    }

    /// Whether nothing was done.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// Steps of bytes held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Steps {
    /// Σ b
    pub bytes: i128,
    /// Σ b · t
    pub moment: i128,
}

impl Steps {
    /// One more step, of `bytes` at `at`; `None` if the sums cannot hold it.
    #[must_use]
    pub fn step(self, at: Timestamp, bytes: i128) -> Option<Self> {
        self.plus(Self { bytes, moment: bytes.checked_mul(i128::from(at.0))? })
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.checked_add(other.bytes)?,
            moment: self.moment.checked_add(other.moment)?,
        })
    }

    /// The byte-milliseconds that the steps are worth by the end of `hour`, beside what `level` bytes are worth that were
    /// held from its beginning on.
    #[must_use]
    pub fn held_in(self, hour: Hour, level: i128) -> Option<i128> {
        let whole = level.checked_mul(i128::from(HOUR_MILLIS))?;
        let end = i128::from(hour.end().0);
        whole.checked_add(self.bytes.checked_mul(end)?.checked_sub(self.moment)?)
    }
}

/// What one source has counted of a customer's bucket in an hour that is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OpenUsage {
    /// Steps of each storage class.
    pub steps: [Steps; CLASSES],
    /// Everything that needs no clock; its `stored` is zero.
    pub flat: Usage,
}

/// What one source has counted of a node in an hour that is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OpenWork {
    /// Steps of shards.
    pub steps: Steps,
    /// Everything that needs no clock; its `held` is zero.
    pub flat: Work,
}

const _: () = {
    let mut index = 0;
    while index < ITEMS {
        assert!(Item::ALL[index].index() == index);
        index += 1;
    }
};

/// A number that JSON readers would cut to 53 bits: there it is a text.
pub(crate) mod text_number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        number: &i128,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(number)
        } else {
            number.serialize(serializer)
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i128, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i128::deserialize(deserializer)
        }
    }
}

/// Likewise, one for each storage class.
mod text_numbers {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::CLASSES;

    pub(super) fn serialize<S: Serializer>(
        numbers: &[i128; CLASSES],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            numbers.map(|number| number.to_string()).serialize(serializer)
        } else {
            numbers.serialize(serializer)
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<[i128; CLASSES], D::Error> {
        if !deserializer.is_human_readable() {
            return <[i128; CLASSES]>::deserialize(deserializer);
        }
        let mut numbers = [0; CLASSES];
        let texts = <[String; CLASSES]>::deserialize(deserializer)?;
        for (number, text) in numbers.iter_mut().zip(texts) {
            *number = text.parse().map_err(de::Error::custom)?;
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: Hour = Hour(480_000);

    proptest! {
        #[test]
        fn an_hours_usage_is_what_the_bytes_held_in_it_add_up_to(
            level in 0..1_i128 << 50, steps in prop::collection::vec((0..HOUR_MILLIS, -1_i128 << 45..1 << 45), 0..20)
        ) {
            let start = HOUR.start().0;
            let sums = steps.iter().try_fold(Steps::default(), |sums, (at, bytes)| {
                sums.step(Timestamp(start + at), *bytes)
            });
            let plain: i128 = steps.iter().map(|(at, bytes)| bytes * i128::from(HOUR_MILLIS - at)).sum();
            let held = sums.unwrap().held_in(HOUR, level);
            prop_assert_eq!(held, Some(level * i128::from(HOUR_MILLIS) + plain));
        }

        #[test]
        fn a_step_that_comes_an_hour_late_is_worth_the_same(bytes in 0..1_i128 << 50, at in 0..HOUR_MILLIS) {
            let at = Timestamp(HOUR.start().0 + at);
            let step = Steps::default().step(at, bytes).unwrap();
            let in_time = step.held_in(HOUR, 0).unwrap() + Steps::default().held_in(HOUR.next(), bytes).unwrap();
            prop_assert_eq!(step.held_in(HOUR.next(), 0), Some(in_time));
        }
    }

    #[test]
    fn ten_bytes_for_an_hour_are_ten_byte_hours() {
        assert_eq!(Steps::default().held_in(HOUR, 10), Some(10 * i128::from(HOUR_MILLIS)));
    }

    #[test]
    fn steps_that_cannot_be_counted_are_refused() {
        assert_eq!(Steps::default().step(Timestamp(u64::MAX), i128::MAX), None);
        assert_eq!(Steps { bytes: i128::MAX, moment: 0 }.held_in(HOUR, 0), None);
    }

    #[test]
    fn what_was_not_proven_is_not_paid() {
        let work = Work { held: 100, unproven: 30, ..Work::default() };
        assert_eq!(work.proven(), 70);
        assert_eq!(Work { unproven: 130, ..work }.proven(), 0);
    }
}
