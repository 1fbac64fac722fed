use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata::records::Detail;
use s3s::dto::{CompletedMultipartUpload, ETag};
use types::{GeometryName, SessionId, StreamId, Timestamp};

use super::*;

fn upload(checksum: Option<(ChecksumAlgorithm, bool)>) -> Upload {
    Upload {
        initiated: Timestamp(0),
        owner: None,
        geometry: GeometryName::Local,
        class: None,
        detail: Detail::default(),
        checksum,
    }
}

fn part(bytes: &[u8], algorithms: &[ChecksumAlgorithm]) -> Part {
    let mut digester = digest::Digester::new(algorithms);
    digester.update(bytes);
    let digests = digester.finish();
    let kind = ChecksumKind::FullObject;
    let checksums =
        digests.checksums.into_iter().map(|(algorithm, value)| Checksum { algorithm, kind, value });
    Part {
        stream: StreamId { session: SessionId(1), serial: 1 },
        offset: 0,
        len: digests.len,
        md5: digests.md5,
        modified: Timestamp(0),
        checksums: checksums.collect(),
    }
}

fn sized(len: u64) -> Part {
    Part { len, ..part(b"x", &[]) }
}

fn choice(number: u32, part: &Part) -> Choice {
    Choice { number, md5: Some(part.md5), checksums: Vec::new() }
}

fn input(numbers: &[i32]) -> CompleteMultipartUploadInput {
    let part = |number: &i32| CompletedPart {
        e_tag: Some(ETag::Strong("00".repeat(16))),
        part_number: Some(*number),
        ..CompletedPart::default()
    };
    let parts = Some(numbers.iter().map(part).collect());
    CompleteMultipartUploadInput {
        multipart_upload: Some(CompletedMultipartUpload { parts }),
        ..CompleteMultipartUploadInput::default()
    }
}

fn code<T>(result: S3Result<T>) -> Option<S3ErrorCode> {
    result.err().map(|error| error.code().clone())
}

#[test]
fn parts_are_named_in_ascending_order() {
    assert_eq!(code(read_choice(&mut input(&[1, 5, 9]))), None);
    assert_eq!(code(read_choice(&mut input(&[5, 1]))), Some(S3ErrorCode::InvalidPartOrder));
    assert_eq!(code(read_choice(&mut input(&[1, 5, 1]))), Some(S3ErrorCode::InvalidPartOrder));
    assert_eq!(code(read_choice(&mut input(&[]))), Some(S3ErrorCode::MalformedXML));
    assert_eq!(code(read_choice(&mut input(&[0]))), Some(S3ErrorCode::InvalidArgument));
    assert_eq!(code(read_choice(&mut input(&[10_001]))), Some(S3ErrorCode::InvalidArgument));
}

#[test]
fn of_a_part_named_twice_the_last_entry_counts() {
    let mut input = input(&[1, 1, 2]);
    let parts =
        input.multipart_upload.as_mut().and_then(|list| list.parts.as_mut()).expect("parts");
    parts[1].e_tag = Some(ETag::Strong("11".repeat(16)));
    let choices = read_choice(&mut input).expect("ascending");
    let seen: Vec<_> = choices.iter().map(|choice| (choice.number, choice.md5)).collect();
    assert_eq!(seen, [(1, Some([0x11; 16])), (2, Some([0; 16]))]);
}

#[test]
fn only_the_last_part_may_be_small() {
    let stored = [(1, sized(PART_MIN)), (2, sized(PART_MIN - 1)), (3, sized(1))];
    let chosen = |numbers: &[u32]| {
        numbers
            .iter()
            .map(|number| choice(*number, &stored[*number as usize - 1].1))
            .collect::<Vec<_>>()
    };
    assert_eq!(code(choose(&chosen(&[1, 2]), &stored)), None);
    assert_eq!(code(choose(&chosen(&[1, 2, 3]), &stored)), Some(S3ErrorCode::EntityTooSmall));
    assert_eq!(code(choose(&chosen(&[3]), &stored)), None);
}

