//! Groups: who holds which slot, while it changes hands and after.

use metadata::CatalogError;
use metadata::records::{GroupState, SlotRow};
use types::GeometryName::Local;
use types::{Epoch, SegmentId, ShardId, Slot, StreamId};

use crate::support::{World, key, members, node};

fn segment(world: &World, index: u32) -> SegmentId {
    SegmentId { stream: StreamId { session: world.session, serial: 1 }, index }
}

#[tokio::test]
async fn a_node_fills_one_slot_of_a_group() {
    let world = World::memory().await;
    let group = world.catalog.group(world.group).await.expect("there");
    for number in 0..6 {
        assert_eq!(group.slot_of(node(number + 1)), Some(Slot(number)));
        let groups = world.catalog.groups_of(node(number + 1)).await.expect("read");
        assert_eq!(groups, [(world.group, Slot(number))]);
    }
    assert_eq!(group.slot_of(node(7)), None);
    let twice = world.catalog.replace_member(world.group, Slot(0), node(2)).await;
    assert!(matches!(twice, Err(CatalogError::Exists(_))), "{twice:?}");
    let mut doubled = members(Local);
    doubled[5] = doubled[0];
    let doubled = world.catalog.create_group(Local, 1, &doubled).await;
    assert!(matches!(doubled, Err(CatalogError::Exists(_))), "{doubled:?}");
    let few = world.catalog.create_group(Local, 1, &members(Local)[..5]).await;
    assert!(matches!(few, Err(CatalogError::Corrupt(_))), "{few:?}");
    world.fsck().await;
}

#[tokio::test]
async fn a_group_may_begin_with_empty_slots_and_fill_them_later() {
    let world = World::memory().await;
    let mut some = members(Local);
    some[3] = None;
    let (id, group) = world.catalog.create_group(Local, 1, &some).await.expect("made");
    assert_eq!(group.slots[3], SlotRow { since: Epoch(1), ..SlotRow::default() });
    let group = world.catalog.replace_member(id, Slot(3), node(4)).await.expect("filled");
    assert_eq!((group.slots[3].node, group.slots[3].previous), (Some(node(4)), None));
    assert_eq!(group.epoch, Epoch(2));
    world.fsck().await;
}

#[tokio::test]
async fn a_refill_moves_on_and_ends() {
    let world = World::memory().await;
    let (catalog, id, slot) = (&world.catalog, world.group, Slot(2));
    let group = catalog.replace_member(id, slot, node(9)).await.expect("replaced");
    let row = SlotRow {
        node: Some(node(9)),
        since: Epoch(2),
        previous: Some(node(3)),
        filled_to: None,
        filling: true,
    };
    assert_eq!((group.epoch, &group.slots[2]), (Epoch(2), &row));
    let holders = |row: &SlotRow, index| row.holders(segment(&world, index)).collect::<Vec<_>>();
    assert_eq!(holders(&row, 0), [node(9), node(3)]);
    assert!(catalog.groups_of(node(3)).await.expect("read").is_empty());
    assert_eq!(catalog.groups_of(node(9)).await.expect("read"), [(id, slot)]);

    let to = Some(segment(&world, 5));
    let noted = catalog.slot_filled(id, slot, Epoch(2), to, false).await.expect("noted");
    let group = noted.expect("its own");
    assert_eq!(group.slots[2], SlotRow { filled_to: to, ..row });
    assert_eq!(holders(&group.slots[2], 5), [node(9)]);
    assert_eq!(holders(&group.slots[2], 6), [node(9), node(3)]);
    // It never moves back.
    for earlier in [None, Some(segment(&world, 1))] {
        let noted = catalog.slot_filled(id, slot, Epoch(2), earlier, false).await.expect("noted");
        assert_eq!(noted.expect("its own").slots[2].filled_to, to);
    }

    let done = SlotRow { node: Some(node(9)), since: Epoch(2), ..SlotRow::default() };
    for last in [true, false] {
        let noted = catalog.slot_filled(id, slot, Epoch(2), to, last).await.expect("noted");
        let group = noted.expect("its own");
        assert_eq!((group.epoch, &group.slots[2]), (Epoch(2), &done));
    }
    assert_eq!(holders(&done, 6), [node(9)]);
    world.fsck().await;
}

