//! A month of 10,000 nodes and 2,000 customers, settled from its hourly totals: about nine million rows, on the engine on disk.
//!
//! ```text
//! cargo bench -p drystone-billing --bench settle                    a month
//! DRYSTONE_BENCH_DAYS=3 DRYSTONE_BENCH_SCALE=10 cargo bench …       three days of ten times as many
//! ```
//!
//! A program and not a criterion group: one settlement is minutes long, and what matters beside its time is its memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drystone_billing as billing;

use billing::account::Adjustment;
use billing::quantity::GB;
use billing::tariff::Overheads;
use billing::{Batch, Billing, Day, Money, Prices, Rules, Source, Tariff};
use kv::Kv;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use types::usage::{UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{AccountId, BucketId, GeometryName, NodeId, Timestamp};

/// 2026-11-01.
const FIRST: Day = Day(20_758);
const NODES: u64 = 10_000;
const CUSTOMERS: u64 = 2_000;
const DAYS: u64 = 30;
/// Bytes that RocksDB may hold.
const BUDGET: usize = 128 << 20;
/// What a settlement of a month shall not need more than.
const GOAL: (Duration, u64) = (Duration::from_secs(120), 512 << 20);
/// Events of one batch: each is a row of its own here.
const BATCH: usize = 1_000;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn node(number: u64) -> NodeId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    NodeId(id)
}

fn customer(number: u64) -> AccountId {
    format!("customer-{number:08}").parse().expect("an id")
}

/// One hour of the network: everybody has held something since the first hour, and serves and reads a little.
async fn hour(billing: &Billing, hour: u32, nodes: u64, customers: u64, next: &mut u64) {
    let at = Timestamp(FIRST.hour(0).start().0 + u64::from(hour) * billing::calendar::HOUR_MILLIS);
    let mut work = Vec::new();
    let mut usage = Vec::new();
    for number in 0..nodes {
        if hour == 0 {
            let bytes = (1 + number % 50) * GB;
            work.push(WorkEvent { at, node: node(number), kind: WorkKind::Held { bytes } });
        }
        let bytes = (number + u64::from(hour)) % 1_000 * 1_000_000;
        work.push(WorkEvent { at, node: node(number), kind: WorkKind::Served { bytes } });
    }
    for number in 0..customers {
        let mut event = |kind| {
            let bucket = BucketId([1; 16]);
            usage.push(UsageEvent { at, account: customer(number), bucket, key: None, kind });
        };
        if hour == 0 {
            let bytes = (1 + number % 200) * GB;
            event(UsageKind::Stored { bytes, geometry: GeometryName::Wide });
        }
        event(UsageKind::Egress { bytes: (number + u64::from(hour)) % 500 * 1_000_000 });
    }
    let parts = usage.len().div_ceil(BATCH).max(work.len().div_ceil(BATCH));
    for part in 0..parts {
        let some = |len: usize| (part * BATCH).min(len)..((part + 1) * BATCH).min(len);
        let batch = Batch {
            source: Source(1),
            number: *next,
            usage: usage[some(usage.len())].to_vec(),
            work: work[some(work.len())].to_vec(),
        };
        *next += 1;
        billing.count(&batch).await.expect("counted");
    }
}

fn tariff() -> Tariff {
    let money = |text: &str| text.parse::<Money>().expect("an amount");
    let mut prices = Prices { egress: money("0.01"), ..Prices::default() };
    prices.storage = [money("0.007"); 3];
    let overheads = Overheads { repair: money("0.001"), audit: money("0.001"), percent_max: 20 };
    Tariff { prices, overheads, market: None, note: String::new() }
}

/// Peak memory of this process so far, in bytes; 0 where the system does not tell.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) << 10
}

async fn run() {
    let scale = setting("DRYSTONE_BENCH_SCALE", 1);
    let (nodes, customers) = (NODES * scale, CUSTOMERS * scale);
    let days = setting("DRYSTONE_BENCH_DAYS", DAYS);
    let folder = tempfile::tempdir().expect("a folder");
    let shared = RocksShared::new(BUDGET).expect("shared");
    // Loaded without fsyncs, settled with them.
    let options = RocksOptions::index(&shared).with_families(billing::schema::families());
    let rocks: Arc<dyn Kv> = Arc::new(Rocks::open(folder.path(), options).await.expect("open"));
    let books = Billing::new(Arc::clone(&rocks), Rules::default());
    books.set_tariff(FIRST, &tariff(), Timestamp(0)).await.expect("the first tariff");
    for number in (0..customers).step_by(2) {
        let (account, amount) = (customer(number), Money::from_micros(1_000_000_000));
        let request = account.to_string();
        books
            .adjust(&account, Adjustment::Deposit, amount, "bench", &request, FIRST.start())
            .await
            .expect("deposited");
    }
    let loading = Instant::now();
    let hours = u32::try_from(days * 24).expect("hours");
    let mut next = 0;
    let mut closing = Duration::ZERO;
    for number in 0..hours {
        hour(&books, number, nodes, customers, &mut next).await;
        let begun = Instant::now();
        books.close_hours(FIRST.hour(0).start().plus(hour_and(number + 1))).await.expect("closed");
        closing += begun.elapsed();
    }
    let rows = u64::from(hours) * (nodes + customers);
    println!("{nodes} nodes, {customers} customers, {days} days: {rows} hourly totals");
    println!("counted and closed in {:.1?}, of which closing {closing:.1?}", loading.elapsed());
    drop(books);
    rocks.close().await;
    drop(rocks);

    let options = RocksOptions::metadata(&shared).with_families(billing::schema::families());
    let rocks: Arc<dyn Kv> = Arc::new(Rocks::open(folder.path(), options).await.expect("open"));
    let books = Billing::new(Arc::clone(&rocks), Rules::default());
    let begun = Instant::now();
    let end = FIRST.hour(0).start().plus(hour_and(hours + 1));
    let settled = books.settle(end).await.expect("settled");
    let (took, peak) = (begun.elapsed(), peak_memory());
    assert_eq!(settled.len() as u64, days);
    println!(
        "settled in {took:.1?}: {:.0} hourly totals a second; peak memory {} MiB (loading included)",
        rows as f64 / took.as_secs_f64(),
        peak >> 20,
    );
    if scale == 1 && days == DAYS {
        let verdict = |fine: bool| if fine { "reached" } else { "MISSED" };
        println!("goal {:?}: {}", GOAL.0, verdict(took < GOAL.0));
        println!("goal {} MiB: {}", GOAL.1 >> 20, verdict(peak < GOAL.1));
    }
    let begun = Instant::now();
    let report = books.check().await.expect("readable");
    assert!(report.is_sound(), "{:?}", report.problems);
    println!("{} entries checked in {:.1?}", report.entries, begun.elapsed());
    rocks.close().await;
}

/// So many hours, and the time in which late events may come.
fn hour_and(hours: u32) -> Duration {
    Duration::from_millis(billing::calendar::HOUR_MILLIS) * hours + billing::meter::LATE
}

fn main() {
    // Test runners look into every target; only `cargo bench` means it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    // Two cores, as the goal says.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run());
}
