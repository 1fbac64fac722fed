//! Vetting: when a newcomer has shown enough to be trusted with a full share. Pure.
//!
//! By count *and* time *and* bytes: a count alone is passed in an afternoon once audits come faster (storj/storj#7678), time alone by
//! a node that holds nothing, and bytes alone by one that has never been asked for them. Until then it has a bounded share:
//! unvetted members of a group together are at most [`unvetted_max`], so that all of them may lie and the group still be read, and each
//! holds at most [`VettingRules::bytes_max`].

use std::time::Duration;

use metadata::records::{Rank, Standing};
use types::{GIB, Geometry, Timestamp};

/// What a newcomer must have shown.
#[derive(Clone, Debug)]
pub struct VettingRules {
    /// Audits passed: a day's worth, after which a loss of one hundredth would have been seen with a chance of 99 %.
    pub audits: u64,
    /// Time since it joined.
    pub time: Duration,
    /// Bytes of live shards it holds; less, if the node offers less than ten times that.
    pub bytes: u64,
    /// Bytes an unvetted node may hold before it gets no more.
    pub bytes_max: u64,
}

impl Default for VettingRules {
    fn default() -> Self {
        Self {
            audits: super::audits::PER_DAY_LEAST,
            time: Duration::from_secs(7 * 24 * 3600),
            bytes: GIB,
            bytes_max: 64 * GIB,
        }
    }
}

/// What vetting looks at, beside the standing.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer {
    /// When it joined.
    pub joined: Timestamp,
    /// Bytes of live shards it holds.
    pub used: u64,
    /// Bytes it offers.
    pub capacity: u64,
}

/// What is still to be shown; nothing, and it is vetted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanting {
    /// Audits to pass.
    pub audits: u64,
    /// Time to wait.
    pub time: Duration,
    /// Bytes to hold.
    pub bytes: u64,
}

impl VettingRules {
    /// What a node still has to show.
    #[must_use]
    pub fn wanting(&self, standing: &Standing, node: &Newcomer, now: Timestamp) -> Wanting {
        let bytes = self.bytes.min(node.capacity / 10);
        Wanting {
            audits: self.audits.saturating_sub(standing.audits),
            time: self.time.saturating_sub(now.since(node.joined)),
            bytes: bytes.saturating_sub(node.used),
        }
    }
}

impl Wanting {
    /// Whether there is nothing left to show.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Vets a node if it has shown enough and nothing speaks against it; whether that is news.
pub fn vet(standing: &mut Standing, rules: &VettingRules, node: &Newcomer, now: Timestamp) -> bool {
    let fit = standing.vetted.is_none()
        && standing.rank <= Rank::Warned
        && rules.wanting(standing, node, now).is_nothing();
    if fit {
        standing.vetted = Some(now);
    }
    fit
}

/// Unvetted members that a group may have: (n − w) / 2, so that a write can be acknowledged without any of them.
#[must_use]
pub fn unvetted_max(geometry: &Geometry) -> usize {
    (geometry.n - geometry.w) / 2
}

#[cfg(test)]
mod tests {
    use types::GeometryName;

    use super::*;

    const JOINED: Timestamp = Timestamp(1_800_000_000_000);
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    fn node(used: u64) -> Newcomer {
        Newcomer { joined: JOINED, used, capacity: 500 * GIB }
    }

    #[test]
    fn count_time_and_bytes_are_each_needed() {
        let rules = VettingRules::default();
        let passed = Standing { audits: rules.audits, ..Standing::default() };
        let now = JOINED.plus(WEEK);
        assert!(vet(&mut passed.clone(), &rules, &node(GIB), now));
        let few = Standing { audits: rules.audits - 1, ..Standing::default() };
        assert!(!vet(&mut few.clone(), &rules, &node(GIB), now));
        assert!(!vet(&mut passed.clone(), &rules, &node(GIB), Timestamp(now.0 - 1)));
        assert!(!vet(&mut passed.clone(), &rules, &node(GIB - 1), now));
        let small = Newcomer { capacity: 2 * GIB, ..node(GIB / 5) };
        assert!(vet(&mut passed.clone(), &rules, &small, now), "a small disk need not hold 1 GiB");
        let wanting = rules.wanting(&few, &node(GIB / 2), JOINED);
        assert_eq!((wanting.audits, wanting.time, wanting.bytes), (1, WEEK, GIB / 2));
    }

    #[test]
    fn a_suspended_node_is_not_vetted_and_a_vetted_one_is_not_vetted_twice() {
        let rules = VettingRules::default();
        let now = JOINED.plus(WEEK);
        let rank = Rank::Suspended;
        let mut bad = Standing { audits: rules.audits, rank, ..Standing::default() };
        assert!(!vet(&mut bad, &rules, &node(GIB), now));
        let mut good = Standing { rank: Rank::Warned, ..bad };
        assert!(vet(&mut good, &rules, &node(GIB), now));
        assert!(!vet(&mut good, &rules, &node(GIB), now));
        assert_eq!(good.vetted, Some(now));
    }

    #[test]
    fn a_group_can_acknowledge_writes_without_its_newcomers() {
        for name in [GeometryName::Local, GeometryName::Home, GeometryName::Wide] {
            let geometry = name.geometry();
            assert!(geometry.n - unvetted_max(&geometry) >= geometry.w);
        }
        assert_eq!(unvetted_max(&GeometryName::Wide.geometry()), 6);
    }
}
