use proptest::prelude::{any, prop, proptest};

use super::*;

const ALL: [ChecksumAlgorithm; 10] = [
    ChecksumAlgorithm::Crc32,
    ChecksumAlgorithm::Crc32c,
    ChecksumAlgorithm::Crc64Nvme,
    ChecksumAlgorithm::Sha1,
    ChecksumAlgorithm::Sha256,
    ChecksumAlgorithm::Sha512,
    ChecksumAlgorithm::Md5,
    ChecksumAlgorithm::XxHash64,
    ChecksumAlgorithm::XxHash3,
    ChecksumAlgorithm::XxHash128,
];

fn digests(bytes: &[u8], algorithms: &[ChecksumAlgorithm]) -> Digests {
    let mut digester = Digester::new(algorithms);
    digester.update(bytes);
    digester.finish()
}

fn value(algorithm: ChecksumAlgorithm, bytes: &[u8]) -> Vec<u8> {
    digests(bytes, &[algorithm]).checksums.remove(0).1
}

#[test]
fn known_vectors_come_out_as_published() {
    // The CRC check values of "123456789" (reveng catalogue); RFC 1321, FIPS 180; xxHash's own vectors of the empty input.
    for (algorithm, bytes, hex) in [
        (ChecksumAlgorithm::Crc32, &b"123456789"[..], "cbf43926"),
        (ChecksumAlgorithm::Crc32c, b"123456789", "e3069283"),
        (ChecksumAlgorithm::Crc64Nvme, b"123456789", "ae8b14860a799888"),
        (ChecksumAlgorithm::Sha1, b"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            ChecksumAlgorithm::Sha256,
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            ChecksumAlgorithm::Sha512,
            b"abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (ChecksumAlgorithm::Md5, b"abc", "900150983cd24fb0d6963f7d28e17f72"),
        (ChecksumAlgorithm::XxHash64, b"", "ef46db3751d8e999"),
        (ChecksumAlgorithm::XxHash3, b"", "2d06800538d394c2"),
        (ChecksumAlgorithm::XxHash128, b"", "99aa06d3014798d86001c324468d497f"),
    ] {
        assert_eq!(hex::encode(value(algorithm, bytes)), hex, "{algorithm:?}");
    }
}

#[test]
fn every_value_has_its_algorithms_size() {
    for (algorithm, value) in digests(b"x", &ALL).checksums {
        assert_eq!(value.len(), size_of_value(algorithm), "{algorithm:?}");
    }
}

#[test]
fn an_algorithm_asked_for_twice_is_computed_once() {
    let twice = [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32];
    assert_eq!(digests(b"", &twice).checksums.len(), 1);
    assert!(digests(b"", &[]).checksums.is_empty());
}

#[test]
fn a_composite_is_the_digest_of_the_parts_digests() {
    // From the conformance suite: one part of 1,024 letters A.
    let part = value(ChecksumAlgorithm::Sha256, &[b'A'; 1024]);
    let composite = composite(ChecksumAlgorithm::Sha256, &[&part]);
    assert_eq!(
        hex::encode(composite),
        "3a4e82b396fdeaec7af8c5909093bb5014f9b0a3c179704bc2f8ff84af3db268"
    );
}

#[test]
fn only_crcs_combine() {
    for algorithm in ALL {
        let part = value(algorithm, b"part");
        let crc = matches!(
            algorithm,
            ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c | ChecksumAlgorithm::Crc64Nvme
        );
        assert_eq!(combine(algorithm, &[(&part, 4)]).is_some(), crc, "{algorithm:?}");
        assert_eq!(combine(algorithm, &[(&part[1..], 4)]), None, "{algorithm:?}");
        assert_eq!(combine(algorithm, &[]), None, "{algorithm:?}");
    }
}

proptest! {
    #[test]
    fn the_crc_of_a_whole_follows_from_its_parts(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8)) {
        let whole = parts.concat();
        for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme] {
            let values: Vec<(Vec<u8>, u64)> =
                parts.iter().map(|part| (value(algorithm, part), part.len() as u64)).collect();
            let known: Vec<(&[u8], u64)> = values.iter().map(|(value, len)| (value.as_slice(), *len)).collect();
            assert_eq!(combine(algorithm, &known), Some(value(algorithm, &whole)), "{algorithm:?}");
        }
    }

    #[test]
    fn digests_do_not_depend_on_how_the_bytes_are_cut(bytes in prop::collection::vec(any::<u8>(), 0..2000), cut in any::<prop::sample::Index>()) {
        let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
        let mut digester = Digester::new(&ALL);
        digester.update(left);
        digester.update(right);
        assert_eq!(digester.finish(), digests(&bytes, &ALL));
    }
}
