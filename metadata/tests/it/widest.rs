//! The largest of everything fits the engine's limits: values of 100 kB, transactions of 1 MiB and 5 s.

use metadata::NewBody;
use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind};
use metadata::uploads::UploadAt;
use types::GeometryName::Wide;

use crate::support::{Stored, World, key, md5, part, wrap};

/// The most parts an upload may have.
const PARTS: u32 = 10_000;

/// Uploads the most parts there may be, each with a checksum; all are one stream in truth.
async fn upload(world: &World, name: &str) -> (UploadAt, Stored) {
    let at = world.create_upload(&key(name)).await.expect("begun");
    let stored = world.stream(1, Wide);
    world.put_part(&at, 1, &stored).await.expect("stored");
    let mut row = part(stored.id, stored.len, md5(&stored));
    row.checksums.push(Checksum {
        algorithm: ChecksumAlgorithm::Sha512,
        kind: ChecksumKind::FullObject,
        value: vec![7; 64],
    });
    for number in 1..=PARTS {
        let (catalog, session) = (&world.catalog, world.session);
        catalog.commit_part(session, &at, number, &row, &wrap(1), None).await.expect("stored");
    }
    (at, stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_parts_are_completed_replaced_copied_and_deleted() {
    let world = World::wide().await;
    for _ in 0..2 {
        let (at, stored) = upload(&world, "a").await;
        let chosen = (1..=PARTS).map(|number| (number, md5(&stored))).collect();
        world.complete(&at, chosen).await.expect("completed");
        assert_eq!(world.streams_of(&key("a")).await.expect("there").len(), PARTS as usize);
    }
    world.collect_all().await;
    let copy = world.copy(&key("a"), &key("b")).await.expect("located");
    world.commit(&copy).await.expect("copied");
    world.delete(&key("a")).await.expect("deleted");
    assert_eq!(world.streams_of(&key("b")).await.expect("there").len(), PARTS as usize);
    world.fsck().await;
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 1);
    world.delete(&key("b")).await.expect("deleted");
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_of_one_object_lose_their_keys_with_it() {
    let world = World::wide().await;
    let at = world.create_upload(&key("a")).await.expect("begun");
    let mut chosen = Vec::new();
    for number in 1..=PARTS {
        let stored = world.stream(0, Wide);
        world.put_part(&at, number, &stored).await.expect("stored");
        chosen.push((number, md5(&stored)));
    }
    world.complete(&at, chosen).await.expect("completed");
    let located = world.catalog.locate(world.bucket.1, &key("a")).await.expect("there");
    world.commit(&world.copy(&key("a"), &key("b")).await.expect("located")).await.expect("copied");
    world.commit(&world.inline(&key("a"))).await.expect("replaced");
    let wraps = world.rows_of(metadata::schema::WRAP_FAMILY, "wrap/1").await;
    assert_eq!(wraps, PARTS as usize + 1, "the copy's, and the inline object's");
    // A read that had begun goes on.
    let metadata::LocatedBody::Extents(extents) = located.body().await.expect("a body") else {
        panic!("it has extents");
    };
    located.wrap(extents[9_999].stream).await.expect("a wrap");
    world.fsck().await;
    world.delete(&key("b")).await.expect("deleted");
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 0);
}

#[tokio::test]
async fn thirty_two_segments_of_the_widest_geometry_are_stored_and_freed_while_all_slots_change_hands()
 {
    let world = World::wide().await;
    let stored = world.stream(32, Wide);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    for slot in 0..88 {
        let (slot, newcomer) = (types::Slot(slot), crate::support::node(100 + slot));
        world.catalog.replace_member(world.group, slot, newcomer).await.expect("replaced");
    }
    world.delete(&key("a")).await.expect("deleted");
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 0);
    assert_eq!(world.drops().await.len(), 32 * 88 * 2);
}

#[tokio::test]
async fn extents_with_many_checksums_make_smaller_pages() {
    let world = World::wide().await;
    let stored = world.stream(1, Wide);
    let mut extent = crate::support::extent(&stored, 1);
    extent.checksums = (0..10)
        .map(|_| Checksum {
            algorithm: ChecksumAlgorithm::Sha512,
            kind: ChecksumKind::Composite { parts: u32::MAX },
            value: vec![7; 64],
        })
        .collect();
    let mut extents = Vec::new();
    for part in 1..=900 {
        extents.push((metadata::Extent { part, ..extent.clone() }, wrap(1)));
    }
    let body = NewBody::Extents { extents, streams: vec![stored.commit.clone()] };
    let new = world.new_object(&key("a"), stored.len * 900, body);
    world.commit(&new).await.expect("stored");
    assert_eq!(world.streams_of(&key("a")).await.expect("there").len(), 900);
    world.fsck().await;
}
