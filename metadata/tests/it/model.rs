//! Random histories against a model of a few lines: what should be alive is, what should be dead is in the drops, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use metadata::records::StreamState;
use metadata::uploads::UploadAt;
use metadata::{CatalogError, Condition, StreamCommit};
use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};
use types::{GeometryName::Local, StreamId};

use crate::outbox;
use crate::support::{GRACE, Stored, World, key, md5, md5_of, part, wrap};

/// Few keys, so that most operations meet an object.
const KEYS: [&str; 3] = ["a", "a/b", "b"];

#[derive(Clone, Debug)]
enum Op {
    PutInline(usize),
    Put { key: usize, segments: u32, on_the_way: u32 },
    PutRefused { key: usize, on_the_way: u32 },
    Copy(usize, usize),
    Delete(usize),
    Create(usize),
    Part { upload: usize, number: u32, segments: u32 },
    SharePart { upload: usize, number: u32, from: usize },
    Complete { upload: usize, without: u32 },
    Abort(usize),
    Wait,
    Collect,
}

fn op() -> impl Strategy<Value = Op> {
    let (key, upload, number) = (0..KEYS.len(), 0..3_usize, 1..4_u32);
    prop_oneof![
        1 => key.clone().prop_map(Op::PutInline),
        3 => (key.clone(), 0..3_u32, 0..3_u32)
            .prop_map(|(key, segments, on_the_way)| Op::Put { key, segments, on_the_way }),
        1 => (key.clone(), 0..2_u32).prop_map(|(key, on_the_way)| Op::PutRefused { key, on_the_way }),
        3 => (key.clone(), key.clone()).prop_map(|(from, to)| Op::Copy(from, to)),
        2 => key.clone().prop_map(Op::Delete),
        2 => key.clone().prop_map(Op::Create),
        4 => (upload.clone(), number.clone(), 0..3_u32)
            .prop_map(|(upload, number, segments)| Op::Part { upload, number, segments }),
        2 => (upload.clone(), number.clone(), key)
            .prop_map(|(upload, number, from)| Op::SharePart { upload, number, from }),
        2 => (upload.clone(), 0..4_u32).prop_map(|(upload, without)| Op::Complete { upload, without }),
        1 => upload.prop_map(Op::Abort),
        1 => Just(Op::Wait),
        2 => Just(Op::Collect),
    ]
}

/// What should be there.
#[derive(Default)]
struct Model {
    /// Streams of each object, in order.
    objects: BTreeMap<usize, Vec<StreamId>>,
    uploads: Vec<(UploadAt, usize, BTreeMap<u32, StreamId>)>,
    /// Every stream of which a row was ever committed, with its segments.
    streams: BTreeMap<StreamId, u32>,
}

impl Model {
    fn live(&self) -> BTreeSet<StreamId> {
        let objects = self.objects.values().flatten();
        let parts = self.uploads.iter().flat_map(|(_, _, parts)| parts.values());
        objects.chain(parts).copied().collect()
    }