#[test]
fn a_part_is_the_one_the_client_saw() {
    let stored = [(4, part(b"abc", &[ChecksumAlgorithm::Sha256]))];
    let right = choice(4, &stored[0].1);
    assert_eq!(code(choose(&[right], &stored)), None);
    let missing = Choice { number: 5, ..choice(4, &stored[0].1) };
    assert_eq!(code(choose(&[missing], &stored)), Some(S3ErrorCode::InvalidPart));
    let other = Choice { md5: Some([0; 16]), ..choice(4, &stored[0].1) };
    assert_eq!(code(choose(&[other], &stored)), Some(S3ErrorCode::InvalidPart));
    let sum = |text: &str| Choice {
        checksums: vec![(ChecksumAlgorithm::Sha256, text.to_owned())],
        ..choice(4, &stored[0].1)
    };
    assert_eq!(code(choose(&[sum(&checksum::encode(&stored[0].1.checksums[0]))], &stored)), None);
    assert_eq!(code(choose(&[sum("bad")], &stored)), Some(S3ErrorCode::InvalidPart));
}

#[test]
fn the_composite_of_the_conformance_suite_comes_out() {
    let one = part(&[b'A'; 1024], &[ChecksumAlgorithm::Sha256]);
    let upload = upload(Some((ChecksumAlgorithm::Sha256, false)));
    let checksums = object_checksums(&upload, &[(1, &one)]);
    assert_eq!(checksum::encode(&checksums[0]), "Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=-1");
    let claim = |text: &str| {
        let mut input = CompleteMultipartUploadInput {
            checksum_sha256: Some(text.to_owned()),
            ..Default::default()
        };
        code(check_claims(&mut input, &upload, &[(1, &one)], &checksums))
    };
    assert_eq!(claim("Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=-1"), None);
    assert_eq!(claim("Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg="), None);
    assert_eq!(
        claim("Ok6Cs5b96ux6+MWQkJO7UBT5sKPBeXBLwvj/hK89smg=-2"),
        Some(S3ErrorCode::BadDigest)
    );
    assert_eq!(claim("bad"), Some(S3ErrorCode::BadDigest));
}

#[test]
fn without_a_wish_the_object_gets_the_default_over_all_its_bytes() {
    let (one, two) = (part(b"hello ", &[checksum::DEFAULT]), part(b"world", &[checksum::DEFAULT]));
    let whole = part(b"hello world", &[checksum::DEFAULT]);
    let checksums = object_checksums(&upload(None), &[(1, &one), (2, &two)]);
    assert_eq!(checksums, whole.checksums);
    let bare = part(b"world", &[]);
    assert!(object_checksums(&upload(None), &[(1, &one), (2, &bare)]).is_empty());
}

#[test]
fn claims_on_size_and_type_must_hold() {
    let one = part(b"abc", &[ChecksumAlgorithm::Crc32]);
    let upload = upload(Some((ChecksumAlgorithm::Crc32, true)));
    let checksums = object_checksums(&upload, &[(1, &one)]);
    let check = |mut input: CompleteMultipartUploadInput| {
        code(check_claims(&mut input, &upload, &[(1, &one)], &checksums))
    };
    let kind = |kind| CompleteMultipartUploadInput {
        checksum_type: Some(ChecksumType::from_static(kind)),
        ..CompleteMultipartUploadInput::default()
    };
    assert_eq!(check(kind("FULL_OBJECT")), None);
    assert_eq!(check(kind("COMPOSITE")), Some(S3ErrorCode::InvalidRequest));
    let size =
        |size| CompleteMultipartUploadInput { mpu_object_size: Some(size), ..Default::default() };
    assert_eq!(check(size(3)), None);
    assert_eq!(check(size(4)), Some(S3ErrorCode::InvalidRequest));
    assert_eq!(checksum::encode(&checksums[0]), STANDARD.encode(0x3524_41c2_u32.to_be_bytes()));
}
