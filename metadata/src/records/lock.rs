//! Object lock: what keeps a version from being deleted or overwritten
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// Object lock of a bucket in which it is enabled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BucketLock {
    /// What a version gets that names no retention of its own.
    pub default: Option<DefaultRetention>,
}

/// The retention a bucket gives by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DefaultRetention {
    /// How strict it is.
    pub mode: LockMode,
    /// How long it holds.
    pub period: RetentionPeriod,
}

/// How long a default retention holds. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RetentionPeriod {
    /// So many days.
    Days(u32),
    /// So many years of 365 days.
    Years(u32),
}

/// How strict a retention is. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LockMode {
    /// Whoever has the permission may lift it.
    Governance,
    /// Nobody may shorten it.
    Compliance,
}

/// What protects one version.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Lock {
    /// Until a time.
    pub retention: Option<Retention>,
    /// A legal hold, on or off; `None` if none was ever said.
    pub legal_hold: Option<bool>,
}

/// A version's retention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Retention {
    /// How strict it is.
    pub mode: LockMode,
    /// Until when.
    pub until: Timestamp,
}

/// A day, as object lock counts it.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Days in a year, as object lock counts it.
const DAYS_OF_YEAR: u32 = 365;

impl DefaultRetention {
    /// The retention of a version written at `now`.
    #[must_use]
    pub fn from(self, now: Timestamp) -> Retention {
        let days = match self.period {
            RetentionPeriod::Days(days) => days,
            RetentionPeriod::Years(years) => years.saturating_mul(DAYS_OF_YEAR),
        };
        let length = DAY.checked_mul(days).unwrap_or(Duration::MAX);
        Retention { mode: self.mode, until: now.plus(length) }
    }
}

impl Lock {
    /// Whether the version must stay at `now`; `bypass` lifts a governance retention.
    #[must_use]
    pub fn holds(&self, now: Timestamp, bypass: bool) -> bool {
        let retained = self.retention.is_some_and(|retention| {
            let lifted = bypass && retention.mode == LockMode::Governance;
            now < retention.until && !lifted
        });
        retained || self.legal_hold == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_until_its_time_unless_it_is_bypassed() {
        let now = Timestamp(1_000);
        let lock = |mode, until| Lock {
            retention: Some(Retention { mode, until: Timestamp(until) }),
            legal_hold: None,
        };
        for (mode, until, bypass, holds) in [
            (LockMode::Governance, 1_001, false, true),
            (LockMode::Governance, 1_001, true, false),
            (LockMode::Governance, 1_000, false, false),
            (LockMode::Compliance, 1_001, false, true),
            (LockMode::Compliance, 1_001, true, true),
            (LockMode::Compliance, 1_000, true, false),
        ] {
            assert_eq!(lock(mode, until).holds(now, bypass), holds, "{mode:?} {until} {bypass}");
        }
        assert!(!Lock::default().holds(now, false));
        let held = Lock { retention: None, legal_hold: Some(true) };
        assert!(held.holds(now, true));
        assert!(!Lock { legal_hold: Some(false), ..held }.holds(now, false));
    }

    #[test]
    fn a_default_retention_counts_days_and_years() {
        let mode = LockMode::Compliance;
        let days = DefaultRetention { mode, period: RetentionPeriod::Days(2) };
        assert_eq!(days.from(Timestamp(5)).until, Timestamp(5 + 2 * 86_400_000));
        let years = DefaultRetention { mode, period: RetentionPeriod::Years(1) };
        assert_eq!(years.from(Timestamp(0)).until, Timestamp(365 * 86_400_000));
    }
}