#[tokio::test]
async fn a_newcomer_that_is_lost_too_is_replaced() {
    let world = World::memory().await;
    let (catalog, id, slot) = (&world.catalog, world.group, Slot(0));
    catalog.replace_member(id, slot, node(9)).await.expect("replaced");
    let to = Some(segment(&world, 3));
    catalog.slot_filled(id, slot, Epoch(2), to, false).await.expect("noted").expect("its own");
    let group = catalog.replace_member(id, slot, node(10)).await.expect("replaced");
    let row = &group.slots[0];
    assert_eq!((row.node, row.previous, row.filled_to), (Some(node(10)), Some(node(9)), None));
    // The first holder comes back, into another slot.
    let group = catalog.replace_member(id, Slot(1), node(1)).await.expect("replaced");
    assert_eq!((group.epoch, group.slot_of(node(1))), (Epoch(4), Some(Slot(1))));
    assert_eq!(catalog.groups_of(node(1)).await.expect("read"), [(id, Slot(1))]);
    world.fsck().await;
}

#[tokio::test]
async fn a_refill_that_was_overtaken_by_the_next_newcomer_changes_nothing() {
    let world = World::memory().await;
    let (catalog, id, slot) = (&world.catalog, world.group, Slot(2));
    let first = catalog.replace_member(id, slot, node(9)).await.expect("replaced").epoch;
    let group = catalog.replace_member(id, slot, node(10)).await.expect("replaced");
    for (to, done) in [(Some(segment(&world, 7)), false), (None, true)] {
        let noted = catalog.slot_filled(id, slot, first, to, done).await.expect("asked");
        assert_eq!(noted, None, "the slot went to another node");
        assert_eq!(catalog.group(id).await.expect("there"), group, "as it was");
    }
    // The same node in the same slot, later, is another refill.
    catalog.replace_member(id, slot, node(3)).await.expect("replaced");
    let group = catalog.replace_member(id, slot, node(9)).await.expect("replaced");
    let noted = catalog.slot_filled(id, slot, first, None, true).await.expect("asked");
    assert_eq!(noted, None);
    let own = catalog.slot_filled(id, slot, group.epoch, None, true).await.expect("asked");
    assert!(own.is_some_and(|group| !group.slots[2].filling));
    world.fsck().await;
}

#[tokio::test]
async fn what_is_not_there_cannot_be_changed() {
    let world = World::memory().await;
    let (catalog, none) = (&world.catalog, types::GroupId(1));
    let refused = [
        catalog.group(none).await.err(),
        catalog.seal_group(none).await.err(),
        catalog.replace_member(none, Slot(0), node(9)).await.err(),
        catalog.replace_member(world.group, Slot(6), node(9)).await.err(),
        catalog.slot_filled(world.group, Slot(6), Epoch(1), None, true).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(CatalogError::Missing(_))), "{error:?}");
    }
    let group = catalog.seal_group(world.group).await.expect("sealed");
    assert_eq!((group.state, group.epoch), (GroupState::Sealed, Epoch(1)));
    world.fsck().await;
}

#[tokio::test]
async fn the_degraded_list_names_exactly_the_segments_that_miss_shards() {
    let world = World::memory().await;
    let (catalog, stored) = (&world.catalog, world.stream(3, Local));
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    let id = |index| SegmentId { stream: stored.id, index };
    let at = |index| (world.group, id(index));
    assert_eq!(catalog.degraded(None, 9).await.expect("read"), [at(2)]);
    catalog.mark_missed(id(0), &[Slot(1), Slot(4)]).await.expect("noted");
    catalog.mark_missed(id(1), &[]).await.expect("nothing to note");
    catalog.mark_missed(id(1), &[Slot(6)]).await.expect("there is no such slot");
    catalog.mark_missed(id(7), &[Slot(0)]).await.expect("there is no such segment");
    assert_eq!(catalog.degraded(None, 9).await.expect("read"), [at(0), at(2)]);
    assert_eq!(catalog.degraded(Some(at(0)), 9).await.expect("read"), [at(2)]);
    assert_eq!(world.fsck().await.degraded, 2);
    let on = |slot: u8| (Slot(slot), node(slot));
    catalog.mark_filled(world.group, id(0), &[on(1)]).await.expect("noted");
    assert_eq!(catalog.degraded(None, 1).await.expect("read"), [at(0)]);
    catalog.mark_filled(world.group, id(0), &[on(4), on(5)]).await.expect("noted");
    catalog.mark_filled(world.group, id(2), &[on(2)]).await.expect("noted");
    assert_eq!(world.fsck().await.degraded, 0);
}

