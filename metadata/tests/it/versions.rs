//! Versions of a key through everything that adds and removes them, against a model of a few lines; and object lock, from all sides.

use std::time::Duration;

use futures::future::join_all;
use metadata::list_versions::ListedVersion;
use metadata::records::{
    BucketLock, DefaultRetention, Lock, LockMode, Retention, RetentionPeriod, Versioning,
};
use metadata::{
    CatalogError, Condition, Delete, Detail, Entry, ListQuery, NewObject, Preconditions, Rank, Seen,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use types::{ManifestId, Timestamp, VersionId};

use crate::support::{World, key, on_every_engine};

on_every_engine! {
    a_delete_marker_hides_a_key_and_nothing_is_lost,
    a_write_that_wants_no_object_takes_a_delete_marker_for_none,
    a_locked_version_goes_only_when_its_time_is_over,
    a_lock_and_a_deletion_at_once_never_both_succeed,
    writers_of_one_key_at_once_each_leave_a_version,
    a_bucket_of_delete_markers_is_not_empty,
    what_was_decided_of_a_version_holds_only_while_its_facts_do,
}

impl World {
    async fn set_versioning(&self, versioning: Versioning) {
        let changed = self.catalog.change_bucket(&self.bucket, |bucket| {
            bucket.versioning = versioning;
            Ok(())
        });
        changed.await.expect("changed");
    }

    async fn lock_bucket(&self, default: Option<DefaultRetention>) {
        let changed = self.catalog.change_bucket(&self.bucket, |bucket| {
            bucket.versioning = Versioning::Enabled;
            bucket.lock = Some(BucketLock { default });
            Ok(())
        });
        changed.await.expect("changed");
    }

    async fn remove(
        &self,
        name: &str,
        version: VersionId,
        bypass: bool,
    ) -> Result<(), CatalogError> {
        let delete = Delete { version: Some(version), bypass, ..Delete::of(key(name)) };
        self.catalog.delete_object(&self.bucket, &delete).await.map(drop)
    }

    async fn versions(&self, query: &ListQuery) -> Vec<ListedVersion> {
        let (mut all, mut query, mut after) = (Vec::new(), query.clone(), None);
        loop {
            let listed = self.catalog.list_versions(self.bucket.1, &query, after).await;
            let (page, last) = listed.expect("listed");
            all.extend(page.items);
            match page.next {
                Some(next) => (query.after, after) = (Some(next), last),
                None => return all,
            }
        }
    }
}

fn all(limit: usize) -> ListQuery {
    ListQuery { limit, ..ListQuery::default() }
}

fn until(world: &World, seconds: u64, mode: LockMode) -> Option<Retention> {
    let now = types::Clock::now(&*world.clock);
    Some(Retention { mode, until: now.plus(Duration::from_secs(seconds)) })
}

async fn what_was_decided_of_a_version_holds_only_while_its_facts_do(world: World) {
    world.set_versioning(Versioning::Enabled).await;
    let name = key("k");
    let mut written = Vec::new();
    for _ in 0..4 {
        written.push(world.commit(&world.inline(&name)).await.expect("stored"));
        world.clock.advance(Duration::from_secs(1));
    }
    let seen = |entry: &Entry, rank| Seen {
        manifest: entry.manifest,
        modified: entry.modified,
        tags: Some(Vec::new()),
        rank,
    };
    let end = |entry: &Entry, seen: Seen| {
        let preconditions = Preconditions { seen: Some(seen), ..Preconditions::default() };
        let delete =
            Delete { version: Some(entry.version), preconditions, ..Delete::of(name.clone()) };
        let world = world.clone();
        async move { world.catalog.delete_object(&world.bucket, &delete).await.map(drop) }
    };
    let refused = |result| matches!(result, Err(CatalogError::PreconditionFailed));
    let oldest = &written[0];
    let older = |newer| Rank::Older { since: written[1].modified, newer };
    assert!(refused(end(oldest, seen(oldest, Rank::Current)).await), "it is not current");
    assert!(refused(end(oldest, seen(oldest, Rank::Alone)).await));
    assert!(refused(end(oldest, seen(oldest, older(3))).await), "two lie between");
    let later = Timestamp(oldest.modified.0 + 1);
    let moved = Seen { modified: later, ..seen(oldest, older(2)) };
    assert!(refused(end(oldest, moved).await), "compared exactly");
    let tagged = vec![("a".to_owned(), "b".to_owned())];
    let tagged = Seen { tags: Some(tagged), ..seen(oldest, older(2)) };
    assert!(refused(end(oldest, tagged).await), "it has no such tag");

    world.remove("k", written[1].version, false).await.expect("deleted");
    assert!(refused(end(oldest, seen(oldest, older(1))).await), "what replaced it is gone");
    let since = written[2].modified;
    end(oldest, seen(oldest, Rank::Older { since, newer: 1 })).await.expect("as it is");
    let (last, current) = (&written[2], &written[3]);
    world.remove("k", current.version, false).await.expect("deleted");
    let before = Rank::Older { since: current.modified, newer: 0 };
    assert!(refused(end(last, seen(last, before)).await), "it is current again");
    end(last, seen(last, Rank::Alone)).await.expect("nothing is behind it");
    world.fsck().await;
}

async fn a_delete_marker_hides_a_key_and_nothing_is_lost(world: World) {
    world.set_versioning(Versioning::Enabled).await;
    let name = key("k");
    let stored = world.stream(1, types::GeometryName::Local);
    let first = world.commit(&world.whole(&name, &stored)).await.expect("stored");
    let second = world.commit(&world.inline(&name)).await.expect("stored");
    let deleted = world.catalog.delete_object(&world.bucket, &Delete::of(name.clone())).await;
    let marker = deleted.expect("deleted").version.expect("a marker");
    let hidden = world.catalog.locate(world.bucket.1, &name).await.err();
    assert!(
        matches!(hidden, Some(CatalogError::DeleteMarker { version, named: false, .. }) if version == marker)
    );
    assert!(
        world.catalog.list_objects(world.bucket.1, &all(9)).await.expect("listed").items.is_empty()
    );
    world.collect_all().await;
    for version in [first.version, second.version] {
        let located = world.catalog.locate_version(world.bucket.1, &name, Some(version)).await;
        located.expect("there").body().await.expect("whole");
    }
    world.fsck().await;
    for version in [marker, first.version, second.version] {
        world.remove("k", version, false).await.expect("removed");
    }
    world.collect_all().await;
    assert_eq!(world.fsck().await.objects, 0);
    assert_eq!(world.catalog.stream(stored.id).await.expect("read"), None);
}

async fn a_write_that_wants_no_object_takes_a_delete_marker_for_none(world: World) {
    world.set_versioning(Versioning::Enabled).await;
    let once = || {
        let if_none_match = Some(Condition::Any);
        let preconditions = Preconditions { if_none_match, ..Preconditions::default() };
        NewObject { preconditions, ..world.inline(&key("k")) }
    };
    world.commit(&once()).await.expect("stored");
    assert!(matches!(world.commit(&once()).await, Err(CatalogError::PreconditionFailed)));
    world.delete(&key("k")).await.expect("marked");
    world.commit(&once()).await.expect("stored");
    assert_eq!(world.versions(&all(9)).await.len(), 3);
}

async fn a_locked_version_goes_only_when_its_time_is_over(world: World) {
    let refused = NewObject {
        detail: Detail {
            lock: Lock { legal_hold: Some(true), ..Lock::default() },
            ..Detail::default()
        },
        ..world.inline(&key("k"))
    };
    assert!(matches!(world.commit(&refused).await, Err(CatalogError::NotLockable)));
    let period = RetentionPeriod::Days(1);
    world.lock_bucket(Some(DefaultRetention { mode: LockMode::Compliance, period })).await;
    let kept = world.commit(&world.inline(&key("k"))).await.expect("stored").version;
    world.delete(&key("k")).await.expect("marked");
    for bypass in [false, true] {
        let denied = world.remove("k", kept, bypass).await;
        assert!(matches!(denied, Err(CatalogError::Locked)));
    }
    // Nothing that changes a detail changes its lock by the way.
    let change = |_: &metadata::Entry, detail: &mut Detail| {
        detail.lock = Lock::default();
        detail.tags = vec![("a".to_owned(), "b".to_owned())];
        Ok(())
    };
    let changed = world.catalog.change_detail(&world.bucket, &key("k"), Some(kept), change).await;
    changed.expect("changed");
    let lift = world.catalog.put_retention(&world.bucket, &key("k"), Some(kept), None, true).await;
    assert!(matches!(lift, Err(CatalogError::Locked)));
    world.clock.advance(Duration::from_secs(24 * 3600));
    let hold = world.catalog.put_legal_hold(&world.bucket, &key("k"), Some(kept), true).await;
    hold.expect("held");
    assert!(matches!(world.remove("k", kept, true).await, Err(CatalogError::Locked)));
    let lift = world.catalog.put_legal_hold(&world.bucket, &key("k"), Some(kept), false).await;
    lift.expect("lifted");
    world.remove("k", kept, false).await.expect("removed");
    world.fsck().await;
}

async fn a_lock_and_a_deletion_at_once_never_both_succeed(world: World) {
    world.lock_bucket(None).await;
    for round in 0..40 {
        let name = format!("k{round}");
        let version = world.commit(&world.inline(&key(&name))).await.expect("stored").version;
        let retention = until(&world, 3600, LockMode::Compliance);
        let (locker, deleter, at) = (world.clone(), world.clone(), key(&name));
        let lock = tokio::spawn(async move {
            let (catalog, bucket) = (&locker.catalog, &locker.bucket);
            catalog.put_retention(bucket, &at, Some(version), retention, false).await
        });
        let delete = tokio::spawn(async move { deleter.remove(&name, version, true).await });
        let (lock, delete) = (lock.await.expect("ran"), delete.await.expect("ran"));
        assert!(lock.is_ok() != delete.is_ok(), "{lock:?} {delete:?}");
    }
    world.fsck().await;
}

async fn writers_of_one_key_at_once_each_leave_a_version(world: World) {
    world.commit(&world.inline(&key("k"))).await.expect("stored");
    world.set_versioning(Versioning::Enabled).await;
    let writers = (0..8).map(|number| {
        let world = world.clone();
        tokio::spawn(async move {
            let written = world.commit(&world.inline(&key("k"))).await.expect("stored");
            if number % 2 == 0 {
                world.remove("k", written.version, false).await.expect("removed");
            }
        })
    });
    for writer in join_all(writers).await {
        writer.expect("ran");
    }
    let versions = world.versions(&all(1000)).await;
    assert_eq!(versions.len(), 5);
    assert!(versions[0].latest && versions[1..].iter().all(|version| !version.latest));
    assert_eq!(versions[4].entry.version, VersionId::NULL);
    world.fsck().await;
}

async fn a_bucket_of_delete_markers_is_not_empty(world: World) {
    world.set_versioning(Versioning::Enabled).await;
    world.delete(&key("k")).await.expect("marked");
    let refused = world.catalog.delete_bucket(&world.bucket).await;
    assert!(matches!(refused, Err(CatalogError::BucketNotEmpty(_))));
    let marker = world.versions(&all(9)).await[0].entry.version;
    world.remove("k", marker, false).await.expect("removed");
    world.catalog.delete_bucket(&world.bucket).await.expect("empty");
}

/// Few keys, some of them prefixes of others.
const KEYS: [&str; 4] = ["a", "a/1", "a/2", "b"];

#[derive(Clone, Debug)]
enum Op {
    Put(usize),
    Delete(usize),
    Remove(usize, usize),
    RemoveNull(usize),
    Set(Versioning),
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..KEYS.len();
    prop_oneof![
        4 => at.clone().prop_map(Op::Put),
        2 => at.clone().prop_map(Op::Delete),
        2 => (at.clone(), 0..4_usize).prop_map(|(key, version)| Op::Remove(key, version)),
        1 => at.prop_map(Op::RemoveNull),
        1 => prop_oneof![Just(Versioning::Enabled), Just(Versioning::Suspended)].prop_map(Op::Set),
    ]
}

/// What should be there: each key's versions from new to old, by manifest; markers have none.
#[derive(Default)]
struct Model {
    keys: [Vec<(VersionId, Option<ManifestId>)>; KEYS.len()],
    versioning: Versioning,
}

impl Model {
    fn add(&mut self, at: usize, version: VersionId, manifest: Option<ManifestId>) {
        if self.versioning != Versioning::Enabled {
            self.keys[at].retain(|(version, _)| *version != VersionId::NULL);
        }
        self.keys[at].insert(0, (version, manifest));
    }

    async fn apply(&mut self, world: &World, op: Op) {
        match op {
            Op::Put(at) => {
                let written = world.commit(&world.inline(&key(KEYS[at]))).await.expect("stored");
                self.add(at, written.version, Some(written.manifest));
            }
            Op::Delete(at) if self.versioning == Versioning::Unversioned => {
                world.delete(&key(KEYS[at])).await.expect("deleted");
                self.keys[at].clear();
            }
            Op::Delete(at) => {
                let delete = Delete::of(key(KEYS[at]));
                let deleted = world.catalog.delete_object(&world.bucket, &delete).await;
                let marker = deleted.expect("deleted").version.expect("a marker");
                self.add(at, marker, None);
            }
            Op::Remove(at, number) => {
                let Some((version, _)) = self.keys[at].get(number).copied() else { return };
                world.remove(KEYS[at], version, false).await.expect("removed");
                self.keys[at].remove(number);
            }
            Op::RemoveNull(at) => {
                world.remove(KEYS[at], VersionId::NULL, false).await.expect("removed");
                self.keys[at].retain(|(version, _)| *version != VersionId::NULL);
            }
            Op::Set(versioning) => {
                world.set_versioning(versioning).await;
                self.versioning = versioning;
            }
        }
    }

    async fn compare(&self, world: &World, limit: usize) {
        let expected: Vec<_> = KEYS
            .iter()
            .zip(&self.keys)
            .flat_map(|(name, versions)| {
                let lines = versions.iter().enumerate();
                lines.map(|(place, (version, _))| ((*name).to_owned(), *version, place == 0))
            })
            .collect();
        let listed = world.versions(&all(limit)).await;
        let listed: Vec<_> = listed
            .into_iter()
            .map(|line| (line.key.as_str().to_owned(), line.entry.version, line.latest))
            .collect();
        assert_eq!(listed, expected);
        let rolled = ListQuery { delimiter: Some("/".to_owned()), ..all(limit) };
        let flat: Vec<_> = expected.iter().filter(|line| !line.0.contains('/')).collect();
        assert_eq!(world.versions(&rolled).await.len(), flat.len());
        for (name, versions) in KEYS.iter().zip(&self.keys) {
            let now = world.catalog.locate(world.bucket.1, &key(name)).await;
            let now = now.ok().map(|located| located.entry.manifest);
            assert_eq!(now, versions.first().and_then(|(_, manifest)| *manifest));
            for (version, manifest) in versions {
                let at = Some(*version);
                let found = world.catalog.locate_version(world.bucket.1, &key(name), at).await;
                assert_eq!(found.ok().map(|located| located.entry.manifest), *manifest);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn every_history_leaves_the_versions_it_should(
        ops in prop::collection::vec(op(), 1..40),
        limit in 1..6_usize,
        late in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let (world, mut model) = (World::memory().await, Model::default());
            if !late {
                model.apply(&world, Op::Set(Versioning::Enabled)).await;
            }
            for op in ops {
                model.apply(&world, op).await;
            }
            model.compare(&world, limit).await;
            world.fsck().await;
            world.collect_all().await;
            world.fsck().await;
        });
    }
}

#[tokio::test]
async fn a_version_of_another_time_or_key_is_not_found() {
    let world = World::memory().await;
    world.set_versioning(Versioning::Enabled).await;
    let first = world.commit(&world.inline(&key("k"))).await.expect("stored");
    world.commit(&world.inline(&key("k"))).await.expect("stored");
    let forged = VersionId::at(first.modified);
    let later = VersionId::at(Timestamp(first.modified.0 + 999));
    for (name, version) in
        [("k", forged), ("k", later), ("other", first.version), ("k", VersionId::NULL)]
    {
        let missing = world.catalog.locate_version(world.bucket.1, &key(name), Some(version)).await;
        assert!(matches!(missing.err(), Some(CatalogError::NoSuchVersion)));
        world.remove(name, version, false).await.expect("nothing to remove");
    }
    assert_eq!(world.versions(&all(9)).await.len(), 2);
}
