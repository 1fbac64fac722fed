//! What the hot paths cost: encoding and rebuilding a row, a shard's root, proving and verifying a slice.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use drystone_codec::{Outboard, RootHasher, SchemeId, ShardHasher, coder, verify};

const UNIT: usize = types::UNIT as usize;
const SHAPES: [(usize, usize); 3] = [(4, 6), (10, 24), (32, 88)];

fn units(count: usize, len: usize) -> Vec<Vec<u8>> {
    (0..count).map(|seed| (0..len).map(|i| (i * 31 + seed) as u8).collect()).collect()
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for (k, n) in SHAPES {
        let mut coder = coder(SchemeId::DEFAULT, k, n).expect("a possible code");
        let (data, mut parity) = (units(k, UNIT), units(n - k, UNIT));
        let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
        group.throughput(Throughput::Bytes((k * UNIT) as u64));
        group.bench_function(format!("{k}+{}", n - k), |b| {
            let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
            b.iter(|| coder.encode(UNIT, black_box(&data), &mut out).expect("a row"));
        });
    }
}

fn reconstruct(c: &mut Criterion) {
    let mut group = c.benchmark_group("reconstruct");
    for (k, n) in SHAPES {
        for rows in [1, 4] {
            let len = rows * UNIT;
            let mut coder = coder(SchemeId::DEFAULT, k, n).expect("a possible code");
            let (data, mut parity) = (units(k, len), units(n - k, len));
            let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
            coder.encode(len, &data, &mut out).expect("a row");
            let mut row: Vec<Option<&[u8]>> = data.iter().map(|unit| Some(*unit)).collect();
            row.extend(parity.iter().map(|unit| Some(unit.as_slice())));
            row[1] = None;
            let mut back = vec![0; len];
            group.throughput(Throughput::Bytes((k * len) as u64));
            group.bench_function(format!("one of {k}+{}, {rows} rows", n - k), |b| {
                b.iter(|| {
                    coder
                        .reconstruct(len, black_box(&row), &[1], &mut [&mut back])
                        .expect("enough units");
                });
            });
        }
    }
}

fn hash(c: &mut Criterion) {
    const LEN: usize = 8 << 20;
    let shard = units(1, LEN).remove(0);
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Bytes(LEN as u64));
    group.bench_function("root, 64 KiB updates", |b| {
        b.iter(|| {
            let mut hasher = RootHasher::new();
            black_box(&shard).chunks(UNIT).for_each(|unit| hasher.update(unit));
            hasher.finish()
        });
    });
    group.bench_function("root and outboard, 64 KiB updates", |b| {
        b.iter(|| {
            let mut hasher = ShardHasher::new();
            black_box(&shard).chunks(UNIT).for_each(|unit| hasher.update(unit));
            hasher.finish()
        });
    });
    let mut hasher = ShardHasher::new();
    hasher.update(&shard);
    let (root, outboard) = hasher.finish();
    let stored = outboard.to_bytes();
    group.bench_function("read an outboard", |b| {
        b.iter(|| Outboard::from_bytes(black_box(&stored)).expect("whole hashes"));
    });
    for step in [UNIT, 4 * UNIT] {
        let (start, end) = (3 * step, 4 * step);
        let range = start as u64..end as u64;
        group.throughput(Throughput::Bytes(step as u64));
        group.bench_function(format!("prove {} KiB", step >> 10), |b| {
            b.iter(|| outboard.prove(LEN as u64, black_box(range.clone())).expect("whole groups"));
        });
        let proof = outboard.prove(LEN as u64, range.clone()).expect("whole groups");
        let mut bytes = Some(BytesMut::from(&shard[start..end]));
        group.bench_function(format!("verify {} KiB", step >> 10), |b| {
            b.iter(|| {
                let slice = bytes.take().expect("put back each time");
                let verified = verify(&root, LEN as u64, range.start, slice, &proof);
                bytes = Some(verified.expect("true bytes").into_bytes());
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1));
    targets = encode, reconstruct, hash
}
criterion_main!(benches);
