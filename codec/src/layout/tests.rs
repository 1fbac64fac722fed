use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use types::{SessionId, StreamId};

use super::*;

/// Segment lengths around every edge, for `k` data shards.
fn nasty_lens(k: u64) -> Vec<u64> {
    let row = k * UNIT;
    let mut lens = vec![1, 2, 63, 64, 65, 64 * k - 1, 64 * k, 64 * k + 1, UNIT - 1, UNIT, UNIT + 1];
    lens.extend([
        row - 1,
        row,
        row + 1,
        2 * row - 1,
        2 * row + 64 * k,
        SEGMENT_MAX - 1,
        SEGMENT_MAX,
    ]);
    lens.retain(|len| (1..=SEGMENT_MAX).contains(len));
    lens
}

fn check_laws(k: usize, len: u64) {
    let layout = SegmentLayout::new(k, len).expect("a possible segment");
    let rows: Vec<Row> = layout.iter().collect();
    assert_eq!(rows.len(), layout.rows() as usize);
    assert_eq!(rows.iter().map(|row| row.data_len as u64).sum::<u64>(), len);
    assert_eq!(rows.iter().map(|row| row.unit_len as u64).sum::<u64>(), layout.shard_len());
    assert!(k as u64 * layout.shard_len() - len < 64 * k as u64);
    let (mut segment_offset, mut shard_offset) = (0, 0);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.index as usize, index);
        assert_eq!((row.segment_offset, row.shard_offset), (segment_offset, shard_offset));
        assert!(row.unit_len.is_multiple_of(64) && row.unit_len as u64 <= UNIT);
        assert!(row.data_len <= k * row.unit_len);
        assert!(row.unit_len - row.data_len.div_ceil(k) < 64, "as short as 64 allows");
        assert!(index + 1 == rows.len() || row.data_len as u64 == k as u64 * UNIT);
        assert_eq!((0..k).map(|i| row.unit_data_len(i)).sum::<usize>(), row.data_len);
        segment_offset += row.data_len as u64;
        shard_offset += row.unit_len as u64;
        assert_eq!(layout.row_of(row.segment_offset), row.index);
        assert_eq!(layout.row_of(segment_offset - 1), row.index);
        assert_eq!(layout.row_at(row.shard_offset), row.index);
        assert_eq!(layout.row_at(shard_offset - 1), row.index);
    }
}

fn check_cover(k: usize, len: u64, range: Range<u64>) {
    let layout = SegmentLayout::new(k, len).expect("a possible segment");
    let mut at = range.start;
    for piece in layout.cover(range.clone()) {
        let row = layout.row(piece.row);
        assert_eq!(piece.segment_offset, at, "no gap, no overlap");
        assert!(piece.len > 0 && piece.code_index < k);
        let in_unit = (piece.shard_offset - row.shard_offset) as usize;
        assert!(in_unit + piece.len <= row.unit_data_len(piece.code_index));
        let back = row.segment_offset + (piece.code_index * row.unit_len + in_unit) as u64;
        assert_eq!(back, piece.segment_offset, "the place is the inverse of the offset");
        assert!(layout.rows_of(&range).contains(&piece.row));
        at += piece.len as u64;
    }
    assert_eq!(at, range.end);
}

#[test]
fn the_laws_hold_at_every_edge() {
    for k in [1, 2, 3, 4, 10, 32, 255] {
        for len in nasty_lens(k as u64) {
            check_laws(k, len);
            check_cover(k, len, 0..len);
            check_cover(k, len, len - 1..len);
        }
    }
}

#[test]
fn impossible_segments_are_refused() {
    for len in [0, SEGMENT_MAX + 1, u64::MAX] {
        assert_eq!(SegmentLayout::new(4, len), Err(CodecError::SegmentLength(len)));
    }
    for k in [0, 256, usize::MAX] {
        assert!(matches!(SegmentLayout::new(k, 1), Err(CodecError::Shape { .. })));
    }
}

