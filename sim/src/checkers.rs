//! Checkers: what can be read and what is lost. They look at what is true of each shard and each node, and at nothing that the gateway
//! believes or decides, so that they cannot share its errors.

use gateway::nodes::availability::{fewer_than, hour_of_week};
use serde::Serialize;

use crate::groups::count;
use crate::world::{DAY, World};

/// A segment that is lost: fewer than k of its shards exist.
#[derive(Clone, Debug, Serialize)]
pub struct Loss {
    /// Days after data began to be stored.
    pub day: u64,
    /// Its group.
    pub group: usize,
    /// Its place in the group.
    pub segment: usize,
    /// Shards that still exist.
    pub shards: usize,
    /// Of the slots without a shard: those of which the holder is gone for ever.
    pub gone: usize,
    /// Of the slots without a shard: those whose holder is there and does not have it (rot, lies, a refill under way, never written).
    pub empty: usize,
}

/// What a scenario destroyed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Destroyed {
    /// On which day after data began to be stored.
    pub day: u64,
    /// Segments there were.
    pub segments: u64,
    /// Of these, with at least r shards that existed before.
    pub whole: u64,
    /// Of the whole ones, lost at once.
    pub whole_lost: u64,
    /// Of the others, lost at once.
    pub others_lost: u64,
    /// Groups that had a segment lost at once: those of a group are lost together.
    pub groups_lost: u64,
    /// Groups there were.
    pub groups: u64,
    /// Segments that the binomial distribution says would be lost, from the shards that each had before.
    pub predicted: f64,
    /// Segments that could not be read right after.
    pub unreadable: u64,
    /// Shards of the weakest segment right after.
    pub least: usize,
    /// Hours until no more segments had fewer than r shards than before, of those that were there and not lost; if it came to that.
    pub hours_to_r: Option<u64>,
    /// Shards that each segment had before, by group.
    #[serde(skip)]
    shards: Vec<Vec<usize>>,
    /// Segments of each group before.
    #[serde(skip)]
    counts: Vec<usize>,
}

/// Looks at all segments: an hour of reads, one of each segment.
pub fn look(world: &mut World) {
    let (k, r) = (world.geometry.k, world.geometry.r);
    let now = world.now;
    let hour = hour_of_week(now);
    let day = now.0.saturating_sub(crate::world::BEGIN) / DAY - crate::world::WARM_UP_DAYS;
    let (mut looked, mut failed, mut weak, mut hurt) = (0_u64, 0_u64, 0_u64, 0_u64);
    let tally = &mut world.tally;
    for (number, group) in world.groups.iter_mut().enumerate() {
        let (holders, before) = (group.holders, group.before);
        let struck = tally.destroyed.as_ref().and_then(|hit| hit.counts.get(number)).copied();
        for (at, segment) in group.segments.iter_mut().enumerate() {
            looked += 1;
            failed += u64::from(count(segment.readable(&holders, &before)) < k);
            let exists = segment.existing(&holders, &before);
            let left = count(exists);
            let below = left < r && !segment.lost;
            weak += u64::from(below);
            hurt += u64::from(below && left >= k && struck.is_some_and(|count| at < count));
            tally.least_shards = tally.least_shards.min(left);
            if left < k && !segment.lost {
                segment.lost = true;
                let gone = (0..group.slots.len())
                    .filter(|slot| exists & 1 << slot == 0 && holders.exists & 1 << slot == 0)
                    .count();
                let empty = group.slots.len() - left - gone;
                tally.losses.push(Loss {
                    day,
                    group: number,
                    segment: at,
                    shards: left,
                    gone,
                    empty,
                });
            }
        }
    }
    tally.looked(hour, looked, failed);
    tally.segment_hours_below_r += weak;
    for node in world.nodes.iter().filter(|node| !node.gone) {
        tally.node_hours += 1;
        tally.online_hours += u64::from(node.online);
    }
    if let Some(destroyed) = &mut tally.destroyed
        && destroyed.hours_to_r.is_none()
        && hurt <= destroyed.segments - destroyed.whole
    {
        destroyed.hours_to_r =
            Some(world.now.0.saturating_sub(tally.struck.0) / crate::world::HOUR);
    }
}

/// Notes how it is just before the scenario strikes.
pub fn before(world: &mut World) {
    let existing = |group: &crate::groups::Group| {
        let shards = |segment: &crate::groups::Segment| {
            count(segment.existing(&group.holders, &group.before))
        };
        group.segments.iter().map(shards).collect::<Vec<_>>()
    };
    let shards: Vec<Vec<usize>> = world.groups.iter().map(existing).collect();
    let share = world.plan.scenario.destroyed().unwrap_or(0.0);
    let chances: Vec<f64> = (0..=world.geometry.n)
        .map(|shards| fewer_than(world.geometry.k, std::iter::repeat_n(1.0 - share, shards)))
        .collect();
    let all = || shards.iter().flatten();
    world.tally.struck = world.now;
    world.tally.destroyed = Some(Destroyed {
        day: world.hour() / 24,
        segments: all().count() as u64,
        whole: all().filter(|shards| **shards >= world.geometry.r).count() as u64,
        groups: world.groups.len() as u64,
        counts: shards.iter().map(Vec::len).collect(),
        predicted: all().map(|shards| chances[*shards]).sum(),
        shards,
        ..Destroyed::default()
    });
}

/// Notes how it is just after.
pub fn after(world: &mut World) {
    let (k, r) = (world.geometry.k, world.geometry.r);
    let Some(destroyed) = &mut world.tally.destroyed else { return };
    destroyed.least = world.geometry.n;
    for (group, before) in world.groups.iter().zip(&destroyed.shards) {
        let mut hurt = false;
        for (segment, had) in group.segments.iter().zip(before) {
            let left = count(segment.existing(&group.holders, &group.before));
            let lost = left < k && *had >= k;
            destroyed.whole_lost += u64::from(lost && *had >= r);
            destroyed.others_lost += u64::from(lost && *had < r);
            destroyed.least = destroyed.least.min(left);
            let readable = count(segment.readable(&group.holders, &group.before));
            destroyed.unreadable += u64::from(readable < k);
            hurt |= lost;
        }
        destroyed.groups_lost += u64::from(hurt);
    }
    destroyed.shards = Vec::new();
}
