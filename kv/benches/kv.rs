//! What the engine on disk costs: a point read, commits that share their fsyncs, a long scan.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use kv::rocks::{Rocks, RocksOptions, RocksShared};
use kv::{Family, Kv, KvError, Reads, Scan, Tx, transact};
use tokio::runtime::Runtime;

const MAIN: Family = Family::MAIN;
const ROWS: u32 = 100_000;
const WRITERS: u32 = 16;
const SCAN: usize = 1000;

fn key(row: u32) -> Vec<u8> {
    format!("table/1\0{row:08}").into_bytes()
}

async fn filled(path: &std::path::Path) -> Rocks {
    let shared = RocksShared::new(64 << 20).expect("shared");
    let rocks = Rocks::open(path, RocksOptions::metadata(&shared)).await.expect("open");
    for chunk in (0..ROWS).collect::<Vec<_>>().chunks(2000) {
        let tx = rocks.begin().await.expect("open");
        chunk.iter().for_each(|row| tx.put(MAIN, key(*row), vec![7; 200]));
        tx.commit().await.expect("blind");
    }
    rocks
}

fn point_get(c: &mut Criterion, runtime: &Runtime, rocks: &Rocks) {
    let snap = runtime.block_on(rocks.snapshot()).expect("open");
    let mut row = 0;
    let mut next = move || {
        row = (row + 7919) % ROWS;
        key(row)
    };
    c.bench_function("point get, one snapshot", |b| {
        b.iter_custom(|count| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..count {
                    black_box(snap.get(MAIN, &next()).await.expect("read"));
                }
                begin.elapsed()
            })
        });
    });
    c.bench_function("point get, a transaction each", |b| {
        b.iter_custom(|count| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..count {
                    let tx = rocks.begin().await.expect("open");
                    black_box(tx.get_shared(MAIN, &next()).await.expect("read"));
                }
                begin.elapsed()
            })
        });
    });
}

/// Reads one row and writes two, as a small metadata change does.
async fn change(kv: &dyn Kv, row: u32) {
    let done: Result<(), KvError> = transact(kv, |tx: Tx| async move {
        tx.get_for_update(MAIN, &key(row)).await?;
        tx.put(MAIN, key(row), vec![8; 200]);
        tx.put(MAIN, key(row + ROWS), vec![8; 200]);
        Ok(())
    })
    .await;
    done.expect("alone on its rows");
}

fn commits(c: &mut Criterion, runtime: &Runtime, rocks: &Rocks) {
    let mut group = c.benchmark_group("commit");
    for writers in [1, WRITERS] {
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{writers} writers"), |b| {
            b.iter_custom(|count| {
                let each = u32::try_from(count.div_ceil(u64::from(writers))).expect("few");
                runtime.block_on(async {
                    let begin = Instant::now();
                    join_all((0..writers).map(|writer| async move {
                        for i in 0..each {
                            change(rocks, (writer * 1000 + i) % ROWS).await;
                        }
                    }))
                    .await;
                    begin.elapsed()
                })
            });
        });
    }
    group.finish();
}

fn scan(c: &mut Criterion, runtime: &Runtime, rocks: &Rocks) {
    let mut group = c.benchmark_group("scan");
    group.throughput(Throughput::Elements(SCAN as u64));
    let snap = runtime.block_on(rocks.snapshot()).expect("open");
    group.bench_function("1000 rows", |b| {
        b.iter_custom(|count| {
            runtime.block_on(async {
                let begin = Instant::now();
                for _ in 0..count {
                    let scan = Scan::range(MAIN, key(5000).into(), key(ROWS).into()).limit(SCAN);
                    assert_eq!(snap.scan(scan).await.expect("scan").len(), SCAN);
                }
                begin.elapsed()
            })
        });
    });
    group.finish();
}

fn benches(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = Runtime::new().expect("a runtime");
    let rocks = runtime.block_on(filled(folder.path()));
    point_get(c, &runtime, &rocks);
    commits(c, &runtime, &rocks);
    scan(c, &runtime, &rocks);
    runtime.block_on(rocks.close());
}

criterion_group! {
    name = all;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).sample_size(20);
    targets = benches
}
criterion_main!(all);
