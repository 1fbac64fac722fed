//! Placement: who shares a group. Pure: candidates and chance in, members out.
//!
//! A group's members must not fail together. So no two are of one owner or one subnet, no region has more than half the parity, newcomers
//! have a bounded share ([`super::vetting`]), and among what is left the members are chosen so that in every hour of the week the chance that
//! fewer than k of r members are awake stays below a target ([`super::availability`]).
//!
//! The choice begins at random, where room weighs: of two nodes the one with twice the room is drawn twice as often, so that all fill
//! alike. Then, while the worst hour is above the target, the member that sleeps most in that hour is exchanged for a candidate
//! that does not, if that makes the group's worst hour better. If the target cannot be reached with the nodes there are, the best group found
//! is taken and reported as such ([`Chosen::unreadable`]): to refuse a customer's write because the network is young would help nobody.
//!
//! `local` is for nodes on one machine, and relaxes by its name: owner, subnet, region, vetting and hours do not count there.

use std::collections::{BTreeMap, BTreeSet};

use metadata::records::Subnet;
use types::{AccountId, Geometry, GeometryName, NodeId};

use super::availability::{Chances, unreadable_at, worst_hour};
use super::vetting::unvetted_max;

/// The chance that a group cannot be read in its worst hour of the week should be below this. `home` is for small networks, where the
/// choice is small, too.
#[must_use]
pub fn target(geometry: GeometryName) -> f64 {
    match geometry {
        GeometryName::Local => 1.0,
        GeometryName::Home => 1e-3,
        GeometryName::Wide => 1e-9,
    }
}

/// Exchanges tried for one group; each costs one walk over the week.
const EXCHANGES_MAX: usize = 64;
/// Members that sleep most in the worst hour and are looked at for one exchange: the first may be the only one of its kind.
const SLEEPERS_TRIED: usize = 4;
/// Bytes of room that are told apart: below, a node is as good as full, and above every one gets its turn.
const ROOM_MIN: u64 = types::GIB;

/// A node that could be a member.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which.
    pub id: NodeId,
    /// Whose; `None`: nobody's that is known, and so an owner of its own.
    pub owner: Option<AccountId>,
    /// Where in the network; `None` counts as a place of its own.
    pub subnet: Option<Subnet>,
    /// Where in the world; `None` counts as a place of its own.
    pub region: Option<String>,
    /// Whether it has shown enough for a full share.
    pub vetted: bool,
    /// Whether it may take new shards: neither suspended nor worse, and below a newcomer's share if it is one.
    pub trusted: bool,
    /// Bytes it can still take.
    pub free: u64,
    /// When it is awake.
    pub chances: Chances,
}

/// A group's members.
#[derive(Clone, PartialEq, Debug)]
pub struct Chosen {
    /// At least w of them, at most n.
    pub members: Vec<NodeId>,
    /// The chance that the group cannot be read in its worst hour.
    pub unreadable: f64,
}

/// Why no group can be formed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooFew {
    /// Members that could be found.
    pub found: usize,
    /// Members it takes.
    pub needed: usize,
}

/// What may still join a group.
struct Quota {
    strict: bool,
    owners: BTreeSet<AccountId>,
    subnets: BTreeSet<Subnet>,
    regions: BTreeMap<String, usize>,
    region_max: usize,
    unvetted: usize,
}

impl Quota {
    /// Of an empty group. `young`: there are too few vetted nodes for the newcomers' bound to be kept.
    fn new(geometry: &Geometry, young: bool) -> Self {
        Self {
            strict: geometry.name != GeometryName::Local,
            owners: BTreeSet::new(),
            subnets: BTreeSet::new(),
            regions: BTreeMap::new(),
            region_max: (geometry.m() / 2).max(1),
            unvetted: if young { geometry.n } else { unvetted_max(geometry) },
        }
    }

    /// Whether a node may join beside those that have.
    fn admits(&self, node: &Candidate) -> bool {
        let full = |region| self.regions.get(region).is_some_and(|count| *count >= self.region_max);
        !self.strict
            || (node.trusted
                && !node.owner.as_ref().is_some_and(|owner| self.owners.contains(owner))
                && !node.subnet.is_some_and(|subnet| self.subnets.contains(&subnet))
                && !node.region.as_ref().is_some_and(full)
                && (node.vetted || self.unvetted > 0))
    }

    fn take(&mut self, node: &Candidate) {
        self.owners.extend(node.owner.clone());
        self.subnets.extend(node.subnet);
        if let Some(region) = &node.region {
            *self.regions.entry(region.clone()).or_default() += 1;
        }
        self.unvetted = self.unvetted.saturating_sub(usize::from(!node.vetted));
    }
}

/// Chooses the members of a new group. `vetted` is how many vetted nodes the network has, also those that sleep; `random` gives uniform
/// numbers.
///
/// # Errors
/// [`TooFew`] if fewer than w can be found.
pub fn choose(
    geometry: &Geometry,
    candidates: &[Candidate],
    vetted: usize,
    mut random: impl FnMut() -> u64,
) -> Result<Chosen, TooFew> {
    let order = by_room(candidates, &mut random);
    let young = young(geometry, vetted);
    let mut quota = Quota::new(geometry, young);
    let mut members: Vec<&Candidate> = Vec::with_capacity(geometry.n);
    let mut rest: Vec<&Candidate> = Vec::new();
    // Where everybody may join, those who are trusted come first nevertheless.
    for trusted in [true, false] {
        for node in order.iter().copied().filter(|node| node.trusted == trusted) {
            if members.len() < geometry.n && quota.admits(node) {
                quota.take(node);
                members.push(node);
            } else {
                rest.push(node);
            }
        }
    }
    if members.len() < geometry.w {
        return Err(TooFew { found: members.len(), needed: geometry.w });
    }
    let unreadable = wake(geometry, &mut members, rest, young);
    Ok(Chosen { members: members.iter().map(|node| node.id).collect(), unreadable })
}

