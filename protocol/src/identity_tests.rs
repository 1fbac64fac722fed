use std::time::Duration;

use types::clock::Clock;

use super::*;

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn trust(root: &RootKey) -> Trust {
    Trust::new(root.public(), 0, Arc::new(Fixed(NOW)))
}

fn grant(serial: u64) -> Grant {
    let key = SecretKey::from_seed(&[2; 32]).public();
    let hour = Duration::from_secs(3600);
    Grant { role: Role::Link, key, serial, not_before: NOW, not_after: NOW.plus(hour) }
}

#[test]
fn a_key_survives_its_pkcs8_form_and_a_seed_makes_the_same_key_for_ever() {
    let key = SecretKey::from_seed(&[7; 32]);
    // RFC 8032 defines the public key of a seed; the document is RFC 8410's with RFC 5958's public key.
    assert_eq!(
        key.public().to_string(),
        "ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c"
    );
    let again = SecretKey::from_pkcs8(key.pkcs8()).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(again.pkcs8(), key.pkcs8());
    assert_eq!(NodeIdentity::from(again).id(), key.public().node_id());
    assert_eq!(SecretKey::from_pkcs8(&key.pkcs8()[1..]).unwrap_err(), KeyError::NotPkcs8);
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!("no key".parse::<PublicKey>(), Err(KeyError::NotPublic));
}

#[test]
fn debug_does_not_show_a_secret() {
    let key = SecretKey::from_seed(&[7; 32]);
    assert_eq!(format!("{key:?}"), format!("SecretKey(of {})", key.public()));
    assert_ne!(SecretKey::generate().public(), SecretKey::generate().public());
}

#[test]
fn a_signature_holds_only_for_its_bytes_its_key_and_its_domain() {
    let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
    let signature = key.sign(Domain::Grant, b"words");
    assert!(key.public().signed(Domain::Grant, b"words", &signature));
    assert!(!key.public().signed(Domain::Grant, b"word", &signature));
    assert!(!key.public().signed(Domain::Revision, b"words", &signature));
    assert!(!other.public().signed(Domain::Grant, b"words", &signature));
}

#[test]
fn a_grant_holds_in_its_time_for_its_role_under_its_root() {
    let root = RootKey::from(SecretKey::from_seed(&[1; 32]));
    let stranger = RootKey::from(SecretKey::from_seed(&[9; 32]));
    let trust = trust(&root);
    let check = |grant: Grant| trust.check(&root.grant(grant), Role::Link);
    assert_eq!(check(grant(1)), Ok(()));
    assert_eq!(trust.check(&stranger.grant(grant(1)), Role::Link), Err(TrustError::OtherRoot));
    assert_eq!(
        trust.check(&root.grant(grant(1)), Role::Revision),
        Err(TrustError::OtherRole(Role::Link))
    );
    assert_eq!(check(Grant { not_after: NOW, ..grant(1) }), Err(TrustError::Expired));
    let within_skew = NOW.plus(CLOCK_SKEW);
    assert_eq!(check(Grant { not_before: within_skew, ..grant(1) }), Ok(()));
    let beyond = Timestamp(within_skew.0 + 1);
    assert_eq!(check(Grant { not_before: beyond, ..grant(1) }), Err(TrustError::NotYet));
    let mut forged = root.grant(grant(1));
    forged.grant.serial = 2;
    assert_eq!(trust.check(&forged, Role::Link), Err(TrustError::OtherRoot));
}

#[test]
fn a_floor_revokes_older_grants_and_never_sinks() {
    let root = RootKey::from(SecretKey::from_seed(&[1; 32]));
    let trust = trust(&root);
    let stranger = RootKey::from(SecretKey::from_seed(&[9; 32]));
    assert_eq!(trust.raise_floor(&stranger.floor(9)), Err(TrustError::OtherRoot));
    assert_eq!(trust.raise_floor(&root.floor(5)), Ok(()));
    assert_eq!(trust.raise_floor(&root.floor(3)), Ok(()));
    assert_eq!(trust.floor(), 5);
    assert_eq!(trust.check(&root.grant(grant(5)), Role::Link), Ok(()));
    assert_eq!(
        trust.check(&root.grant(grant(4)), Role::Link),
        Err(TrustError::Revoked { serial: 4, floor: 5 })
    );
}