    async fn apply(&mut self, world: &World, op: Op) {
        match op {
            Op::PutInline(at) => {
                world.commit(&world.inline(&key(KEYS[at]))).await.expect("stored");
                self.objects.insert(at, Vec::new());
            }
            Op::Put { key: at, segments, on_the_way } => {
                let stored = self.store(world, segments, on_the_way.min(segments)).await;
                world.commit(&world.whole(&key(KEYS[at]), &stored)).await.expect("stored");
                self.streams.insert(stored.id, segments);
                self.objects.insert(at, vec![stored.id]);
            }
            Op::PutRefused { key: at, on_the_way } => self.put_refused(world, at, on_the_way).await,
            Op::Copy(from, to) => self.copy(world, from, to).await,
            Op::Delete(at) => {
                let deleted = world.delete(&key(KEYS[at])).await.expect("deleted");
                assert_eq!(deleted.is_some(), self.objects.remove(&at).is_some());
            }
            Op::Create(at) if self.uploads.len() < 3 => {
                let upload = world.create_upload(&key(KEYS[at])).await.expect("begun");
                self.uploads.push((upload, at, BTreeMap::new()));
            }
            Op::Part { upload, number, segments } if upload < self.uploads.len() => {
                let stored = self.store(world, segments, 0).await;
                let (at, _, parts) = &mut self.uploads[upload];
                world.put_part(at, number, &stored).await.expect("stored");
                self.streams.insert(stored.id, segments);
                parts.insert(number, stored.id);
            }
            Op::SharePart { upload, number, from } if upload < self.uploads.len() => {
                let first = self.objects.get(&from).and_then(|streams| streams.first());
                let Some(stream) = first.copied() else { return };
                let (at, _, parts) = &mut self.uploads[upload];
                let row = world.catalog.stream(stream).await.expect("read").expect("there");
                let part = part(stream, row.len, md5_of(stream));
                let (catalog, wrap) = (&world.catalog, wrap(7));
                let shared = catalog.commit_part(world.session, at, number, &part, &wrap, None);
                shared.await.expect("shared");
                parts.insert(number, stream);
            }
            Op::Complete { upload, without } if upload < self.uploads.len() => {
                self.complete(world, upload, without).await;
            }
            Op::Abort(upload) if upload < self.uploads.len() => {
                let (at, ..) = self.uploads.remove(upload);
                world.catalog.abort_upload(&at).await.expect("aborted");
                let again = world.catalog.abort_upload(&at).await;
                assert!(matches!(again, Err(CatalogError::NoSuchUpload)));
            }
            Op::Wait => world.clock.advance(GRACE / 2),
            Op::Collect => world.collect().await.expect("collected"),
            _ => {}
        }
    }

    /// Stores a stream, its first segments committed on the way.
    async fn store(&mut self, world: &World, segments: u32, on_the_way: u32) -> Stored {
        let mut stored = world.stream(segments, Local);
        if on_the_way > 0 {
            let mut rows = stored.commit.clone();
            rows.row.state = StreamState::Writing;
            rows.row.segments = on_the_way;
            rows.segments.truncate(on_the_way as usize);
            world.catalog.commit_segments(world.session, &rows).await.expect("stored");
            self.streams.insert(stored.id, on_the_way);
            let rest = stored.commit.segments.split_off(on_the_way as usize);
            stored.commit = StreamCommit { first: on_the_way, segments: rest, ..stored.commit };
        }
        stored
    }

    async fn put_refused(&mut self, world: &World, at: usize, on_the_way: u32) {
        let stored = self.store(world, 2, on_the_way).await;
        let mut new = world.whole(&key(KEYS[at]), &stored);
        new.preconditions.if_match = Some(Condition::Tags(vec!["no such tag".to_owned()]));
        let refused = world.commit(&new).await.expect_err("refused");
        let expected = self.objects.contains_key(&at);
        assert_eq!(matches!(refused, CatalogError::PreconditionFailed), expected);
        assert_eq!(matches!(refused, CatalogError::NoSuchKey), !expected);
        world.catalog.abandon_stream(stored.id).await.expect("abandoned");
    }

    async fn copy(&mut self, world: &World, from: usize, to: usize) {
        let Some(streams) = self.objects.get(&from).cloned() else { return };
        let copy = world.copy(&key(KEYS[from]), &key(KEYS[to])).await.expect("located");
        world.commit(&copy).await.expect("copied");
        self.objects.insert(to, streams);
    }

