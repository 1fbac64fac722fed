use std::sync::Arc;

use types::clock::Clock;
use types::{GroupId, SegmentId, SessionId, Slot, StreamId};

use super::*;
use crate::identity::{Grant, RootKey, SecretKey};

struct Fixed(Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }
}

fn root() -> RootKey {
    SecretKey::from_seed(&[1; 32]).into()
}

fn key(role: Role) -> GrantedKey {
    let key = SecretKey::from_seed(&[3; 32]);
    let grant = Grant {
        role,
        key: key.public(),
        serial: 1,
        not_before: Timestamp(0),
        not_after: Timestamp(1000),
    };
    GrantedKey { key, grant: root().grant(grant) }
}

fn trust(now: u64) -> Trust {
    Trust::new(root().public(), 0, Arc::new(Fixed(Timestamp(now))))
}

fn revision(count: u32) -> Revision {
    let stream = StreamId { session: SessionId(1), serial: 2 };
    let shard =
        |index| ShardId { group: GroupId(3), segment: SegmentId { stream, index }, slot: Slot(4) };
    Revision {
        number: 5,
        created: Timestamp(6),
        action: Action::Drop((0..count).map(shard).collect()),
    }
}

#[test]
fn a_signed_revision_verifies_and_gives_back_its_shards() {
    let signed = revision(3).sign(&key(Role::Revision)).unwrap();
    let verified = signed.clone().verify(&trust(500)).unwrap();
    assert_eq!(verified.revision(), &revision(3));
    assert_eq!(verified.drops().len(), 3);
    assert_eq!(verified.signed(), &signed);
}

#[test]
fn nobody_without_the_role_can_revise() {
    let signed = revision(1).sign(&key(Role::Link)).unwrap();
    assert_eq!(signed.verify(&trust(500)), Err(TrustError::OtherRole(Role::Link)));
}

#[test]
fn a_changed_revision_is_refused() {
    let mut signed = revision(1).sign(&key(Role::Revision)).unwrap();
    signed.body = revision(2).sign(&key(Role::Revision)).unwrap().body;
    assert_eq!(signed.verify(&trust(500)), Err(TrustError::BadSignature));
}

#[test]
fn an_expired_grant_signs_nothing_new_but_what_it_signed_reads_back() {
    let signed = revision(1).sign(&key(Role::Revision)).unwrap();
    assert_eq!(signed.clone().verify(&trust(1000)), Err(TrustError::Expired));
    assert!(signed.clone().reopen(&root().public()).is_ok());
    assert_eq!(signed.reopen(&SecretKey::from_seed(&[8; 32]).public()), Err(TrustError::OtherRoot));
}

#[test]
fn a_revision_names_at_least_one_shard_and_not_too_many() {
    let max = u32::try_from(DROPS_MAX).unwrap();
    assert!(revision(0).sign(&key(Role::Revision)).is_err());
    assert!(revision(max + 1).sign(&key(Role::Revision)).is_err());
    let signed = revision(max).sign(&key(Role::Revision)).unwrap();
    assert!(crate::message::encode(&signed).len() <= crate::limits::DROP_MAX);
}
