//! What the store promises, on a disk that does its worst.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codec::hash::verify;
use futures::future::join_all;
use kv::memory::Memory;
use kv::rocks::RocksShared;
use kv::{Family, Kv, Reads, Scan};
use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use protocol::identity::SecretKey;
use protocol::message::{Dropped, GroupFingerprint};
use protocol::receipt::{ReceiptEntry, ReceiptSigner};
use types::{
    Clock, Epoch, GroupId, KIB, MIB, Root, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp,
};

use super::disk::Disk;
use super::fault::FaultDisk;
use super::index::Index;
use super::log::name_of;
use super::record::LogHead;
use super::{NewShard, Place, Store, StoreOptions, Stored};
use crate::error::{Error, FullReason};

const LOG: u64 = 128 * KIB;
const QUOTA: u64 = 24 * LOG;
const GRACE: Duration = Duration::from_secs(1000);

/// Lengths around every border there is: of a page, a hash group, a write batch.
const NASTY_LENGTHS: [u64; 9] = [1, 63, 4096, 16_383, 16_384, 16_385, 40_000, 65_536, 100_000];

#[derive(Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }
}

/// A store on a [`FaultDisk`] that can be opened again and again.
struct Bench {
    disk: FaultDisk,
    kv: Arc<Memory>,
    clock: Arc<TestClock>,
    quota: u64,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        clock.advance(2 * GRACE);
        Self { disk: FaultDisk::default(), kv: Arc::new(Memory::new()), clock, quota: QUOTA }
    }

    fn options(&self) -> StoreOptions {
        StoreOptions {
            min_free: Some(0),
            log_size: Some(LOG),
            trash_grace: GRACE,
            upkeep_interval: Duration::from_secs(1 << 30),
            scrub_rate: None,
            clock: self.clock.clone(),
            ..StoreOptions::new(self.quota, ReceiptSigner::new(SecretKey::from_seed(&[1; 32])))
        }
    }

    async fn try_open(&self) -> Result<Store, Error> {
        Store::open_on(Arc::new(self.disk.clone()), self.kv.clone(), self.options()).await
    }

    async fn open(&self) -> Store {
        self.try_open().await.unwrap()
    }

    /// The same disk with an index that knows nothing.
    fn forget_index(&mut self) {
        self.kv = Arc::new(Memory::new());
    }
}

fn shard(n: u8) -> ShardId {
    let stream = StreamId { session: SessionId(1), serial: u64::from(n) };
    let segment = SegmentId { stream, index: 0 };
    ShardId { group: GroupId(u64::from(n % 3)), segment, slot: Slot(n) }
}