    async fn complete(&mut self, world: &World, upload: usize, without: u32) {
        let (at, to, mut parts) = self.uploads.remove(upload);
        parts.remove(&without);
        let chosen: Vec<_> = parts.iter().map(|(number, id)| (*number, md5_of(*id))).collect();
        if let Some((number, _)) = chosen.first() {
            let wrong = world.complete(&at, vec![(*number, [0; 16])]).await;
            assert!(matches!(wrong, Err(CatalogError::InvalidPart(_))), "{wrong:?}");
        }
        let entry = world.complete(&at, chosen.clone()).await.expect("completed");
        assert_eq!(world.complete(&at, chosen).await.expect("repeated"), entry);
        self.objects.insert(to, parts.into_values().collect());
    }

    async fn check(&self, world: &World) {
        let report = world.fsck().await;
        assert_eq!(report.objects, self.objects.len() as u64);
        for (at, name) in KEYS.iter().enumerate() {
            let found = world.streams_of(&key(name)).await.ok();
            assert_eq!(found.as_ref(), self.objects.get(&at), "object {name}");
        }
        for stream in self.live() {
            let row = world.catalog.stream(stream).await.expect("read").expect("alive");
            assert_eq!(row.state, StreamState::Whole);
        }
    }

    async fn check_collected(&self, world: &World) {
        world.collect_all().await;
        self.check(world).await;
        outbox::check(world).await;
        let live = self.live();
        assert_eq!(world.fsck().await.streams, live.len() as u64);
        let dead = self.streams.iter().filter(|(id, _)| !live.contains(id));
        let expected = world.drops_for(dead.map(|(id, segments)| (*id, *segments)), Local);
        assert_eq!(world.drops().await, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_history_leaves_exactly_what_is_alive(ops in prop::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let (world, mut model) = (World::memory().await, Model::default());
            for op in ops {
                model.apply(&world, op).await;
                model.check(&world).await;
            }
            model.check_collected(&world).await;
            // Everything goes in the end.
            for at in 0..KEYS.len() {
                model.apply(&world, Op::Delete(at)).await;
            }
            while !model.uploads.is_empty() {
                model.apply(&world, Op::Abort(0)).await;
            }
            model.check_collected(&world).await;
        });
    }
}

#[tokio::test]
async fn a_completed_upload_whose_object_is_gone_is_no_upload() {
    let world = World::memory().await;
    let at = world.create_upload(&key("a")).await.expect("begun");
    let stored = world.stream(1, Local);
    world.put_part(&at, 2, &stored).await.expect("stored");
    let chosen = vec![(2, md5(&stored))];
    for unordered in
        [vec![(2, md5(&stored)), (2, md5(&stored))], vec![(2, md5(&stored)), (1, [0; 16])]]
    {
        let refused = world.complete(&at, unordered).await;
        assert!(matches!(refused, Err(CatalogError::InvalidPart(_))), "{refused:?}");
    }
    world.complete(&at, chosen.clone()).await.expect("completed");
    world.delete(&key("a")).await.expect("deleted");
    let again = world.complete(&at, chosen).await;
    assert!(matches!(again, Err(CatalogError::NoSuchUpload)), "{again:?}");
    let late = world.put_part(&at, 2, &world.stream(1, Local)).await;
    assert!(matches!(late, Err(CatalogError::NoSuchUpload)), "{late:?}");
}

#[tokio::test]
async fn an_extent_may_not_reach_beyond_its_stream() {
    let world = World::memory().await;
    let stored = world.stream(1, Local);
    let long = Stored { len: stored.len + 1, ..stored.clone() };
    let refused = world.commit(&world.whole(&key("a"), &long)).await;
    assert!(matches!(refused, Err(CatalogError::Corrupt(_))), "{refused:?}");
    world.commit(&world.whole(&key("a"), &stored)).await.expect("stored");
    let at = world.create_upload(&key("b")).await.expect("begun");
    let long = part(stored.id, u64::MAX, [0; 16]);
    let refused = world.catalog.commit_part(world.session, &at, 1, &long, &wrap(1), None).await;
    assert!(matches!(refused, Err(CatalogError::Corrupt(_))), "{refused:?}");
    world.fsck().await;
}
