use proptest::prelude::{ProptestConfig, any, proptest};

use super::*;

fn filled(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed.wrapping_mul(97)) as u8).collect()
}

/// A whole row: data and its parity.
fn row(coder: &mut dyn ErasureCoder, unit_len: usize) -> Vec<Vec<u8>> {
    let mut units: Vec<Vec<u8>> = (0..coder.k()).map(|seed| filled(unit_len, seed)).collect();
    let mut parity = vec![vec![0; unit_len]; coder.n() - coder.k()];
    let data: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
    let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    coder.encode(unit_len, &data, &mut out).expect("a row of the right shape");
    units.append(&mut parity);
    units
}

fn rebuild(
    coder: &mut dyn ErasureCoder,
    unit_len: usize,
    units: &[Option<&[u8]>],
    wanted: &[usize],
) -> Result<Vec<Vec<u8>>, CodecError> {
    let mut buffers = vec![vec![0xee; unit_len]; wanted.len()];
    let mut out: Vec<&mut [u8]> = buffers.iter_mut().map(Vec::as_mut_slice).collect();
    coder.reconstruct(unit_len, units, wanted, &mut out)?;
    Ok(buffers)
}

/// Loses the units for which `lost` says so and checks that every unit comes back, missing or not, together and alone.
fn check_losses(k: usize, n: usize, unit_len: usize, lost: impl Fn(usize) -> bool) {
    let mut coder = coder(SchemeId::DEFAULT, k, n).expect("a possible code");
    let units = row(&mut *coder, unit_len);
    let left: Vec<Option<&[u8]>> = units
        .iter()
        .enumerate()
        .map(|(index, unit)| (!lost(index)).then_some(unit.as_slice()))
        .collect();
    let all: Vec<usize> = (0..n).rev().collect();
    let rebuilt = rebuild(&mut *coder, unit_len, &left, &all).expect("k units are left");
    assert!(all.iter().zip(&rebuilt).all(|(index, unit)| *unit == units[*index]));
    for index in [0, k - 1, k, n - 1] {
        let rebuilt = rebuild(&mut *coder, unit_len, &left, &[index]).expect("k units are left");
        assert_eq!(rebuilt[0], units[index]);
    }
    assert_eq!(row(&mut *coder, unit_len), units, "a coder that has decoded still encodes");
}

#[test]
fn any_two_lost_units_of_six_come_back() {
    for first in 0..6 {
        for second in 0..6 {
            check_losses(4, 6, 192, |index| index == first || index == second);
        }
    }
}

#[test]
fn every_geometry_survives_losing_all_it_may() {
    for geometry in types::geometry::GEOMETRIES {
        let (k, n, m) = (geometry.k, geometry.n, geometry.m());
        check_losses(k, n, 64, |index| index < m.min(k));
        check_losses(k, n, 4096, |index| index >= n - m);
        check_losses(k, n, 65_536, |index| index % 2 == 0 && index / 2 < m);
        check_losses(k, n, 128, |_| false);
    }
}

#[test]
fn the_smallest_and_largest_codes_work() {
    for (k, n) in [(1, 2), (1, 256), (255, 256), (128, 256), (2, 3)] {
        check_losses(k, n, 64, |index| index < n - k);
    }
}

#[test]
fn long_runs_of_rows_code_as_their_rows_do() {
    for (k, n) in [(4, 6), (10, 24), (32, 88)] {
        let mut coder = coder(SchemeId::DEFAULT, k, n).expect("a possible code");
        let long = row(&mut *coder, 3 * 65_536 + 64);
        for (start, end) in [(0, 64), (64, 65_600), (3 * 65_536, 3 * 65_536 + 64)] {
            let data: Vec<&[u8]> = long[..k].iter().map(|unit| &unit[start..end]).collect();
            let mut parity = vec![vec![0; end - start]; n - k];
            let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
            coder.encode(end - start, &data, &mut out).expect("a row of the right shape");
            assert!(parity.iter().zip(&long[k..]).all(|(short, long)| *short == long[start..end]));
        }
    }
}

