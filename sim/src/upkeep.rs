//! Upkeep: what the gateway does while nodes come and go. Each part does to bits what its namesake in `gateway/src/upkeep` does to the catalog, in
//! the same order and with the same decisions.

use gateway::nodes::audits::next_wait;
use gateway::nodes::outlook::Model;
use gateway::nodes::placement::spare;
use gateway::nodes::score::{Observation, Outcome};
use gateway::upkeep::queue::{Queue, Risks, Task, Work, is_urgent};
use metadata::records::{Fault, Rank, Source};
use types::{GroupId, SegmentId, SessionId, ShardId, Slot, StreamId};

use crate::groups::{Group, NOBODY, count, slots_in};
use crate::net;
use crate::report::Cause;
use crate::world::{HOUR, Place, TICK, World, number_of};

/// Candidates looked at for one slot: fewer than the gateway's 64, since that is where the time goes. It only makes groups worse.
const CANDIDATES: usize = 8;
/// Work that the queue remembers, as in `upkeep/repair.rs`.
const QUEUE_MAX: usize = 4096;
/// Segments of a group that are refilled before the queue is looked at again, as in `upkeep/repair.rs`.
const REFILL_STEP: usize = 32;
/// Times that the queue is made anew in a tick, at most.
const TURNS: usize = 64;
/// Bytes a second of a common volunteer's line, over which a gathered shard comes: the slowest of the k fastest.
const COMMON_UP: f64 = 2_500_000.0;

/// What repair may still do in this tick.
struct Means {
    bytes: f64,
    gathers: f64,
}

impl World {
    /// Audits every connected node at its random times (`upkeep/audit.rs`).
    pub(crate) fn audit(&mut self) {
        let right = Observation { source: Source::Audit, outcome: Outcome::Right, shard: None };
        for number in 0..self.nodes.len() as u32 {
            loop {
                let node = &mut self.nodes[number as usize];
                let Some(wait) = node.wait.filter(|_| node.online) else { break };
                if node.next_audit > self.now.0 {
                    break;
                }
                node.next_audit += next_wait(wait, self.chance.number()).as_millis().max(1) as u64;
                if node.places.is_empty() {
                    continue;
                }
                let (late, damaged) = (node.volunteer.link.late, node.damaged);
                self.tally.audits += 1;
                if self.chance.happens(late) {
                    let outcome = Outcome::Wrong(Fault::Late, "it took too long".to_owned());
                    let seen = Observation { source: Source::Audit, outcome, shard: None };
                    self.observe(number, &seen);
                } else if damaged {
                    self.look(number, &right);
                } else {
                    // Whatever is drawn of a node that lacks nothing, it has.
                    self.observe(number, &right);
                }
            }
        }
    }

    /// One audit of a node that may lack something: a shard drawn evenly from all that it holds.
    fn look(&mut self, number: u32, right: &Observation) {
        let segments = |place: &&Place| self.groups[place.group as usize].segments.len();
        let places = self.nodes[number as usize].places.iter().filter(|place| !place.before);
        let mut at = self.chance.below(places.clone().map(|place| segments(&place)).sum());
        for place in places {
            let (group, held) = (&self.groups[place.group as usize], segments(&place));
            if at >= held {
                at -= held;
                continue;
            }
            let bit = 1_u128 << place.slot;
            let row = &group.segments[at];
            if row.missed & bit != 0 || group.behind(at) & bit != 0 {
                return;
            }
            if row.has & bit != 0 {
                return self.observe(number, right);
            }
            let Place { group, slot, .. } = *place;
            self.tally.audits_failed += 1;
            return self.blame(group, at, usize::from(slot), Source::Audit);
        }
    }

    /// Somebody asked the holder of a slot for a shard that it should have, and it was not there or not right.
    fn blame(&mut self, group: u32, segment: usize, slot: usize, source: Source) {
        let of = &mut self.groups[group as usize];
        of.miss(segment, 1 << slot);
        let number = of.slots[slot].node;
        let shard = ShardId {
            group: group_id(group),
            segment: segment_id(segment),
            slot: Slot(slot as u8),
        };
        let outcome = Outcome::Wrong(Fault::Missing, "the node does not hold it".to_owned());
        self.observe(number, &Observation { source, outcome, shard: Some(shard) });
    }

    /// Declares nodes lost, and gives slots to others that nobody should hold any more (`upkeep/members.rs`).
    pub(crate) fn hand_over(&mut self) {
        let lost_after = self.plan.lost_after();
        for number in 0..self.nodes.len() as u32 {
            let node = &mut self.nodes[number as usize];
            let away = self.now.since(types::Timestamp(node.last_seen));
            if !node.online && !node.lost && away >= lost_after {
                node.lost = true;
                self.tally.declared_lost += 1;
                self.tally.declared_wrongly += u64::from(!node.gone);
                self.refresh(number);
            }
        }
        let goes = |number: u32| {
            self.nodes
                .get(number as usize)
                .is_none_or(|node| node.lost || node.leaving || node.rank() == Rank::Disqualified)
        };
        let mut free: Vec<(u32, u8)> = Vec::new();
        for (group, row) in (0_u32..).zip(&self.groups) {
            let slots = (0_u8..).zip(&row.slots).filter(|(_, slot)| goes(slot.node));
            free.extend(slots.map(|(slot, _)| (group, slot)));
        }
        if free.is_empty() {
            return;
        }
        let (takers, vetted) = (self.takers(), self.vetted());
        let wanted = free.len() as u64;
        let given: u64 = free
            .into_iter()
            .map(|(group, slot)| u64::from(self.hand_over_slot(group, slot, &takers, vetted)))
            .sum();
        self.tally.handed_over += given;
        self.tally.slots_waiting_most = self.tally.slots_waiting_most.max(wanted - given);
    }

