//! Workload: customers' writes. Every hour some segments are written; each goes to an open group as the gateway's placer has it (`put/place.rs`), and to
//! those of its members that are connected and not outrun.
//!
//! Customers' reads are not drawn: the checkers look at every segment every hour, which is what reads drawn evenly would find, without the
//! noise. Nothing is deleted, so that everything stays as long as it can be lost.

use gateway::nodes::placement::{Chosen, choose, target};
use gateway::put::place::{groups_wanted, members_wanted};

use crate::groups::{Segment, count, slots_in};
use crate::world::{World, number_of};

/// Of the segments, how many are written in the first days, in quarters.
const FIRST_QUARTERS: usize = 3;

impl World {
    /// Writes what is due in this hour.
    pub(crate) fn write(&mut self) {
        let due = self.due() + std::mem::take(&mut self.pending);
        let mut wanted = groups_wanted(&self.geometry, self.takers().len());
        // The placer looks at each write; here, once an hour is enough, as nobody comes or goes meanwhile.
        let (mut clean, rest) = self.fit();
        for done in 0..due {
            if clean.len() < wanted {
                match self.form() {
                    Some(group) => clean.push(group),
                    // It will not be otherwise in this hour.
                    None => wanted = 0,
                }
            }
            let list = if clean.is_empty() { &rest } else { &clean };
            let Some(group) = list.get(self.chance.below(list.len())).copied() else {
                self.tally.writes_waited += (due - done) as u64;
                self.pending = due - done;
                return;
            };
            if !self.write_to(group) {
                self.pending += 1;
                self.tally.writes_failed += 1;
            }
        }
    }

    /// Segments that are due in this hour by the plan.
    fn due(&self) -> usize {
        let (all, hour) = (self.plan.segments, self.hour() as usize);
        let first = all * FIRST_QUARTERS / 4;
        let (fill, days) = (self.plan.fill_days as usize, self.plan.days as usize);
        let by = |hour: usize| {
            let (fill, end) = (fill.min(days) * 24, days * 24);
            if hour <= fill || end == fill {
                first * hour.min(fill) / fill
            } else {
                first + (all - first) * (hour.min(end) - fill) / (end - fill)
            }
        };
        by(hour + 1) - by(hour)
    }

    /// Groups that could take a segment now, by number: those of which no member that is here is suspended or leaving, and the others.
    fn fit(&self) -> (Vec<u32>, Vec<u32>) {
        let least = members_wanted(&self.geometry);
        let fit = (0_u32..).zip(&self.groups).filter(|(_, group)| count(group.usable) >= least);
        let (clean, rest): (Vec<_>, Vec<_>) = fit.partition(|(_, group)| group.shunned == 0);
        let numbers = |list: Vec<(u32, _)>| list.into_iter().map(|(number, _)| number).collect();
        (numbers(clean), numbers(rest))
    }

    /// Forms a group of those that are connected, if the rules allow one.
    fn form(&mut self) -> Option<u32> {
        if self.groups.len() >= self.plan.groups_max {
            self.tally.groups_refused += 1;
            return None;
        }
        let candidates: Vec<_> =
            self.takers().into_iter().map(|number| self.candidate(number)).collect();
        let vetted = self.vetted();
        let chosen = choose(&self.geometry, &candidates, vetted, || self.chance.number());
        let Ok(Chosen { members, unreadable }) = chosen else {
            self.tally.groups_refused += 1;
            return None;
        };
        self.tally.groups_at_risk += u64::from(unreadable > target(self.geometry.name));
        self.tally.worst_promise = self.tally.worst_promise.max(unreadable);
        let members: Vec<u32> = members.into_iter().map(number_of).collect();
        let group = self.add_group(&members);
        self.tally.note(self.now, "formed", u64::from(group));
        Some(group)
    }

    /// Writes a segment to a group; whether enough of its members have it.
    fn write_to(&mut self, number: u32) -> bool {
        let group = &self.groups[number as usize];
        let mut stored = group.usable;
        for slot in slots_in(group.usable) {
            let node = group.slots[slot].node;
            let outrun = self.nodes[node as usize].volunteer.link.outrun;
            // The write waits for the w-th fastest, and only cuts who is slower than that.
            if count(stored) > self.geometry.w && self.chance.happens(outrun) {
                stored &= !(1 << slot);
            }
        }
        if count(stored) < self.geometry.w {
            return false;
        }
        let slots = group.slots.len();
        let every = if slots == 128 { u128::MAX } else { (1_u128 << slots) - 1 };
        let missed = every & !stored;
        let group = &mut self.groups[number as usize];
        let segment = group.segments.len();
        group.segments.push(Segment { unwritten: missed, ..Segment::default() });
        group.miss(segment, missed);
        self.store(number, segment, stored);
        self.tally.written += 1;
        self.tally.shards_written += count(stored) as u64;
        true
    }
}
