use proptest::prelude::{any, prop_assert, proptest};
use proptest::{collection, prop_assert_eq};
use types::GeometryName::{Home, Local, Wide};

use super::*;

/// Enough vetted nodes for newcomers to be kept to their share.
const VETTED: usize = 1000;

/// Numbers that look random and are the same each time (SplitMix64).
fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A vetted node of an owner and a subnet of its own.
fn node(number: u16) -> Candidate {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    let [high, low] = number.to_be_bytes();
    Candidate {
        id: NodeId(id),
        owner: Some(format!("owner-{number}").parse().expect("an id")),
        subnet: Some(Subnet::V4([100, high, low])),
        region: None,
        vetted: true,
        trusted: true,
        free: 100 * types::GIB,
        chances: Chances::always(0.9),
    }
}

fn nodes(count: u16) -> Vec<Candidate> {
    (0..count).map(node).collect()
}

fn members<'a>(chosen: &Chosen, from: &'a [Candidate]) -> Vec<&'a Candidate> {
    let of = |id: &NodeId| from.iter().find(|node| node.id == *id).expect("a candidate");
    chosen.members.iter().map(of).collect()
}

#[test]
fn one_owner_and_one_subnet_have_one_slot() {
    let mut all = nodes(60);
    for (at, node) in all.iter_mut().enumerate() {
        if at < 30 {
            node.owner = Some("big".parse().expect("an id"));
        }
        if (30..34).contains(&at) {
            node.subnet = Some(Subnet::V4([9, 9, 9]));
        }
    }
    let chosen = choose(&Home.geometry(), &all, VETTED, numbers(1)).expect("a group");
    let found = members(&chosen, &all);
    assert_eq!(found.len(), 24);
    let owners: BTreeSet<_> = found.iter().map(|node| node.owner.clone()).collect();
    let subnets: BTreeSet<_> = found.iter().map(|node| node.subnet).collect();
    assert_eq!((owners.len(), subnets.len()), (24, 24));
    // One of the big owner and 26 others are not enough for two rules at once: one owner, 30 nodes.
    let one = choose(&Home.geometry(), &all[..30], VETTED, numbers(1));
    assert_eq!(one, Err(TooFew { found: 1, needed: 18 }));
}

#[test]
fn no_region_has_more_than_half_the_parity_and_unknown_ones_are_not_one_place() {
    let mut all = nodes(60);
    for node in &mut all[..40] {
        node.region = Some("here".to_owned());
    }
    let chosen = choose(&Home.geometry(), &all, VETTED, numbers(2)).expect("a group");
    let here = members(&chosen, &all).iter().filter(|node| node.region.is_some()).count();
    assert_eq!((chosen.members.len(), here), (24, 7));
}

#[test]
fn newcomers_have_a_bounded_share_once_enough_nodes_are_vetted() {
    let mut all = nodes(200);
    for node in &mut all[..100] {
        node.vetted = false;
    }
    let chosen = choose(&Wide.geometry(), &all, VETTED, numbers(3)).expect("a group");
    let new = members(&chosen, &all).iter().filter(|node| !node.vetted).count();
    assert_eq!((chosen.members.len(), new), (88, 6));
    // A young network has nobody else to trust.
    let chosen = choose(&Wide.geometry(), &all[..100], 69, numbers(3)).expect("a group");
    assert_eq!(chosen.members.len(), 88);
    // But where there are others, who only sleep, strangers do not get the night to themselves.
    let night = choose(&Wide.geometry(), &all[..100], 70, numbers(3));
    assert_eq!(night, Err(TooFew { found: 6, needed: 76 }));
}

#[test]
fn suspended_nodes_are_not_chosen() {
    let mut all = nodes(40);
    for node in &mut all[..15] {
        node.trusted = false;
    }
    let chosen = choose(&Home.geometry(), &all, VETTED, numbers(4)).expect("a group");
    assert!(members(&chosen, &all).iter().all(|node| node.trusted));
}

#[test]
fn local_takes_whom_it_always_took_and_trusted_ones_first() {
    let mut all = nodes(6);
    for node in &mut all {
        node.owner = Some("me".parse().expect("an id"));
        node.subnet = Some(Subnet::V4([9, 9, 9]));
        node.region = Some("desk".to_owned());
        (node.vetted, node.trusted) = (false, false);
        node.chances = Chances::always(0.1);
    }
    let chosen = choose(&Local.geometry(), &all, VETTED, numbers(5)).expect("a group");
    assert_eq!(chosen.members.len(), 6);
    let chosen = choose(&Local.geometry(), &all[..5], VETTED, numbers(5)).expect("a group");
    assert_eq!(chosen.members.len(), 5);
    assert!(choose(&Local.geometry(), &all[..4], VETTED, numbers(5)).is_err());
    let mut seven = nodes(7);
    seven[3].trusted = false;
    for seed in 0..50 {
        let chosen = choose(&Local.geometry(), &seven, VETTED, numbers(seed)).expect("a group");
        assert!(!chosen.members.contains(&seven[3].id));
    }
}

