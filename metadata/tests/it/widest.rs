//! The largest of everything fits the engine's limits: values of 100 kB, transactions of 1 MiB and 5 s.

use kv::{Family, Kv as _};
use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind, Detail};
use metadata::uploads::UploadAt;
use metadata::{Delete, NewBody, Rename, Sequel, Task};
use types::GeometryName::Wide;
use types::Timestamp;

use crate::support::{Stored, World, key, md5, part, wrap};

/// The most parts an upload may have.
const PARTS: u32 = 10_000;

fn large_checksum() -> Checksum {
    Checksum {
        algorithm: ChecksumAlgorithm::Sha512,
        kind: ChecksumKind::Composite { parts: u32::MAX },
        value: vec![7; 64],
    }
}

/// Uploads the most parts there may be, each with two large checksums; all are one stream in truth.
async fn upload(world: &World, name: &str) -> (UploadAt, Stored) {
    let at = world.create_upload(&key(name)).await.expect("begun");
    let stored = world.stream(1, Wide);
    world.put_part(&at, 1, &stored).await.expect("stored");
    let mut row = part(stored.id, stored.len, md5(&stored));
    row.checksums = vec![large_checksum(); 2];
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
    extent.checksums = vec![large_checksum(); 10];
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

/// Begins an upload of `count` parts with ten large checksums each, which together are more than one transaction takes.
async fn heavy_upload(world: &World, count: u32) -> (UploadAt, Vec<(u32, [u8; 16])>) {
    let at = world.create_upload(&key("a")).await.expect("begun");
    let stored = world.stream(1, Wide);
    world.put_part(&at, 1, &stored).await.expect("stored");
    let mut row = part(stored.id, stored.len, md5(&stored));
    row.checksums = vec![large_checksum(); 10];
    for number in 1..=count {
        let (catalog, session) = (&world.catalog, world.session);
        catalog.commit_part(session, &at, number, &row, &wrap(1), None).await.expect("stored");
    }
    (at, (1..=count).map(|number| (number, md5(&stored))).collect())
}

#[tokio::test]
async fn a_complete_in_several_transactions_may_stop_anywhere_and_be_repeated_or_aborted() {
    // One finds that it is too large, seven write a page each, and one completes.
    const ALL: u64 = 9;
    let mut done = 0;
    for (allowed, repeat) in (0..ALL + 2).flat_map(|allowed| [(allowed, true), (allowed, false)]) {
        let world = World::wide().await;
        let (at, chosen) = heavy_upload(&world, 700).await;
        world.engine.allow(allowed);
        let first = world.complete(&at, chosen.clone()).await;
        world.engine.allow(u64::MAX);
        world.fsck().await;
        done += u64::from(first.is_ok());
        if repeat || first.is_ok() {
            world.complete(&at, chosen).await.expect("completed");
            assert_eq!(world.streams_of(&key("a")).await.expect("there").len(), 700);
            world.fsck().await;
            world.delete(&key("a")).await.expect("deleted");
        } else {
            world.catalog.abort_upload(&at).await.expect("aborted");
        }
        world.collect_all().await;
        assert_eq!(world.fsck().await.streams, 0);
        assert_eq!(world.rows_of(Family::MAIN, "extent/1").await, 0, "pages are left");
    }
    assert_eq!(done, 2 * 2);
}

#[tokio::test]
async fn a_complete_of_fewer_parts_leaves_nothing_of_a_larger_one_that_stopped() {
    let world = World::wide().await;
    let (at, chosen) = heavy_upload(&world, 700).await;
    world.engine.allow(6);
    world.complete(&at, chosen.clone()).await.expect_err("stopped");
    world.engine.allow(u64::MAX);
    assert_eq!(world.rows_of(Family::MAIN, "extent/1").await, 5, "written ahead");
    world.complete(&at, chosen[..10].to_vec()).await.expect("completed");
    assert_eq!(world.rows_of(Family::MAIN, "extent/1").await, 1);
    world.fsck().await;
    world.collect_all().await;
    world.fsck().await;
    assert_eq!(world.streams_of(&key("a")).await.expect("there").len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_completes_at_once_with_different_parts_one_makes_the_object() {
    let world = World::wide().await;
    let (at, chosen) = heavy_upload(&world, 1400).await;
    let complete = |parts: Vec<(u32, [u8; 16])>| {
        let (world, at) = (world.clone(), at.clone());
        tokio::spawn(async move { world.complete(&at, parts).await })
    };
    let (odd, all) = (chosen.iter().copied().step_by(2).collect(), chosen);
    let (odd, all) = tokio::join!(complete(odd), complete(all));
    let parts = world.streams_of(&key("a")).await.expect("there").len();
    for (outcome, count) in [(odd.expect("ran"), 700), (all.expect("ran"), 1400)] {
        // The one that came too late is told what there is; one that never got a turn, to try again.
        match outcome {
            Ok(entry) => assert_eq!(entry.size, parts as u64 * crate::support::SEGMENT),
            Err(error) => assert!(parts != count, "{error}"),
        }
    }
    world.fsck().await;
    world.collect_all().await;
    world.fsck().await;
}

#[tokio::test]
async fn deletions_that_leave_more_to_do_than_one_transaction_takes_are_divided() {
    let world = World::memory().await;
    let mut deletes = Vec::new();
    for number in 0..16 {
        let name = key(&format!("k{number:02}"));
        world.commit(&world.inline(&name)).await.expect("stored");
        let work = || vec![0; 90_000];
        let sequel = Sequel::new(move |_| {
            vec![Task { queue: "events".to_owned(), due: Timestamp(1), work: work() }]
        });
        deletes.push(Delete { sequel, ..Delete::of(name) });
    }
    let results = world.catalog.delete_objects(&world.bucket, &deletes).await.expect("deleted");
    assert!(results.iter().all(|result| result.as_ref().is_ok_and(|done| done.gone.is_some())));
    assert_eq!(results.len(), 16);
    assert_eq!(world.catalog.queued("events", 99).await.expect("read").len(), 16);
    world.fsck().await;
}

#[tokio::test]
async fn a_bucket_with_more_rename_tokens_than_one_transaction_takes_is_deleted() {
    let world = World::memory().await;
    world.commit(&world.inline(&key("a"))).await.expect("stored");
    for number in 0..300_u32 {
        let (source, target) = if number % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let token = Some(format!("{number:05000}"));
        let sequel = Sequel::default();
        let rename = Rename { source: key(source), target: key(target), token, sequel };
        let renamed = world.catalog.rename_object(&world.bucket, &rename, |_, _| Ok(())).await;
        renamed.expect("renamed");
    }
    assert_eq!(world.rows_of(Family::MAIN, "rename/1").await, 300);
    world.delete(&key("a")).await.expect("deleted");
    world.catalog.delete_bucket(&world.bucket).await.expect("deleted");
    assert_eq!(world.rows_of(Family::MAIN, "rename/1").await, 0);
    world.fsck().await;
}

#[tokio::test]
async fn rows_of_the_past_that_are_large_are_moved_a_few_at_a_time() {
    let world = World::memory().await;
    let detail = Detail {
        user: vec![("note".to_owned(), "x".repeat(30_000))],
        checksums: vec![large_checksum()],
        ..Detail::default()
    };
    // `detail/1` had the first four fields of today's.
    let old = (&detail.headers, &detail.user, &detail.checksums, &detail.encryption);
    let old = postcard::to_stdvec(&old).expect("encoded");
    let mut objects = Vec::new();
    for number in 0..120 {
        let name = key(&format!("k{number:03}"));
        let entry = world.commit(&world.inline(&name)).await.expect("stored");
        let tx = world.engine.begin().await.expect("open");
        tx.delete(Family::MAIN, [b"detail/2\0", &entry.manifest.0[..]].concat());
        tx.put(Family::MAIN, [b"detail/1\0", &entry.manifest.0[..]].concat(), old.clone());
        tx.commit().await.expect("written");
        objects.push(name);
    }
    world.catalog.migrate().await.expect("migrated");
    assert_eq!(world.rows_of(Family::MAIN, "detail/1").await, 0);
    for name in &objects {
        let located = world.catalog.locate(world.bucket.1, name).await.expect("there");
        assert_eq!(located.detail, detail);
    }
    world.fsck().await;
}
