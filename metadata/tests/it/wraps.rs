//! A deleted version's wrapped key is soon gone from the disk too, and not only hidden: what `metadata::schema` promises within a day is shown here in
//! seconds, by the same configuration.

use std::time::Duration;

use metadata::commit::Inline;
use metadata::{Extent, NewBody, NewObject};
use seal::WrappedKey;
use types::GeometryName::Local;
use types::ObjectKey;

use crate::support::{World, extent, key};

/// A wrap of random bytes, which no compression can hide, and some of them.
fn random_wrap() -> (WrappedKey, Vec<u8>) {
    let random = types::entropy::random_bytes::<120>();
    let wrap = postcard::from_bytes(&[&[1, 0, 1], &random[..]].concat()).expect("a wrap");
    (wrap, random[16..112].to_vec())
}

/// An object whose bytes are on nodes.
fn stored(world: &World, name: &ObjectKey, wrap: WrappedKey) -> NewObject {
    let stored = world.stream(1, Local);
    let extents: Vec<(Extent, WrappedKey)> = vec![(extent(&stored, 0), wrap)];
    let streams = vec![stored.commit.clone()];
    world.new_object(name, stored.len, NewBody::Extents { extents, streams })
}

/// An object whose bytes are in the catalog.
fn inline(world: &World, name: &ObjectKey, wrap: WrappedKey) -> NewObject {
    let stream = world.stream(0, Local).id;
    let inline = Inline { stream, wrap: Some(wrap), cipher: bytes::Bytes::from_static(b"sealed") };
    world.new_object(name, 6, NewBody::Inline(inline))
}

/// Waits until each of these is in a file whose name ends so, or, without an ending, in none.
async fn until(world: &World, needles: &[Vec<u8>], ending: Option<&str>) {
    let there = |needle: &Vec<u8>| {
        let files = world.files_with(needle);
        match ending {
            Some(ending) => files.iter().any(|name| name.ends_with(ending)),
            None => files.is_empty(),
        }
    };
    let all = async {
        while !needles.iter().all(there) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), all).await;
    let files: Vec<_> = needles.iter().map(|needle| world.files_with(needle)).collect();
    assert!(in_time.is_ok(), "after a minute they are in {files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wraps_of_deleted_versions_are_in_no_file_once_their_time_is_over() {
    let world = World::rewritten_within(Duration::from_secs(4)).await;
    let (first, second) = (key("on nodes"), key("in the catalog"));
    for in_table in [false, true] {
        let (one, other) = (random_wrap(), random_wrap());
        let kept = random_wrap();
        world.commit(&stored(&world, &first, one.0)).await.expect("stored");
        world.commit(&inline(&world, &second, other.0)).await.expect("stored");
        world.commit(&stored(&world, &key("kept"), kept.0)).await.expect("stored");
        let gone = [one.1, other.1];
        // At first they are in the log alone.
        until(&world, &gone, Some(if in_table { ".sst" } else { "" })).await;
        world.delete(&first).await.expect("deleted");
        // Replaced is gone as well.
        world.commit(&inline(&world, &second, random_wrap().0)).await.expect("replaced");
        until(&world, &gone, None).await;
        assert!(!world.files_with(&kept.1).is_empty(), "what was not deleted is there");
    }
    world.fsck().await;
}
