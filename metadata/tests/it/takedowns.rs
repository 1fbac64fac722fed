//! Takedowns: what they hide, for how long, and the public log.

use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind};
use metadata::takedowns::{Kind, PREFIXES_MAX, REASON_MAX, Target, double_hash};
use metadata::{CatalogError, Detail, ListQuery, NewObject};
use types::ObjectKey;

use crate::support::{World, key, on_every_engine};

on_every_engine! {
    what_is_taken_down_is_neither_read_nor_listed_until_it_is_lifted,
    a_content_is_known_by_its_md5_and_its_sha256,
    the_log_only_grows_and_its_chain_covers_every_row,
    a_read_that_has_begun_learns_of_takedowns,
    what_is_too_large_is_refused_and_leaves_no_row,
}

async fn store(world: &World, names: &[&str]) {
    for name in names {
        world.commit(&world.inline(&key(name))).await.expect("stored");
    }
}

async fn readable(world: &World, key: &ObjectKey) -> bool {
    let located = world.catalog.locate(world.bucket.1, key).await.expect("there");
    match located.check_not_taken_down().await {
        Ok(()) => true,
        Err(CatalogError::TakenDown) => false,
        Err(failed) => panic!("{failed}"),
    }
}

/// The keys and prefixes that a customer's listing shows.
async fn listed(world: &World, delimiter: Option<&str>) -> Vec<String> {
    let query = ListQuery {
        limit: 1000,
        delimiter: delimiter.map(str::to_owned),
        without_taken_down: true,
        ..ListQuery::default()
    };
    let page = world.catalog.list_objects(world.bucket.1, &query).await.expect("listed");
    let keys: Vec<String> = page.items.iter().map(|(key, _)| key.to_string()).collect();
    let (versions, _) =
        world.catalog.list_versions(world.bucket.1, &query, None).await.expect("listed");
    let of_versions: Vec<String> = versions.items.iter().map(|item| item.key.to_string()).collect();
    assert_eq!((&of_versions, &versions.prefixes), (&keys, &page.prefixes));
    [keys, page.prefixes].concat()
}

fn object(world: &World, name: &str) -> Target {
    Target::Object { bucket: world.bucket.clone(), key: key(name) }
}

fn prefix(world: &World, prefix: &str) -> Target {
    Target::Prefix { bucket: world.bucket.clone(), prefix: prefix.to_owned() }
}

async fn what_is_taken_down_is_neither_read_nor_listed_until_it_is_lifted(world: World) {
    store(&world, &["a", "ab", "dir/x", "dir/y", "else/z"]).await;
    let catalog = &world.catalog;
    assert_eq!(listed(&world, Some("/")).await, ["a", "ab", "dir/", "else/"]);

    let down = [object(&world, "a"), prefix(&world, "dir/")];
    assert_eq!(catalog.take_down(&down, "order").await.expect("down"), 2);
    assert_eq!(catalog.take_down(&down, "order").await.expect("down already"), 0);
    for (name, may) in [("a", false), ("ab", true), ("dir/x", false), ("else/z", true)] {
        assert_eq!(readable(&world, &key(name)).await, may, "{name}");
    }
    assert_eq!(listed(&world, Some("/")).await, ["ab", "else/"]);
    assert_eq!(listed(&world, None).await, ["ab", "else/z"]);
    let all = ListQuery { limit: 9, ..ListQuery::default() };
    let page = catalog.list_objects(world.bucket.1, &all).await.expect("listed");
    assert_eq!(page.items.len(), 5, "upkeep sees everything");

    // What comes later to that name is down too, and a delete takes it away as ever.
    store(&world, &["a", "dir/new"]).await;
    assert!(!readable(&world, &key("a")).await && !readable(&world, &key("dir/new")).await);
    world.delete(&key("dir/new")).await.expect("deleted");

    assert_eq!(catalog.lift_takedowns(&down[..1], "lifted").await.expect("lifted"), 1);
    assert_eq!(catalog.lift_takedowns(&down[..1], "lifted").await.expect("lifted already"), 0);
    assert_eq!(listed(&world, None).await, ["a", "ab", "else/z"]);
    let whole = [prefix(&world, "")];
    catalog.take_down(&whole, "all of it").await.expect("down");
    assert!(listed(&world, None).await.is_empty());
    let names = catalog.taken_names().await.expect("read");
    let names: Vec<_> = names.into_iter().map(|(target, row)| (target, row.reason)).collect();
    let reason = |reason: &str| reason.to_owned();
    assert_eq!(
        names,
        [(prefix(&world, ""), reason("all of it")), (prefix(&world, "dir/"), reason("order"))]
    );
    world.fsck().await;
}

