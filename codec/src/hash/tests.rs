use proptest::prelude::{ProptestConfig, any, prop, proptest};
use types::MIB;

use super::*;

/// Shard lengths at which trees change their shape.
const NASTY_LENS: [u64; 22] = [
    0,
    1,
    64,
    1023,
    1024,
    1025,
    GROUP - 1,
    GROUP,
    GROUP + 1,
    2 * GROUP - 1,
    2 * GROUP,
    2 * GROUP + 1,
    3 * GROUP,
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    5 * GROUP + 7,
    MIB - 64,
    MIB,
    MIB + 64,
    3 * MIB + GROUP + 1,
    8 * MIB + 1,
];

fn bytes(len: u64) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 ^ (i >> 12) as u8).collect()
}

fn outboard_of(shard: &[u8]) -> (Root, Outboard) {
    let mut hasher = ShardHasher::new();
    hasher.update(shard);
    hasher.finish()
}

fn slice(shard: &[u8], range: &Range<u64>) -> BytesMut {
    BytesMut::from(&shard[range.start as usize..range.end as usize])
}

/// Ranges of whole groups worth proving in a shard of `len` bytes.
fn ranges(len: u64) -> Vec<Range<u64>> {
    let groups = groups(len);
    let mut picks = vec![(0, groups), (0, 1), (groups - 1, groups)];
    for (from, to) in [(0, 4), (1, 2), (1, 3), (2, 7), (3, 5), (4, 8), (groups / 2, groups)] {
        if from < to && to <= groups {
            picks.push((from, to));
        }
    }
    picks.into_iter().map(|(from, to)| from * GROUP..(to * GROUP).min(len)).collect()
}

#[test]
fn every_root_is_the_plain_blake3_hash() {
    for len in NASTY_LENS {
        let shard = bytes(len);
        let expected = Root(*blake3::hash(&shard).as_bytes());
        let (root, outboard) = outboard_of(&shard);
        assert_eq!(root, expected, "{len}");
        assert_eq!(outboard.root(), expected, "{len}");
        let mut plain = RootHasher::new();
        plain.update(&shard);
        assert_eq!((plain.finish(), plain.count()), (expected, len));
    }
}

#[test]
fn an_outboard_survives_its_bytes() {
    for len in NASTY_LENS {
        let (_, outboard) = outboard_of(&bytes(len));
        let stored = outboard.to_bytes();
        assert_eq!(stored.len(), Outboard::encoded_len(len));
        assert_eq!(Outboard::from_bytes(&stored), Ok(outboard));
    }
    for wrong in [0, 31, 33] {
        assert!(Outboard::from_bytes(&vec![0; wrong]).is_err());
    }
}

#[test]
fn every_slice_proves_itself() {
    for len in NASTY_LENS {
        let shard = bytes(len);
        let (root, outboard) = outboard_of(&shard);
        for range in ranges(len) {
            let proof = outboard.prove(len, range.clone()).expect("whole groups");
            assert_eq!(Ok(proof.hashes().len()), SliceProof::count(len, &range));
            assert!(proof.hashes().len() <= PROOF_MAX);
            assert_eq!(SliceProof::from_bytes(proof.as_bytes()).as_ref(), Ok(&proof));
            let verified = verify(&root, len, range.start, slice(&shard, &range), &proof)
                .unwrap_or_else(|error| panic!("{range:?} of {len}: {error}"));
            assert_eq!(verified.offset(), range.start);
            assert_eq!(verified.bytes(), verified.clone().into_bytes());
        }
    }
}

#[test]
fn a_false_byte_hash_length_or_place_is_found() {
    for len in NASTY_LENS.into_iter().filter(|len| *len > 0) {
        let shard = bytes(len);
        let (root, outboard) = outboard_of(&shard);
        for range in ranges(len) {
            let proof = outboard.prove(len, range.clone()).expect("whole groups");
            let good = slice(&shard, &range);
            let forged = |len, offset, bytes: BytesMut, proof: &SliceProof| {
                assert!(verify(&root, len, offset, bytes, proof).is_err(), "{range:?} of {len}");
            };

            for at in [0, good.len() / 2, good.len() - 1] {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert_eq!(
                    verify(&root, len, range.start, bad, &proof),
                    Err(CodecError::NotOfThisRoot { offset: range.start })
                );
            }
            for index in 0..proof.0.len() {
                let mut bad = proof.clone();
                bad.0[index][31] ^= 0x80;
                forged(len, range.start, good.clone(), &bad);
                bad.0.remove(index);
                forged(len, range.start, good.clone(), &bad);
            }
            let mut longer = proof.clone();
            longer.0.push([0; HASH]);
            forged(len, range.start, good.clone(), &longer);
            forged(len, range.start + 1, good.clone(), &proof);
            forged(len, range.start + GROUP, good.clone(), &proof);
            forged(len, u64::MAX, good.clone(), &proof);
            let mut shorter = good.clone();
            shorter.truncate(good.len() - 1);
            forged(len, range.start, shorter, &proof);
            if len > GROUP && range != (0..len) {
                forged(len + GROUP * GROUP, range.start, good, &proof);
            }
        }
    }
}