/// Chooses who takes a slot in a group beside `members`; `None` if nobody may. `local` takes who has most room, as nothing else counts
/// there.
#[must_use]
pub fn spare<'a>(
    geometry: &Geometry,
    members: &[Candidate],
    candidates: &'a [Candidate],
    vetted: usize,
) -> Option<&'a Candidate> {
    let young = young(geometry, vetted);
    let mut quota = Quota::new(geometry, young);
    members.iter().for_each(|member| quota.take(member));
    let fit = candidates
        .iter()
        .filter(|node| quota.admits(node) && members.iter().all(|member| member.id != node.id));
    if geometry.name == GeometryName::Local {
        return fit.max_by_key(|node| (node.trusted, node.free));
    }
    let rank = |node: &Candidate| {
        let with = Night::of(geometry, members.iter().chain([node]));
        // Many are good enough; among those the one with most room.
        if with.unreadable <= target(geometry.name) { 0.0 } else { with.misery }
    };
    let ranked = fit.map(|node| (rank(node), node));
    let best = ranked
        .min_by(|(one, a), (other, b)| one.total_cmp(other).then_with(|| b.free.cmp(&a.free)));
    best.map(|(_, node)| node)
}

/// A group in its worst hour of the week.
#[derive(Clone, Copy)]
struct Night {
    hour: usize,
    /// The chance that fewer than k of r members are awake, which is what the target is for.
    unreadable: f64,
    /// What exchanges lessen: that chance times the one without losses. The first alone does not change until more than n − r sleepers
    /// are exchanged, since it takes the best members for lost.
    misery: f64,
}

impl Night {
    fn of<'a>(geometry: &Geometry, members: impl Iterator<Item = &'a Candidate>) -> Self {
        let chances: Vec<&Chances> = members.map(|member| &member.chances).collect();
        let (hour, unreadable) = worst_hour(&chances, geometry.k, geometry.r);
        let misery = unreadable * unreadable_at(&chances, geometry.k, geometry.n, hour);
        Self { hour, unreadable, misery }
    }
}

/// Whether the network has too few vetted nodes to keep newcomers to their bound: before anybody is vetted, somebody has to be trusted.
/// Those that sleep count, so that strangers cannot wait for the night.
fn young(geometry: &Geometry, vetted: usize) -> bool {
    vetted + unvetted_max(geometry) < geometry.w
}

/// A random order in which room weighs (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
fn by_room<'a>(
    candidates: &'a [Candidate],
    random: &mut impl FnMut() -> u64,
) -> Vec<&'a Candidate> {
    let mut keyed: Vec<(f64, &Candidate)> = candidates
        .iter()
        .map(|node| {
            let weight = node.free.max(ROOM_MIN) as f64;
            (-unit(random()).ln() / weight, node)
        })
        .collect();
    keyed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    keyed.into_iter().map(|(_, node)| node).collect()
}

/// A number in (0, 1].
fn unit(random: u64) -> f64 {
    ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// Exchanges sleepers for others until the group's worst hour is below the target, or nothing helps; how bad it is then.
fn wake<'a>(
    geometry: &Geometry,
    members: &mut [&'a Candidate],
    mut rest: Vec<&'a Candidate>,
    young: bool,
) -> f64 {
    let night = |members: &[&Candidate]| Night::of(geometry, members.iter().copied());
    let mut now = night(members);
    if geometry.name == GeometryName::Local {
        return now.unreadable;
    }
    for _ in 0..EXCHANGES_MAX {
        if now.unreadable <= target(geometry.name) {
            break;
        }
        let at = |node: &Candidate| node.chances.at(now.hour);
        let mut sleepers: Vec<usize> = (0..members.len()).collect();
        sleepers.sort_by(|one, other| at(members[*one]).total_cmp(&at(members[*other])));
        rest.sort_by(|one, other| at(other).total_cmp(&at(one)));
        let found = sleepers.into_iter().take(SLEEPERS_TRIED).find_map(|out| {
            let quota = without(geometry, members, out, young);
            let better = |node: &&Candidate| at(node) > at(members[out]) && quota.admits(node);
            let fresh = rest.iter().position(better)?;
            let mut tried = members.to_vec();
            tried[out] = rest[fresh];
            let after = night(&tried);
            (after.misery < now.misery).then_some((out, fresh, after))
        });
        let Some((out, fresh, after)) = found else { break };
        std::mem::swap(&mut members[out], &mut rest[fresh]);
        now = after;
    }
    now.unreadable
}

/// What may join if one member went.
fn without(geometry: &Geometry, members: &[&Candidate], out: usize, young: bool) -> Quota {
    let mut quota = Quota::new(geometry, young);
    let stay = members.iter().enumerate().filter(|(at, _)| *at != out);
    stay.for_each(|(_, member)| quota.take(member));
    quota
}

#[cfg(test)]
mod tests;
