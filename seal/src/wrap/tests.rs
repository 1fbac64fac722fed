use types::SessionId;

use super::*;
use crate::keyring::Keyring;

const STREAM: StreamId = StreamId { session: SessionId(7), serial: 9 };
const OTHER: StreamId = StreamId { session: SessionId(7), serial: 10 };

fn name(text: &str) -> KeyName {
    text.parse().expect("a good name")
}

fn fixed_key() -> DataKey {
    DataKey::from_parts(CipherId::CHACHA20_POLY1305, Zeroizing::new([0x11; 32])).expect("known")
}

fn every_kind() -> [WrapKey; 3] {
    let keyring = Keyring::generate();
    [
        keyring.bucket_key(BucketId([1; 16])),
        WrapKey::customer(&[2; 32]),
        WrapKey::named(name("payroll"), &random_bytes()),
    ]
}

#[test]
fn every_kind_of_key_unwraps_what_it_wrapped() {
    for under in every_kind() {
        let key = DataKey::generate();
        let wrapped = wrap(&key, STREAM, &under);
        assert_eq!((wrapped.cipher(), wrapped.wrapping()), (key.cipher(), under.id()));
        let stored = postcard::to_allocvec(&wrapped).expect("a wrap can be written");
        let read: WrappedKey = postcard::from_bytes(&stored).expect("and read");
        let back = unwrap(&read, STREAM, &under).expect("the right key");
        assert_eq!(back.secret(), key.secret());
    }
}

#[test]
fn a_wrap_opens_for_its_stream_and_its_key_only() {
    for under in every_kind() {
        let wrapped = wrap(&DataKey::generate(), STREAM, &under);
        assert!(unwrap(&wrapped, OTHER, &under).is_err());
        for other in every_kind() {
            assert!(unwrap(&wrapped, STREAM, &other).is_err());
        }
    }
}

#[test]
fn a_wrong_customer_key_is_named_as_such() {
    let wrapped = wrap(&DataKey::generate(), STREAM, &WrapKey::customer(&[2; 32]));
    let WrappingKeyId::Customer { salt } = wrapped.wrapping() else { panic!("a customer's") };
    let wrong = WrapKey::customer_salted(&[3; 32], *salt);
    assert_eq!(unwrap(&wrapped, STREAM, &wrong).err(), Some(SealError::WrongCustomerKey));
    let right = WrapKey::customer_salted(&[2; 32], *salt);
    assert!(unwrap(&wrapped, STREAM, &right).is_ok());
}

#[test]
fn equal_customer_keys_do_not_show() {
    let (a, b) = (WrapKey::customer(&[2; 32]), WrapKey::customer(&[2; 32]));
    assert_ne!(a.id(), b.id());
    assert_ne!(*a.secret, *b.secret);
}

#[test]
fn a_change_to_any_stored_byte_is_found() {
    for under in every_kind() {
        let stored =
            postcard::to_allocvec(&wrap(&DataKey::generate(), STREAM, &under)).expect("written");
        for at in 0..stored.len() {
            let mut changed = stored.clone();
            changed[at] ^= 1;
            if let Ok(wrapped) = postcard::from_bytes::<WrappedKey>(&changed) {
                assert!(unwrap(&wrapped, STREAM, &under).is_err(), "byte {at}");
            }
        }
    }
}

#[test]
fn a_key_other_than_the_committed_one_is_refused() {
    let under = WrapKey::customer(&[2; 32]);
    let mut wrapped = wrap(&DataKey::generate(), STREAM, &under);
    wrapped.commitment = commitment(&[9; 32]);
    assert_eq!(unwrap(&wrapped, STREAM, &under).err(), Some(SealError::NotCommitted));
}

#[test]
fn an_unknown_cipher_is_refused_in_words() {
    let under = WrapKey::customer(&[2; 32]);
    let mut wrapped = wrap(&DataKey::generate(), STREAM, &under);
    wrapped.cipher = CipherId(2);
    let error = unwrap(&wrapped, STREAM, &under).expect_err("unknown");
    assert_eq!(error.to_string(), "cipher 2 is not known to this version");
}

#[test]
fn key_names_are_checked() {
    for good in ["a", "alias/payroll-2026_v1.0", &"x".repeat(64)] {
        assert!(good.parse::<KeyName>().is_ok(), "{good}");
    }
    for bad in ["", "a b", "ä", "a:b", &"x".repeat(65)] {
        assert_eq!(bad.parse::<KeyName>(), Err(SealError::KeyName), "{bad}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let key = fixed_key();
    let under = WrapKey::named(name("n"), &[0x22; 32]);
    let wrapped = wrap(&key, STREAM, &under);
    let printed = format!("{key:?} {under:?} {wrapped:?}");
    assert!(
        !printed.contains("17, 17") && !printed.contains("34, 34") && !printed.contains("1111")
    );
}

#[test]
fn the_bytes_of_a_wrap_stay_as_they_are() {
    let golden = |under: &WrapKey| {
        let wrapped = wrap_with_nonce(&fixed_key(), STREAM, under, [0x44; NONCE]);
        hex::encode(postcard::to_allocvec(&wrapped).expect("written"))
    };
    let bucket = WrapKey::bucket(5, BucketId([1; 16]), Zeroizing::new([0x33; 32]));
    assert_eq!(golden(&bucket), GOLDEN_BUCKET);
    assert_eq!(golden(&WrapKey::named(name("payroll"), &[0x33; 32])), GOLDEN_NAMED);
    assert_eq!(golden(&WrapKey::customer_salted(&[0x33; 32], [6; 16])), GOLDEN_CUSTOMER);
}

const GOLDEN_BUCKET: &str = "0100050101010101010101010101010101010144444444444444444444444444444444444444444444444409b761c521f3269283615a0f01c6d3b62f13f32931c3565014a1c642a3165712f73d5ad8379475fca2992cb61f8676feef4516338fc13535bce53c0a5cafa01108219da6bb7f2ee411d4d14aa60df674";
const GOLDEN_NAMED: &str = "010107706179726f6c6c444444444444444444444444444444444444444444444444acc6fa89f9ac998cb173f372fb008476f6d21551a12e04abf1c4112ac471a6b971c9e9943d52af5188550117dd8bcb29ef4516338fc13535bce53c0a5cafa01108219da6bb7f2ee411d4d14aa60df674";
const GOLDEN_CUSTOMER: &str = "0102060606060606060606060606060606064444444444444444444444444444444444444444444444449cf7e405ba7a1162d5162c8111176c37cf8a8617601fae6264e9a24c8f8391592560b2bc645286044ccc75b6e9786548ef4516338fc13535bce53c0a5cafa01108219da6bb7f2ee411d4d14aa60df674";
