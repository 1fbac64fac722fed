//! World: time, the queue of what happens when, and who is connected.
//!
//! Whatever happens to one node is an event with a moment of its own. What the gateway does in rounds, it does in *ticks* of a quarter of an hour:
//! audits (each at its own moment within the tick), repair, and each hour writes, hand-overs and the checkers' look. The gateway's own rounds are a minute or
//! less: the simulated one is slower, never faster.
//!
//! **Price**: an hour of 2000 nodes and 100,000 segments takes about 10 ms: half of it the audits, which are all made one by one (50,000 of them), a quarter
//! the checkers' look at every segment. Forming a group or handing over a slot costs some milliseconds each.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use gateway::nodes::audits::{mean_wait, next_wait};
use gateway::nodes::availability::{self, Chances, hour_of_week};
use gateway::nodes::placement::Candidate;
use gateway::nodes::score::{self, Observation, ScoreRules};
use gateway::nodes::vetting::{self, Newcomer, VettingRules};
use metadata::records::{Rank, Standing, Subnet, WeekHours};
use types::{Geometry, NodeId, Timestamp};

use crate::chance::Chance;
use crate::checkers;
use crate::groups::{Group, NOBODY, put, slots_in};
use crate::plan::{Plan, Scenario};
use crate::report::{Report, Tally};
use crate::volunteer::{BIGGEST_REGION, Crowd, HOURS, Nature, RESTLESS, Volunteer, holiday};

/// Milliseconds of an hour.
pub const HOUR: u64 = 3_600_000;
/// Milliseconds of a day.
pub const DAY: u64 = 24 * HOUR;
/// Milliseconds between two rounds of the gateway.
pub const TICK: u64 = HOUR / 4;
/// When it begins: Monday 5 January 2026, 00:00 UTC.
pub const BEGIN: u64 = 1_767_571_200_000;
/// Days in which the gateway learns when nodes are awake, before anything is stored.
pub const WARM_UP_DAYS: u64 = 14;
/// Days within which a polite node's owner gives up waiting to be let go.
const PATIENCE_DAYS: u64 = 30;
/// Days until a node that comes new takes the place of one that left, at most.
const SUCCESSION_DAYS: f64 = 3.0;
/// Days within which a node's scrub meets what has rotted.
const SCRUB_DAYS: f64 = 30.0;
/// Days for which the biggest region is cut off in [`Scenario::Blackout`].
const BLACKOUT_DAYS: u64 = 2;

/// Something that happens to a node, or to all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    /// The hour in which it may be turned on or off.
    Stir(u32),
    /// It comes new.
    Arrive,
    /// Its owner wants to leave for ever.
    Depart(u32),
    /// It is gone for ever.
    Vanish(u32),
    /// Its disk loses a hundredth of its shards.
    Rot(u32),
    /// Its disk loses everything.
    Crash(u32),
    /// Its scrub meets what has rotted.
    Scrub(u32),
    /// The gateway's round.
    Tick,
    /// What the scenario has in store.
    Scenario,
}

/// A slot that a node holds, or held before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The group's number.
    pub group: u32,
    /// The slot.
    pub slot: u8,
    /// Whether another has taken it over, and is being filled.
    pub before: bool,
}

/// A node: the volunteer, and what the gateway has on it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The computer and its owner.
    pub volunteer: Volunteer,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it has left for ever. The gateway does not know.
    pub gone: bool,
    /// Until when its owner is away.
    pub away_until: u64,
    /// Whether it may lack shards that it should have. The gateway does not know.
    pub damaged: bool,
    /// When it was last connected.
    pub last_seen: u64,
    /// When it joined.
    pub joined: Timestamp,
    /// Whether it is declared lost.
    pub lost: bool,
    /// Whether it leaves, and said so.
    pub leaving: bool,
    /// Bytes of the shards it was given.
    pub used: u64,
    /// Bytes that repair brought it in this tick.
    pub taken: u64,
    /// What it holds.
    pub places: Vec<Place>,
    /// How it has done.
    pub standing: Standing,
    /// When it was awake.
    pub hours: WeekHours,
    /// What follows from that, as of this day.
    pub chances: Chances,
    /// The mean wait between its audits.
    pub wait: Option<Duration>,
    /// When it is audited next.
    pub next_audit: u64,
}

