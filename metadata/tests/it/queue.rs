//! Queues, which changes fill in their own transactions, and replicas, which take their place in time.

use metadata::records::Versioning;
use metadata::{
    CatalogError, Condition, Delete, Deleted, Entry, ListQuery, NewObject, Preconditions, Sequel,
    Task,
};
use types::{Timestamp, VersionId};

use crate::support::{World, key, on_every_engine};

on_every_engine! {
    a_change_and_what_it_leaves_to_do_come_together,
    a_task_is_done_until_it_is_taken_away,
    replicas_take_their_place_in_time_whatever_comes_first,
}

fn task(due: u64, work: &str) -> Task {
    Task { queue: "q".to_owned(), due: Timestamp(due), work: work.into() }
}

async fn queued(world: &World) -> Vec<String> {
    let tasks = world.catalog.queued("q", 9).await.expect("read");
    tasks.into_iter().map(|(_, work)| String::from_utf8(work).expect("text")).collect()
}

async fn a_change_and_what_it_leaves_to_do_come_together(world: World) {
    let told = || {
        let tell = |entry: &Entry| vec![task(entry.modified.0, &format!("{} bytes", entry.size))];
        NewObject { sequel: Sequel::new(tell), ..world.inline(&key("k")) }
    };
    let size = world.commit(&told()).await.expect("stored").size;
    let preconditions =
        Preconditions { if_none_match: Some(Condition::Any), ..Preconditions::default() };
    let refused = world.commit(&NewObject { preconditions, ..told() }).await;
    assert!(matches!(refused, Err(CatalogError::PreconditionFailed)));
    let gone = |deleted: &Deleted| -> Vec<Task> {
        deleted.gone.iter().map(|entry| task(entry.modified.0 + 1, "gone")).collect()
    };
    let delete = || Delete { sequel: Sequel::new(gone), ..Delete::of(key("k")) };
    for _ in 0..2 {
        world.catalog.delete_object(&world.bucket, &delete()).await.expect("deleted");
    }
    assert_eq!(queued(&world).await, [format!("{size} bytes"), "gone".to_owned()]);
}

async fn a_task_is_done_until_it_is_taken_away(world: World) {
    let catalog = &world.catalog;
    for (due, work) in [(2, "c"), (1, "a"), (1, "b")] {
        catalog.queue(task(due, work)).await.expect("queued");
    }
    catalog.queue(Task { queue: "qq".to_owned(), ..task(0, "other") }).await.expect("queued");
    assert_eq!(queued(&world).await, ["a", "b", "c"]);
    assert_eq!(catalog.queues().await.expect("read"), ["q", "qq"]);
    let tasks = catalog.queued("q", 1).await.expect("read");
    catalog.requeue(&tasks[0].0, task(3, "a again")).await.expect("queued");
    catalog.requeue(&tasks[0].0, task(3, "twice")).await.expect("nothing");
    assert_eq!(queued(&world).await, ["b", "c", "a again"]);
    let all: Vec<_> =
        catalog.queued("q", 9).await.expect("read").into_iter().map(|(at, _)| at).collect();
    catalog.unqueue(&all[..2]).await.expect("taken");
    assert_eq!(queued(&world).await, ["a again"]);
    world.fsck().await;
}

async fn replicas_take_their_place_in_time_whatever_comes_first(world: World) {
    let at = |time| VersionId::at(Timestamp(time));
    let replica = |version| NewObject { replica: Some(version), ..world.inline(&key("k")) };
    let early = world.commit(&replica(at(1_000))).await;
    assert!(matches!(early, Err(CatalogError::PreconditionFailed)), "no versions are kept");
    let changed = world.catalog.change_bucket(&world.bucket, |bucket| {
        bucket.versioning = Versioning::Enabled;
        Ok(())
    });
    changed.await.expect("changed");
    let (one, two, three, marker) = (at(1_000), at(2_000), at(3_000), at(1_500));
    for version in [two, one, three] {
        let entry = world.commit(&replica(version)).await.expect("stored");
        assert_eq!((entry.version, Some(entry.modified)), (version, version.time()));
    }
    world.catalog.replicate_marker(&world.bucket, &key("k"), marker).await.expect("stored");
    let again = world.commit(&replica(two)).await;
    assert!(matches!(again, Err(CatalogError::PreconditionFailed)));
    let again = world.catalog.replicate_marker(&world.bucket, &key("k"), marker).await;
    assert!(matches!(again, Err(CatalogError::PreconditionFailed)));

    let query = ListQuery { limit: 9, ..ListQuery::default() };
    let (page, _) =
        world.catalog.list_versions(world.bucket.1, &query, None).await.expect("listed");
    let ids: Vec<_> = page.items.iter().map(|item| item.entry.version).collect();
    assert_eq!(ids, [three, two, marker, one]);
    assert!(page.items[0].latest && page.items[2].entry.is_delete_marker());
    world.fsck().await;
}