fn content(len: u64, seed: u8) -> Bytes {
    let mut bytes = vec![0; len as usize];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn new_shard(id: ShardId, len: u64) -> NewShard {
    NewShard { shard: id, epoch: Epoch(1), len, label: Bytes::from_static(b"sealed label") }
}

async fn put(store: &Store, id: ShardId, bytes: &Bytes) -> Result<Stored, Error> {
    let mut put = store.put(new_shard(id, bytes.len() as u64)).await?;
    for piece in bytes.chunks(20_000) {
        put.write(bytes.slice_ref(piece)).await?;
    }
    put.finish().await
}

async fn remove(store: &Store, ids: &[ShardId]) -> Result<Vec<Dropped>, Error> {
    store.remove(1, [0; 32], ids.to_vec()).await.map(|removed| removed.outcomes)
}

/// Reads a shard whole and checks every step against its root.
async fn read(store: &Store, id: ShardId) -> Result<Bytes, Error> {
    let shard = store.get(id).await?;
    let (len, root) = (shard.len(), shard.root());
    let mut slices = shard.slices(0, len, 32 * KIB).await?;
    let mut all = BytesMut::new();
    while let Some((proof, bytes)) = slices.next().await? {
        let offset = all.len() as u64;
        let slice = verify(&root, len, offset, bytes.as_ref().into(), &proof)
            .map_err(|error| Error::Damaged(error.to_string()))?;
        all.extend_from_slice(slice.bytes());
    }
    Ok(all.freeze())
}

/// Every row of an index but the one that says how far it is.
async fn dump(kv: &Memory) -> BTreeMap<Bytes, Bytes> {
    let snap = kv.snapshot().await.unwrap();
    let rows = snap.scan(Scan::prefix(Family::MAIN, b"")).await.unwrap();
    rows.into_iter().filter(|(key, _)| !key.starts_with(b"applied")).collect()
}

async fn copy(kv: &Memory) -> Memory {
    let copy = Memory::new();
    let snap = kv.snapshot().await.unwrap();
    for rows in snap.scan(Scan::prefix(Family::MAIN, b"")).await.unwrap().chunks(100) {
        let tx = copy.begin().await.unwrap();
        for (key, value) in rows {
            tx.put(Family::MAIN, key.clone(), value.clone());
        }
        tx.commit().await.unwrap();
    }
    copy
}

#[tokio::test]
async fn what_was_put_is_read_back_in_proven_steps() {
    let bench = Bench::new();
    let store = bench.open().await;
    for (n, len) in (0u8..).zip(NASTY_LENGTHS) {
        let bytes = content(len, n);
        let stored = put(&store, shard(n), &bytes).await.unwrap();
        assert_eq!((stored.root, stored.len), (Root::of(&bytes), len));
        assert_eq!(read(&store, shard(n)).await.unwrap(), bytes, "{len}");
        let label = store.get(shard(n)).await.unwrap().label().await.unwrap();
        assert_eq!(label, "sealed label");
    }
    let status = store.status();
    assert_eq!(status.live_bytes, NASTY_LENGTHS.iter().sum::<u64>());
    assert_eq!(status.allocated, bench.disk.bytes(".log"));
}

#[tokio::test]
async fn a_receipt_holds_for_what_was_stored() {
    let bench = Bench::new();
    let store = bench.open().await;
    let stored = put(&store, shard(1), &content(5, 1)).await.unwrap();
    let position = stored.place.into();
    let entry = ReceiptEntry::Stored { shard: shard(1), root: stored.root, len: 5, position };
    let key = SecretKey::from_seed(&[1; 32]).public();
    assert_eq!(stored.receipt.verify(&key, &entry), Ok(()));
}

#[tokio::test]
async fn a_range_is_read_alone_and_only_on_group_borders() {
    let bench = Bench::new();
    let store = bench.open().await;
    let bytes = content(100_000, 1);
    put(&store, shard(1), &bytes).await.unwrap();
    let stored = store.get(shard(1)).await.unwrap();
    let mut slices = stored.slices(32_768, 32_768, 16_384).await.unwrap();
    for at in [32_768usize, 49_152] {
        let (proof, piece) = slices.next().await.unwrap().unwrap();
        let root = stored.root();
        let slice = verify(&root, 100_000, at as u64, piece.as_ref().into(), &proof).unwrap();
        assert_eq!(slice.bytes(), &bytes[at..at + 16_384]);
    }
    assert!(slices.next().await.unwrap().is_none());
    for (offset, len, step) in [
        (1, 16_384, 16_384),
        (0, 100, 16_384),
        (0, 100_001, 16_384),
        (0, 0, 16_384),
        (0, 16_384, 5),
    ] {
        let refused = stored.slices(offset, len, step).await;
        assert!(matches!(refused, Err(Error::Range { .. })), "{offset} {len} {step}");
    }
}

#[tokio::test]
async fn a_shard_of_the_wrong_length_is_never_stored() {
    let bench = Bench::new();
    let store = bench.open().await;
    let mut short = store.put(new_shard(shard(1), 10)).await.unwrap();
    short.write(content(9, 1)).await.unwrap();
    assert!(matches!(short.finish().await, Err(Error::Length { announced: 10, received: 9 })));
    let mut long = store.put(new_shard(shard(1), 10)).await.unwrap();
    assert!(matches!(long.write(content(11, 1)).await, Err(Error::Length { .. })));
    drop(long);
    assert!(matches!(store.get(shard(1)).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn a_shard_too_large_for_a_log_is_refused() {
    let bench = Bench::new();
    let store = bench.open().await;
    for len in [LOG, u64::MAX] {
        let refused = store.put(new_shard(shard(1), len)).await;
        assert!(matches!(refused, Err(Error::TooLarge { .. })));
    }
    let label = vec![0; 513].into();
    let refused = store.put(NewShard { label, ..new_shard(shard(1), 1) }).await;
    assert!(matches!(refused, Err(Error::TooLarge { what: "a label", .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_shards_share_one_sync() {
    let bench = Bench::new();
    let store = bench.open().await;
    let before = bench.disk.syncs();
    let puts = (0..60u8).map(|n| {
        let store = store.clone();
        async move { put(&store, shard(n), &content(100, n)).await.unwrap() }
    });
    let stored = join_all(puts).await;
    assert_eq!(stored.len(), 60);
    // Logs hold about 15 of these records: beginning one costs a sync too.
    assert!(bench.disk.syncs() - before < 30, "{} syncs", bench.disk.syncs() - before);
}

#[tokio::test]
async fn a_shard_stored_again_replaces_the_old_one_and_survives_its_drop() {
    let mut bench = Bench::new();
    let store = bench.open().await;
    put(&store, shard(1), &content(10, 1)).await.unwrap();
    put(&store, shard(1), &content(20, 2)).await.unwrap();
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(20, 2));
    assert_eq!(
        remove(&store, &[shard(1), shard(2)]).await.unwrap(),
        [Dropped::Dropped, Dropped::Unknown]
    );
    assert_eq!(remove(&store, &[shard(1), shard(1)]).await.unwrap(), [Dropped::Dropped; 2]);
    assert!(matches!(store.get(shard(1)).await, Err(Error::NotFound(_))));
    put(&store, shard(1), &content(30, 3)).await.unwrap();
    store.close().await;
    bench.forget_index();
    let store = bench.open().await;
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(30, 3));
}

#[tokio::test]
async fn dropped_shards_rest_in_the_trash_and_then_give_their_space_back() {
    let bench = Bench::new();
    let store = bench.open().await;
    for n in 0..20 {
        put(&store, shard(n), &content(40_000, n)).await.unwrap();
    }
    let full = store.status().allocated;
    let dropped: Vec<ShardId> = (0..19).map(shard).collect();
    remove(&store, &dropped).await.unwrap();
    store.tidy().await.unwrap();
    assert_eq!(store.status().trash_bytes, 19 * 40_000);
    assert!(store.status().allocated >= full);
    bench.clock.advance(GRACE + Duration::from_secs(1));
    store.tidy().await.unwrap();
    let status = store.status();
    assert_eq!((status.trash_bytes, status.live_shards), (0, 1));
    assert!(status.allocated <= 3 * LOG, "{} bytes are left", status.allocated);
    assert_eq!(read(&store, shard(19)).await.unwrap(), content(40_000, 19));
}

#[tokio::test]
async fn compaction_keeps_everything_live_and_a_reader_keeps_its_shard() {
    let mut bench = Bench::new();
    let store = bench.open().await;
    for n in 0..40 {
        put(&store, shard(n), &content(20_000, n)).await.unwrap();
    }
    let reader = store.get(shard(0)).await.unwrap();
    let dropped: Vec<ShardId> = (0..40).filter(|n| n % 4 != 1).map(shard).collect();
    remove(&store, &dropped).await.unwrap();
    bench.clock.advance(2 * GRACE);
    let before = store.status().allocated;
    store.tidy().await.unwrap();
    assert!(store.status().allocated < before / 2);
    assert!(reader.slices(0, 16_384, 16_384).await.unwrap().next().await.unwrap().is_some());
    for rebuilt in [false, true] {
        let store = if rebuilt {
            store.close().await;
            bench.forget_index();
            bench.open().await
        } else {
            store.clone()
        };
        for n in 0..40 {
            let found = read(&store, shard(n)).await;
            if n % 4 == 1 {
                assert_eq!(found.unwrap(), content(20_000, n));
            } else {
                assert!(matches!(found, Err(Error::NotFound(_))), "{n} came back");
            }
        }
    }
}

#[tokio::test]
async fn the_quota_holds_and_drops_are_possible_when_it_is_reached() {
    let mut bench = Bench::new();
    bench.quota = 6 * LOG;
    let store = bench.open().await;
    let mut stored = Vec::new();
    let refused = loop {
        let n = stored.len() as u8;
        match put(&store, shard(n), &content(30_000, n)).await {
            Ok(_) => stored.push(shard(n)),
            Err(error) => break error,
        }
        assert!(bench.disk.bytes(".log") <= bench.quota);
    };
    assert!(matches!(refused, Error::Full { reason: FullReason::Quota, .. }));
    assert!(stored.len() > 12);
    for id in &stored[1..] {
        remove(&store, &[*id]).await.unwrap();
        assert!(bench.disk.bytes(".log") <= bench.quota);
    }
    bench.clock.advance(2 * GRACE);
    store.tidy().await.unwrap();
    assert!(bench.disk.bytes(".log") <= bench.quota);
    assert_eq!(read(&store, stored[0]).await.unwrap(), content(30_000, 0));
    put(&store, shard(200), &content(30_000, 200)).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_and_harms_nothing() {
    let bench = Bench::new();
    let store = bench.open().await;
    put(&store, shard(1), &content(50_000, 1)).await.unwrap();
    bench.disk.set_full(true);
    let mut refused = 0;
    for n in 2..10 {
        match put(&store, shard(n), &content(50_000, n)).await {
            Ok(_) => {}
            Err(Error::Full { reason: FullReason::Disk, .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 6);
    bench.disk.set_full(false);
    put(&store, shard(20), &content(50_000, 20)).await.unwrap();
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(50_000, 1));
}

#[tokio::test]
async fn flipped_bits_are_found_by_the_scrubber_and_reported() {
    let bench = Bench::new();
    let store = bench.open().await;
    for n in 0..4 {
        put(&store, shard(n), &content(40_000, n)).await.unwrap();
    }
    let Place { file, offset } = store.get(shard(1)).await.unwrap().place();
    bench.disk.flip(&name_of(file), offset + 30_000);
    // Not noticed by the node while it reads, but by whoever verifies.
    assert!(matches!(read(&store, shard(1)).await, Err(Error::Damaged(_))));
    let seen = store.scrub(None).await.unwrap();
    assert_eq!((seen.shards, seen.rotten), (4, 1));
    assert!(matches!(store.get(shard(1)).await, Err(Error::Rot(_))));
    let (rot, heard) = store.rot_after(0, 10);
    assert_eq!(rot, [shard(1)]);
    assert_eq!(store.rot_after(heard, 10), (Vec::new(), heard));
    let (listed, _) = store.list(None, None, 10).await.unwrap();
    assert_eq!(listed.len(), 3);
    put(&store, shard(1), &content(40_000, 1)).await.unwrap();
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(40_000, 1));
    assert_eq!(store.status().rotten, 0);
}

#[tokio::test]
async fn compaction_gives_damaged_shards_up_and_saves_their_neighbours() {
    for header in [false, true] {
        let mut bench = Bench::new();
        let store = bench.open().await;
        for n in 0..8 {
            put(&store, shard(n), &content(40_000, n)).await.unwrap();
        }
        let Place { file, offset } = store.get(shard(1)).await.unwrap().place();
        bench.disk.flip(&name_of(file), offset + if header { 40 } else { 30_000 });
        remove(&store, &[shard(0)]).await.unwrap();
        bench.clock.advance(2 * GRACE);
        for n in 3..8 {
            remove(&store, &[shard(n)]).await.unwrap();
        }
        bench.clock.advance(2 * GRACE);
        store.tidy().await.unwrap();
        store.scrub(None).await.unwrap();
        remove(&store, &[shard(1)]).await.unwrap();
        bench.clock.advance(2 * GRACE);
        store.tidy().await.unwrap();
        assert_eq!(read(&store, shard(2)).await.unwrap(), content(40_000, 2));
        store.close().await;
        bench.forget_index();
        let store = bench.open().await;
        assert_eq!(read(&store, shard(2)).await.unwrap(), content(40_000, 2));
        assert!(store.get(shard(1)).await.is_err());
        assert_eq!(store.status().live_shards, 1);
    }
}

#[tokio::test]
async fn a_cut_log_loses_only_what_was_cut() {
    for lose_index in [false, true] {
        let mut bench = Bench::new();
        let store = bench.open().await;
        for n in 0..3 {
            put(&store, shard(n), &content(20_000, n)).await.unwrap();
        }
        let Place { file, offset } = store.get(shard(2)).await.unwrap().place();
        drop(store);
        bench.disk.cut(&name_of(file), offset + 5000);
        if lose_index {
            bench.forget_index();
        }
        let store = bench.open().await;
        for n in 0..2 {
            assert_eq!(read(&store, shard(n)).await.unwrap(), content(20_000, n));
        }
        assert!(read(&store, shard(2)).await.is_err());
        put(&store, shard(2), &content(20_000, 2)).await.unwrap();
        assert_eq!(read(&store, shard(2)).await.unwrap(), content(20_000, 2));
    }
}

#[tokio::test]
async fn the_key_is_found_in_the_logs_if_its_file_is_lost() {
    let mut bench = Bench::new();
    let store = bench.open().await;
    put(&store, shard(1), &content(10, 1)).await.unwrap();
    store.close().await;
    bench.disk.remove("store.toml").unwrap();
    bench.forget_index();
    let store = bench.open().await;
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(10, 1));
}

#[tokio::test]
async fn a_newer_format_is_refused_in_words_and_left_alone() {
    let bench = Bench::new();
    bench.open().await.close().await;
    bench.disk.replace("store.toml", b"format = 2\nsecret = 7\n").unwrap();
    let refused = bench.try_open().await.unwrap_err();
    assert!(refused.to_string().contains("install a newer drystone-node"), "{refused}");
    assert_eq!(bench.disk.read("store.toml").unwrap(), b"format = 2\nsecret = 7\n");

    let bench = Bench::new();
    bench.open().await.close().await;
    let log = bench.disk.open(&name_of(1)).unwrap();
    let mut head = log.read_at(0, LogHead::LEN).unwrap();
    head[8] = 9;
    log.write_at(0, &[&head]).unwrap();
    assert!(matches!(bench.try_open().await, Err(Error::Newer { found: 9, .. })));
}

#[tokio::test]
async fn a_failed_sync_stops_all_writes_until_the_store_is_opened_again() {
    let mut bench = Bench::new();
    let store = bench.open().await;
    put(&store, shard(1), &content(10, 1)).await.unwrap();
    bench.disk.fuse(2);
    assert!(matches!(put(&store, shard(2), &content(10, 2)).await, Err(Error::Broken(_))));
    assert!(matches!(store.put(new_shard(shard(3), 1)).await, Err(Error::Broken(_))));
    assert!(store.status().broken.is_some());
    drop(store);
    bench.disk = bench.disk.crash(1);
    bench.kv = Arc::new(copy(&bench.kv).await);
    let store = bench.open().await;
    assert_eq!(read(&store, shard(1)).await.unwrap(), content(10, 1));
    put(&store, shard(3), &content(10, 3)).await.unwrap();
}

#[tokio::test]
async fn fingerprints_and_lists_agree() {
    let bench = Bench::new();
    let store = bench.open().await;
    for n in 0..30 {
        put(&store, shard(n), &content(u64::from(n) + 1, n)).await.unwrap();
    }
    remove(&store, &[shard(3), shard(4)]).await.unwrap();
    let (prints, more) = store.fingerprints(GroupId(0), None, 2).await.unwrap();
    assert!(more && prints.len() == 2);
    let (prints, more) = store.fingerprints(GroupId(0), None, 100).await.unwrap();
    assert!(!more && prints.len() == 3);
    for print in prints {
        let mut expected = GroupFingerprint::empty(print.group);
        let (mut after, mut more) = (None, true);
        while more {
            let page = store.list(Some(print.group), after, 4).await.unwrap();
            page.0.iter().for_each(|entry| expected.add(entry));
            (after, more) = (page.0.last().map(|entry| entry.shard), page.1);
        }
        assert_eq!(print, expected);
    }
    assert_eq!(store.list(None, None, 100).await.unwrap().0.len(), 28);
}

#[tokio::test]
async fn epochs_only_rise() {
    let bench = Bench::new();
    let store = bench.open().await;
    assert_eq!(store.epoch(GroupId(0)).await.unwrap(), None);
    put(&store, shard(0), &content(1, 1)).await.unwrap();
    assert_eq!(store.epoch(GroupId(0)).await.unwrap(), Some(Epoch(1)));
    store.raise_epochs(&[(GroupId(0), Epoch(5)), (GroupId(77), Epoch(9))]).await.unwrap();
    put(&store, shard(0), &content(2, 2)).await.unwrap();
    assert_eq!(store.epoch(GroupId(0)).await.unwrap(), Some(Epoch(5)));
    assert_eq!(store.epoch(GroupId(77)).await.unwrap(), None);
}

#[tokio::test]
async fn on_a_real_disk_a_store_belongs_to_one_process_and_rebuilds_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let shared = RocksShared::new(8 * MIB as usize).unwrap();
    let options = || StoreOptions {
        min_free: Some(0),
        ..StoreOptions::new(64 * MIB, ReceiptSigner::new(SecretKey::from_seed(&[1; 32])))
    };
    let store = Store::open(dir.path(), options(), &shared).await.unwrap();
    let second = Store::open(dir.path(), options(), &shared).await;
    assert!(matches!(second, Err(Error::Locked(_))));
    let large = content(3 * MIB, 1);
    put(&store, shard(1), &large).await.unwrap();
    put(&store, shard(2), &content(77, 2)).await.unwrap();
    remove(&store, &[shard(2)]).await.unwrap();
    store.close().await;
    assert!(matches!(put(&store, shard(3), &large).await, Err(Error::Closed)));
    drop(store);
    for damage in ["none", "lost", "garbage"] {
        let index = dir.path().join("index");
        match damage {
            "lost" => std::fs::remove_dir_all(&index).unwrap(),
            "garbage" => std::fs::write(index.join("CURRENT"), b"garbage").unwrap(),
            _ => {}
        }
        let store = Store::open(dir.path(), options(), &shared).await.unwrap();
        assert_eq!(read(&store, shard(1)).await.unwrap(), large, "{damage}");
        assert!(matches!(store.get(shard(2)).await, Err(Error::NotFound(_))));
        store.close().await;
    }
}

/// What a run of the property test does.
#[derive(Clone, Debug)]
enum Step {
    /// These shards at once: number, index into [`NASTY_LENGTHS`].
    Put(Vec<(u8, u8)>),
    /// A put that is given up half-way.
    Abandon(u8, u8),
    Drop(Vec<u8>),
    Tidy,
    Wait,
    /// Keep a copy of the index to go back to.
    CopyIndex,
    /// Cut the power after so many more disk operations, or at once.
    Fuse(u8),
    Crash(u64, IndexFate),
    Reopen(IndexFate),
}

#[derive(Clone, Copy, Debug)]
enum IndexFate {
    Kept,
    Stale,
    Lost,
}

fn fate() -> impl Strategy<Value = IndexFate> {
    prop_oneof![
        prop::strategy::Just(IndexFate::Kept),
        prop::strategy::Just(IndexFate::Stale),
        prop::strategy::Just(IndexFate::Lost),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let some = |n| prop::collection::vec(0u8..12, 1..n);
    prop_oneof![
        6 => prop::collection::vec((0u8..12, 0u8..9), 1..6).prop_map(Step::Put),
        1 => (0u8..12, 0u8..9).prop_map(|(n, len)| Step::Abandon(n, len)),
        3 => some(8).prop_map(Step::Drop),
        2 => prop::strategy::Just(Step::Tidy),
        1 => prop::strategy::Just(Step::Wait),
        1 => prop::strategy::Just(Step::CopyIndex),
        1 => (1u8..40).prop_map(Step::Fuse),
        1 => (any::<u64>(), fate()).prop_map(|(seed, fate)| Step::Crash(seed, fate)),
        1 => fate().prop_map(Step::Reopen),
    ]
}

/// What each shard may be found as: `None` is "not here". More than one after an operation whose outcome is unknown.
type Model = BTreeMap<u8, Vec<Option<Bytes>>>;

struct Run {
    bench: Bench,
    store: Store,
    stale: Option<Memory>,
    model: Model,
    seed: u8,
    fused: bool,
}

impl Run {
    async fn new() -> Self {
        let bench = Bench::new();
        let store = bench.open().await;
        Self { bench, store, stale: None, model: Model::new(), seed: 0, fused: false }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Put(puts) => self.put(&puts).await,
            Step::Abandon(n, len) => {
                let len = NASTY_LENGTHS[usize::from(len)];
                if let Ok(mut put) = self.store.put(new_shard(shard(n), len)).await {
                    let _ = put.write(content(len / 2, 0)).await;
                }
            }
            Step::Drop(numbers) => {
                let ids: Vec<ShardId> = numbers.iter().map(|n| shard(*n)).collect();
                let outcome = remove(&self.store, &ids).await;
                for n in numbers {
                    match &outcome {
                        Ok(_) => self.model.insert(n, vec![None]).map_or((), drop),
                        Err(_) => self.model.entry(n).or_insert_with(|| vec![None]).push(None),
                    }
                }
            }
            Step::Tidy => {
                if let Err(error) = self.store.tidy().await {
                    assert!(self.fused || matches!(error, Error::Full { .. }), "{error}");
                }
            }
            Step::Wait => self.bench.clock.advance(GRACE / 2 + Duration::from_secs(1)),
            Step::CopyIndex => self.stale = Some(copy(&self.bench.kv).await),
            Step::Fuse(ops) => {
                self.bench.disk.fuse(u64::from(ops));
                self.fused = true;
            }
            Step::Crash(seed, fate) => {
                let disk = self.bench.disk.crash(seed);
                let kept = copy(&self.bench.kv).await;
                self.reopen(disk, fate, kept).await;
            }
            Step::Reopen(fate) if !self.fused => {
                // A closed engine shows nothing any more, and closing the store changes nothing in it.
                let kept = copy(&self.bench.kv).await;
                self.store.close().await;
                let disk = self.bench.disk.clone();
                self.reopen(disk, fate, kept).await;
            }
            Step::Reopen(_) => {}
        }
    }

    async fn put(&mut self, puts: &[(u8, u8)]) {
        let mut jobs = Vec::new();
        let mut taken = BTreeMap::new();
        for (n, len) in puts {
            self.seed = self.seed.wrapping_add(1);
            if taken.insert(*n, ()).is_none() {
                jobs.push((*n, content(NASTY_LENGTHS[usize::from(*len)], self.seed)));
            }
        }
        let results =
            join_all(jobs.iter().map(|(n, bytes)| put(&self.store, shard(*n), bytes))).await;
        for ((n, bytes), result) in jobs.into_iter().zip(results) {
            match result {
                Ok(_) => drop(self.model.insert(n, vec![Some(bytes)])),
                Err(Error::Full { .. }) => {}
                Err(error) => {
                    assert!(self.fused, "{error}");
                    self.model.entry(n).or_insert_with(|| vec![None]).push(Some(bytes));
                }
            }
        }
    }

    async fn reopen(&mut self, disk: FaultDisk, fate: IndexFate, kept: Memory) {
        let index = match fate {
            IndexFate::Kept => kept,
            IndexFate::Stale => self.stale.take().unwrap_or_default(),
            IndexFate::Lost => Memory::new(),
        };
        self.stale = None;
        self.bench.kv = Arc::new(index);
        self.bench.disk = disk;
        self.store = self.bench.open().await;
        if std::mem::take(&mut self.fused) {
            // Whatever could not be read while the power was off is under suspicion; a scrub clears it.
            assert_eq!(self.store.scrub(None).await.unwrap().rotten, 0);
        }
        self.check().await;
    }

    /// Everything acknowledged is as it was acknowledged; what was in doubt is decided now.
    async fn check(&mut self) {
        for (n, allowed) in &mut self.model {
            let found = match read(&self.store, shard(*n)).await {
                Ok(bytes) => Some(bytes),
                Err(Error::NotFound(_)) => None,
                Err(error) => panic!("shard {n}: {error}"),
            };
            assert!(allowed.contains(&found), "shard {n} is {:?}", found.map(|bytes| bytes.len()));
            *allowed = vec![found];
        }
        assert!(self.bench.disk.bytes(".log") <= self.bench.quota);
        let live = self.model.values().filter(|allowed| allowed[0].is_some()).count();
        assert_eq!(self.store.status().live_shards, live as u64);
    }

    /// An index rebuilt from the logs is the one that was built step by step.
    async fn compare_with_rebuilt(mut self) {
        if self.fused {
            let disk = self.bench.disk.crash(7);
            let kept = copy(&self.bench.kv).await;
            self.reopen(disk, IndexFate::Kept, kept).await;
        }
        self.check().await;
        self.store.0.sweep().await.unwrap();
        let (grown, sums) = (dump(&self.bench.kv).await, self.store.status());
        self.store.close().await;
        self.bench.forget_index();
        let store = self.bench.open().await;
        store.0.sweep().await.unwrap();
        let rebuilt = dump(&self.bench.kv).await;
        // Whether a shard's bytes were found damaged, an entry's last byte, is not in the logs: a disk that refused reads leaves the
        // mark, and the rebuilt index would find it again.
        let shards = |rows: &BTreeMap<Bytes, Bytes>| {
            let rows = rows.iter().filter(|(key, _)| !key.starts_with(b"groups"));
            let known = |key: &Bytes, value: &Bytes| match key.starts_with(b"shards") {
                true => value.slice(..value.len() - 1),
                false => value.clone(),
            };
            rows.map(|(key, value)| (key.clone(), known(key, value))).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(shards(&rebuilt), shards(&grown));
        let again = store.status();
        assert_eq!(
            (again.live_shards, again.live_bytes, again.trash_bytes),
            (sums.live_shards, sums.live_bytes, sums.trash_bytes)
        );
        self.store = store;
        self.check().await;
        self.check_groups().await;
        self.check_live_bytes().await;
    }

    async fn check_groups(&self) {
        let (listed, _) = self.store.list(None, None, 1000).await.unwrap();
        let (prints, _) = self.store.fingerprints(GroupId(0), None, 100).await.unwrap();
        for print in prints {
            let mut expected = GroupFingerprint::empty(print.group);
            let members = listed.iter().filter(|entry| entry.shard.group == print.group);
            members.for_each(|entry| expected.add(entry));
            assert_eq!(print, expected);
        }
    }

    async fn check_live_bytes(&self) {
        let inner = &self.store.0.inner;
        let mut expected: BTreeMap<u32, i64> = BTreeMap::new();
        let index = Index::new(self.bench.kv.clone());
        index
            .each(|_, entry| {
                entry.holds().for_each(|(file, bytes)| *expected.entry(file).or_default() += bytes);
                Ok(())
            })
            .await
            .unwrap();
        for log in inner.logs.all() {
            let expected = expected.get(&log.number).copied().unwrap_or(0);
            assert_eq!(log.live() as i64, expected, "log {}", log.number);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_acknowledged_shards_stay_dropped_ones_stay_away_and_the_index_can_be_rebuilt(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for step in steps {
                run.take(step).await;
            }
            run.compare_with_rebuilt().await;
        });
    }
}
