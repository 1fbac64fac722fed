//! The outbox: every change tells exactly what it stored and released, whatever happens between.

use std::collections::BTreeMap;

use metadata::list_versions::ListedVersion;
use metadata::records::Versioning;
use metadata::{
    Append, CatalogError, Condition, Delete, Dispatch, DispatchAt, Entry, Etag, ListQuery,
    NewObject, Preconditions, Rename, Sequel,
};
use types::GeometryName::{self, Local};
use types::usage::{UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{BucketId, Timestamp};

use crate::support::{SEGMENT, World, account, extent, key, md5, node, on_every_engine, wrap};

on_every_engine! {
    every_change_tells_what_it_stored_and_released,
    versions_and_markers_are_told_by_their_bytes,
    parts_are_told_as_they_come_and_go,
    a_change_of_class_moves_bytes_from_one_price_to_another,
    a_refused_change_tells_nothing,
    what_was_told_is_taken_out_once,
    more_reads_than_fit_a_transaction_are_all_told,
}

/// What the outbox says is stored, by bucket and geometry.
async fn told(world: &World) -> BTreeMap<(BucketId, GeometryName), i128> {
    let mut sums = BTreeMap::new();
    for (_, dispatch) in world.catalog.outbox(usize::MAX).await.expect("read") {
        for UsageEvent { account: payer, bucket, kind, .. } in dispatch.usage {
            assert_eq!(payer, account(), "the bucket's owner pays");
            let (bytes, geometry) = match kind {
                UsageKind::Stored { bytes, geometry } => (i128::from(bytes), geometry),
                UsageKind::Released { bytes, geometry } => (-i128::from(bytes), geometry),
                _ => continue,
            };
            assert_ne!(bytes, 0, "nothing is told of nothing");
            *sums.entry((bucket, geometry)).or_default() += bytes;
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// What the bucket holds, versions and parts.
async fn held(world: &World) -> BTreeMap<(BucketId, GeometryName), i128> {
    let (bucket, mut sums) = (world.bucket.1, BTreeMap::new());
    let query = ListQuery { limit: 10_000, ..ListQuery::default() };
    let (versions, _) = world.catalog.list_versions(bucket, &query, None).await.expect("read");
    for ListedVersion { entry, .. } in versions.items {
        *sums.entry((bucket, entry.geometry)).or_default() += i128::from(entry.size);
    }
    let (uploads, _) = world.catalog.list_uploads(bucket, &query, None).await.expect("read");
    for (_, id, upload) in uploads.items {
        for (_, part) in world.catalog.parts(id, 0, 10_000).await.expect("read") {
            *sums.entry((bucket, upload.geometry)).or_default() += i128::from(part.len);
        }
    }
    sums.retain(|_, sum| *sum != 0);
    sums
}

/// What was told is what is there. Nothing may be left to collect.
pub(crate) async fn check(world: &World) {
    assert_eq!(told(world).await, held(world).await);
}

/// Takes rows out, as a settlement does.
async fn take(world: &World, rows: &[DispatchAt]) -> Vec<(DispatchAt, Dispatch)> {
    let catalog = &world.catalog;
    let engine = catalog.engine();
    let taken = kv::transact(&**engine, |tx| async move {
        let taken = catalog.take_told(&tx, rows).await?;
        assert_eq!(catalog.take_told(&tx, rows).await?, [], "they are taken");
        Ok::<_, CatalogError>(taken)
    });
    taken.await.expect("taken")
}

/// What was told since the last time: what was released, then what was stored, small before large.
async fn news(world: &World) -> Vec<UsageKind> {
    let mut rows = world.catalog.outbox(usize::MAX).await.expect("read");
    rows.sort_by_key(|(at, _)| at.1);
    let told: Vec<_> = rows.iter().map(|(at, _)| *at).collect();
    take(world, &told).await;
    let mut kinds: Vec<_> =
        rows.into_iter().flat_map(|(_, row)| row.usage).map(|event| event.kind).collect();
    kinds.sort_by_key(|kind| match kind {
        UsageKind::Released { bytes, .. } => (0, *bytes),
        UsageKind::Stored { bytes, .. } => (1, *bytes),
        _ => (2, 0),
    });
    kinds
}

fn stored(bytes: u64) -> UsageKind {
    UsageKind::Stored { bytes, geometry: Local }
}

fn released(bytes: u64) -> UsageKind {
    UsageKind::Released { bytes, geometry: Local }
}

async fn every_change_tells_what_it_stored_and_released(world: World) {
    let (a, b) = (key("a"), key("b"));
    world.commit(&world.inline(&a)).await.expect("stored");
    assert_eq!(news(&world).await, [stored(6)]);

    let two = world.stream(2, Local);
    world.commit(&world.whole(&a, &two)).await.expect("stored");
    assert_eq!(news(&world).await, [released(6), stored(2 * SEGMENT)]);

    let copy = world.copy(&a, &b).await.expect("located");
    world.commit(&copy).await.expect("copied");
    assert_eq!(news(&world).await, [stored(2 * SEGMENT)]);

    let seen = world.catalog.locate(world.bucket.1, &b).await.expect("there").entry;
    let more = world.stream(1, Local);
    let append = Append {
        bucket: world.bucket.clone(),
        key: b.clone(),
        seen,
        stream: more.commit.clone(),
        len: more.len,
        wrap: wrap(9),
        part_checksums: Vec::new(),
        etag: Etag { md5: [9; 16], parts: 2 },
        checksums: Vec::new(),
        preconditions: Preconditions::default(),
        sequel: Sequel::default(),
    };
    world.catalog.append_object(world.session, &append).await.expect("appended");
    assert_eq!(news(&world).await, [stored(SEGMENT)]);

    let c = key("c");
    let seen = world.commit(&world.inline(&c)).await.expect("stored");
    let same = Preconditions { manifest: Some(seen.manifest), ..Preconditions::default() };
    let grown = world.stream(1, Local);
    let regrown = NewObject { preconditions: same, ..world.whole(&c, &grown) };
    world.catalog.regrow_object(world.session, &regrown).await.expect("written anew");
    assert_eq!(news(&world).await, [released(6), stored(6), stored(SEGMENT)]);

    let sequel = Sequel::default();
    let rename = Rename { source: a.clone(), target: b.clone(), token: None, sequel };
    world.catalog.rename_object(&world.bucket, &rename, |_, _| Ok(())).await.expect("renamed");
    assert_eq!(news(&world).await, [released(3 * SEGMENT)]);

    world.delete(&b).await.expect("deleted");
    assert_eq!(news(&world).await, [released(2 * SEGMENT)]);
    world.delete(&b).await.expect("nothing to delete");
    world.collect_all().await;
    assert_eq!(news(&world).await, [], "collect frees what nobody pays for any more");
}

async fn versions_and_markers_are_told_by_their_bytes(world: World) {
    let a = key("a");
    world
        .catalog
        .change_bucket(&world.bucket, |bucket| {
            bucket.versioning = Versioning::Enabled;
            Ok(())
        })
        .await
        .expect("changed");
    let first = world.commit(&world.inline(&a)).await.expect("stored");
    world.commit(&world.inline(&a)).await.expect("stored");
    assert_eq!(news(&world).await, [stored(6), stored(6)], "the older one stays");
    world.delete(&a).await.expect("marked");
    assert_eq!(news(&world).await, [], "a delete marker takes no bytes and frees none");
    let version = Delete { version: Some(first.version), ..Delete::of(a.clone()) };
    world.catalog.delete_object(&world.bucket, &version).await.expect("deleted");
    assert_eq!(news(&world).await, [released(6)]);
}

async fn parts_are_told_as_they_come_and_go(world: World) {
    let at = world.create_upload(&key("a")).await.expect("begun");
    let parts = [world.stream(1, Local), world.stream(2, Local), world.stream(1, Local)];
    for (number, part) in (1..).zip(&parts) {
        world.put_part(&at, number, part).await.expect("stored");
    }
    assert_eq!(news(&world).await, [stored(SEGMENT), stored(SEGMENT), stored(2 * SEGMENT)]);
    let other = world.stream(2, Local);
    world.put_part(&at, 3, &other).await.expect("stored");
    assert_eq!(news(&world).await, [released(SEGMENT), stored(2 * SEGMENT)]);

    let chosen = vec![(1, md5(&parts[0])), (3, md5(&other))];
    world.complete(&at, chosen.clone()).await.expect("completed");
    world.complete(&at, chosen).await.expect("completed again");
    assert_eq!(news(&world).await, [], "the parts are the object");
    world.collect_all().await;
    assert_eq!(news(&world).await, [released(2 * SEGMENT)], "the part that was not chosen");
    world.delete(&key("a")).await.expect("deleted");
    assert_eq!(news(&world).await, [released(3 * SEGMENT)]);

    let at = world.create_upload(&key("b")).await.expect("begun");
    world.put_part(&at, 7, &world.stream(1, Local)).await.expect("stored");
    world.catalog.abort_upload(&at).await.expect("aborted");
    world.collect_all().await;
    assert_eq!(news(&world).await, [released(SEGMENT), stored(SEGMENT)]);
    assert_eq!(world.rows_of(kv::Family::MAIN, "upload-bill/1").await, 0);
}

async fn a_change_of_class_moves_bytes_from_one_price_to_another(world: World) {
    let entry = world.commit(&world.inline(&key("a"))).await.expect("stored");
    let seen = ListedVersion { key: key("a"), entry, latest: true };
    news(&world).await;
    let change = world.catalog.change_class(&world.bucket, &seen, "COLD", GeometryName::Home);
    change.await.expect("changed");
    let home = UsageKind::Stored { bytes: 6, geometry: GeometryName::Home };
    assert_eq!(news(&world).await, [released(6), home]);
    let entry = Entry { geometry: GeometryName::Home, ..seen.entry.clone() };
    let seen = ListedVersion { entry, ..seen };
    let change = world.catalog.change_class(&world.bucket, &seen, "COLDER", GeometryName::Home);
    change.await.expect("changed");
    assert_eq!(news(&world).await, [], "another name has no other price");
}

async fn a_refused_change_tells_nothing(world: World) {
    let whole = world.stream(1, Local);
    let preconditions =
        Preconditions { if_match: Some(Condition::Any), ..Preconditions::default() };
    let refused = NewObject { preconditions, ..world.whole(&key("a"), &whole) };
    assert!(matches!(world.commit(&refused).await, Err(CatalogError::NoSuchKey)));
    let at = world.create_upload(&key("a")).await.expect("begun");
    let dead = world.stream(1, Local);
    let part = extent(&dead, 0);
    let part = crate::support::part(part.stream, part.len, [0; 16]);
    let shared = world.catalog.commit_part(world.session, &at, 1, &part, &wrap(1), None).await;
    assert!(matches!(shared, Err(CatalogError::StreamDying(_))), "{shared:?}");
    // A crash in the middle of a commit: it is there with what it tells, or neither is.
    world.engine.allow(0);
    assert!(world.commit(&world.inline(&key("b"))).await.is_err());
    world.engine.allow(u64::MAX);
    assert_eq!(news(&world).await, []);
    check(&world).await;
}

async fn what_was_told_is_taken_out_once(world: World) {
    for name in ["a", "b", "c"] {
        world.commit(&world.inline(&key(name))).await.expect("stored");
    }
    let rows = world.catalog.outbox(usize::MAX).await.expect("read");
    assert_eq!(rows.len(), 3);
    for (left, row) in (0..3).rev().zip(&rows) {
        assert_eq!(take(&world, &[row.0]).await, std::slice::from_ref(row));
        assert_eq!(take(&world, &[row.0]).await, [], "it is gone");
        assert_eq!(world.catalog.outbox(usize::MAX).await.expect("read").len(), left);
    }
}

async fn more_reads_than_fit_a_transaction_are_all_told(world: World) {
    let served =
        |bytes| WorkEvent { at: Timestamp(1), node: node(1), kind: WorkKind::Served { bytes } };
    let read = |bytes| UsageEvent {
        at: Timestamp(1),
        account: account(),
        bucket: world.bucket.1,
        key: Some("K".repeat(128)),
        kind: UsageKind::Egress { bytes },
    };
    let mut all =
        Dispatch { usage: (0..3_000).map(read).collect(), work: (0..2_000).map(served).collect() };
    world.engine.allow(1);
    assert!(world.catalog.tell_all(&mut all).await.is_err(), "the second transaction is refused");
    world.engine.allow(u64::MAX);
    assert!(!all.is_empty() && all.len() < 5_000, "what was told is not told again");
    world.catalog.tell_all(&mut all).await.expect("told");
    let rows = world.catalog.outbox(usize::MAX).await.expect("read");
    let (mut egress, mut work) = (Vec::new(), Vec::new());
    for (_, row) in rows {
        egress.extend(row.usage.into_iter().map(|event| event.kind));
        work.extend(row.work.into_iter().map(|event| event.kind));
    }
    assert_eq!((egress.len(), work.len()), (3_000, 2_000));
    for bytes in [0, 1_499, 2_999] {
        let times = egress.iter().filter(|kind| **kind == UsageKind::Egress { bytes }).count();
        assert_eq!(times, 1);
    }
    assert!(work.contains(&WorkKind::Served { bytes: 1_999 }));
}
