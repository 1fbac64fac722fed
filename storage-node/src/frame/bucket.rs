//! A token bucket. Pure: the time comes as an argument, in nanoseconds since any moment.
//!
//! Invariant: what is spent between two moments is at most rate × time between them + burst + the largest overdraft.
//! Cost: two multiplications for each call.

use std::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// A bucket of bytes. It may be overdrawn by what is known only after the fact; then it is empty until that has been made good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bucket {
    /// Bytes per second that flow in; never 0.
    rate: u64,
    /// The most it holds.
    burst: u64,
    /// What it holds; below zero after an overdraft.
    level: i64,
    /// When that was true, in nanoseconds.
    at: u64,
}

impl Bucket {
    /// Empty at first: a new limit does not begin with a burst.
    pub(crate) fn new(rate: u64, burst: u64, now: u64) -> Self {
        Self { rate: rate.max(1), burst: burst.clamp(1, i64::MAX as u64), level: 0, at: now }
    }

    /// Another rate from now on; what is in it stays, up to the new burst.
    pub(crate) fn change(&mut self, rate: u64, burst: u64, now: u64) {
        self.advance(now);
        self.rate = rate.max(1);
        self.burst = burst.clamp(1, i64::MAX as u64);
        self.level = self.level.min(self.burst as i64);
    }

    /// Bytes it holds now.
    pub(crate) fn level(&mut self, now: u64) -> u64 {
        self.advance(now);
        u64::try_from(self.level).unwrap_or(0)
    }

    /// Whether nobody has taken anything for some time.
    pub(crate) fn is_full(&mut self, now: u64) -> bool {
        self.level(now) == self.burst
    }

    /// How long until it holds `bytes`, at most its burst; zero if it does.
    pub(crate) fn wait_for(&mut self, bytes: u64, now: u64) -> Duration {
        self.advance(now);
        let lacking = i128::from(bytes.min(self.burst)) - i128::from(self.level);
        let lacking = u128::try_from(lacking).unwrap_or(0);
        let nanos = (lacking * SECOND).div_ceil(u128::from(self.rate));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Takes bytes out, even if there are fewer.
    pub(crate) fn spend(&mut self, bytes: u64, now: u64) {
        self.advance(now);
        self.level = self.level.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Puts back what was spent and not used.
    pub(crate) fn refund(&mut self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.level = self.level.saturating_add(bytes).min(self.burst as i64);
    }

    fn advance(&mut self, now: u64) {
        let elapsed = u128::from(now.saturating_sub(self.at));
        let gained = elapsed * u128::from(self.rate) / SECOND;
        if gained == 0 {
            return;
        }
        let room = i128::from(self.burst) - i128::from(self.level);
        if i128::try_from(gained).unwrap_or(i128::MAX) >= room {
            self.level = self.burst as i64;
            self.at = now;
        } else {
            self.level += gained as i64;
            // The fraction of a byte that is under way is not lost: the clock stands at the moment of the last whole one.
            let worth = (gained * SECOND).div_ceil(u128::from(self.rate));
            self.at = now.min(self.at.saturating_add(u64::try_from(worth).unwrap_or(u64::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    #[derive(Clone, Debug)]
    struct Step {
        wait: u64,
        want: u64,
        used: u64,
    }

    fn step() -> impl Strategy<Value = Step> {
        (0..200 * MS, 0_u64..40_000, 0_u64..40_000).prop_map(|(wait, want, used)| Step {
            wait,
            want,
            used: used.min(want),
        })
    }

    proptest! {
        /// The law of the module, for every pair of moments.
        #[test]
        fn no_window_of_any_length_sees_more_than_its_rate_and_one_burst(
            rate in 1_u64..20_000_000, burst in 1_u64..100_000, steps in prop::collection::vec(step(), 1..120),
        ) {
            let mut bucket = Bucket::new(rate, burst, 0);
            let (mut now, mut spent) = (0_u64, Vec::new());
            for Step { wait, want, used } in steps {
                now += wait;
                let grant = bucket.level(now).min(want);
                bucket.spend(grant, now);
                let used = used.min(grant);
                bucket.refund(grant - used);
                spent.push((now, used));
            }
            for first in 0..spent.len() {
                let mut sum = 0_u128;
                for &(at, used) in &spent[first..] {
                    sum += u128::from(used);
                    let span = u128::from(at - spent[first].0);
                    let allowed = span * u128::from(rate) / SECOND + u128::from(burst) + 1;
                    prop_assert!(sum <= allowed, "{sum} bytes in {span} ns, {allowed} allowed");
                }
            }
        }

        #[test]
        fn whoever_waits_as_told_finds_what_was_promised(
            rate in 1_u64..2_000_000_000, burst in 1_u64..10_000_000, debt in 0_u64..10_000_000, want in 1_u64..10_000_000,
        ) {
            let mut bucket = Bucket::new(rate, burst, 0);
            bucket.spend(debt, 0);
            let wait = bucket.wait_for(want, 0);
            prop_assume!(wait < Duration::from_secs(1 << 30));
            prop_assert!(bucket.level(wait.as_nanos() as u64) >= want.min(burst));
        }

        #[test]
        fn looking_often_loses_nothing(rate in 1_u64..5_000_000, looks in prop::collection::vec(1_u64..50_000, 1..300)) {
            let mut bucket = Bucket::new(rate, u64::MAX, 0);
            let mut now = 0;
            for look in looks {
                now += look;
                bucket.level(now);
            }
            let whole = u128::from(now) * u128::from(rate) / SECOND;
            let seen = u128::from(bucket.level(now));
            prop_assert!(seen <= whole && seen + 1 >= whole, "{seen} of {whole}");
        }
    }

    #[test]
    fn an_overdraft_is_made_good_before_anything_is_given() {
        let mut bucket = Bucket::new(1000, 100, 0);
        bucket.spend(500, 0);
        assert_eq!(bucket.level(400 * MS), 0);
        assert_eq!(bucket.wait_for(50, 400 * MS), Duration::from_millis(150));
        assert_eq!(bucket.level(550 * MS), 50);
        assert_eq!(bucket.level(10_000 * MS), 100);
    }
}
