//! A small world to test in: an engine, a clock that a test moves, a bucket, groups of nodes, and builders for what a gateway would commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kv::memory::Memory;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use kv::{Family, FamilyOptions, Kv, KvError, Reads, Scan, Snap, Tx};
use metadata::commit::Inline;
use metadata::fsck::Report;
use metadata::records::{Part, SlotSet, StreamRow, StreamState, Upload};
use metadata::uploads::{Completion, UploadAt};
use metadata::{
    Catalog, CatalogError, Delete, Detail, Entry, Etag, Extent, LocatedBody, NewBody, NewBucket,
    NewObject, Preconditions, SegmentRow, Sequel, StreamCommit,
};
use seal::WrappedKey;
use tempfile::TempDir;
use types::{
    AccountId, BucketId, BucketName, Clock, GeometryName, GroupId, ManifestId, NodeId, ObjectKey,
    Root, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp,
};

/// How long a GET may run on after a delete.
pub(crate) const GRACE: Duration = Duration::from_secs(6 * 3600);
/// How long a session is leased.
pub(crate) const LEASE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Plaintext bytes of a segment.
pub(crate) const SEGMENT: u64 = 1000;

/// A clock that stands still until it is moved.
pub(crate) struct FakeClock(AtomicU64);

impl FakeClock {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// An engine that stops after a number of transactions, as a crash would stop it.
pub(crate) struct Crashing {
    inner: Arc<dyn Kv>,
    left: AtomicU64,
}

impl Crashing {
    /// Lets `transactions` more begin.
    pub(crate) fn allow(&self, transactions: u64) {
        self.left.store(transactions, Ordering::SeqCst);
    }
}

#[async_trait]
impl Kv for Crashing {
    async fn begin(&self) -> Result<Tx, KvError> {
        let left = |left: u64| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left) {
            Ok(_) => self.inner.begin().await,
            Err(_) => Err(KvError::Closed),
        }
    }

    async fn snapshot(&self) -> Result<Snap, KvError> {
        self.inner.snapshot().await
    }

    async fn checkpoint(&self, dir: &std::path::Path) -> Result<(), KvError> {
        self.inner.checkpoint(dir).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// Everything a test needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) catalog: Catalog,
    pub(crate) engine: Arc<Crashing>,
    pub(crate) clock: Arc<FakeClock>,
    pub(crate) session: SessionId,
    pub(crate) bucket: (BucketName, BucketId),
    pub(crate) group: GroupId,
    serial: Arc<AtomicU64>,
    folder: Option<Arc<TempDir>>,
}

/// A stream as a gateway has stored it, with the rows to commit.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: StreamId,
    pub(crate) len: u64,
    pub(crate) commit: StreamCommit,
}

pub(crate) fn account() -> AccountId {
    "alice".parse().expect("an id")
}

pub(crate) fn key(name: &str) -> ObjectKey {
    name.parse().expect("a key")
}

pub(crate) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// The nodes of a geometry's only group: slot `i` is with node `i + 1`.
pub(crate) fn members(geometry: GeometryName) -> Vec<Option<NodeId>> {
    (1..=geometry.geometry().n as u8).map(|number| Some(node(number))).collect()
}

/// A wrap with fixed bytes; the catalog never opens one.
pub(crate) fn wrap(byte: u8) -> WrappedKey {
    let mut bytes = vec![1, 0, 1];
    bytes.extend([byte; 16 + 24 + 32 + 16 + 32]);
    postcard::from_bytes(&bytes).expect("a wrap")
}

impl World {
    pub(crate) async fn memory() -> Self {
        Self::over(Arc::new(Memory::new()), None, GeometryName::Local).await
    }

    pub(crate) async fn wide() -> Self {
        Self::over(Arc::new(Memory::new()), None, GeometryName::Wide).await
    }

    /// On disk, without fsync: the same code, in less time.
    pub(crate) async fn rocks() -> Self {
        Self::on_disk(metadata::schema::families()).await
    }

    /// On disk, as a gateway has it, but for how soon what was deleted from a family that is rewritten must be gone.
    pub(crate) async fn rewritten_within(time: Duration) -> Self {
        let sooner = |options: FamilyOptions| FamilyOptions {
            rewrite_after: options.rewrite_after.map(|_| time),
            ..options
        };
        Self::on_disk(metadata::schema::families().into_iter().map(sooner).collect()).await
    }

    async fn on_disk(families: Vec<FamilyOptions>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = RocksShared::new(8 << 20).expect("shared");
        let options = RocksOptions::index(&shared).with_families(families);
        let rocks = Rocks::open(folder.path(), options).await.expect("open");
        Self::over(Arc::new(rocks), Some(Arc::new(folder)), GeometryName::Local).await
    }