#[test]
fn the_parity_of_scheme_1_stays_as_it_is() {
    let mut coder = coder(SchemeId(1), 2, 4).expect("scheme 1");
    let first: Vec<u8> = (0..64).collect();
    let second = [0x5a; 64];
    let mut parity = [[0u8; 64]; 2];
    let [third, fourth] = &mut parity;
    coder.encode(64, &[&first, &second], &mut [third, fourth]).expect("a row of the right shape");
    assert_eq!(hex::encode(parity[0]), GOLDEN_PARITY[0]);
    assert_eq!(hex::encode(parity[1]), GOLDEN_PARITY[1]);
}

const GOLDEN_PARITY: [&str; 2] = [
    "804c1ed2b07c2ee2f83466aac804569a418ddf1371bdef2339f5a76b09c5975b8b888a89848785868d8e8c8f82818380b7b4b6b5b8bbb9bab1b2b0b3bebdbfbc",
    "da17468bee2372bfaa6736fb9e5302cf0bc6975a3ff2a36e7bb6e72a4f82d31ef1f3f2f0faf8f9fbfffdfcfef4f6f7f5dddfdedcd6d4d5d7d3d1d0d2d8dadbd9",
];

#[test]
fn unknown_codes_and_impossible_shapes_are_refused() {
    let refused = |scheme, k, n| coder(scheme, k, n).err().expect("refused");
    assert_eq!(refused(SchemeId(2), 4, 6), CodecError::UnknownScheme(SchemeId(2)));
    assert_eq!(
        refused(SchemeId(2), 4, 6).to_string(),
        "erasure code 2 is not known to this version"
    );
    for (k, n) in [(0, 1), (1, 1), (2, 1), (4, 257), (usize::MAX, 3)] {
        assert_eq!(refused(SchemeId(1), k, n), CodecError::Shape { k, n });
    }
}

#[test]
fn rows_of_the_wrong_shape_are_refused() {
    let mut coder = coder(SchemeId::DEFAULT, 2, 3).expect("a possible code");
    let (unit, short) = (vec![0; 64], vec![0; 62]);
    let mut encode =
        |len, data: &[&[u8]], parity: &mut [&mut [u8]]| coder.encode(len, data, parity);
    let (mut out, mut more) = (vec![0; 64], vec![0; 64]);
    assert_eq!(encode(0, &[&unit, &unit], &mut [&mut out]), Err(CodecError::UnitLength(0)));
    assert_eq!(encode(62, &[&short, &short], &mut [&mut out]), Err(CodecError::UnitLength(62)));
    let count = CodecError::UnitCount { expected: 2, found: 1 };
    assert_eq!(encode(64, &[&unit], &mut [&mut out]), Err(count));
    let count = CodecError::UnitCount { expected: 1, found: 2 };
    assert_eq!(encode(64, &[&unit, &unit], &mut [&mut out, &mut more]), Err(count));
    let length = CodecError::BufferLength { index: 1, expected: 64, found: 62 };
    assert_eq!(encode(64, &[&unit, &short], &mut [&mut out]), Err(length));
}

#[test]
fn too_few_units_or_a_false_wish_are_refused() {
    let mut coder = coder(SchemeId::DEFAULT, 2, 4).expect("a possible code");
    let units = row(&mut *coder, 64);
    let one: [Option<&[u8]>; 4] = [None, Some(&units[1]), None, None];
    let few = CodecError::NotEnoughUnits { needed: 2, found: 1 };
    assert_eq!(rebuild(&mut *coder, 64, &one, &[0]), Err(few));
    let two: [Option<&[u8]>; 4] = [None, Some(&units[1]), None, Some(&units[3])];
    let none = CodecError::NoSuchUnit { index: 4, n: 4 };
    assert_eq!(rebuild(&mut *coder, 64, &two, &[4]), Err(none));
    assert_eq!(rebuild(&mut *coder, 64, &two, &[0, 0]), Ok(vec![units[0].clone(); 2]));
    assert_eq!(rebuild(&mut *coder, 64, &two, &[]), Ok(vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_k_units_give_back_all(k in 1usize..40, m in 1usize..60, columns in 1usize..6, seed in any::<u64>()) {
        let n = k + m;
        // The m units with the smallest hashes are lost.
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by_key(|index| *blake3::hash(&[seed.to_le_bytes(), index.to_le_bytes()].concat()).as_bytes());
        let lost = &order[..m];
        check_losses(k, n, columns * 64, |index| lost.contains(&index));
    }
}
