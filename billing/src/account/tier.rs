//! How well an account is known, and what it may have.

use std::fmt;
use std::str::FromStr;

use kv::{KeyCodec, KvError};
use serde::{Deserialize, Serialize};

use crate::error::BillingError;
use crate::quantity::{GB, GIGAFUEL};

/// How well somebody is known. Discriminants are stored: never renumber.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Tier {
    /// Not at all.
    #[default]
    Unverified = 0,
    /// Somebody reads mail at the address.
    Email = 1,
    /// A person whose identity was checked.
    Identified = 2,
    /// A company that was looked up.
    Company = 3,
}

impl Tier {
    /// Every tier, the least known first.
    pub const ALL: [Self; 4] = [Self::Unverified, Self::Email, Self::Identified, Self::Company];

    /// The limits it has until the operator sets others.
    #[must_use]
    pub const fn default_limits(self) -> Limits {
        match self {
            Self::Unverified => Limits {
                stored_bytes: 5 * GB,
                egress_per_day: GB,
                requests_per_second: 10,
                fuel_per_day: 0,
                nodes_per_job: 0,
            },
            Self::Email => Limits {
                stored_bytes: 100 * GB,
                egress_per_day: 20 * GB,
                requests_per_second: 50,
                fuel_per_day: 100 * GIGAFUEL,
                nodes_per_job: 10,
            },
            Self::Identified => Limits {
                stored_bytes: 10_000 * GB,
                egress_per_day: 1_000 * GB,
                requests_per_second: 500,
                fuel_per_day: 10_000 * GIGAFUEL,
                nodes_per_job: 200,
            },
            Self::Company => Limits {
                stored_bytes: u64::MAX,
                egress_per_day: u64::MAX,
                requests_per_second: 5_000,
                fuel_per_day: u64::MAX,
                nodes_per_job: u64::MAX,
            },
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Email => "email",
            Self::Identified => "identified",
            Self::Company => "company",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = BillingError;

    fn from_str(text: &str) -> Result<Self, BillingError> {
        Self::ALL.into_iter().find(|tier| tier.name() == text).ok_or_else(|| {
            BillingError::Unknown {
                text: text.to_owned(),
                what: "tier",
                choices: "unverified, email, identified and company",
            }
        })
    }
}

impl KeyCodec for Tier {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        let number = usize::from(u8::decode_from(input)?);
        Self::ALL.get(number).copied().ok_or(KvError::MalformedKey { expected: "tier" })
    }
}

/// What accounts of a tier may have. [`u64::MAX`] is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Logical bytes at rest.
    pub stored_bytes: u64,
    /// Bytes sent in a day.
    pub egress_per_day: u64,
    /// Requests in a second; the gateway's token bucket takes it from here.
    pub requests_per_second: u64,
    /// Fuel in a day.
    pub fuel_per_day: u64,
    /// Nodes that one job may run on.
    pub nodes_per_job: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_better_known_may_have_more() {
        for pair in Tier::ALL.windows(2) {
            let [less, more] = [pair[0], pair[1]].map(Tier::default_limits);
            assert!(less.stored_bytes < more.stored_bytes);
            assert!(less.egress_per_day < more.egress_per_day);
            assert!(less.requests_per_second < more.requests_per_second);
            assert!(less.fuel_per_day < more.fuel_per_day);
            assert!(less.nodes_per_job < more.nodes_per_job);
        }
    }

    #[test]
    fn an_unverified_account_runs_no_jobs() {
        let limits = Tier::Unverified.default_limits();
        assert_eq!((limits.fuel_per_day, limits.nodes_per_job), (0, 0));
    }

    #[test]
    fn the_name_of_a_tier_reads_back_as_the_tier() {
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse::<Tier>().unwrap(), tier);
        }
        assert!("gold".parse::<Tier>().is_err());
    }
}
