//! What changes an object in place: appending and renaming.

use std::time::Duration;

use kv::Family;
use metadata::records::Versioning;
use metadata::{Append, Bucket, CatalogError, Entry, Etag, Preconditions, Rename, Sequel};

use crate::support::{SEGMENT, Stored, World, key, on_every_engine, wrap};

on_every_engine! {
    appends_follow_each_other_over_many_pages,
    an_append_is_for_the_object_that_was_seen,
    of_appends_at_once_one_goes_through,
    tags_set_while_a_small_object_grows_stay,
    a_renamed_object_is_the_same_object,
    a_token_stands_for_one_renaming_and_for_a_day,
    renamings_that_cross_lose_nothing,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn append(world: &World, name: &str, seen: &Entry, stored: &Stored) -> Append {
    Append {
        bucket: world.bucket.clone(),
        key: key(name),
        seen: seen.clone(),
        stream: stored.commit.clone(),
        len: stored.len,
        wrap: wrap(9),
        part_checksums: Vec::new(),
        etag: Etag { md5: [stored.id.serial as u8; 16], parts: seen.etag.parts.max(1) + 1 },
        checksums: Vec::new(),
        preconditions: Preconditions::default(),
        sequel: Sequel::default(),
    }
}

async fn whole(world: &World, name: &str) -> (Entry, Stored) {
    let stored = world.stream(1, types::GeometryName::Local);
    (world.commit(&world.whole(&key(name), &stored)).await.expect("committed"), stored)
}

async fn appends_follow_each_other_over_many_pages(world: World) {
    let (mut entry, first) = whole(&world, "log").await;
    let mut expected = vec![first.id];
    for _ in 0..metadata::EXTENTS_PER_PAGE + 20 {
        let stored = world.stream(1, types::GeometryName::Local);
        expected.push(stored.id);
        let wanted = append(&world, "log", &entry, &stored);
        let longer = world.catalog.append_object(world.session, &wanted).await.expect("appended");
        assert!(longer.modified > entry.modified && longer.manifest == entry.manifest);
        entry = longer;
    }
    assert_eq!(entry.size, expected.len() as u64 * SEGMENT);
    assert_eq!(entry.etag.parts as usize, expected.len());
    assert_eq!(world.streams_of(&key("log")).await.expect("read"), expected);
    world.fsck().await;
    world.delete(&key("log")).await.expect("deleted");
    world.collect_all().await;
    for table in ["stream/1", "reference/1", "extent/1", "detail/2"] {
        assert_eq!(world.rows_of(Family::MAIN, table).await, 0, "{table}");
    }
    world.fsck().await;
}

async fn an_append_is_for_the_object_that_was_seen(world: World) {
    let (seen, _) = whole(&world, "log").await;
    let stored = world.stream(1, types::GeometryName::Local);
    let wanted = append(&world, "log", &seen, &stored);
    let tried = |append: Append| {
        let world = world.clone();
        async move { world.catalog.append_object(world.session, &append).await }
    };
    let longer = tried(wanted.clone()).await.expect("appended");
    let again = tried(wanted.clone()).await;
    assert!(matches!(again, Err(CatalogError::WriteOffset { size }) if size == longer.size));

    // The same size, and another object.
    let (other, _) = whole(&world, "log").await;
    assert_eq!(other.size, seen.size);
    let fresh = world.stream(1, types::GeometryName::Local);
    let stale = Append { stream: fresh.commit.clone(), ..wanted.clone() };
    assert!(matches!(tried(stale).await, Err(CatalogError::PreconditionFailed)));
    let offset = Preconditions { offset: Some(1), ..Preconditions::default() };
    let wrong = Append { preconditions: offset, ..append(&world, "log", &other, &fresh) };
    assert!(matches!(tried(wrong).await, Err(CatalogError::WriteOffset { .. })));
    let mut many = append(&world, "log", &other, &fresh);
    many.etag.parts = metadata::append::APPENDED_PARTS_MAX + 1;
    assert!(matches!(tried(many).await, Err(CatalogError::TooManyParts)));

    world.delete(&key("log")).await.expect("deleted");
    let gone = tried(append(&world, "log", &other, &fresh)).await;
    assert!(matches!(gone, Err(CatalogError::WriteOffset { size: 0 })));
    let (other, _) = whole(&world, "log").await;
    keep_versions(&world).await;
    let versioned = tried(append(&world, "log", &other, &fresh)).await;
    assert!(matches!(versioned, Err(CatalogError::Versioned)));
    world.fsck().await;
}

async fn tags_set_while_a_small_object_grows_stay(world: World) {
    let name = key("small");
    let seen = world.commit(&world.inline(&name)).await.expect("committed");
    let team = ("team".to_owned(), "a".to_owned());
    let tag = |_: &Entry, detail: &mut metadata::Detail| {
        detail.tags = vec![team.clone()];
        Ok(())
    };
    world.catalog.change_detail(&world.bucket, &name, None, tag).await.expect("tagged");
    let preconditions = Preconditions { manifest: Some(seen.manifest), ..Preconditions::default() };
    let mut grown = world.inline(&name);
    grown.preconditions = preconditions;
    grown.detail.user = vec![("made".to_owned(), "before".to_owned())];
    let entry = world.catalog.regrow_object(world.session, &grown).await.expect("written anew");
    let located = world.catalog.locate(world.bucket.1, &name).await.expect("there");
    assert_eq!((located.entry.manifest, &located.entry), (grown.manifest, &entry));
    assert_eq!(located.detail.tags, std::slice::from_ref(&team));
    assert_eq!(located.detail.user, [], "what the object carries is the object's");
    let again = world.catalog.regrow_object(world.session, &world.inline(&name)).await;
    again.expect("without a condition it is written over what is there");
    let stale = world.catalog.regrow_object(world.session, &grown).await;
    assert!(matches!(stale, Err(CatalogError::PreconditionFailed)));
    world.fsck().await;
}

async fn of_appends_at_once_one_goes_through(world: World) {
    let (seen, _) = whole(&world, "log").await;
    let tries = (0..8).map(|_| {
        let world = world.clone();
        let stored = world.stream(1, types::GeometryName::Local);
        let wanted = append(&world, "log", &seen, &stored);
        tokio::spawn(async move { world.catalog.append_object(world.session, &wanted).await })
    });
    let mut through = 0;
    for tried in tries.collect::<Vec<_>>() {
        match tried.await.expect("it ends") {
            Ok(_) => through += 1,
            Err(CatalogError::WriteOffset { .. } | CatalogError::Kv(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(through, 1);
    assert_eq!(world.streams_of(&key("log")).await.expect("read").len(), 2);
    world.fsck().await;
}

async fn a_renamed_object_is_the_same_object(world: World) {
    let (entry, stored) = whole(&world, "old").await;
    rename(&world, "old", "new", None).await.expect("renamed");
    let now = world.catalog.locate(world.bucket.1, &key("new")).await.expect("there").entry;
    assert_eq!(now, entry);
    assert_eq!(world.streams_of(&key("new")).await.expect("read"), [stored.id]);
    let gone = rename(&world, "old", "x", None).await;
    assert!(matches!(gone, Err(CatalogError::NoSuchKey)));

    // It takes another's place, whose bytes go.
    world.commit(&world.inline(&key("other"))).await.expect("committed");
    rename(&world, "other", "new", None).await.expect("renamed");
    world.collect_all().await;
    assert_eq!(world.rows_of(Family::MAIN, "stream/1").await, 0);
    let refused = world
        .catalog
        .rename_object(&world.bucket, &wanted("new", "x", None), |_, target| {
            assert!(target.is_none());
            Err(CatalogError::PreconditionFailed)
        })
        .await;
    assert!(matches!(refused, Err(CatalogError::PreconditionFailed)));
    keep_versions(&world).await;
    let versioned = rename(&world, "new", "x", None).await;
    assert!(matches!(versioned, Err(CatalogError::Versioned)));
    world.fsck().await;
}

async fn a_token_stands_for_one_renaming_and_for_a_day(world: World) {
    world.commit(&world.inline(&key("a"))).await.expect("committed");
    rename(&world, "a", "b", Some("t")).await.expect("renamed");
    rename(&world, "a", "b", Some("t")).await.expect("was done");
    let other = rename(&world, "b", "c", Some("t")).await;
    assert!(matches!(other, Err(CatalogError::OtherRequest)));
    world.clock.advance(DAY + Duration::from_secs(1));
    // One that is over is forgotten by the next before it in order.
    rename(&world, "b", "c", Some("s")).await.expect("renamed");
    assert_eq!(world.rows_of(Family::MAIN, "rename/1").await, 1);
    rename(&world, "c", "b", Some("t")).await.expect("the token is free again");
    world.delete(&key("b")).await.expect("deleted");
    world.catalog.delete_bucket(&world.bucket).await.expect("deleted");
    assert_eq!(world.rows_of(Family::MAIN, "rename/1").await, 0);
    world.fsck().await;
}

async fn renamings_that_cross_lose_nothing(world: World) {
    whole(&world, "a").await;
    whole(&world, "b").await;
    let renamings = (0..20).map(|number| {
        let world = world.clone();
        let (from, to) = if number % 2 == 0 { ("a", "c") } else { ("c", "a") };
        tokio::spawn(async move { rename(&world, from, to, None).await })
    });
    for renaming in renamings.collect::<Vec<_>>() {
        match renaming.await.expect("it ends") {
            Ok(()) | Err(CatalogError::NoSuchKey | CatalogError::Kv(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(world.rows_of(Family::MAIN, "object/2").await, 2);
    world.fsck().await;
}

fn wanted(source: &str, target: &str, token: Option<&str>) -> Rename {
    let token = token.map(str::to_owned);
    Rename { source: key(source), target: key(target), token, sequel: Sequel::default() }
}

async fn rename(
    world: &World,
    source: &str,
    target: &str,
    token: Option<&str>,
) -> Result<(), CatalogError> {
    let wanted = wanted(source, target, token);
    world.catalog.rename_object(&world.bucket, &wanted, |_, _| Ok(())).await
}

async fn keep_versions(world: &World) {
    let enable = |bucket: &mut Bucket| {
        bucket.versioning = Versioning::Enabled;
        Ok(())
    };
    world.catalog.change_bucket(&world.bucket, enable).await.expect("enabled");
}
