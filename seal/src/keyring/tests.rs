use proptest::prelude::{ProptestConfig, any, prop, proptest};
use types::{SessionId, StreamId};

use super::*;
use crate::key::DataKey;
use crate::wrap::{unwrap, wrap};

const STREAM: StreamId = StreamId { session: SessionId(1), serial: 2 };
const BUCKET_ID: BucketId = BucketId([8; 16]);

const FIXED: &str = r#"format = 1
current = 2

[[key]]
id = 1
secret = "1111111111111111111111111111111111111111111111111111111111111111"

[[key]]
id = 2
secret = "2222222222222222222222222222222222222222222222222222222222222222"
"#;

fn fixed() -> Keyring {
    Keyring::from_toml(FIXED).expect("a good keyring")
}

#[test]
fn a_keyring_survives_its_text() {
    let mut keyring = Keyring::generate();
    keyring.rotate().expect("numbers are left");
    let back = Keyring::from_toml(&keyring.to_toml()).expect("its own text");
    assert_eq!(back.current(), 2);
    assert!(back.ids().eq([1, 2]));
    assert_eq!(back.keys, keyring.keys);
    let text = fixed().to_toml();
    assert_eq!(text.split_once('\n').expect("lines").1, FIXED);
}

#[test]
fn after_rotation_old_wraps_still_open_and_new_ones_use_the_new_key() {
    let mut keyring = Keyring::generate();
    let key = DataKey::generate();
    let old = wrap(&key, STREAM, &keyring.bucket_key(BUCKET_ID));
    let sealed = keyring.seal_secret("access-key/AK", b"secret");
    assert_eq!(keyring.rotate(), Ok(2));
    let under = keyring.unwrap_key(old.wrapping(), None).expect("key 1 is still there");
    assert_eq!(unwrap(&old, STREAM, &under).expect("opens").secret(), key.secret());
    assert_eq!(keyring.open_secret("access-key/AK", &sealed).expect("opens").as_slice(), b"secret");
    let expected = WrappingKeyId::Bucket { keyring: 2, bucket: BUCKET_ID };
    assert_eq!(*keyring.bucket_key(BUCKET_ID).id(), expected);
}

#[test]
fn broken_texts_are_refused_in_words_that_quote_no_secret() {
    let good = FIXED;
    for (bad, why) in [
        (
            good.replace("format = 1", "format = 2"),
            "the keyring has format 2, and this version knows up to 1: run a newer version",
        ),
        (
            good.replace("format = 1", "format = 0"),
            "the keyring cannot be read: there is no format 0",
        ),
        (
            good.replace("current = 2", "current = 3"),
            "the keyring cannot be read: its current key 3 is missing",
        ),
        (good.replace("id = 2", "id = 1"), "the keyring cannot be read: key 1 is there twice"),
        (
            good.replace("2222\"", "22\""),
            "the keyring cannot be read: a secret is not 64 hexadecimal digits",
        ),
        (
            good.replace("2222\"", "222x\""),
            "the keyring cannot be read: a secret is not 64 hexadecimal digits",
        ),
    ] {
        assert_eq!(Keyring::from_toml(&bad).expect_err("refused").to_string(), why);
    }
    for bad in
        ["", "format = 1", "{", &format!("{good}\ncolour = 1"), &good.replace("current", "currant")]
    {
        let error = Keyring::from_toml(bad).expect_err("refused").to_string();
        assert!(!error.contains("1111"), "{error}");
    }
}

