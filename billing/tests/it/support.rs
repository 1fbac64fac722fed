//! A small world to test in: an engine that can stop as a crash would stop it, books in it, and short words for what happens.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use billing::account::Adjustment;
use billing::quantity::GB;
use billing::tariff::Overheads;
use billing::{Batch, Billing, Counted, Day, Hour, Money, Prices, Rules, Seller, Source, Tariff};
use kv::memory::Memory;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use kv::{Kv, KvError, Snap, Tx};
use tempfile::TempDir;
use types::usage::{UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{AccountId, BucketId, GeometryName, NodeId, Timestamp};

/// The first day of every test: 2026-11-01, the first of a month.
pub(crate) const FIRST: Day = Day(20_758);
/// The storage class of every test.
pub(crate) const CLASS: GeometryName = GeometryName::Home;

/// An engine that stops after a number of transactions.
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

    async fn checkpoint(&self, dir: &Path) -> Result<(), KvError> {
        self.inner.checkpoint(dir).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// Random numbers that are the same for the same seed (SplitMix64).
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Books and their engine.
pub(crate) struct World {
    pub(crate) billing: Billing,
    pub(crate) engine: Arc<Crashing>,
    _folder: Option<TempDir>,
}

impl World {
    pub(crate) fn in_memory() -> Self {
        Self::on(Arc::new(Memory::new()), None)
    }

    pub(crate) async fn on_disk() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = RocksShared::new(8 << 20).expect("shared");
        let options = RocksOptions::index(&shared).with_families(billing::schema::families());
        let rocks = Rocks::open(folder.path(), options).await.expect("open");
        Self::on(Arc::new(rocks), Some(folder))
    }

    fn on(inner: Arc<dyn Kv>, folder: Option<TempDir>) -> Self {
        let engine = Arc::new(Crashing { inner, left: AtomicU64::new(u64::MAX) });
        let rules = Rules {
            seller: Seller {
                name: "The Wall".to_owned(),
                iban: "DE89370400440532013000".to_owned(),
                ..Seller::default()
            },
            payout_minimum: money("0.05"),
            ..Rules::default()
        };
        let billing = Billing::new(Arc::clone(&engine) as Arc<dyn Kv>, rules);
        Self { billing, engine, _folder: folder }
    }

    /// With a tariff from the first day on.
    pub(crate) async fn with_tariff(self) -> Self {
        self.billing.set_tariff(FIRST, &tariff(), Timestamp(0)).await.expect("the first tariff");
        self
    }

    /// Counts events of one source, as its next batch.
    pub(crate) async fn count(&self, source: u64, usage: Vec<UsageEvent>, work: Vec<WorkEvent>) {
        let source = Source(source);
        let number = self.billing.next_batch(source).await.expect("a number");
        let batch = Batch { source, number, usage, work };
        assert_eq!(self.billing.count(&batch).await.expect("counted"), Counted::Now);
    }

    pub(crate) async fn deposit(&self, account: &str, amount: &str, request: &str) {
        let (amount, at) = (money(amount), FIRST.start());
        let deposit = Adjustment::Deposit;
        let done = self.billing.adjust(&id(account), deposit, amount, "bank", request, at).await;
        done.expect("deposited");
    }

    /// Closes and settles everything until `day` begins.
    pub(crate) async fn settle_until(&self, day: Day) {
        let now = day.hour(1).start();
        self.billing.close_hours(now).await.expect("closed");
        self.billing.settle(now).await.expect("settled");
        assert_eq!(self.billing.next_day().await.expect("a day"), Some(day));
    }

    /// The laws of the ledger hold.
    pub(crate) async fn check(&self) -> billing::ledger::Totals {
        let report = self.billing.check().await.expect("readable");
        assert!(report.is_sound(), "{:#?}", report.problems);
        report.totals
    }

    pub(crate) async fn balance(&self, account: billing::LedgerAccount) -> Money {
        self.billing.balance(&account).await.expect("a balance")
    }
}

/// Runs each sentence on each engine.
#[macro_export]
macro_rules! on_every_engine {
    ($($sentence:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $sentence() {
                super::$sentence($crate::support::World::in_memory()).await;
            })+
        }
        mod on_rocks {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                super::$sentence($crate::support::World::on_disk().await).await;
            })+
        }
    };
}

pub(crate) fn tariff() -> Tariff {
    let mut prices = Prices { egress: money("0.01"), compute: money("0.002"), ..Prices::default() };
    prices.storage = [money("0.005"), money("0.007"), money("0.009")];
    prices.requests = [money("0.005"), money("0.0004"), money("0.005")];
    let overheads = Overheads { repair: money("0.001"), audit: money("0.001"), percent_max: 20 };
    Tariff { prices, overheads, market: None, note: "a test's".to_owned() }
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

pub(crate) fn id(name: &str) -> AccountId {
    name.parse().expect("an id")
}

pub(crate) fn bucket(number: u8) -> BucketId {
    BucketId([number; 16])
}

pub(crate) fn node(number: u8) -> NodeId {
    NodeId([number; 32])
}

/// So many minutes after the beginning of an hour of the first day.
pub(crate) fn at(hour: u32, minute: u64) -> Timestamp {
    Timestamp(Hour(FIRST.hour(0).0 + hour).start().0 + minute * 60_000)
}

pub(crate) fn usage(at: Timestamp, account: &str, kind: UsageKind) -> UsageEvent {
    UsageEvent { at, account: id(account), bucket: bucket(1), key: Some("AK".to_owned()), kind }
}

pub(crate) fn stored(at: Timestamp, account: &str, bytes: u64) -> UsageEvent {
    usage(at, account, UsageKind::Stored { bytes, geometry: CLASS })
}

pub(crate) fn released(at: Timestamp, account: &str, bytes: u64) -> UsageEvent {
    usage(at, account, UsageKind::Released { bytes, geometry: CLASS })
}

pub(crate) fn egress(at: Timestamp, account: &str, gigabytes: u64) -> UsageEvent {
    usage(at, account, UsageKind::Egress { bytes: gigabytes * GB })
}

pub(crate) fn work(at: Timestamp, number: u8, kind: WorkKind) -> WorkEvent {
    WorkEvent { at, node: node(number), kind }
}

pub(crate) fn served(at: Timestamp, number: u8, gigabytes: u64) -> WorkEvent {
    work(at, number, WorkKind::Served { bytes: gigabytes * GB })
}
