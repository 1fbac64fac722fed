use proptest::prelude::{ProptestConfig, any, proptest};
use types::{MIB, SEGMENT_MAX};

use super::*;

fn filled(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 253) as u8 ^ (i >> 16) as u8).collect()
}

fn check_round_trip(k: usize, n: usize, segment: &[u8], lost: impl Fn(usize) -> bool) {
    let mut coder = coder(SchemeId::DEFAULT, k, n).expect("a possible code");
    let shards = encode(&mut *coder, segment).expect("a possible segment");
    let left: Vec<Option<&[u8]>> = shards
        .iter()
        .enumerate()
        .map(|(index, shard)| (!lost(index)).then_some(shard.as_slice()))
        .collect();
    let back = decode(&mut *coder, segment.len() as u64, &left).expect("k shards are left");
    assert!(back == segment, "{} bytes, {k} of {n}", segment.len());
}

#[test]
fn the_round_trip_law_holds_at_every_edge() {
    for len in [1, 63, 64, 255, 256, 257, 65_536, 262_143, 262_144, 262_145, 3 * MIB as usize + 5] {
        let segment = filled(len);
        check_round_trip(4, 6, &segment, |_| false);
        check_round_trip(4, 6, &segment, |index| index < 2);
        check_round_trip(10, 24, &segment, |index| index % 3 != 0 && index < 21);
    }
}

#[test]
fn the_largest_segment_comes_back() {
    let segment = filled(SEGMENT_MAX as usize);
    check_round_trip(4, 6, &segment, |index| index == 1 || index == 3);
}

#[test]
fn shards_that_are_not_this_segments_are_refused() {
    let mut coder = coder(SchemeId::DEFAULT, 2, 3).expect("a possible code");
    let shards = encode(&mut *coder, &filled(1000)).expect("a possible segment");
    let [a, b, c] = shards.as_slice() else { panic!("three shards") };
    let all: [Option<&[u8]>; 3] = [Some(a), Some(b), Some(c)];
    let length = CodecError::BufferLength { index: 0, expected: 1024, found: 512 };
    assert_eq!(decode(&mut *coder, 2000, &all), Err(length));
    assert!(matches!(decode(&mut *coder, 1000, &all[..2]), Err(CodecError::UnitCount { .. })));
    let one: [Option<&[u8]>; 3] = [None, None, Some(c)];
    assert!(matches!(decode(&mut *coder, 1000, &one), Err(CodecError::NotEnoughUnits { .. })));
    assert!(matches!(encode(&mut *coder, b""), Err(CodecError::SegmentLength(0))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_round_trip_law_holds(len in 1usize..600_000, k in 1usize..12, m in 1usize..12, seed in any::<usize>()) {
        let first = seed % (k + m);
        check_round_trip(k, k + m, &filled(len), |index| (index + first) % (k + m) < m);
    }
}
