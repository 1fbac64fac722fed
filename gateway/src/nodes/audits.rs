//! Audits, planned: when to look at which unit. Pure; [`crate::upkeep::audit`] drives it.
//!
//! An audit is a fetch of one unit with its proof, as a customer's small read is, so that a node cannot tell which it is. It must be drawn
//! evenly from everything the node holds and come when nobody expects it: the waits are exponential, so that having been asked a moment ago says
//! nothing of the next time.
//!
//! A *census* walks the groups' segments slowly, again and again, and keeps an even sample of each group ([`Sample`], reservoir sampling). A
//! draw takes one of the node's groups, each as often as it has segments, and one segment of its sample. How many a day that takes
//! is worked out in `docs/AUDITS.md` and checked here ([`caught`]).

use std::collections::BTreeMap;
use std::time::Duration;

use types::{GroupId, SegmentId, Slot};

/// Audits a day and node after which a loss of one hundredth has been met with a chance above 99 %, if each is drawn from everything the
/// node holds: the least n with 1 − 0.99ⁿ > 0.99.
pub const PER_DAY_LEAST: u64 = 459;
/// Audits a day and node: more than the least, because draws come from a sample, and because a node may be busy now and then.
pub const PER_DAY: u32 = 576;
/// Segments sampled of a group at most, 24 bytes each.
pub const SAMPLE_MAX: usize = 2048;
/// Segments sampled in all: 48 MiB. With more than a thousand groups each has a smaller sample, and each node more groups.
pub const SAMPLES_MAX: usize = 2 << 20;
/// Segments sampled of a group at least.
const SAMPLE_MIN: usize = 16;
/// Waits are cut at so many times their mean, which one in e⁶ would exceed: a slow draw must not leave a node alone for a day.
const WAIT_MAX: u32 = 6;
/// A node that is seldom awake is asked more often while it is, up to so many times.
const HURRY_MAX: f64 = 8.0;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// An even sample of a group's segments.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    kept: Vec<SegmentId>,
    /// Segments that were offered.
    seen: u64,
}

impl Sample {
    /// Takes a segment into account; `random` decides whether it replaces another (Vitter's algorithm R).
    pub fn offer(&mut self, segment: SegmentId, max: usize, random: u64) {
        self.seen += 1;
        if self.kept.len() < max {
            self.kept.push(segment);
        } else if let Some(place) =
            usize::try_from(below(random, self.seen)).ok().and_then(|at| self.kept.get_mut(at))
        {
            *place = segment;
        }
    }

    /// Segments of the group when it was walked.
    #[must_use]
    pub fn segments(&self) -> u64 {
        self.seen
    }
}

/// The samples of all groups.
#[derive(Debug, Default)]
pub struct Census(BTreeMap<GroupId, Sample>);

impl Census {
    /// Segments to sample of each of so many groups.
    #[must_use]
    pub fn sample_size(groups: usize) -> usize {
        (SAMPLES_MAX / groups.max(1)).clamp(SAMPLE_MIN, SAMPLE_MAX)
    }

    /// Puts a new sample in the place of the group's old one.
    pub fn put(&mut self, group: GroupId, sample: Sample) {
        self.0.insert(group, sample);
    }

    /// Forgets groups that are no more.
    pub fn keep_only(&mut self, keep: impl Fn(GroupId) -> bool) {
        self.0.retain(|group, _| keep(*group));
    }

    /// Segments of a group when it was last walked.
    #[must_use]
    pub fn segments(&self, group: GroupId) -> u64 {
        self.0.get(&group).map_or(0, Sample::segments)
    }

    /// Draws a segment of which a node should have a shard, from the groups and slots it fills. `None` if it has none.
    #[must_use]
    pub fn draw(
        &self,
        holds: &[(GroupId, Slot)],
        random: [u64; 2],
    ) -> Option<(GroupId, SegmentId, Slot)> {
        let samples =
            || holds.iter().filter_map(|(group, slot)| Some((*group, *slot, self.0.get(group)?)));
        let mut at = below(random[0], samples().map(|(.., sample)| sample.seen).sum());
        for (group, slot, sample) in samples() {
            if at < sample.seen {
                let at = usize::try_from(below(random[1], sample.kept.len() as u64)).ok()?;
                return sample.kept.get(at).map(|segment| (group, *segment, slot));
            }
            at -= sample.seen;
        }
        None
    }
}

/// The mean time between two audits of a node that is connected: rarer sleepers are asked more often while they are awake, so that
/// each node is asked as often a day. `None` if nobody is to be audited.
#[must_use]
pub fn mean_wait(per_day: u32, availability: f64) -> Option<Duration> {
    let mean = DAY.checked_div(per_day)?;
    Some(mean.mul_f64(availability.clamp(1.0 / HURRY_MAX, 1.0)))
}

/// The time until the next audit: exponential with this mean.
#[must_use]
pub fn next_wait(mean: Duration, random: u64) -> Duration {
    let unit = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    mean.mul_f64((-unit.ln()).min(f64::from(WAIT_MAX)))
}