#[test]
fn wrapping_keys_are_found_by_their_id() {
    let keyring = fixed();
    let bucket = WrappingKeyId::Bucket { keyring: 1, bucket: BUCKET_ID };
    assert_eq!(*keyring.unwrap_key(&bucket, None).expect("found").id(), bucket);
    let missing = WrappingKeyId::Bucket { keyring: 3, bucket: BUCKET_ID };
    let error = |id: &WrappingKeyId, customer| keyring.unwrap_key(id, customer).err();
    assert_eq!(error(&missing, None), Some(SealError::UnknownKeyringKey(3)));
    assert_eq!(error(&bucket, Some(&[0; 32])), Some(SealError::OtherWrappingKey));
    let customer = WrappingKeyId::Customer { salt: [1; 16] };
    assert_eq!(error(&customer, None), Some(SealError::CustomerKeyNeeded));
    assert!(error(&customer, Some(&[0; 32])).is_none());
    let named = WrappingKeyId::Named("payroll".parse().expect("a good name"));
    assert_eq!(error(&named, None), Some(SealError::NamedKeyNeeded("payroll".to_owned())));
}

#[test]
fn buckets_and_keyring_keys_have_different_wrapping_keys() {
    let keyring = fixed();
    let wrapped = wrap(&DataKey::generate(), STREAM, &keyring.bucket_key(BUCKET_ID));
    let other = keyring.bucket_key(BucketId([9; 16]));
    assert_eq!(unwrap(&wrapped, STREAM, &other).err(), Some(SealError::OtherWrappingKey));
    let secrets = [
        keyring.label_key(1),
        keyring.label_key(2),
        keyring.secrets_key(1),
        keyring.secrets_key(2),
    ];
    for (i, a) in secrets.iter().enumerate() {
        assert!(secrets[..i].iter().all(|b| a != b));
    }
}

#[test]
fn nothing_secret_is_printed() {
    let printed = format!("{:?}", fixed());
    assert_eq!(printed, "Keyring { current: 2, ids: [1, 2], .. }");
}

#[test]
fn a_sealed_secret_of_a_newer_format_is_refused_in_words() {
    let keyring = fixed();
    let mut sealed = keyring.seal_secret("p", b"secret");
    sealed[0] = 2;
    let newer = SealError::NewerFormat { what: "secret", found: 2, known: 1 };
    assert_eq!(keyring.open_secret("p", &sealed).err(), Some(newer));
}

#[test]
fn derived_keys_and_sealed_secrets_stay_as_they_are() {
    let keyring = fixed();
    assert_eq!(hex::encode(*keyring.label_key(2).expect("there")), GOLDEN_LABEL_KEY);
    let key = keyring.secrets_key(2).expect("there");
    assert_eq!(hex::encode(*key), GOLDEN_SECRETS_KEY);
    let sealed = envelope::seal_with_nonce(&key, 2, b"access-key/AK", b"secret", [5; 24]);
    assert_eq!(hex::encode(&sealed), GOLDEN_SEALED);
    assert_eq!(keyring.open_secret("access-key/AK", &sealed).expect("opens").as_slice(), b"secret");
}

const GOLDEN_LABEL_KEY: &str = "0d4dc87c6f0507610dd7eab7f62a808cec37b7a31280b5c4320812bc2f290d36";
const GOLDEN_SECRETS_KEY: &str = "3a483ccb2c91918c3b65a35fb3871ca4383fc664e0c0a751f000944c946121e4";
const GOLDEN_SEALED: &str = "0100000002050505050505050505050505050505050505050505050505431e5d441f6d3d828aebb3563323a9ea235721f46efe";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_secret_opens_for_its_purpose_only(secret in prop::collection::vec(any::<u8>(), 0..100), flip in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        let keyring = fixed();
        let sealed = keyring.seal_secret("access-key/A", &secret);
        assert_eq!(keyring.open_secret("access-key/A", &sealed).expect("opens").as_slice(), secret);
        assert_eq!(keyring.open_secret("access-key/B", &sealed).err(), Some(SealError::Tampered("secret")));
        let mut changed = sealed.clone();
        changed[flip.index(sealed.len())] ^= 1;
        assert!(keyring.open_secret("access-key/A", &changed).is_err());
        assert!(keyring.open_secret("access-key/A", &sealed[..cut.index(sealed.len())]).is_err());
    }

    #[test]
    fn any_text_is_refused_without_panic(text in "\\PC{0,80}") {
        assert!(Keyring::from_toml(&text).is_err());
    }
}