#[test]
fn groups_are_mixed_from_people_who_sleep_at_different_hours() {
    // Two continents: each sleeps eight hours, twelve hours apart, and most nodes are on the first.
    let asleep = |from: usize| {
        Chances::by_hour(|hour| if (hour % 24 + 24 - from) % 24 < 8 { 0.4 } else { 0.97 })
    };
    let mut all = nodes(60);
    for (at, node) in all.iter_mut().enumerate() {
        node.chances = asleep(if at < 40 { 22 } else { 10 });
    }
    let geometry = Home.geometry();
    for seed in 0..20 {
        let chosen = choose(&geometry, &all, VETTED, numbers(seed)).expect("a group");
        assert!(chosen.unreadable <= 0.1, "seed {seed}: {}", chosen.unreadable);
        let first: Vec<&Chances> = all[..24].iter().map(|node| &node.chances).collect();
        assert!(worst_hour(&first, geometry.k, geometry.r).1 > 0.7, "one continent would not do");
    }
}

#[test]
fn a_target_that_can_be_met_is_met() {
    let mut all = nodes(300);
    for (at, node) in all.iter_mut().enumerate() {
        node.chances = Chances::always(if at < 200 { 0.5 } else { 0.95 });
    }
    for seed in 0..3 {
        let chosen = choose(&Wide.geometry(), &all, VETTED, numbers(seed)).expect("a group");
        assert!(chosen.unreadable <= target(Wide), "seed {seed}: {:e}", chosen.unreadable);
    }
}

#[test]
fn a_node_with_twice_the_room_is_chosen_about_twice_as_often() {
    let mut all = nodes(400);
    for node in &mut all[..200] {
        node.free *= 2;
    }
    let (mut large, mut small) = (0, 0);
    for seed in 0..200 {
        let chosen = choose(&Home.geometry(), &all, VETTED, numbers(seed)).expect("a group");
        let found = members(&chosen, &all);
        let count = found.iter().filter(|node| node.free > 100 * types::GIB).count();
        large += count;
        small += chosen.members.len() - count;
    }
    let ratio = large as f64 / small as f64;
    assert!((1.6..2.4).contains(&ratio), "{ratio}");
}

#[test]
fn a_spare_node_breaks_no_rule_and_mends_the_worst_hour() {
    let mut all = nodes(24);
    let night = Chances::by_hour(|hour| if hour % 24 < 8 { 0.3 } else { 0.95 });
    all.iter_mut().for_each(|node| node.chances = night.clone());
    let mut same_owner = node(100);
    same_owner.owner.clone_from(&all[3].owner);
    let mut asleep = node(101);
    (asleep.chances, asleep.free) = (night, 900 * types::GIB);
    let (awake, full) = (node(102), Candidate { free: 1, ..node(103) });
    let candidates = [same_owner.clone(), asleep, awake.clone(), full];
    let found = spare(&Home.geometry(), &all[..23], &candidates, VETTED).expect("somebody");
    assert_eq!(found.id, awake.id);
    let same_owner = [same_owner];
    assert!(spare(&Home.geometry(), &all[..23], &same_owner, VETTED).is_none());
    let found = spare(&Local.geometry(), &all[..5], &same_owner, VETTED).expect("somebody");
    assert_eq!(found.id, same_owner[0].id);
    assert!(spare(&Local.geometry(), &all[..5], &all[..5], VETTED).is_none(), "nobody twice");
}

proptest! {
    #[test]
    fn whoever_the_candidates_are_the_rules_hold(
        seeds in collection::vec((any::<u64>(), 0_u16..40, 0_u8..30, 0_u8..4, any::<bool>(), any::<bool>()), 0..70),
        seed in any::<u64>(),
    ) {
        let all: Vec<Candidate> = seeds.iter().enumerate().map(|(at, (free, owner, subnet, region, vetted, trusted))| {
            let region = (*region > 0).then(|| format!("region-{region}"));
            let owner = (*owner > 0).then(|| format!("owner-{owner}").parse().expect("an id"));
            let subnet = (*subnet > 0).then_some(Subnet::V4([9, 9, *subnet]));
            let plain = node(u16::try_from(at).expect("few"));
            Candidate { owner, subnet, region, vetted: *vetted, trusted: *trusted, free: *free, ..plain }
        }).collect();
        let geometry = Home.geometry();
        if let Ok(chosen) = choose(&geometry, &all, VETTED, numbers(seed)) {
            let found = members(&chosen, &all);
            prop_assert!((geometry.w..=geometry.n).contains(&found.len()));
            let distinct: BTreeSet<NodeId> = chosen.members.iter().copied().collect();
            prop_assert_eq!(distinct.len(), found.len());
            let owners: Vec<_> = found.iter().filter_map(|node| node.owner.clone()).collect();
            prop_assert_eq!(owners.iter().collect::<BTreeSet<_>>().len(), owners.len());
            let subnets: Vec<_> = found.iter().filter_map(|node| node.subnet).collect();
            prop_assert_eq!(subnets.iter().collect::<BTreeSet<_>>().len(), subnets.len());
            prop_assert!(found.iter().all(|node| node.trusted));
            let new = found.iter().filter(|node| !node.vetted).count();
            prop_assert!(new <= unvetted_max(&geometry));
        }
        let local = choose(&Local.geometry(), &all, VETTED, numbers(seed));
        prop_assert_eq!(local.is_ok(), all.len() >= Local.geometry().w);
    }
}