async fn a_content_is_known_by_its_md5_and_its_sha256(world: World) {
    let (algorithm, kind) = (ChecksumAlgorithm::Sha256, ChecksumKind::FullObject);
    let sha256 = Checksum { algorithm, kind, value: vec![9; 32] };
    let plain = world.inline(&key("plain"));
    let summed = NewObject {
        detail: Detail { checksums: vec![sha256], ..Detail::default() },
        etag: metadata::Etag { md5: [1; 16], parts: 0 },
        ..world.inline(&key("summed"))
    };
    let md5 = double_hash(&plain.etag.md5);
    for new in [&plain, &summed] {
        world.commit(new).await.expect("stored");
    }
    let catalog = &world.catalog;
    let of_md5 = [Target::Content(md5)];
    catalog.take_down(&of_md5, "list").await.expect("down");
    assert_eq!(listed(&world, None).await, ["summed"]);
    assert!(!readable(&world, &key("plain")).await && readable(&world, &key("summed")).await);
    // Under whatever name.
    let copy = world.copy(&key("plain"), &key("copy")).await.expect("a copy");
    world.commit(&copy).await.expect("stored");
    assert!(!readable(&world, &key("copy")).await);

    catalog.lift_takedowns(&of_md5, "over").await.expect("lifted");
    let of_sha256 = [Target::Content(double_hash(&[9; 32]))];
    catalog.take_down(&of_sha256, "list").await.expect("down");
    assert_eq!(listed(&world, None).await, ["copy", "plain"]);
    assert!(!readable(&world, &key("summed")).await);
}

async fn the_log_only_grows_and_its_chain_covers_every_row(world: World) {
    let catalog = &world.catalog;
    let contents: Vec<Target> = (0..250).map(|n: u8| Target::Content([n; 32])).collect();
    assert_eq!(catalog.take_down(&contents, "list 1").await.expect("down"), contents.len());
    let first = catalog.takedown_log(0, 1000).await.expect("read");
    catalog.take_down(&[object(&world, "k")], "order").await.expect("down");
    catalog.lift_takedowns(&contents[7..8], "by mistake").await.expect("lifted");
    let log = catalog.takedown_log(0, 1000).await.expect("read");
    assert_eq!(log[..first.len()], first[..]);
    let last: Vec<_> = log[first.len()..]
        .iter()
        .map(|(number, row)| (*number, row.action(), row.kind, row.digest, row.reason.as_str()))
        .collect();
    let name = double_hash(b"bucket/k");
    assert_eq!(
        last,
        [
            (251, "take-down", Kind::Object, name, "order"),
            (252, "lift", Kind::Content, [7; 32], "by mistake"),
        ]
    );
    let mut before = [0; 32];
    for (number, row) in &log {
        assert_eq!(row.chain, row.chain_after(&before, *number), "row {number}");
        before = row.chain;
    }
    assert_eq!(catalog.takedown_log(250, 1).await.expect("read"), log[250..251]);
    let page = catalog.taken_contents(Some([5; 32]), 3).await.expect("read");
    let page: Vec<u8> = page.iter().map(|(hash, _)| hash[0]).collect();
    assert_eq!(page, [6, 8, 9]);
}

async fn a_read_that_has_begun_learns_of_takedowns(world: World) {
    store(&world, &["k", "other"]).await;
    let located = world.catalog.locate(world.bucket.1, &key("k")).await.expect("there");
    let mut watch = world.catalog.watch(&located);
    watch.check().await.expect("nothing is down");
    world.catalog.take_down(&[object(&world, "other")], "r").await.expect("down");
    watch.check().await.expect("another is down");
    let target = [object(&world, "k")];
    world.catalog.take_down(&target, "r").await.expect("down");
    assert!(matches!(watch.check().await, Err(CatalogError::TakenDown)));
    assert!(matches!(watch.check().await, Err(CatalogError::TakenDown)), "it stays so");
    world.catalog.lift_takedowns(&target, "r").await.expect("lifted");
    watch.check().await.expect("lifted");
}

async fn what_is_too_large_is_refused_and_leaves_no_row(world: World) {
    let catalog = &world.catalog;
    let long = "r".repeat(REASON_MAX + 1);
    let refused = catalog.take_down(&[object(&world, "k")], &long).await;
    assert!(matches!(refused, Err(CatalogError::TooLarge { max: REASON_MAX, .. })), "{refused:?}");
    let prefixes: Vec<Target> = (0..PREFIXES_MAX).map(|n| prefix(&world, &n.to_string())).collect();
    assert_eq!(catalog.take_down(&prefixes, "r").await.expect("down"), PREFIXES_MAX);
    let refused = catalog.take_down(&[prefix(&world, "more")], "r").await;
    assert!(matches!(refused, Err(CatalogError::TooLarge { .. })), "{refused:?}");
    assert_eq!(catalog.taken_names().await.expect("read").len(), PREFIXES_MAX);
    let rows = catalog.takedown_log(0, PREFIXES_MAX + 1).await.expect("read");
    assert_eq!(rows.len(), PREFIXES_MAX);
}
