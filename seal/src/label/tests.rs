use proptest::prelude::{ProptestConfig, any, prop, proptest};
use types::{SessionId, StreamId};

use super::*;
use crate::key::DataKey;
use crate::wrap::{WrapKey, wrap};

const KEYRING: &str = r#"
format = 1
current = 1
[[key]]
id = 1
secret = "1111111111111111111111111111111111111111111111111111111111111111"
"#;

fn keyring() -> Keyring {
    Keyring::from_toml(KEYRING).expect("a good keyring")
}

fn label(key: WrappedKey) -> Label {
    Label {
        segment: SegmentId { stream: StreamId { session: SessionId(1), serial: 2 }, index: 3 },
        group: GroupId(4),
        epoch: Epoch(5),
        geometry: GeometryName::Home,
        scheme: 1,
        code_index: 6,
        segment_len: 33_554_432,
        plain_offset: 100_638_720,
        plain_len: Some(150_000_000),
        key,
        bucket: BucketId([7; 16]),
        object_key_hash: [8; 32],
    }
}

fn bucket_label() -> Label {
    let stream = StreamId { session: SessionId(1), serial: 2 };
    label(wrap(&DataKey::generate(), stream, &keyring().bucket_key(BucketId([7; 16]))))
}

fn largest() -> Label {
    let most = u64::MAX;
    let stream = StreamId { session: SessionId(most), serial: most };
    let name = "x".repeat(crate::wrap::KEY_NAME_MAX).parse().expect("a good name");
    Label {
        segment: SegmentId { stream, index: u32::MAX },
        group: GroupId(most),
        epoch: Epoch(u32::MAX),
        geometry: GeometryName::Wide,
        scheme: u8::MAX,
        code_index: u8::MAX,
        segment_len: most,
        plain_offset: most,
        plain_len: Some(most),
        key: wrap(&DataKey::generate(), stream, &WrapKey::named(name, &[0xff; 32])),
        bucket: BucketId([0xff; 16]),
        object_key_hash: [0xff; 32],
    }
}

#[test]
fn a_label_survives_sealing() {
    for label in [bucket_label(), largest()] {
        let sealed = seal(&keyring(), &label);
        assert_eq!(open(&keyring(), &sealed), Ok(label));
    }
}

#[test]
fn the_largest_label_fits_its_limit() {
    let sealed = seal(&keyring(), &largest());
    assert_eq!(sealed.len(), 338);
    assert!(sealed.len() <= LABEL_MAX);
}

#[test]
fn a_label_opens_under_its_keyring_only() {
    let sealed = seal(&keyring(), &bucket_label());
    let tampered = Err(SealError::Tampered("label"));
    assert_eq!(open(&Keyring::generate(), &sealed), tampered);
    let mut other = sealed.clone();
    other[4] = 9;
    assert_eq!(open(&keyring(), &other), Err(SealError::UnknownKeyringKey(9)));
    let secret = keyring().seal_secret("label", b"not a label");
    assert_eq!(open(&keyring(), &secret), tampered);
}

#[test]
fn a_sealed_record_that_is_no_label_is_refused() {
    let keyring = keyring();
    let key = keyring.label_key(1).expect("there");
    for plain in [b"".as_slice(), b"short", &[encode(&bucket_label()), vec![0]].concat()] {
        let sealed = envelope::seal(&key, 1, CONTEXT, plain);
        assert_eq!(open(&keyring, &sealed), Err(SealError::Encoding("label")));
    }
}

#[test]
fn the_bytes_of_a_label_stay_as_they_are() {
    let keyring = keyring();
    let key: WrappedKey =
        postcard::from_bytes(&hex::decode(GOLDEN_WRAP).expect("hex")).expect("a wrap");
    let label_key = keyring.label_key(1).expect("there");
    let label = label(key);
    let sealed = envelope::seal_with_nonce(&label_key, 1, CONTEXT, &encode(&label), [9; 24]);
    assert_eq!(hex::encode(encode(&label)), GOLDEN_PLAIN);
    assert_eq!(hex::encode(&sealed), GOLDEN_SEALED);
    assert_eq!(open(&keyring, &sealed), Ok(label));
}

const GOLDEN_WRAP: &str = "0100050101010101010101010101010101010144444444444444444444444444444444444444444444444409b761c521f3269283615a0f01c6d3b62f13f32931c3565014a1c642a3165712f73d5ad8379475fca2992cb61f8676feef4516338fc13535bce53c0a5cafa01108219da6bb7f2ee411d4d14aa60df674";
const GOLDEN_PLAIN: &str = "01020304050101068080801080c0fe2f0180a3c3470100050101010101010101010101010101010144444444444444444444444444444444444444444444444409b761c521f3269283615a0f01c6d3b62f13f32931c3565014a1c642a3165712f73d5ad8379475fca2992cb61f8676feef4516338fc13535bce53c0a5cafa01108219da6bb7f2ee411d4d14aa60df674070707070707070707070707070707070808080808080808080808080808080808080808080808080808080808080808";
const GOLDEN_SEALED: &str = "0100000001090909090909090909090909090909090909090909090909380f574868ce2853e40afe8e27a50b1d16381c1701692eeae2654c136a4593718509722901f0d5e37f3efcdba378b74d5afd197841088ef1f837cf2d214a4fdbeed8b61c2e0dcd66a8dae6247332be6c64f65b4ab006828651df614553bdbda440a94d5c8535e463258e7ea133de01a3f983756d7459cd3b478aa1b3163ad1c904d75b702fae5d0f9c84127147e40a7b0edeeb526f1b6a7c396f3d3e3d169c4f4c1a8777fadba949e4b57ba724fab6dd2bb9462a094a2bb54fa8605ea678fa496be55d1e49794f1d9bee4f38dbdc7c00";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_or_shortened_label_does_not_open(flip in any::<prop::sample::Index>(), mask in 1u8.., cut in any::<prop::sample::Index>()) {
        let sealed = seal(&keyring(), &bucket_label());
        let mut changed = sealed.clone();
        changed[flip.index(sealed.len())] ^= mask;
        assert!(open(&keyring(), &changed).is_err());
        assert!(open(&keyring(), &sealed[..cut.index(sealed.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        assert!(open(&keyring(), &bytes).is_err());
    }
}