#[test]
fn ranges_that_are_not_whole_groups_are_refused() {
    let len = 5 * GROUP + 7;
    let (_, outboard) = outboard_of(&bytes(len));
    for range in [1..GROUP, 0..GROUP - 1, GROUP..GROUP, 0..len + 1, 0..6 * GROUP, len..len] {
        let refused = Err(CodecError::Range { shard_len: len, range: range.clone() });
        assert_eq!(outboard.prove(len, range), refused);
    }
    let backwards = Range { start: 2 * GROUP, end: GROUP };
    assert!(outboard.prove(len, backwards).is_err());
    assert!(outboard.prove(4 * GROUP, 0..GROUP).is_err(), "another shard's outboard");
}

#[test]
fn aligning_gives_the_smallest_provable_range() {
    let len = 5 * GROUP + 7;
    assert_eq!(align(len, 1..2), 0..GROUP);
    assert_eq!(align(len, GROUP..GROUP + 1), GROUP..2 * GROUP);
    assert_eq!(align(len, 5 * GROUP..len), 5 * GROUP..len);
    assert_eq!(align(len, 0..u64::MAX), 0..len);
    assert_eq!(align(0, 0..0), 0..0);
}

#[test]
fn proofs_beyond_the_limit_are_refused_before_they_are_kept() {
    assert!(SliceProof::from_bytes(&[0; PROOF_MAX * HASH]).is_ok());
    assert!(SliceProof::from_bytes(&[0; (PROOF_MAX + 1) * HASH]).is_err());
    assert!(SliceProof::from_bytes(&[0; 33]).is_err());
}

/// Five groups: ((0 1)(2 3)) 4. A slice of group 2 needs (0 1), then 3, then 4.
#[test]
fn the_order_of_a_proof_is_from_left_to_right() {
    let len = 4 * GROUP + 100;
    let shard = bytes(len);
    let (root, outboard) = outboard_of(&shard);
    let value = |range: Range<u64>| {
        blake3::Hasher::new()
            .set_input_offset(range.start)
            .update(&slice(&shard, &range))
            .finalize_non_root()
    };
    let proof = outboard.prove(len, 2 * GROUP..3 * GROUP).expect("whole groups");
    let expected = [value(0..2 * GROUP), value(3 * GROUP..4 * GROUP), value(4 * GROUP..len)];
    assert_eq!(proof.hashes(), expected);

    assert_eq!(root.to_string(), GOLDEN_ROOT);
    let hashes: Vec<String> = proof.hashes().iter().map(hex::encode).collect();
    assert_eq!(hashes, GOLDEN_PROOF);
    let stored = outboard.to_bytes();
    assert_eq!(hex::encode(&stored[..HASH]), GOLDEN_FIRST_GROUP);
}

const GOLDEN_ROOT: &str = "ea2aefe226f084ab716bde76245845942e3a66cbae8a032131627e3c4ecb9a20";
const GOLDEN_PROOF: [&str; 3] = [
    "5d3d6403002bd3fc446a3183e59e5495c00aed87a531645c512b69cf2bc05af7",
    "3d362730f3f9e83b1f72c6af6ad4579d5bfc35843b4e4edb718acb1f26c569e1",
    "bf442e82f7eba4352fc60131acfb7fe60dba1b67e5f559b7874b8398830d0cd9",
];
const GOLDEN_FIRST_GROUP: &str = "55db5cf397d05c55ac6ca66a0a3a0d3b058d21f0f1b5729f0103508d118e2355";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn updates_of_any_size_give_the_same_outboard(
        len in 0u64..200_000,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let shard = bytes(len);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(shard.len() + 1)).collect();
        cuts.extend([0, shard.len()]);
        cuts.sort_unstable();
        let mut hasher = ShardHasher::new();
        for pair in cuts.windows(2) {
            hasher.update(&shard[pair[0]..pair[1]]);
        }
        assert_eq!(hasher.count(), len);
        assert_eq!(hasher.finish(), outboard_of(&shard));
    }

    #[test]
    fn any_aligned_range_proves_itself(len in 1u64..1_000_000, a in 0u64..1_000_000, b in 1u64..1_000_000) {
        let range = align(len, a % len..(a % len + b).min(len));
        let shard = bytes(len);
        let (root, outboard) = outboard_of(&shard);
        let proof = outboard.prove(len, range.clone()).expect("an aligned range");
        assert!(verify(&root, len, range.start, slice(&shard, &range), &proof).is_ok());
    }

    #[test]
    fn nonsense_is_refused_without_panic(
        len in any::<u64>(),
        offset in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        proof in prop::collection::vec(any::<[u8; HASH]>(), 0..40),
    ) {
        let slice = BytesMut::from(bytes.as_slice());
        assert!(verify(&Root([7; 32]), len, offset, slice, &SliceProof(proof)).is_err());
    }
}