/// Everything.
pub struct World {
    /// What is simulated.
    pub plan: Plan,
    /// How segments are cut.
    pub geometry: Geometry,
    /// All chance.
    pub chance: Chance,
    /// The moment.
    pub now: Timestamp,
    /// All that ever joined, by number.
    pub nodes: Vec<Node>,
    /// All groups, by number.
    pub groups: Vec<Group>,
    /// What is counted.
    pub tally: Tally,
    /// Segments whose write found no group and is tried again.
    pub pending: usize,
    rules: ScoreRules,
    pub(crate) vetting: VettingRules,
    crowd: Crowd,
    blackout_until: u64,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    planned: u64,
}

impl Node {
    /// The rank it has.
    #[must_use]
    pub fn rank(&self) -> Rank {
        self.standing.rank
    }

    /// Whether the gateway counts its shards as being there.
    #[must_use]
    pub fn believed(&self) -> bool {
        !self.lost && self.rank() < Rank::Disqualified
    }

    /// Whether it may be given shards now, also those of repair.
    #[must_use]
    pub fn takes_shards(&self) -> bool {
        self.online
            && !self.leaving
            && self.rank() < Rank::Disqualified
            && self.used < self.volunteer.capacity
    }
}

/// A node's id: its number, for all to see.
#[must_use]
pub fn node_id(number: u32) -> NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    NodeId(id)
}

/// The number in such an id.
#[must_use]
pub fn number_of(id: NodeId) -> u32 {
    let [a, b, c, d, ..] = id.0;
    u32::from_be_bytes([a, b, c, d])
}

impl World {
    /// A network whose nodes have joined, and that stores nothing yet.
    ///
    /// # Errors
    /// What is wrong with the plan.
    pub fn new(plan: Plan) -> Result<Self, String> {
        plan.check()?;
        let mut chance = Chance::new(plan.seed);
        let Plan { availability, leave_per_week, polite, liars, .. } = plan;
        let crowd = Crowd::new(availability, leave_per_week, polite, liars, &mut chance);
        let mut world = Self {
            geometry: plan.geometry(),
            chance,
            now: Timestamp(BEGIN),
            nodes: Vec::new(),
            groups: Vec::new(),
            tally: Tally::default(),
            pending: 0,
            rules: ScoreRules::default(),
            vetting: VettingRules::default(),
            crowd,
            blackout_until: 0,
            events: BinaryHeap::new(),
            planned: 0,
            plan,
        };
        for _ in 0..world.plan.nodes {
            let number = world.arrive();
            // The network is not new: its operator knows these.
            world.nodes[number as usize].standing.vetted = Some(world.now);
        }
        world.at(BEGIN + TICK, Event::Tick);
        if world.plan.scenario != Scenario::Everyday {
            let day = WARM_UP_DAYS + world.plan.event_day();
            world.at(BEGIN + day * DAY + DAY / 2, Event::Scenario);
        }
        Ok(world)
    }