#[tokio::test]
async fn a_rebuilt_shard_outlives_older_drop_orders_but_not_its_segment() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    let (catalog, node) = (&world.catalog, node(0));
    let segment = |index| SegmentId { stream: stored.id, index };
    let shard = |index| ShardId { group: world.group, segment: segment(index), slot: Slot(0) };
    catalog.order_drops(node, &[shard(0)]).await.expect("ordered");
    catalog.mark_filled(world.group, segment(0), &[(Slot(0), node)]).await.expect("noted");
    assert_eq!(catalog.drops_of(node, 9).await.expect("read"), []);
    // Of a segment that went away meanwhile, nothing may stay behind.
    catalog.mark_filled(world.group, segment(7), &[(Slot(0), node)]).await.expect("noted");
    assert_eq!(catalog.drops_of(node, 9).await.expect("read"), [shard(7)]);
}

#[tokio::test]
async fn a_stream_lends_the_wrap_of_whoever_still_has_one() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    world.commit(&world.whole(&key("0"), &stored)).await.expect("stored");
    for number in 1..20 {
        let copy = world.copy(&key("0"), &key(&number.to_string())).await.expect("located");
        world.commit(&copy).await.expect("copied");
    }
    for number in 0..19 {
        assert!(world.catalog.wrap_of(stored.id).await.expect("read").is_some());
        world.delete(&key(&number.to_string())).await.expect("deleted");
    }
    // References of deleted versions wait for collect; their wraps are gone.
    assert!(world.catalog.wrap_of(stored.id).await.expect("read").is_some());
    world.delete(&key("19")).await.expect("deleted");
    assert!(world.catalog.wrap_of(stored.id).await.expect("read").is_none());
}

#[tokio::test]
async fn a_sleeping_node_keeps_its_shards_and_a_lost_one_does_not() {
    let world = World::memory().await;
    let (catalog, id, slot) = (&world.catalog, world.group, Slot(1));
    // Slot 1 is handed from node 2 to node 7, and the refill has come to segment 10.
    catalog.replace_member(id, slot, node(7)).await.expect("replaced");
    let since = catalog.group(id).await.expect("there").slots[1].since;
    let noted = catalog.slot_filled(id, slot, since, Some(segment(&world, 10)), false).await;
    noted.expect("noted").expect("its own");
    let group = catalog.group(id).await.expect("there");
    let missed = [Slot(3)].into_iter().collect();
    let survive = |index, lost: &[u8]| {
        let kept = |id: types::NodeId| !lost.contains(&id.0[0]);
        group.shards_with(&missed, segment(&world, index), kept)
    };
    assert_eq!(survive(5, &[]), 5, "all but slot 3");
    assert_eq!((survive(5, &[7]), survive(5, &[2])), (4, 5), "node 7 has it already");
    assert_eq!((survive(15, &[7]), survive(15, &[2])), (5, 4), "node 2 has it still");
    assert_eq!(survive(5, &[1, 3, 5, 6, 7]), 0);
    // A segment that was written after the slot changed hands is with node 7, wherever the refill is.
    let sought = |lost: u8| group.shards_sought(&missed, segment(&world, 15), |id| id.0[0] != lost);
    assert_eq!((sought(2), sought(7), sought(1)), (5, 5, 4));
}
