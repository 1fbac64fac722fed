//! The accounting clock: the time by which usage is metered, settled and invoiced. It is the wall clock, unless tests make its hours shorter.
//!
//! It never runs backwards: where the length of its hour is changed, it goes on from where it stands. So its anchor is kept, and the same
//! moment is the same accounting time after every restart.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::schema::ACCOUNTING_CLOCK;
use crate::{Catalog, CatalogError};

/// An hour of the wall clock.
pub const HOUR: Duration = Duration::from_secs(3600);

/// How accounting time follows from wall time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AccountingClock {
    /// At this moment of the wall clock …
    pub wall: Timestamp,
    /// … it was this time by the accounting clock …
    pub accounting: Timestamp,
    /// … an hour of which has so many milliseconds of the wall clock since. At least 1.
    pub hour: u64,
}

impl AccountingClock {
    /// The wall clock itself.
    pub const WALL: Self =
        Self { wall: Timestamp(0), accounting: Timestamp(0), hour: HOUR.as_secs() * 1000 };

    /// The accounting time of a moment; moments before the anchor are all the anchor's.
    #[must_use]
    pub fn at(&self, wall: Timestamp) -> Timestamp {
        let since = u128::from(wall.0.saturating_sub(self.wall.0));
        let passed = since * HOUR.as_millis() / u128::from(self.hour.max(1));
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        Timestamp(self.accounting.0.saturating_add(passed))
    }

    /// The same clock, going on with hours of another length from `wall` on.
    #[must_use]
    pub fn with_hour(&self, hour: Duration, wall: Timestamp) -> Self {
        let hour = u64::try_from(hour.as_millis()).unwrap_or(u64::MAX).max(1);
        if hour == self.hour { *self } else { Self { wall, accounting: self.at(wall), hour } }
    }
}

impl Catalog {
    /// The accounting clock with hours of this length, from now on if they were of another until now.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn accounting_clock(&self, hour: Duration) -> Result<AccountingClock, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let before = ACCOUNTING_CLOCK.get_for_update(&tx, &()).await?;
            let clock = before.unwrap_or(AccountingClock::WALL).with_hour(hour, self.now());
            if before != Some(clock) {
                ACCOUNTING_CLOCK.put(&tx, &(), &clock);
            }
            Ok(clock)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounting_clock_is_the_wall_clock_until_its_hour_is_changed() {
        let (noon, second) = (Timestamp(1_700_000_000_000), Duration::from_secs(1));
        assert_eq!(AccountingClock::WALL.at(noon), noon);
        assert_eq!(AccountingClock::WALL.with_hour(HOUR, noon), AccountingClock::WALL);
        let quick = AccountingClock::WALL.with_hour(second, noon);
        assert_eq!(quick.at(noon), noon);
        assert_eq!(quick.at(noon.plus(second)), noon.plus(HOUR));
        assert_eq!(quick.at(Timestamp(noon.0 + 1)), noon.plus(HOUR / 1000));
        assert_eq!(quick.at(Timestamp(0)), noon, "it does not run backwards");
        let later = noon.plus(second);
        let slow = quick.with_hour(HOUR, later);
        assert_eq!(slow.at(later), quick.at(later));
        assert_eq!(slow.at(later.plus(HOUR)), quick.at(later).plus(HOUR));
        assert_eq!(slow.with_hour(HOUR, later.plus(HOUR)), slow, "a restart changes nothing");
    }
}
