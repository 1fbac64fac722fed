//! A bucket of a million keys, a tenth of them with a second version, on the engine on disk with its fsyncs: what a page of it costs, and how fast its keys
//! can be deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drystone_metadata as metadata;
use futures::StreamExt as _;
use kv::Kv as _;
use kv::rocks::{Durability, Rocks, RocksOptions, RocksShared};
use metadata::commit::Inline;
use metadata::delete::DELETES_AT_ONCE;
use metadata::listing::ListQuery;
use metadata::records::Versioning;
use metadata::{Catalog, Delete, Detail, Etag, NewBody, NewBucket, NewObject, Preconditions};
use tokio::runtime::Runtime;
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, ObjectKey, SessionId, StreamId,
    SystemClock,
};

const KEYS: u64 = 1_000_000;
/// Every so many keys have a second version.
const SECOND: u64 = 10;
/// Tasks that load, and the requests that each has under way.
const LOADERS: u64 = 4;
const REQUESTS: usize = 64;
/// Memory of the engine while it is loaded: what is written in one go is best sorted in large pieces.
const LOADING_MEMORY: usize = 512 << 20;
/// Its write buffers.
const LOADING_BUFFER: usize = 64 << 20;
/// Memory of the engine while it is measured: a quarter of what a gateway has.
const MEMORY: usize = 64 << 20;
/// Transactions of one DeleteObjects under way at once, as the gateway has.
const DELETERS: usize = 32;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone)]
struct World {
    catalog: Catalog,
    session: SessionId,
    bucket: (BucketName, BucketId),
}

fn key(number: u64) -> ObjectKey {
    format!("photos/2026/{:03}/{number:08}.jpg", number % 500).parse().expect("a key")
}

async fn catalog(folder: &std::path::Path, options: RocksOptions<'_>) -> (Arc<Rocks>, Catalog) {
    let options = options.with_families(metadata::schema::families());
    let rocks = Arc::new(Rocks::open(folder, options).await.expect("open"));
    let catalog = Catalog::new(Arc::clone(&rocks) as _, Arc::new(SystemClock), DAY);
    (rocks, catalog)
}

impl World {
    /// Filled without fsyncs, which would take many minutes, then opened as a gateway opens it.
    async fn filled(folder: &std::path::Path, shared: &RocksShared) -> Self {
        let loading = RocksShared::new(LOADING_MEMORY).expect("shared");
        let mut options = RocksOptions::metadata(&loading);
        options.durability = Durability::Buffered;
        options.write_buffer = LOADING_BUFFER;
        let quick = catalog(folder, options).await;
        let world = Self::begin(quick.1).await;
        world.load().await;
        quick.0.close().await;
        let (_, catalog) = catalog(folder, RocksOptions::metadata(shared)).await;
        Self { catalog, ..world }
    }

    async fn begin(catalog: Catalog) -> Self {
        let session = catalog.begin_session("bench", DAY).await.expect("a session");
        let name: BucketName = "bucket".parse().expect("a name");
        let owner: AccountId = "alice".parse().expect("an id");
        let versioned =
            NewBucket { versioning: Versioning::Enabled, ..NewBucket::plain(GeometryName::Local) };
        let bucket = catalog.create_bucket(&name, &owner, versioned).await.expect("a bucket");
        Self { catalog, session, bucket: (name, bucket.id) }
    }

    async fn put(&self, key: ObjectKey, serial: u64) {
        let stream = StreamId { session: self.session, serial };
        let inline = Inline { stream, wrap: None, cipher: Bytes::from_static(&[7; 64]) };
        let new = NewObject {
            bucket: self.bucket.clone(),
            key,
            manifest: ManifestId::random(),
            size: 48,
            etag: Etag { md5: [7; 16], parts: 0 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            detail: Detail::default(),
            body: NewBody::Inline(inline),
            preconditions: Preconditions::default(),
            replica: None,
            sequel: metadata::Sequel::default(),
        };
        self.catalog.commit_object(self.session, &new).await.expect("committed");
    }

    async fn load(&self) {
        let begin = Instant::now();
        self.put_every(1, 0).await;
        self.put_every(SECOND, KEYS).await;
        let all = KEYS + KEYS / SECOND;
        println!("loaded {all} versions in {:.0} s", begin.elapsed().as_secs_f64());
    }

    /// Puts a version of every `step`th key.
    async fn put_every(&self, step: u64, first_serial: u64) {
        let loaders = (0..LOADERS).map(|loader| {
            let world = self.clone();
            tokio::spawn(async move {
                let numbers = (loader..KEYS / step).step_by(LOADERS as usize);
                let puts = numbers.map(|nth| world.put(key(nth * step), first_serial + nth));
                futures::stream::iter(puts).buffer_unordered(REQUESTS).collect::<()>().await;
            })
        });
        for loader in futures::future::join_all(loaders).await {
            loader.expect("it put them all");
        }
    }

    /// As one DeleteObjects of a thousand keys does it.
    async fn delete_thousand(&self, from: u64) {
        let keys: Vec<Delete> = (from..from + 1000).map(|number| Delete::of(key(number))).collect();
        let batches = keys.chunks(DELETES_AT_ONCE);
        let batches: Vec<_> =
            batches.map(|batch| self.catalog.delete_objects(&self.bucket, batch)).collect();
        let mut results = futures::stream::iter(batches).buffered(DELETERS);
        while let Some(result) = results.next().await {
            assert!(result.expect("deleted").iter().all(Result::is_ok));
        }
    }
}

fn page() -> ListQuery {
    ListQuery { limit: 1000, ..ListQuery::default() }
}

fn benches(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let shared = RocksShared::new(MEMORY).expect("shared");
    let world = runtime.block_on(World::filled(folder.path(), &shared));
    let bucket = world.bucket.1;

    c.bench_function("first page of a million keys", |b| {
        b.iter(|| {
            let page =
                runtime.block_on(world.catalog.list_objects(bucket, &page())).expect("a page");
            assert_eq!(page.items.len(), 1000);
        });
    });
    c.bench_function("first page of 1.1 million versions", |b| {
        b.iter(|| {
            let query = page();
            let listed = world.catalog.list_versions(bucket, &query, None);
            let (page, _) = runtime.block_on(listed).expect("a page");
            assert_eq!(page.items.len(), 1000);
        });
    });

    let mut group = c.benchmark_group("DeleteObjects");
    group.throughput(Throughput::Elements(1000)).sample_size(10);
    let mut from = 0;
    group.bench_function("1000 keys, a marker each", |b| {
        b.iter(|| {
            runtime.block_on(world.delete_thousand(from));
            from = (from + 1000) % KEYS;
        });
    });
    group.finish();
}

criterion_group! {
    name = all;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = benches
}
criterion_main!(all);