    fn hand_over_slot(&mut self, group: u32, slot: u8, takers: &[u32], vetted: usize) -> bool {
        let of = &self.groups[group as usize];
        let mut outside: Vec<u32> = Vec::with_capacity(CANDIDATES);
        // Drawn with repetitions sorted out; a few tries more than it takes.
        for _ in 0..CANDIDATES * 4 {
            let Some(number) = takers.get(self.chance.below(takers.len())).copied() else { break };
            if outside.len() < CANDIDATES && !of.has_member(number) && !outside.contains(&number) {
                outside.push(number);
            }
        }
        let stay = (0_u8..).zip(&of.slots).filter(|(at, row)| *at != slot && row.node != NOBODY);
        let members: Vec<_> = stay.map(|(_, row)| self.candidate(row.node)).collect();
        let candidates: Vec<_> = outside.into_iter().map(|number| self.candidate(number)).collect();
        let Some(newcomer) = spare(&self.geometry, &members, &candidates, vetted) else {
            return false;
        };
        let newcomer = number_of(newcomer.id);
        self.replace(group, slot, newcomer);
        self.tally.note(self.now, "handed over", u64::from(newcomer));
        true
    }

    /// Repairs what can be, the riskiest first, as far as the bytes of this tick go (`upkeep/repair.rs`).
    pub(crate) fn repair(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.taken = 0);
        let seconds = TICK as f64 / 1000.0;
        let shard = self.plan.shard_bytes() as f64;
        let mut means = Means {
            bytes: self.plan.repair_rate as f64 * seconds,
            gathers: net::gathers(seconds, shard, COMMON_UP),
        };
        let model = self.model();
        for turn in 0..TURNS {
            let queue = self.queue(model, turn == 0);
            let mut done = false;
            for work in queue {
                let urgent = is_urgent(&self.geometry, work.survivors);
                if (means.bytes <= 0.0 && !urgent) || means.gathers <= 0.0 {
                    self.tally.ticks_full += 1;
                    return;
                }
                done |= match work.task {
                    Task::Segment(group, id) => {
                        self.repair_segment(group.0 as u32, id.stream.serial as usize, &mut means)
                    }
                    Task::Refill(group) => self.refill(group.0 as u32, &mut means),
                };
            }
            if !done {
                return;
            }
        }
    }

    /// How nodes vanish, by what the gateway has seen.
    fn model(&self) -> Model {
        let hours: f64 =
            self.nodes.iter().map(|node| self.now.since(node.joined).as_secs_f64() / 3600.0).sum();
        let vanished = self.nodes.iter().filter(|node| !node.believed()).count();
        Model::measured(vanished, hours, self.plan.lost_after())
    }

    /// What is to be repaired and can be, the riskiest first.
    fn queue(&mut self, model: Model, first: bool) -> Vec<Work> {
        let (mut queue, mut risks) = (Queue::new(QUEUE_MAX), Risks::new(model));
        let k = self.geometry.k;
        let (mut waiting, mut stuck) = (0_u64, 0_u64);
        for (number, group) in (0_u32..).zip(&self.groups) {
            let mut push = |task, survivors, can: bool| {
                if can {
                    waiting += 1;
                    let risk = risks.of(&self.geometry, survivors);
                    queue.push(Work { risk, survivors, task });
                } else {
                    stuck += 1;
                }
            };
            let mut left = group.degraded;
            for (at, row) in group.segments.iter().enumerate() {
                if left == 0 {
                    break;
                }
                if row.missed == 0 {
                    continue;
                }
                left -= 1;
                // Most have nobody to be repaired on; that is seen at once.
                let can = row.missed & group.taking != 0
                    && count(group.within_reach(at, row.missed)) >= k;
                let survivors = if can { group.survivors(at, row.missed) } else { 0 };
                push(Task::Segment(group_id(number), segment_id(at)), survivors, can);
            }
            if group.filling != 0 {
                let next = refilled(group, group.filling);
                let can =
                    group.filling & group.taking != 0 && count(group.within_reach(next, 0)) >= k;
                push(Task::Refill(group_id(number)), group.survivors(next, 0), can);
            }
        }
        if first {
            self.tally.backlog_most = self.tally.backlog_most.max(waiting);
            self.tally.stuck_most = self.tally.stuck_most.max(stuck);
            (self.tally.waiting, self.tally.stuck) = (waiting, stuck);
        }
        queue.into_sorted()
    }

    fn repair_segment(&mut self, group: u32, segment: usize, means: &mut Means) -> bool {
        let of = &self.groups[group as usize];
        let row = of.segments[segment];
        let targets = self.with_room(of, row.missed & of.taking);
        if targets == 0 {
            return false;
        }
        let cause = if targets & !row.unwritten == 0 { Cause::Unwritten } else { Cause::Missing };
        let Some(filled) = self.rebuild(group, segment, targets, row.missed, cause, means) else {
            return false;
        };
        self.groups[group as usize].fill(segment, filled);
        true
    }

    /// Brings the next segments of a group to newcomers; whether it came any further.
    fn refill(&mut self, group: u32, means: &mut Means) -> bool {
        let of = &self.groups[group as usize];
        let newcomers = self.with_room(of, of.filling & of.taking);
        if newcomers == 0 {
            return false;
        }
        let start = refilled(of, newcomers);
        let end = of.segments.len().min(start + REFILL_STEP);
        let (mut reached, mut whole) = (start, true);
        while reached < end && whole && means.gathers > 0.0 {
            whole = self.refill_segment(group, reached, newcomers, means);
            reached += usize::from(whole);
        }
        let done = whole && reached == self.groups[group as usize].segments.len();
        for slot in slots_in(newcomers) {
            let row = &mut self.groups[group as usize].slots[slot];
            row.filled_to = row.filled_to.max(reached);
            if done {
                self.filled(group, slot as u8);
            }
        }
        done || reached > start
    }

    /// Brings a segment to the newcomers it has not come to; whether the refill may pass it.
    fn refill_segment(
        &mut self,
        group: u32,
        segment: usize,
        newcomers: u128,
        means: &mut Means,
    ) -> bool {
        let of = &self.groups[group as usize];
        let wanted = newcomers & of.behind(segment);
        if wanted == 0 {
            return true;
        }
        let row = of.segments[segment];
        let kept = wanted & of.before.believed;
        let others = self.with_room(of, row.missed & of.taking & !wanted);
        let without = wanted | row.missed;
        let rebuilt = self.rebuild(group, segment, wanted | others, without, Cause::Refill, means);
        if rebuilt.is_none() && kept != 0 {
            return false;
        }
        let filled = rebuilt.unwrap_or(0);
        let of = &mut self.groups[group as usize];
        of.fill(segment, filled);
        of.miss(segment, wanted & !filled & !kept);
        let passed = wanted & (filled | !kept);
        of.segments[segment].had &= !passed;
        wanted & !filled & kept == 0
    }

    /// Computes shards and stores them; which are on disk now. `None` if too few others could be gathered.
    fn rebuild(
        &mut self,
        group: u32,
        segment: usize,
        targets: u128,
        without: u128,
        cause: Cause,
        means: &mut Means,
    ) -> Option<u128> {
        let of = &self.groups[group as usize];
        let (row, k) = (of.segments[segment], self.geometry.k);
        let claimed = of.within_reach(segment, without);
        let right = row.readable(&of.holders, &of.before) & !without;
        // Only who holds a slot and is not behind must have its shard.
        let lacking = claimed & of.holders.here & !of.behind(segment) & !right;
        means.gathers -= 1.0;
        let enough = count(right) >= k;
        let asked = if enough { k as f64 / count(claimed).max(1) as f64 } else { 1.0 };
        for slot in slots_in(lacking) {
            if self.chance.happens(asked) {
                self.blame(group, segment, slot, Source::Read);
            }
        }
        if !enough {
            return None;
        }
        let shard = self.plan.shard_bytes();
        for slot in slots_in(targets) {
            let node = self.groups[group as usize].slots[slot].node;
            self.nodes[node as usize].taken += shard;
        }
        self.store(group, segment, targets);
        let (read, wrote) = (k as u64 * shard, count(targets) as u64 * shard);
        means.bytes -= (read + wrote) as f64;
        self.tally.repaired(cause, read, wrote);
        Some(targets)
    }

    /// Those of the slots whose holders' lines take another shard in this tick.
    fn with_room(&self, group: &Group, slots: u128) -> u128 {
        let seconds = TICK as f64 / 1000.0;
        let room = |slot: &usize| {
            let node = &self.nodes[group.slots[*slot].node as usize];
            (node.taken as f64) < node.volunteer.link.takes(seconds)
        };
        slots_in(slots).filter(room).fold(0, |set, slot| set | 1 << slot)
    }
}

/// How far the least advanced of these refills has come.
fn refilled(group: &Group, slots: u128) -> usize {
    slots_in(slots).map(|slot| group.slots[slot].filled_to).min().unwrap_or(0)
}

fn group_id(group: u32) -> GroupId {
    GroupId(u64::from(group))
}

fn segment_id(segment: usize) -> SegmentId {
    SegmentId { stream: StreamId { session: SessionId(1), serial: segment as u64 }, index: 0 }
}

const _: () = assert!(HOUR.is_multiple_of(TICK));
