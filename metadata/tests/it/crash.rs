//! A crash after any transaction: the next run goes on where the last one stopped.

use metadata::CatalogError;
use types::GeometryName::Local;

use crate::support::{GRACE, World, extent, key, md5, wrap};

/// More transactions than any of these tests needs.
const ENOUGH: u64 = 60;

#[tokio::test]
async fn collect_goes_on_after_a_crash_at_any_point() {
    let mut finished = 0;
    for allowed in 0..ENOUGH {
        let world = World::memory().await;
        let (freed, shared, part) =
            (world.stream(70, Local), world.stream(2, Local), world.stream(1, Local));
        world.commit(&world.whole(&key("a"), &freed)).await.expect("stored");
        world.commit(&world.whole(&key("b"), &shared)).await.expect("stored");
        world
            .commit(&world.copy(&key("b"), &key("c")).await.expect("located"))
            .await
            .expect("copied");
        let at = world.create_upload(&key("u")).await.expect("begun");
        world.put_part(&at, 1, &part).await.expect("stored");
        world.delete(&key("a")).await.expect("deleted");
        world.delete(&key("b")).await.expect("deleted");
        world.catalog.abort_upload(&at).await.expect("aborted");
        world.engine.allow(allowed);
        let mut run = world.collect().await;
        world.clock.advance(GRACE);
        if run.is_ok() {
            run = world.collect().await;
        }
        finished += u64::from(run.is_ok());
        world.engine.allow(u64::MAX);
        world.fsck().await;
        world.collect_all().await;
        assert_eq!(world.fsck().await.streams, 1);
        assert_eq!(world.drops().await, world.drops_for([(freed.id, 70), (part.id, 1)], Local));
        assert_eq!(world.streams_of(&key("c")).await.expect("there"), [shared.id]);
    }
    assert!((1..ENOUGH).contains(&finished), "{finished} runs were not interrupted");
}

#[tokio::test]
async fn a_stream_that_was_marked_before_a_crash_can_still_be_unmarked() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    let copy = world.copy(&key("a"), &key("b")).await.expect("located");
    world.delete(&key("a")).await.expect("deleted");
    world.collect().await.expect("released");
    world.clock.advance(GRACE);
    // The mark is the first transaction of a check.
    world.engine.allow(1);
    world.collect().await.expect_err("stopped after the mark");
    world.engine.allow(u64::MAX);
    let refused = world.commit(&copy).await;
    assert!(
        matches!(refused, Err(CatalogError::StreamDying(id)) if id == stored.id),
        "{refused:?}"
    );
    world.collect_all().await;
    assert_eq!(world.catalog.stream(stored.id).await.expect("read"), None);
    assert_eq!(world.drops().await, world.drops_for([(stored.id, 1)], Local));
}

#[tokio::test]
async fn a_staged_copy_that_stops_anywhere_is_all_there_or_all_collected() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    let at = world.create_upload(&key("a")).await.expect("begun");
    world.put_part(&at, 1, &stored).await.expect("stored");
    world.complete(&at, vec![(1, md5(&stored))]).await.expect("completed");
    world.collect().await.expect("collected");
    let extents: Vec<_> = (1..=1700).map(|part| (extent(&stored, part), wrap(9))).collect();
    let mut done = 0;
    for allowed in 0..8 {
        let body = metadata::NewBody::Extents { extents: extents.clone(), streams: Vec::new() };
        let copy = world.new_object(&key("b"), stored.len * 1700, body);
        world.engine.allow(allowed);
        let outcome = world.commit(&copy).await;
        world.engine.allow(u64::MAX);
        world.fsck().await;
        let there = world.streams_of(&key("b")).await.map(|streams| streams.len());
        match outcome {
            Ok(_) => assert_eq!(there.expect("there"), 1700),
            Err(_) => assert!(matches!(there, Err(CatalogError::NoSuchKey)), "{there:?}"),
        }
        done += u32::from(outcome.is_ok());
        // While it may still be committed, collect leaves it alone.
        world.collect().await.expect("collected");
        world.fsck().await;
        world.delete(&key("b")).await.expect("deleted");
        world.collect_all().await;
        world.collect_all().await;
        assert_eq!(world.fsck().await.streams, 1);
    }
    assert_eq!(done, 3);
}

#[tokio::test]
async fn a_staged_copy_that_is_refused_leaves_nothing() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    let extents: Vec<_> = (1..=1700).map(|part| (extent(&stored, part), wrap(9))).collect();
    let body = metadata::NewBody::Extents { extents, streams: Vec::new() };
    let mut copy = world.new_object(&key("a"), stored.len * 1700, body);
    copy.preconditions.if_none_match = Some(metadata::Condition::Any);
    let refused = world.commit(&copy).await;
    assert!(matches!(refused, Err(CatalogError::PreconditionFailed)), "{refused:?}");
    world.fsck().await;
    world.collect_all().await;
    world.fsck().await;
    assert_eq!(world.catalog.garbage_left().await.expect("read").drops, 0);
    assert_eq!(world.streams_of(&key("a")).await.expect("there"), [stored.id]);
}
