//! Holdings: what nodes are told to hold is what lies on them, whatever changes and in whatever order it is taken in.

use std::collections::BTreeMap;
use std::time::Duration;

use metadata::Guest;
use metadata::records::{Rank, Standing};
use types::GeometryName::Local;
use types::usage::WorkKind;
use types::{NodeId, Slot};

use crate::support::{SEGMENT, World, key, node, on_every_engine};

on_every_engine! {
    nodes_hold_what_is_written_and_not_what_is_freed,
    a_shard_that_is_missed_is_held_by_nobody,
    a_refill_moves_bytes_as_it_goes,
    who_is_lost_or_disqualified_holds_nothing,
}

/// Bytes of each shard of a segment of the test's.
fn shard() -> u64 {
    Local.geometry().shard_len(SEGMENT)
}

/// Takes in what changed, in several steps.
async fn tally(world: &World) {
    while world.catalog.tally_held().await.expect("taken in") {}
    world.catalog.tally_groups().await.expect("looked at");
}

/// What the outbox says that nodes hold.
async fn told(world: &World) -> BTreeMap<NodeId, i128> {
    let mut sums: BTreeMap<NodeId, i128> = BTreeMap::new();
    for (_, dispatch) in world.catalog.outbox(usize::MAX).await.expect("read") {
        for event in dispatch.work {
            *sums.entry(event.node).or_default() += match event.kind {
                WorkKind::Held { bytes } => i128::from(bytes),
                WorkKind::Dropped { bytes } => -i128::from(bytes),
                other => panic!("{other:?}"),
            };
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// What a walk over the segments finds in each slot.
async fn found(world: &World) -> Vec<u64> {
    let mut slots = vec![0; Local.geometry().n];
    let ids = world.catalog.segments_of_group(world.group, None, 10_000).await.expect("read");
    for id in ids {
        let row = world.catalog.segment(id).await.expect("read").expect("there");
        for (slot, sum) in (0u8..).map(Slot).zip(&mut slots) {
            *sum += if row.missed.contains(slot) { 0 } else { shard() };
        }
    }
    slots
}

async fn check(world: &World) {
    tally(world).await;
    let holding = world.catalog.holding(world.group).await.expect("read");
    let counted: Vec<u64> =
        (0..Local.geometry().n as u8).map(|slot| holding.in_slot(Slot(slot))).collect();
    assert_eq!(counted, found(world).await);
}

async fn nodes_hold_what_is_written_and_not_what_is_freed(world: World) {
    let (a, b) = (key("a"), key("b"));
    world.commit(&world.inline(&b)).await.expect("stored");
    check(&world).await;
    assert_eq!(told(&world).await, BTreeMap::new(), "the metadata itself is nobody's shard");
    let two = world.stream(2, Local);
    world.commit(&world.whole(&a, &two)).await.expect("stored");
    check(&world).await;
    let held = i128::from(shard());
    // The last segment of a stream misses slot 2 in these tests.
    let expected = (1..=6).map(|at| (node(at), if at == 3 { held } else { 2 * held }));
    assert_eq!(told(&world).await, expected.collect());

    world.commit(&world.copy(&a, &b).await.expect("located")).await.expect("copied");
    world.delete(&a).await.expect("deleted");
    world.collect_all().await;
    check(&world).await;
    assert_eq!(told(&world).await[&node(1)], 2 * held, "the copy holds the shards");
    world.delete(&b).await.expect("deleted");
    world.collect_all().await;
    check(&world).await;
    assert_eq!(told(&world).await, BTreeMap::new());
}

async fn a_shard_that_is_missed_is_held_by_nobody(world: World) {
    let stored = world.stream(1, Local);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    check(&world).await;
    let segment = types::SegmentId { stream: stored.id, index: 0 };
    assert!(!told(&world).await.contains_key(&node(3)));
    world.catalog.mark_filled(world.group, segment, &[(Slot(2), node(3))]).await.expect("noted");
    check(&world).await;
    assert_eq!(told(&world).await[&node(3)], i128::from(shard()));
    for _ in 0..2 {
        world.catalog.mark_missed(segment, &[Slot(0), Slot(2)]).await.expect("noted");
    }
    check(&world).await;
    let told = told(&world).await;
    assert!(!told.contains_key(&node(1)) && !told.contains_key(&node(3)));
    assert_eq!(told.len(), 4);
}

async fn a_refill_moves_bytes_as_it_goes(world: World) {
    let mut segments = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let stored = world.stream(1, Local);
        world.commit(&world.whole(&key(name), &stored)).await.expect("stored");
        segments.push(types::SegmentId { stream: stored.id, index: 0 });
    }
    check(&world).await;
    let held = i128::from(shard());
    let (old, new) = (node(1), node(9));
    let replace = world.catalog.replace_member(world.group, Slot(0), new);
    let since = replace.await.expect("replaced").epoch;
    check(&world).await;
    assert_eq!(told(&world).await[&old], 4 * held, "it serves until the newcomer has them");
    for (filled, at) in [(1, 0), (1, 0), (3, 2)] {
        let to = Some(segments[at]);
        let progress = world.catalog.slot_filled(world.group, Slot(0), since, to, false);
        progress.await.expect("noted").expect("its own");
        check(&world).await;
        let told = told(&world).await;
        assert_eq!((told[&new], told[&old]), (filled * held, (4 - filled) * held));
    }
    let to = Some(segments[3]);
    let progress = world.catalog.slot_filled(world.group, Slot(0), since, to, true);
    progress.await.expect("noted").expect("its own");
    check(&world).await;
    assert_eq!(told(&world).await[&new], 4 * held);
    let holding = world.catalog.holding(world.group).await.expect("read");
    assert!(holding.filled.is_empty(), "the refill is over");
    assert!(!told(&world).await.contains_key(&old));
}

async fn who_is_lost_or_disqualified_holds_nothing(world: World) {
    let catalog = &world.catalog;
    let stored = world.stream(2, Local);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    for number in [1, 2] {
        let (token, good_for) = ([number; 32], Duration::from_secs(60));
        catalog.create_invite_for(token, good_for, Guest::default()).await.expect("invited");
        catalog.admit_node(token, node(number), "attic", 5).await.expect("admitted");
    }
    check(&world).await;
    let held = 2 * i128::from(shard());
    let before = told(&world).await;
    assert_eq!((before[&node(1)], before[&node(2)]), (held, held));

    catalog.node_lost(node(1)).await.expect("lost");
    let disqualified = Standing { rank: Rank::Disqualified, ..Standing::default() };
    catalog.put_standings(&[(node(2), disqualified)]).await.expect("noted");
    check(&world).await;
    let holders = || async { told(&world).await.into_keys().collect::<Vec<_>>() };
    assert_eq!(holders().await, [node(3), node(4), node(5), node(6)]);
    // Nor does it while another is being filled in its place.
    catalog.replace_member(world.group, Slot(0), node(9)).await.expect("replaced");
    check(&world).await;
    assert_eq!(holders().await, [node(3), node(4), node(5), node(6)]);

    catalog.put_standings(&[(node(2), Standing::default())]).await.expect("noted");
    check(&world).await;
    assert_eq!(told(&world).await[&node(2)], held, "it was reinstated, and still has them");
}