#[test]
fn the_layout_of_format_1_stays_as_it_is() {
    let layout = |len| SegmentLayout::new(4, len).expect("a possible segment");
    let last = |len| {
        let layout = layout(len);
        let row = layout.row(layout.rows() - 1);
        (row.index, row.unit_len, row.data_len, row.segment_offset, row.shard_offset)
    };
    assert_eq!(last(1), (0, 64, 1, 0, 0));
    assert_eq!(last(256), (0, 64, 256, 0, 0));
    assert_eq!(last(257), (0, 128, 257, 0, 0));
    assert_eq!(last(262_144), (0, 65_536, 262_144, 0, 0));
    assert_eq!(last(262_145), (1, 64, 1, 262_144, 65_536));
    assert_eq!(last(1_000_000), (3, 53_440, 213_568, 786_432, 196_608));
    assert_eq!(layout(1_000_000).shard_len(), 250_048);
    assert_eq!(
        layout(1_000_000).locate(900_000),
        Piece {
            row: 3,
            code_index: 2,
            segment_offset: 900_000,
            shard_offset: 196_608 + 6_688,
            len: 46_752
        }
    );
}

fn segment(session: u64, serial: u64, index: u32) -> SegmentId {
    SegmentId { stream: StreamId { session: SessionId(session), serial }, index }
}

#[test]
fn the_rotation_of_format_1_stays_as_it_is() {
    let slots: Vec<u8> = (0..6).map(|index| slot_of(segment(1, 2, 3), 6, index).0).collect();
    assert_eq!(slots, GOLDEN_SLOTS);
    assert_eq!(slot_of(segment(u64::MAX, 7, 0), 88, 0).0, GOLDEN_WIDE_SLOT);
}

const GOLDEN_SLOTS: [u8; 6] = [5, 0, 1, 2, 3, 4];
const GOLDEN_WIDE_SLOT: u8 = 39;

#[test]
fn over_many_segments_every_slot_holds_every_code_index_about_equally_often() {
    let (n, segments) = (6, 6000);
    let mut seen = vec![vec![0u32; n]; n];
    for index in 0..segments {
        let rotation = Rotation::of(segment(1, 2, index), n);
        for code_index in 0..n {
            seen[usize::from(rotation.slot(code_index).0)][code_index] += 1;
        }
    }
    assert!(seen.iter().flatten().all(|times| (850..1150).contains(times)), "{seen:?}");
}

fn any_len() -> impl Strategy<Value = u64> {
    prop_oneof![1..1000u64, 1..2_000_000u64, 1..=SEGMENT_MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_laws_hold_everywhere(k in 1usize..=255, len in any_len()) {
        check_laws(k, len);
    }

    #[test]
    fn any_range_is_covered_exactly_once(k in 1usize..=40, len in any_len(), a in any::<u64>(), b in any::<u64>()) {
        let start = a % len;
        check_cover(k, len, start..start + 1 + b % (len - start));
    }

    #[test]
    fn slots_and_code_indices_are_each_others_inverse(n in 1usize..=256, session in any::<u64>(), serial in any::<u64>(), index in any::<u32>()) {
        let segment = segment(session, serial, index);
        let mut taken = vec![false; n];
        for code_index in 0..n {
            let slot = slot_of(segment, n, code_index);
            assert!(!std::mem::replace(&mut taken[usize::from(slot.0)], true));
            assert_eq!(code_index_of(segment, n, slot), code_index);
        }
    }
}

#[test]
fn the_table_of_geometries_knows_how_long_shards_are() {
    for geometry in types::geometry::GEOMETRIES {
        for len in nasty_lens(geometry.k as u64) {
            let layout = SegmentLayout::new(geometry.k, len).expect("a possible segment");
            assert_eq!(geometry.shard_len(len), layout.shard_len(), "{geometry:?} {len}");
        }
    }
}
