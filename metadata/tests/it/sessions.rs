//! Leases: who lost one can commit nothing, and what it left unfinished goes away.

use std::time::Duration;

use metadata::records::{SessionState, StreamState};
use metadata::{CatalogError, StreamCommit};
use types::GeometryName::Local;
use types::{Clock, SessionId};

use crate::support::{LEASE, Stored, World, key, md5};

/// The rows of `stored` up to segment `end`, as commits on the way have them.
fn on_the_way(stored: &Stored, first: u32, end: u32) -> StreamCommit {
    let mut commit = stored.commit.clone();
    commit.row.state = StreamState::Writing;
    commit.row.segments = end;
    commit.first = first;
    commit.segments = commit.segments[first as usize..end as usize].to_vec();
    commit
}

/// The rows of `stored` from segment `first` on.
fn last_rows(stored: &Stored, first: u32) -> StreamCommit {
    let mut commit = stored.commit.clone();
    commit.first = first;
    commit.segments.drain(..first as usize);
    commit
}

/// Tries everything a session is needed for; all must be refused and change nothing.
async fn nothing_can_be_committed(world: &World) {
    let stored = world.stream(2, Local);
    let at = world.create_upload(&key("upload")).await.expect("needs no session");
    let refused = [
        world.commit(&world.inline(&key("a"))).await.err(),
        world.commit(&world.whole(&key("b"), &stored)).await.err(),
        world.put_part(&at, 1, &stored).await.err(),
        world.complete(&at, Vec::new()).await.err(),
        world.catalog.commit_segments(world.session, &on_the_way(&stored, 0, 1)).await.err(),
    ];
    for error in refused {
        assert!(matches!(error, Some(CatalogError::SessionEnded)), "{error:?}");
    }
    let report = world.fsck().await;
    assert_eq!((report.objects, report.streams), (0, 0));
}

#[tokio::test]
async fn a_lease_that_ran_out_commits_nothing_until_it_is_renewed() {
    let world = World::memory().await;
    world.clock.advance(LEASE - Duration::from_millis(1));
    world.catalog.renew_session(world.session, Duration::from_millis(5)).await.expect("in time");
    world.clock.advance(Duration::from_millis(5));
    nothing_can_be_committed(&world).await;
    // The gateway slept, and nobody took the lease away meanwhile.
    world.catalog.renew_session(world.session, LEASE).await.expect("still its own");
    world.commit(&world.inline(&key("a"))).await.expect("stored");
}

async fn cannot_be_renewed(world: &World) {
    let refused = world.catalog.renew_session(world.session, LEASE).await.err();
    assert!(matches!(refused, Some(CatalogError::SessionEnded)), "{refused:?}");
}

#[tokio::test]
async fn an_ended_session_commits_nothing() {
    let world = World::memory().await;
    world.catalog.end_session(world.session).await.expect("ended");
    let session = world.catalog.session(world.session).await.expect("read").expect("there");
    assert_eq!(session.state, SessionState::Ended { at: world.clock.now() });
    cannot_be_renewed(&world).await;
    nothing_can_be_committed(&world).await;
}

#[tokio::test]
async fn a_session_that_never_began_commits_nothing() {
    let mut world = World::memory().await;
    world.session = SessionId(1);
    cannot_be_renewed(&world).await;
    nothing_can_be_committed(&world).await;
    world.catalog.end_session(world.session).await.expect("nothing to end");
    assert_eq!(world.catalog.session(world.session).await.expect("read"), None);
}

#[tokio::test]
async fn a_long_stream_is_committed_in_steps() {
    let world = World::memory().await;
    let stored = world.stream(5, Local);
    let (catalog, session) = (&world.catalog, world.session);
    for (first, end) in [(0, 2), (2, 4)] {
        catalog.commit_segments(session, &on_the_way(&stored, first, end)).await.expect("stored");
        world.fsck().await;
        assert_eq!(catalog.unfinished_streams(session).await.expect("read"), [stored.id]);
    }
    // Its writer is at work: a check that comes by does not harm it.
    world.collect_all().await;
    let gap = catalog.commit_segments(session, &on_the_way(&stored, 3, 5)).await;
    assert!(matches!(gap, Err(CatalogError::Corrupt(_))), "{gap:?}");
    let last = Stored { commit: last_rows(&stored, 4), ..stored.clone() };
    world.commit(&world.whole(&key("a"), &last)).await.expect("stored");
    assert!(catalog.unfinished_streams(session).await.expect("read").is_empty());
    assert_eq!(world.fsck().await.segments, 5);
    // The same rows once more would bring a second writer to light.
    let again = world.commit(&world.whole(&key("b"), &stored)).await;
    assert!(matches!(again, Err(CatalogError::StreamDying(_))), "{again:?}");
}

#[tokio::test]
async fn an_abandoned_stream_takes_no_more_rows_and_is_collected() {
    let world = World::memory().await;
    let stored = world.stream(4, Local);
    let (catalog, session) = (&world.catalog, world.session);
    catalog.commit_segments(session, &on_the_way(&stored, 0, 2)).await.expect("stored");
    catalog.abandon_stream(stored.id).await.expect("abandoned");
    world.fsck().await;
    let late = catalog.commit_segments(session, &on_the_way(&stored, 2, 3)).await;
    assert!(matches!(late, Err(CatalogError::StreamDying(_))), "{late:?}");
    let last = Stored { commit: last_rows(&stored, 2), ..stored.clone() };
    let late = world.commit(&world.whole(&key("a"), &last)).await;
    assert!(matches!(late, Err(CatalogError::StreamDying(_))), "{late:?}");
    world.collect().await.expect("collected, without any grace");
    assert_eq!(world.fsck().await.streams, 0);
    assert_eq!(world.drops().await, world.drops_for([(stored.id, 2)], Local));
    catalog.abandon_stream(stored.id).await.expect("gone already");
    world.collect_all().await;
}

#[tokio::test]
async fn what_a_session_left_unfinished_goes_with_it_whenever_the_end_is_interrupted() {
    for allowed in 0..8 {
        let world = World::memory().await;
        let (one, two, used) =
            (world.stream(3, Local), world.stream(2, Local), world.stream(1, Local));
        let (catalog, session) = (&world.catalog, world.session);
        catalog.commit_segments(session, &on_the_way(&one, 0, 3)).await.expect("stored");
        catalog.commit_segments(session, &on_the_way(&two, 0, 2)).await.expect("stored");
        let at = world.create_upload(&key("u")).await.expect("begun");
        world.put_part(&at, 1, &used).await.expect("stored");
        world.engine.allow(allowed);
        let ended = catalog.end_session(session).await;
        world.engine.allow(u64::MAX);
        assert_eq!(ended.is_ok(), allowed >= 4);
        world.fsck().await;
        catalog.end_session(session).await.expect("ended");
        world.collect_all().await;
        assert_eq!(world.fsck().await.streams, 1);
        assert_eq!(world.drops().await, world.drops_for([(one.id, 3), (two.id, 2)], Local));
        assert_eq!(catalog.parts(at.2, 0, 9).await.expect("read")[0].1.md5, md5(&used));
    }
}
