//! Many at once, on every engine: whoever wins, the catalog stays whole and nobody was lied to.

use futures::future::join_all;
use metadata::{CatalogError, Condition, NewBucket, NewObject, Preconditions};
use types::GeometryName::Local;

use crate::support::{GRACE, LEASE, World, account, key, md5, on_every_engine, part, wrap};

on_every_engine!(
    a_deleted_bucket_has_no_objects,
    of_two_puts_that_want_no_object_exactly_one_wins,
    complete_and_a_replaced_part_agree,
    parts_that_arrive_during_complete_are_collected,
    a_copy_either_fails_or_keeps_its_stream,
    renewals_and_commits_do_not_hinder_each_other,
    replacing_one_key_from_all_sides_leaks_nothing,
    aborting_while_its_bucket_is_deleted_is_no_failure,
);

/// Runs all futures on tasks of their own.
async fn at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    join_all(tasks).await.into_iter().map(|task| task.expect("no panic")).collect()
}

async fn a_deleted_bucket_has_no_objects(world: World) {
    let (mut deleted, mut kept) = (0, 0);
    for round in 0..40_usize {
        let mut world = world.clone();
        let name = format!("bucket-{round}").parse().expect("a name");
        let bucket = world
            .catalog
            .create_bucket(&name, &account(), NewBucket::plain(Local))
            .await
            .expect("made");
        world.bucket = (name.clone(), bucket.id);
        let puts = at_once((0..4).map(|number| {
            let world = world.clone();
            async move {
                for _ in 0..number * (round % 5) {
                    tokio::task::yield_now().await;
                }
                world.commit(&world.inline(&key(&format!("{number}")))).await
            }
        }));
        let deletes = at_once((0..2).map(|_| {
            let world = world.clone();
            async move { world.catalog.delete_bucket(&world.bucket).await }
        }));
        let (puts, deletes) = tokio::join!(puts, deletes);
        let stored = puts.iter().filter(|put| put.is_ok()).count();
        for put in puts.iter().filter_map(|put| put.as_ref().err()) {
            assert!(
                matches!(put, CatalogError::NoSuchBucket(_) | CatalogError::BucketBusy(_)),
                "{put:?}"
            );
        }
        let gone = deletes.iter().filter(|delete| delete.is_ok()).count();
        assert!(gone <= 1 && (gone == 0 || stored == 0), "{stored} stored, {gone} deleted");
        match world.catalog.bucket(&name).await {
            Ok(bucket) => {
                assert_eq!((gone, bucket.state), (0, metadata::records::BucketState::Open))
            }
            Err(_) => assert_eq!(gone, 1),
        }
        deleted += gone;
        kept += 1 - gone;
    }
    world.fsck().await;
    assert_eq!(deleted + kept, 40);
}

async fn of_two_puts_that_want_no_object_exactly_one_wins(world: World) {
    for round in 0..30 {
        let name = key(&format!("once-{round}"));
        let puts = at_once((0..3).map(|_| {
            let (world, name) = (world.clone(), name.clone());
            async move {
                let if_none_match = Some(Condition::Any);
                let preconditions = Preconditions { if_none_match, ..Preconditions::default() };
                let stored = world.stream(1, Local);
                let new = NewObject { preconditions, ..world.whole(&name, &stored) };
                world.commit(&new).await.map(|_| stored.id)
            }
        }))
        .await;
        let winners: Vec<_> = puts.iter().filter_map(|put| put.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(world.streams_of(&name).await.expect("there"), [*winners[0]]);
        for refused in puts.iter().filter_map(|put| put.as_ref().err()) {
            assert!(matches!(refused, CatalogError::PreconditionFailed), "{refused:?}");
        }
    }
    assert_eq!(world.fsck().await.streams, 30);
}

async fn complete_and_a_replaced_part_agree(world: World) {
    for round in 0..30 {
        let name = key(&format!("upload-{round}"));
        let at = world.create_upload(&name).await.expect("begun");
        let (first, second) = (world.stream(1, Local), world.stream(1, Local));
        world.put_part(&at, 1, &first).await.expect("stored");
        let complete = tokio::spawn({
            let (world, at, first) = (world.clone(), at.clone(), first.clone());
            async move { world.complete(&at, vec![(1, md5(&first))]).await }
        });
        let replace = tokio::spawn({
            let (world, at, second) = (world.clone(), at.clone(), second.clone());
            async move { world.put_part(&at, 1, &second).await }
        });
        let (complete, replace) = tokio::join!(complete, replace);
        match (complete.expect("no panic"), replace.expect("no panic")) {
            (Ok(_), Err(CatalogError::NoSuchUpload)) => {
                assert_eq!(world.streams_of(&name).await.expect("there"), [first.id]);
            }
            (Err(CatalogError::InvalidPart(1)), Ok(())) => {
                world.complete(&at, vec![(1, md5(&second))]).await.expect("completed");
                assert_eq!(world.streams_of(&name).await.expect("there"), [second.id]);
            }
            other => panic!("both or none had their way: {other:?}"),
        }
    }
    world.fsck().await;
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 30);
}

async fn parts_that_arrive_during_complete_are_collected(world: World) {
    for round in 0..20 {
        let name = key(&format!("upload-{round}"));
        let at = world.create_upload(&name).await.expect("begun");
        let first = world.stream(1, Local);
        world.put_part(&at, 1, &first).await.expect("stored");
        let parts = at_once((2..6).map(|number| {
            let (world, at) = (world.clone(), at.clone());
            async move { world.put_part(&at, number, &world.stream(1, Local)).await }
        }));
        let complete = world.complete(&at, vec![(1, md5(&first))]);
        let collect = world.collect();
        let (parts, complete, collect) = tokio::join!(parts, complete, collect);
        complete.expect("completed");
        collect.expect("collected");
        for refused in parts.into_iter().filter_map(Result::err) {
            assert!(matches!(refused, CatalogError::NoSuchUpload), "{refused:?}");
        }
        assert_eq!(world.streams_of(&name).await.expect("there"), [first.id]);
    }
    world.fsck().await;
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 20);
}