/// The chance that `audits` draws meet a loss of `lost` (a share) where each draw is from everything (`sample` of `None`), or from an even
/// sample of so many segments: Σ over how many of the sample are lost (Poisson), of the chance that the draws meet one of those.
#[must_use]
pub fn caught(lost: f64, audits: u32, sample: Option<usize>) -> f64 {
    let Some(sample) = sample else { return 1.0 - (1.0 - lost).powf(f64::from(audits)) };
    let sample = sample as f64;
    // A sampled segment escapes all draws with chance (1 − 1/s)ⁿ; the lost ones among the sample are Poisson(lost · s).
    let met = 1.0 - (1.0 - 1.0 / sample).powf(f64::from(audits));
    1.0 - (-lost * sample * met).exp()
}

/// A number below `bound`; 0 for a bound of 0.
fn below(random: u64, bound: u64) -> u64 {
    u64::try_from((u128::from(random) * u128::from(bound)) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use types::{SessionId, StreamId};

    use super::*;

    /// A number that looks random (SplitMix64): half a million from the operating system would take seconds.
    fn random_u64() -> u64 {
        static SEED: AtomicU64 = AtomicU64::new(7);
        let seed = SEED.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn segment(serial: u64) -> SegmentId {
        SegmentId { stream: StreamId { session: SessionId(1), serial }, index: 0 }
    }

    fn sample(segments: u64, max: usize) -> Sample {
        let mut sample = Sample::default();
        (0..segments).for_each(|serial| sample.offer(segment(serial), max, random_u64()));
        sample
    }

    #[test]
    fn four_hundred_and_fifty_nine_audits_are_the_least_that_do() {
        let least = u32::try_from(PER_DAY_LEAST).expect("small");
        assert!(caught(0.01, least, None) > 0.99);
        assert!(caught(0.01, least - 1, None) < 0.99);
    }

    #[test]
    fn a_days_audits_catch_a_lost_hundredth_also_through_the_sample() {
        let found = caught(0.01, PER_DAY, Some(SAMPLE_MAX));
        assert!(found > 0.99, "{found}");
        assert!(
            caught(0.01, PER_DAY, Some(SAMPLE_MAX / 8)) < 0.99,
            "a smaller sample would not do"
        );
        // The formula against the thing itself: nodes that lost one of each hundred segments, and a day of draws.
        let (mut missed, runs) = (0, 300);
        for _ in 0..runs {
            let mut census = Census::default();
            census.put(GroupId(1), sample(20_000, SAMPLE_MAX));
            let lost = (0..PER_DAY).any(|_| {
                let draw = census.draw(&[(GroupId(1), Slot(0))], [random_u64(), random_u64()]);
                draw.expect("there are segments").1.stream.serial.is_multiple_of(100)
            });
            missed += u32::from(!lost);
        }
        assert!(missed <= 12, "{missed} of {runs} went unseen, where one in 150 is expected");
    }

    #[test]
    fn every_segment_is_sampled_as_often_as_every_other() {
        let mut counts = vec![0_u32; 200];
        for _ in 0..2000 {
            for kept in sample(200, 20).kept {
                counts[usize::try_from(kept.stream.serial).expect("small")] += 1;
            }
        }
        // 200 expected each, with a deviation of 13.4.
        assert!(counts.iter().all(|count| (120..280).contains(count)), "{counts:?}");
    }

    #[test]
    fn groups_are_drawn_as_often_as_they_have_segments() {
        let mut census = Census::default();
        census.put(GroupId(1), sample(9000, SAMPLE_MAX));
        census.put(GroupId(2), sample(1000, SAMPLE_MAX));
        census.put(GroupId(3), Sample::default());
        let holds = [
            (GroupId(1), Slot(4)),
            (GroupId(2), Slot(5)),
            (GroupId(3), Slot(6)),
            (GroupId(4), Slot(0)),
        ];
        let draws = 10_000;
        let of_second = (0..draws).filter(|_| {
            let (group, _, slot) = census.draw(&holds, [random_u64(), random_u64()]).expect("some");
            assert!([(GroupId(1), Slot(4)), (GroupId(2), Slot(5))].contains(&(group, slot)));
            group == GroupId(2)
        });
        assert!((800..1200).contains(&of_second.count()));
        assert_eq!(census.draw(&[(GroupId(3), Slot(6))], [1, 1]), None);
        assert_eq!(census.draw(&[], [1, 1]), None);
    }

    #[test]
    fn waits_have_their_mean_and_no_memory() {
        let mean = mean_wait(PER_DAY, 1.0).expect("a rate");
        assert_eq!(mean, Duration::from_secs(150));
        let waits: Vec<Duration> = (0..20_000).map(|_| next_wait(mean, random_u64())).collect();
        let sum: f64 = waits.iter().map(Duration::as_secs_f64).sum();
        assert!((140.0..160.0).contains(&(sum / 20_000.0)), "{}", sum / 20_000.0);
        // Of those who have waited the mean already, as many wait that long again as of all.
        let longer = |than: u32| waits.iter().filter(|wait| **wait > mean * than).count() as f64;
        assert!((longer(2) / longer(1) - longer(1) / 20_000.0).abs() < 0.03);
        assert!(waits.iter().all(|wait| *wait <= mean * WAIT_MAX));
    }

    #[test]
    fn sleepers_are_asked_more_often_while_they_are_awake() {
        let always = mean_wait(PER_DAY, 1.0).expect("a rate");
        assert_eq!(mean_wait(PER_DAY, 0.5), Some(always / 2));
        assert_eq!(mean_wait(PER_DAY, 0.01), Some(always / 8));
        assert_eq!(mean_wait(0, 1.0), None);
    }
}