    /// Lives through all of it; `progress` hears of each day.
    pub fn run(mut self, mut progress: impl FnMut(&Self, u64)) -> Report {
        let end = BEGIN + (WARM_UP_DAYS + self.plan.days) * DAY;
        let mut told = WARM_UP_DAYS;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = Timestamp(at);
            self.happen(event);
            let day = (at - BEGIN) / DAY;
            if day > told {
                told = day;
                progress(&self, day - WARM_UP_DAYS);
            }
        }
        Report::of(&self)
    }

    /// Whether data is stored by now.
    #[must_use]
    pub fn in_service(&self) -> bool {
        self.now.0 >= BEGIN + WARM_UP_DAYS * DAY
    }

    /// Hours since data is stored.
    #[must_use]
    pub fn hour(&self) -> u64 {
        self.now.0.saturating_sub(BEGIN + WARM_UP_DAYS * DAY) / HOUR
    }

    fn at(&mut self, at: u64, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((at, self.planned, event)));
    }

    fn after_days(&mut self, days: f64, event: Event) {
        // More than a lifetime is never.
        if days < 100.0 * 365.0 {
            self.at(self.now.0 + (days * DAY as f64) as u64, event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Stir(node) => self.stir(node),
            Event::Arrive => {
                let number = self.arrive();
                self.tally.note(self.now, "arrived", u64::from(number));
            }
            Event::Depart(node) => self.depart(node),
            Event::Vanish(node) => self.vanish(node),
            Event::Rot(node) => self.rot(node),
            Event::Crash(node) => self.crash(node),
            Event::Scrub(node) => {
                if self.nodes[node as usize].online {
                    self.own_up(node);
                }
            }
            Event::Tick => self.tick(),
            Event::Scenario => self.strike(),
        }
    }

    fn arrive(&mut self) -> u32 {
        let volunteer = self.crowd.draw(&mut self.chance);
        let number = self.nodes.len() as u32;
        let (stays, now) = (volunteer.stays, self.now);
        let mut hours = WeekHours::default();
        availability::resume(&mut hours, now);
        let damaged = volunteer.nature != Nature::Honest;
        self.nodes.push(Node {
            volunteer,
            online: false,
            gone: false,
            away_until: 0,
            damaged,
            last_seen: now.0,
            joined: now,
            lost: false,
            leaving: false,
            used: 0,
            taken: 0,
            places: Vec::new(),
            standing: Standing::default(),
            hours,
            chances: Chances::default(),
            wait: mean_wait(self.plan.audits_per_day, availability::PRIOR),
            next_audit: 0,
        });
        // Whoever joins is there.
        self.connect(number, true);
        let within = self.chance.below(HOUR as usize) as u64;
        self.at(now.0 + within, Event::Stir(number));
        self.after_days(stays, Event::Depart(number));
        self.plan_decay(number);
        number
    }

    /// Plans the next time the disk loses something.
    fn plan_decay(&mut self, node: u32) {
        let rate = self.plan.rot_per_year;
        if rate > 0.0 {
            let (rot, crash) =
                (self.chance.wait(365.0 / rate), self.chance.wait(4.0 * 365.0 / rate));
            let (days, event) =
                if rot < crash { (rot, Event::Rot(node)) } else { (crash, Event::Crash(node)) };
            self.after_days(days, event);
        }
    }

    fn stir(&mut self, number: u32) {
        let (now, hour) = (self.now, hour_of_week(self.now));
        let node = &mut self.nodes[number as usize];
        if node.gone {
            return;
        }
        self.events.push(Reverse((now.0 + HOUR, self.planned + 1, Event::Stir(number))));
        self.planned += 1;
        if now.0 < node.away_until {
            return;
        }
        if let Some(hours) = holiday(&mut self.chance) {
            node.away_until = now.0 + (hours * HOUR as f64) as u64;
            return self.connect(number, false);
        }
        let cut = now.0 < self.blackout_until && node.volunteer.region == BIGGEST_REGION;
        if self.chance.happens(RESTLESS) {
            let on = self.chance.happens(node.volunteer.chances[hour % HOURS]) && !cut;
            self.connect(number, on);
        }
    }

    /// Turns a node on or off.
    fn connect(&mut self, number: u32, on: bool) {
        let now = self.now;
        let node = &mut self.nodes[number as usize];
        if node.online == on || (on && node.gone) {
            return;
        }
        availability::watch(&mut node.hours, node.online, now);
        node.online = on;
        if !on {
            node.last_seen = now.0;
            return self.refresh(number);
        }
        if node.lost {
            node.lost = false;
            self.tally.came_back += 1;
        }
        if let Some(wait) = node.wait {
            let wait = next_wait(wait, self.chance.number());
            node.next_audit = now.0 + wait.as_millis() as u64;
        }
        self.refresh(number);
        // The gateway compares its inventory (`upkeep/reconcile.rs`).
        if self.nodes[number as usize].damaged {
            self.own_up(number);
        }
    }

    fn depart(&mut self, number: u32) {
        let node = &mut self.nodes[number as usize];
        if node.gone {
            return;
        }
        if node.volunteer.polite {
            node.leaving = true;
            self.tally.left_politely += 1;
            self.refresh(number);
            self.at(self.now.0 + PATIENCE_DAYS * DAY, Event::Vanish(number));
        } else {
            self.vanish(number);
        }
    }

    /// A node is gone for ever, and another one will come in its place.
    fn vanish(&mut self, number: u32) {
        if self.destroy(number) {
            let days = self.chance.unit() * SUCCESSION_DAYS;
            self.after_days(days, Event::Arrive);
        }
    }

    /// A node is gone for ever; whether that is news.
    fn destroy(&mut self, number: u32) -> bool {
        if self.nodes[number as usize].gone {
            return false;
        }
        self.connect(number, false);
        self.nodes[number as usize].gone = true;
        self.tally.vanished += 1;
        self.tally.note(self.now, "vanished", u64::from(number));
        self.refresh(number);
        true
    }

    fn rot(&mut self, number: u32) {
        self.lose_shards(number, 0.01);
        let days = self.chance.unit() * SCRUB_DAYS;
        self.after_days(days, Event::Scrub(number));
        self.plan_decay(number);
    }

    fn crash(&mut self, number: u32) {
        // Its owner puts in another disk.
        self.connect(number, false);
        self.lose_shards(number, 1.0);
        self.plan_decay(number);
    }

    /// A node loses this share of its shards.
    pub fn lose_shards(&mut self, number: u32, share: f64) {
        let node = &mut self.nodes[number as usize];
        if node.gone {
            return;
        }
        node.damaged = true;
        for place in &node.places {
            for segment in &mut self.groups[place.group as usize].segments {
                let side = if place.before { &mut segment.had } else { &mut segment.has };
                if *side & 1 << place.slot != 0 && self.chance.happens(share) {
                    *side &= !(1 << place.slot);
                }
            }
        }
        self.tally.rotted += 1;
        self.tally.note(self.now, "rotted", u64::from(number));
    }

    /// An honest node tells what it lacks, and the gateway believes it.
    fn own_up(&mut self, number: u32) {
        let now = self.now;
        let node = &mut self.nodes[number as usize];
        if node.volunteer.nature != Nature::Honest {
            return;
        }
        let mut lacks = 0;
        for place in node.places.iter().filter(|place| !place.before) {
            let group = &mut self.groups[place.group as usize];
            let bit = 1_u128 << place.slot;
            for segment in 0..group.segments.len() {
                let row = &group.segments[segment];
                let due = (row.has | row.missed) & bit == 0 && group.behind(segment) & bit == 0;
                if due {
                    group.miss(segment, bit);
                    lacks += 1;
                }
            }
        }
        node.damaged = false;
        if lacks > 0 {
            let words = format!("its inventory lacks {lacks} shards that it had stored");
            score::own_up(&mut node.standing, lacks, None, &words, now);
        }
    }

    fn strike(&mut self) {
        checkers::before(self);
        if let Some(share) = self.plan.scenario.destroyed() {
            let mut alive: Vec<u32> = (0..self.nodes.len() as u32)
                .filter(|number| !self.nodes[*number as usize].gone)
                .collect();
            let doomed = (alive.len() as f64 * share).round() as usize;
            for _ in 0..doomed {
                let at = self.chance.below(alive.len());
                let number = alive.swap_remove(at);
                self.destroy(number);
            }
        } else {
            self.blackout_until = self.now.0 + BLACKOUT_DAYS * DAY;
            let cut = |node: &Node| node.volunteer.region == BIGGEST_REGION;
            let cut: Vec<u32> = (0..self.nodes.len() as u32)
                .filter(|number| cut(&self.nodes[*number as usize]))
                .collect();
            cut.into_iter().for_each(|number| self.connect(number, false));
        }
        checkers::after(self);
    }

    fn tick(&mut self) {
        let now = self.now;
        self.at(now.0 + TICK, Event::Tick);
        let hour = (now.0 - BEGIN).is_multiple_of(HOUR);
        if hour {
            self.keep_book();
        }
        if !self.in_service() {
            return;
        }
        self.audit();
        if hour {
            self.write();
            self.hand_over();
        }
        self.repair();
        if hour {
            checkers::look(self);
        }
    }

    /// Notes who is awake, and who is no newcomer any more.
    fn keep_book(&mut self) {
        let now = self.now;
        let daily = (now.0 - BEGIN).is_multiple_of(DAY);
        let mut fresh = Vec::new();
        for (number, node) in (0_u32..).zip(&mut self.nodes) {
            if node.gone && node.lost {
                continue;
            }
            availability::watch(&mut node.hours, node.online, now);
            if daily {
                node.chances = Chances::of(&node.hours);
                node.wait = mean_wait(self.plan.audits_per_day, node.chances.average());
            }
            let (joined, used, capacity) = (node.joined, node.used, node.volunteer.capacity);
            let newcomer = Newcomer { joined, used, capacity };
            if node.online && vetting::vet(&mut node.standing, &self.vetting, &newcomer, now) {
                fresh.push(number);
            }
            // A polite one may go once nobody counts on it.
            if node.leaving && !node.gone && node.places.is_empty() {
                self.planned += 1;
                self.events.push(Reverse((now.0, self.planned, Event::Vanish(number))));
            }
        }
        self.tally.vetted += fresh.len() as u64;
    }

    /// Takes into account what somebody saw of a node.
    pub fn observe(&mut self, number: u32, seen: &Observation) {
        let now = self.now;
        let node = &mut self.nodes[number as usize];
        if let Some(rank) = score::observe(&mut node.standing, &self.rules, seen, now) {
            self.tally.ranked(node, rank, now);
            self.tally.note(now, "ranked", u64::from(number));
            self.refresh(number);
        }
    }

    /// Notes in all places of a node how it is now.
    pub fn refresh(&mut self, number: u32) {
        let node = &self.nodes[number as usize];
        let takes = node.takes_shards();
        let shunned = node.online && (node.rank() >= Rank::Suspended || node.leaving);
        for place in &node.places {
            let (group, slot) = (&mut self.groups[place.group as usize], usize::from(place.slot));
            let side = if place.before { &mut group.before } else { &mut group.holders };
            put(&mut side.here, slot, node.online);
            put(&mut side.exists, slot, !node.gone);
            put(&mut side.believed, slot, node.believed());
            if !place.before {
                put(&mut group.taking, slot, takes);
                put(&mut group.usable, slot, takes && node.rank() < Rank::Suspended);
                put(&mut group.shunned, slot, shunned);
            }
        }
    }

    /// Adds a group with these members; its number.
    pub fn add_group(&mut self, members: &[u32]) -> u32 {
        let number = self.groups.len() as u32;
        self.groups.push(Group::new(members, self.geometry.n));
        for (slot, node) in (0_u8..).zip(members) {
            self.nodes[*node as usize].places.push(Place { group: number, slot, before: false });
            self.refresh(*node);
        }
        number
    }

    /// Gives a slot to a newcomer. Who held it is asked until the newcomer is filled (`Catalog::replace_member`).
    pub fn replace(&mut self, group: u32, slot: u8, newcomer: u32) {
        let (at, bit) = (usize::from(slot), 1_u128 << slot);
        let row = self.groups[group as usize].slots[at];
        let place = |before| Place { group, slot, before };
        if row.node != NOBODY {
            self.forget(row.previous, place(true));
            self.forget(row.node, place(false));
            self.nodes[row.node as usize].places.push(place(true));
        }
        let previous = if row.node == NOBODY { row.previous } else { row.node };
        let of = &mut self.groups[group as usize];
        for segment in &mut of.segments {
            if row.node != NOBODY {
                segment.had = (segment.had & !bit) | (segment.has & bit);
            }
            segment.has &= !bit;
        }
        of.filling |= bit;
        for side in [&mut of.holders, &mut of.before] {
            for set in [&mut side.here, &mut side.exists, &mut side.believed] {
                *set &= !bit;
            }
        }
        let slot = &mut of.slots[at];
        (slot.node, slot.previous, slot.filled_to) = (newcomer, previous, 0);
        self.nodes[newcomer as usize].places.push(place(false));
        self.refresh(newcomer);
        if previous != NOBODY {
            self.refresh(previous);
        }
    }

    /// Ends a slot's refill: the one before is not asked any more (`Catalog::slot_filled`).
    pub fn filled(&mut self, group: u32, slot: u8) {
        let of = &mut self.groups[group as usize];
        let (at, bit) = (usize::from(slot), 1_u128 << slot);
        let previous = std::mem::replace(&mut of.slots[at].previous, NOBODY);
        of.filling &= !bit;
        of.segments.iter_mut().for_each(|segment| segment.had &= !bit);
        for set in [&mut of.before.here, &mut of.before.exists, &mut of.before.believed] {
            *set &= !bit;
        }
        self.forget(previous, Place { group, slot, before: true });
    }

    fn forget(&mut self, number: u32, place: Place) {
        if number != NOBODY {
            self.nodes[number as usize].places.retain(|held| *held != place);
        }
    }

    /// A node as placement sees it.
    #[must_use]
    pub fn candidate(&self, number: u32) -> Candidate {
        let node = &self.nodes[number as usize];
        let vetted = node.standing.vetted.is_some();
        let [a, b, c, _] = node.volunteer.household.to_le_bytes();
        Candidate {
            id: node_id(number),
            owner: Some(node.volunteer.owner.clone()),
            subnet: Some(Subnet::V4([a, b, c])),
            region: Some(node.volunteer.region.to_owned()),
            vetted,
            trusted: node.rank() < Rank::Suspended
                && (vetted || node.used < self.vetting.bytes_max),
            free: node.volunteer.capacity.saturating_sub(node.used),
            chances: node.chances.clone(),
        }
    }

    /// Nodes that could take a shard now, by number, in order.
    #[must_use]
    pub fn takers(&self) -> Vec<u32> {
        (0_u32..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.takes_shards())
            .map(|(at, _)| at)
            .collect()
    }

    /// How many vetted nodes there are that are not declared lost.
    #[must_use]
    pub fn vetted(&self) -> usize {
        let kept = |node: &&Node| node.standing.vetted.is_some() && !node.lost;
        self.nodes.iter().filter(kept).count()
    }

    /// Brings a shard to a slot's holder, who may keep it.
    pub(crate) fn store(&mut self, group: u32, segment: usize, slots: u128) {
        let bytes = self.plan.shard_bytes();
        for slot in slots_in(slots) {
            let of = &mut self.groups[group as usize];
            let number = of.slots[slot].node;
            let node = &mut self.nodes[number as usize];
            let keeps = match node.volunteer.nature {
                Nature::Honest => true,
                Nature::Liar(share) => !self.chance.happens(share),
            };
            if keeps {
                of.segments[segment].has |= 1 << slot;
            }
            node.used += bytes;
            if node.used >= node.volunteer.capacity {
                self.refresh(number);
            }
        }
    }
}