async fn a_copy_either_fails_or_keeps_its_stream(world: World) {
    let (mut kept, mut refused) = (0, 0);
    for round in 0..40 {
        let source = key(&format!("source-{round}"));
        let stored = world.stream(3, Local);
        world.commit(&world.whole(&source, &stored)).await.expect("stored");
        let targets: Vec<_> = (0..3).map(|n| key(&format!("copy-{round}-{n}"))).collect();
        let mut copies = Vec::new();
        for target in &targets {
            copies.push(world.copy(&source, target).await.expect("located"));
        }
        let upload = world.create_upload(&key(&format!("upload-{round}"))).await.expect("begun");
        world.delete(&source).await.expect("deleted");
        world.catalog.collect_releases().await.expect("released");
        world.clock.advance(GRACE);
        // Two gateways collect while others copy.
        let collects = at_once((0..2).map(|_| {
            let world = world.clone();
            async move { world.collect().await }
        }));
        let copying = at_once(copies.into_iter().map(|copy| {
            let world = world.clone();
            async move {
                let copied = world.commit(&copy).await.map(|_| ());
                if copied.is_ok() && round % 2 == 0 {
                    world.delete(&copy.key).await.expect("deleted");
                    world.collect().await.expect("collected");
                }
                copied
            }
        }));
        let sharing = at_once([{
            let (world, part) = (world.clone(), part(stored.id, stored.len, [1; 16]));
            async move {
                let session = world.session;
                world.catalog.commit_part(session, &upload, 1, &part, &wrap(6), None).await
            }
        }]);
        let (collects, copied, shared) = tokio::join!(collects, copying, sharing);
        for collect in collects {
            collect.expect("collected");
        }
        for outcome in copied.iter().chain(&shared) {
            match outcome {
                Ok(()) => kept += 1,
                Err(CatalogError::StreamDying(stream)) if *stream == stored.id => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        world.fsck().await;
    }
    world.collect_all().await;
    world.fsck().await;
    assert_eq!(kept + refused, 160);
}

async fn renewals_and_commits_do_not_hinder_each_other(world: World) {
    let commits = at_once((0..8).map(|number| {
        let world = world.clone();
        async move {
            for round in 0..20 {
                world.commit(&world.inline(&key(&format!("{number}-{round}")))).await?;
            }
            Ok::<_, CatalogError>(())
        }
    }));
    let renewals = at_once([{
        let world = world.clone();
        async move {
            for _ in 0..50 {
                world.catalog.renew_session(world.session, LEASE).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, CatalogError>(())
        }
    }]);
    let (commits, renewals) = tokio::join!(commits, renewals);
    for outcome in commits.into_iter().chain(renewals) {
        outcome.expect("nobody gave up");
    }
    let session = world.catalog.session(world.session).await.expect("read").expect("there");
    assert_eq!(session.fencing, 51);
    assert_eq!(world.fsck().await.objects, 160);
}

async fn replacing_one_key_from_all_sides_leaks_nothing(world: World) {
    let (name, other) = (key("hot"), key("copy"));
    world.commit(&world.whole(&name, &world.stream(1, Local))).await.expect("stored");
    at_once((0..6).map(|number| {
        let (world, name, other) = (world.clone(), name.clone(), other.clone());
        async move {
            for _ in 0..10 {
                let outcome = match number {
                    0 => world.delete(&name).await.map(|_| ()),
                    1 | 2 => match world.copy(&name, &other).await {
                        Ok(copy) => world.commit(&copy).await.map(|_| ()),
                        Err(error) => Err(error),
                    },
                    3 => world.collect().await,
                    _ => {
                        world.commit(&world.whole(&name, &world.stream(1, Local))).await.map(|_| ())
                    }
                };
                match outcome {
                    Ok(()) | Err(CatalogError::NoSuchKey | CatalogError::StreamDying(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
                world.clock.advance(GRACE / 20);
            }
        }
    }))
    .await;
    world.fsck().await;
    world.delete(&name).await.expect("deleted");
    world.delete(&other).await.expect("deleted");
    world.collect_all().await;
    let report = world.fsck().await;
    assert_eq!((report.objects, report.streams, report.segments), (0, 0, 0));
}

async fn aborting_while_its_bucket_is_deleted_is_no_failure(world: World) {
    for round in 0..20 {
        let mut world = world.clone();
        let name = format!("bucket-{round}").parse().expect("a name");
        let bucket = world
            .catalog
            .create_bucket(&name, &account(), NewBucket::plain(Local))
            .await
            .expect("made");
        world.bucket = (name, bucket.id);
        let mut uploads = Vec::new();
        for number in 0..4 {
            let at = world.create_upload(&key(&format!("{number}"))).await.expect("begun");
            world.put_part(&at, 1, &world.stream(1, Local)).await.expect("stored");
            uploads.push(at);
        }
        let aborts = at_once(uploads.into_iter().map(|at| {
            let world = world.clone();
            async move { world.catalog.abort_upload(&at).await }
        }));
        let (aborts, deleted) = tokio::join!(aborts, world.catalog.delete_bucket(&world.bucket));
        deleted.expect("it is empty");
        for refused in aborts.into_iter().filter_map(Result::err) {
            assert!(matches!(refused, CatalogError::NoSuchUpload), "{refused:?}");
        }
    }
    world.fsck().await;
    world.collect_all().await;
    assert_eq!(world.fsck().await.streams, 0);
}