    /// The files of the engine's folder that hold these bytes as they are.
    pub(crate) fn files_with(&self, needle: &[u8]) -> Vec<String> {
        let folder = self.folder.as_ref().expect("it is on disk").path();
        let files = std::fs::read_dir(folder).expect("a folder").flatten();
        let holds = |path: &std::path::Path| {
            // The engine may delete a file at any moment.
            let bytes = std::fs::read(path).unwrap_or_default();
            bytes.windows(needle.len()).any(|window| window == needle)
        };
        let named = files.filter(|file| holds(&file.path())).map(|file| file.file_name());
        named.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    async fn over(
        inner: Arc<dyn Kv>,
        folder: Option<Arc<TempDir>>,
        geometry: GeometryName,
    ) -> Self {
        let engine = Arc::new(Crashing { inner, left: AtomicU64::new(u64::MAX) });
        let clock = Arc::new(FakeClock(AtomicU64::new(1_700_000_000_000)));
        let catalog = Catalog::new(Arc::clone(&engine) as _, Arc::clone(&clock) as _, GRACE);
        let session = catalog.begin_session("gateway", LEASE).await.expect("a session");
        let name: BucketName = "bucket".parse().expect("a name");
        let new = NewBucket::plain(geometry);
        let bucket = catalog.create_bucket(&name, &account(), new).await.expect("a bucket");
        let (group, _) =
            catalog.create_group(geometry, 1, &members(geometry)).await.expect("a group");
        Self {
            catalog,
            engine,
            clock,
            session,
            bucket: (name, bucket.id),
            group,
            serial: Arc::new(AtomicU64::new(1)),
            folder,
        }
    }

    /// A new stream of `segments` segments, the last of which misses a slot.
    pub(crate) fn stream(&self, segments: u32, geometry: GeometryName) -> Stored {
        let serial = self.serial.fetch_add(1, Ordering::SeqCst);
        let id = StreamId { session: self.session, serial };
        let len = u64::from(segments) * SEGMENT;
        let segment = |index| SegmentRow {
            group: self.group,
            len: SEGMENT,
            roots: vec![Root([serial as u8; 32]); geometry.geometry().n],
            missed: (index + 1 == segments).then_some(Slot(2)).into_iter().collect::<SlotSet>(),
        };
        let row = StreamRow {
            state: StreamState::Whole,
            geometry,
            bucket: self.bucket.1,
            key_hash: [1; 32],
            len,
            segments,
            hash: [2; 32],
            created: self.clock.now(),
        };
        let segments = (0..segments).map(segment).collect();
        Stored { id, len, commit: StreamCommit { id, row, first: 0, segments } }
    }

    pub(crate) fn new_object(&self, key: &ObjectKey, size: u64, body: NewBody) -> NewObject {
        NewObject {
            bucket: self.bucket.clone(),
            key: key.clone(),
            manifest: ManifestId::random(),
            size,
            etag: Etag { md5: [7; 16], parts: 0 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            detail: Detail::default(),
            body,
            preconditions: Preconditions::default(),
            replica: None,
            sequel: Sequel::default(),
        }
    }

    pub(crate) fn inline(&self, key: &ObjectKey) -> NewObject {
        let stream = self.stream(0, GeometryName::Local).id;
        let cipher = Bytes::from_static(b"sealed");
        let inline = Inline { stream, wrap: Some(wrap(3)), cipher };
        self.new_object(key, 6, NewBody::Inline(inline))
    }

    /// An object of one stream that its commit brings along.
    pub(crate) fn whole(&self, key: &ObjectKey, stored: &Stored) -> NewObject {
        let extents = vec![(extent(stored, 0), wrap(4))];
        let streams = vec![stored.commit.clone()];
        self.new_object(key, stored.len, NewBody::Extents { extents, streams })
    }

    /// A copy of an object, as it was located.
    pub(crate) async fn copy(
        &self,
        from: &ObjectKey,
        to: &ObjectKey,
    ) -> Result<NewObject, CatalogError> {
        let located = self.catalog.locate(self.bucket.1, from).await?;
        let body = match located.body().await? {
            LocatedBody::Inline(inline) => NewBody::Inline(inline),
            LocatedBody::Extents(extents) => NewBody::Extents {
                extents: extents.into_iter().map(|extent| (extent, wrap(5))).collect(),
                streams: Vec::new(),
            },
        };
        Ok(self.new_object(to, located.entry.size, body))
    }

    pub(crate) async fn commit(&self, new: &NewObject) -> Result<Entry, CatalogError> {
        self.catalog.commit_object(self.session, new).await
    }

    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<Option<Entry>, CatalogError> {
        Ok(self.catalog.delete_object(&self.bucket, &Delete::of(key.clone())).await?.gone)
    }

    pub(crate) async fn create_upload(&self, key: &ObjectKey) -> Result<UploadAt, CatalogError> {
        let upload = Upload {
            initiated: self.clock.now(),
            owner: None,
            geometry: GeometryName::Local,
            class: None,
            detail: Detail::default(),
            checksum: None,
        };
        let id = self.catalog.create_upload(&self.bucket, key, &upload).await?;
        Ok((self.bucket.1, key.clone(), id))
    }

    pub(crate) async fn put_part(
        &self,
        at: &UploadAt,
        number: u32,
        stored: &Stored,
    ) -> Result<(), CatalogError> {
        let part = part(stored.id, stored.len, md5(stored));
        let stream = Some(&stored.commit);
        self.catalog.commit_part(self.session, at, number, &part, &wrap(6), stream).await
    }

    pub(crate) async fn complete(
        &self,
        at: &UploadAt,
        parts: Vec<(u32, [u8; 16])>,
    ) -> Result<Entry, CatalogError> {
        let completion = Completion {
            etag: Etag { md5: [8; 16], parts: parts.len() as u32 },
            parts,
            checksums: Vec::new(),
            preconditions: Preconditions::default(),
            replication: None,
            replica: None,
            sequel: Sequel::default(),
        };
        self.catalog.complete_upload(self.session, &self.bucket, at, &completion).await
    }

    /// One run of collect over everything that is due.
    pub(crate) async fn collect(&self) -> Result<(), CatalogError> {
        while self.catalog.collect_releases().await? > 0 {}
        while self.catalog.collect_checks().await? > 0 {}
        Ok(())
    }

    /// Lets every read grace pass and collects all there is.
    pub(crate) async fn collect_all(&self) {
        for _ in 0..4 {
            self.collect().await.expect("collect");
            let left = self.catalog.garbage_left().await.expect("read");
            if (left.releases, left.checks) == (0, 0) {
                return;
            }
            self.clock.advance(GRACE);
        }
        panic!("there is always garbage left");
    }

    /// How many rows a table has.
    pub(crate) async fn rows_of(&self, family: Family, table: &str) -> usize {
        let snap = self.engine.snapshot().await.expect("open");
        let rows = Scan::prefix(family, format!("{table}\0").as_bytes());
        snap.scan(rows).await.expect("read").len()
    }

    /// Checks every invariant.
    pub(crate) async fn fsck(&self) -> Report {
        let report = self.catalog.fsck().await.expect("fsck");
        assert!(report.broken.is_empty(), "{:#?}", report.broken);
        report
    }

    /// The streams of an object, in order.
    pub(crate) async fn streams_of(&self, key: &ObjectKey) -> Result<Vec<StreamId>, CatalogError> {
        let located = self.catalog.locate(self.bucket.1, key).await?;
        match located.body().await? {
            LocatedBody::Inline(_) => Ok(Vec::new()),
            LocatedBody::Extents(extents) => {
                for extent in &extents {
                    located.wrap(extent.stream).await?;
                }
                Ok(extents.into_iter().map(|extent| extent.stream).collect())
            }
        }
    }

    /// Every drop that waits for a member of the group.
    pub(crate) async fn drops(&self) -> Vec<(NodeId, ShardId)> {
        let mut all = Vec::new();
        for number in 1..=u8::MAX {
            let shards = self.catalog.drops_of(node(number), usize::MAX).await.expect("read");
            all.extend(shards.into_iter().map(|shard| (node(number), shard)));
        }
        all
    }

    /// The drops that freeing these streams leads to.
    pub(crate) fn drops_for(
        &self,
        streams: impl IntoIterator<Item = (StreamId, u32)>,
        geometry: GeometryName,
    ) -> Vec<(NodeId, ShardId)> {
        let mut all = Vec::new();
        for (stream, segments) in streams {
            for index in 0..segments {
                let segment = SegmentId { stream, index };
                for slot in 0..geometry.geometry().n as u8 {
                    let shard = ShardId { group: self.group, segment, slot: Slot(slot) };
                    all.push((node(slot + 1), shard));
                }
            }
        }
        all.sort();
        all
    }
}

/// The whole of a stream as part `part`.
pub(crate) fn extent(stored: &Stored, part: u32) -> Extent {
    Extent { stream: stored.id, offset: 0, len: stored.len, part, checksums: Vec::new() }
}

/// The entity tag of a part that is this stream.
pub(crate) fn md5(stored: &Stored) -> [u8; 16] {
    md5_of(stored.id)
}

pub(crate) fn md5_of(stream: StreamId) -> [u8; 16] {
    stream.to_bytes()
}

pub(crate) fn part(stream: StreamId, len: u64, md5: [u8; 16]) -> Part {
    Part { stream, offset: 0, len, md5, modified: Timestamp(5), checksums: Vec::new() }
}

/// Runs each sentence on each engine.
macro_rules! on_every_engine {
    ($($sentence:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $sentence() {
                super::$sentence($crate::support::World::memory().await).await;
            })+
        }
        mod on_rocks {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $sentence() {
                super::$sentence($crate::support::World::rocks().await).await;
            })+
        }
    };
}
pub(crate) use on_every_engine;
