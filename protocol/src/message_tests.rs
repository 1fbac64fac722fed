use std::path::Path;

use proptest::prelude::{any, prop, proptest};
use types::merkle::InclusionProof;
use types::{Epoch, GroupId, Root, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp};

use super::*;
use crate::identity::{ClusterId, Grant, GrantedKey, Role, RootKey, SecretKey, Signature};
use crate::invite::Token;
use crate::join::{JoinAnswer, JoinRequest};
use crate::leave::{LeaveAnswer, LeaveRequest, Wish};
use crate::receipt::{Receipt, ReceiptEntry};
use crate::revision::{Action, Revision, SignedRevision};
use crate::standing::{Exhibit, Fault, Rank, Report, StandingAnswer, StandingRequest, Wanting};
use crate::version::Versions;

fn shard(index: u32) -> ShardId {
    let stream = StreamId { session: SessionId(0x0102), serial: 0x0304_0506_0708 };
    ShardId { group: GroupId(300), segment: SegmentId { stream, index }, slot: Slot(5) }
}

fn position() -> LogPosition {
    LogPosition { file: 7, offset: 1 << 20 }
}

fn receipt() -> Receipt {
    let proof = InclusionProof { index: 1, count: 2, siblings: vec![[0x51; 32]] };
    Receipt { batch: [0xb0; 32], signature: Signature([0x51; 64]), proof }
}

fn facts() -> NodeFacts {
    let name = "attic box".parse().unwrap();
    NodeFacts { name, software: "drystone-node 0.1.0".to_owned(), capacity: 500_000_000_000 }
}

fn signed_revision() -> SignedRevision {
    let root = RootKey::from(SecretKey::from_seed(&[1; 32]));
    let key = SecretKey::from_seed(&[2; 32]);
    let (not_before, not_after) = (Timestamp(1_000), Timestamp(2_000));
    let grant = Grant { role: Role::Revision, key: key.public(), serial: 3, not_before, not_after };
    let key = GrantedKey { key, grant: root.grant(grant) };
    let action = Action::Drop(vec![shard(0), shard(1)]);
    Revision { number: 9, created: Timestamp(1_500), action }.sign(&key).unwrap()
}

fn ok<T>(answer: T) -> Result<T, Refusal> {
    Ok(answer)
}

/// Writes the message, compares it with its golden file, and reads the file back.
fn golden<T: Serialize + DeserializeOwned + PartialEq + fmt::Debug>(name: &str, message: &T) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(format!("{name}.hex"));
    let bytes = encode(message);
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    let expected: String = file.split_whitespace().collect();
    assert_eq!(hex::encode(&bytes), expected, "{name}: a format that was sent once never changes");
    assert_eq!(decode_exactly::<T>(&bytes[PREFIX..]).as_ref(), Some(message), "{name}");
}

#[test]
fn hello_has_the_same_bytes_for_ever() {
    let root = RootKey::from(SecretKey::from_seed(&[1; 32]));
    let epochs = vec![GroupEpoch { group: GroupId(300), epoch: Epoch(4) }];
    let (versions, cluster) = (Versions(vec![1]), ClusterId([0xc1; 16]));
    let time = Timestamp(1_800_000_000_000);
    golden("hello", &HelloRequest { versions, cluster, time, epochs, floor: Some(root.floor(3)) });
    golden("hello-answer", &ok(HelloAnswer { version: 1, facts: facts() }));
}

#[test]
fn store_has_the_same_bytes_for_ever() {
    let label = Bytes::from_static(b"sealed");
    golden(
        "store",
        &StoreRequest { shard: shard(0), epoch: Epoch(4), len: 8 << 20, label, overwrite: false },
    );
    let root = Root([0x40; 32]);
    golden(
        "store-answer",
        &ok(StoreAnswer { root, len: 8 << 20, position: position(), receipt: receipt() }),
    );
}

#[test]
fn fetch_has_the_same_bytes_for_ever() {
    let (offset, len, step) = (1 << 16, 1 << 20, 1 << 18);
    golden("fetch", &FetchRequest { shard: shard(0), epoch: Epoch(4), offset, len, step });
    golden("fetch-answer", &ok(FetchAnswer { shard_len: 8 << 20 }));
}

#[test]
fn drop_has_the_same_bytes_for_ever() {
    golden("drop", &signed_revision());
    let outcomes = vec![Dropped::Dropped, Dropped::Unknown];
    golden("drop-answer", &ok(DropAnswer { outcomes, position: position(), receipt: receipt() }));
}

#[test]
fn inventory_has_the_same_bytes_for_ever() {
    golden(
        "inventory-list",
        &InventoryRequest::List { group: Some(GroupId(300)), after: Some(shard(0)), limit: 10 },
    );
    let entry = InventoryEntry { shard: shard(1), len: 64, root: Root([0x40; 32]) };
    golden(
        "inventory-list-answer",
        &ok(InventoryAnswer::List { entries: vec![entry], more: true }),
    );
    golden(
        "inventory-fingerprint",
        &InventoryRequest::Fingerprint { from: GroupId(1), to: None, limit: 10 },
    );
    let mut print = GroupFingerprint::empty(GroupId(300));
    print.add(&entry);
    golden(
        "inventory-fingerprint-answer",
        &ok(InventoryAnswer::Fingerprint { groups: vec![print], more: false }),
    );
}

#[test]
fn status_has_the_same_bytes_for_ever() {
    golden("status", &StatusRequest { rot_heard: 2 });
    let status = StatusAnswer {
        capacity: 1000,
        used: 300,
        trash: 20,
        free: 680,
        uptime_ms: 86_400_000,
        software: facts().software,
        rot: vec![shard(1)],
        rot_seen: 3,
        busy_ms: Some(1500),
    };
    golden("status-answer", &ok(status));
}

#[test]
fn every_refusal_has_the_same_bytes_for_ever() {
    let words = || "because".to_owned();
    for (name, refusal) in [
        ("busy", Refusal::Busy { retry_after_ms: 1500 }),
        ("stale", Refusal::Stale { epoch: Epoch(9) }),
        ("not-found", Refusal::NotFound),
        ("full", Refusal::Full),
        ("exists", Refusal::Exists),
        ("incompatible", Refusal::Incompatible { words: words() }),
        ("denied", Refusal::Denied { words: words() }),
        ("failed", Refusal::Failed { words: words() }),
    ] {
        golden(&format!("refusal-{name}"), &Err::<FetchAnswer, _>(refusal));
    }
}

#[test]
fn joining_has_the_same_bytes_for_ever() {
    let (versions, token, name) = (Versions(vec![1]), Token([9; 16]), facts().name);
    golden("join", &JoinRequest { versions, token, name, capacity: 500_000_000_000 });
    let gateways = vec!["gw.example:9100".parse().unwrap()];
    golden("join-welcome", &JoinAnswer::Welcome { cluster: ClusterId([0xc1; 16]), gateways });
    golden("join-refused", &JoinAnswer::Refused { why: "because".to_owned() });
}

#[test]
fn leaving_has_the_same_bytes_for_ever() {
    for (name, wish) in
        [("leave", Wish::Leave), ("leave-stay", Wish::Stay), ("leave-ask", Wish::Ask)]
    {
        golden(name, &LeaveRequest { versions: Versions(vec![1]), wish });
    }
    golden("leave-member", &LeaveAnswer::Member);
    golden("leave-leaving", &LeaveAnswer::Leaving { groups: 300, since: Timestamp(1_000) });
    golden("leave-left", &LeaveAnswer::Left);
    golden("leave-refused", &LeaveAnswer::Refused { why: "because".to_owned() });
}

#[test]
fn a_standing_has_the_same_bytes_for_ever() {
    golden("standing", &StandingRequest { versions: Versions(vec![1]) });
    let report = Report {
        rank: Rank::Good,
        since: None,
        reason: String::new(),
        by_operator: false,
        lost: 0,
        late: 300,
        available: 750_000,
        audits: 459,
        owned_up: 2,
        wanting: Some(Wanting { audits: 1, hours: 168, bytes: 1 << 30 }),
        evidence: Vec::new(),
    };
    golden("standing-newcomer", &StandingAnswer::Told(report.clone()));
    let faults = [Fault::Missing, Fault::Corrupt, Fault::Breach, Fault::Late, Fault::OwnedUp];
    let exhibit = |fault| Exhibit {
        at: Timestamp(1_000),
        fault,
        shard: (fault == Fault::Corrupt).then(|| shard(1)),
        words: "because".to_owned(),
    };
    let ranks = [Rank::Warned, Rank::Suspended, Rank::Disqualified];
    for (name, rank) in ["warned", "suspended", "disqualified"].into_iter().zip(ranks) {
        let report = Report {
            rank,
            since: Some(Timestamp(1_000)),
            reason: "because".to_owned(),
            by_operator: true,
            lost: 7_400,
            wanting: None,
            evidence: faults.map(exhibit).to_vec(),
            ..report.clone()
        };
        golden(&format!("standing-{name}"), &StandingAnswer::Told(report));
    }
    golden("standing-refused", &StandingAnswer::Refused { why: "because".to_owned() });
}

#[test]
fn what_a_receipt_signs_has_the_same_bytes_for_ever() {
    let (root, len, position) = (Root([0x40; 32]), 64, position());
    golden("receipt-stored", &ReceiptEntry::Stored { shard: shard(0), root, len, position });
    let outcomes = vec![Dropped::Dropped, Dropped::Unknown];
    golden("receipt-dropped", &ReceiptEntry::Dropped { revision: [0x4e; 32], outcomes, position });
}

#[test]
fn messages_that_break_their_rules_are_malformed() {
    let store = StoreRequest {
        shard: shard(0),
        epoch: Epoch(1),
        len: 1,
        label: Bytes::new(),
        overwrite: false,
    };
    let refused =
        |request: &StoreRequest| decode::<StoreRequest>(&encode(request)[PREFIX..]).is_err();
    assert!(!refused(&store));
    assert!(refused(&StoreRequest { len: 0, ..store.clone() }));
    assert!(refused(&StoreRequest { len: limits::SHARD_MAX + 1, ..store.clone() }));
    assert!(refused(&StoreRequest {
        label: vec![0; limits::LABEL_MAX + 1].into(),
        ..store.clone()
    }));
    let bytes = encode(&store);
    assert!(decode::<StoreRequest>(&bytes[PREFIX..bytes.len() - 1]).is_err(), "cut short");
    assert!(
        decode::<StoreRequest>(&[&bytes[PREFIX..], &[0]].concat()).is_err(),
        "with something left over"
    );
}

#[test]
fn a_fingerprint_forgets_what_is_taken_out_and_minds_no_order() {
    let entry = |index| InventoryEntry { shard: shard(index), len: 64, root: Root::of(&[1]) };
    let (mut one, mut two) =
        (GroupFingerprint::empty(GroupId(300)), GroupFingerprint::empty(GroupId(300)));
    for index in [1, 2, 3] {
        one.add(&entry(index));
    }
    one.remove(&entry(2));
    two.add(&entry(3));
    assert_ne!(one, two);
    two.add(&entry(1));
    assert_eq!(one, two);
    two.remove(&entry(1));
    two.add(&InventoryEntry { root: Root::of(&[2]), ..entry(1) });
    assert_ne!(one, two);
}

#[test]
fn words_are_cut_at_a_character() {
    let long = "ü".repeat(limits::WORDS_MAX);
    let cut = words(&long);
    assert_eq!(cut.len(), limits::WORDS_MAX);
    assert!(long.starts_with(&cut));
}

proptest! {
    #[test]
    fn no_bytes_break_a_parser(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode::<HelloRequest>(&bytes);
        let _ = decode::<StoreRequest>(&bytes);
        let _ = decode::<SignedRevision>(&bytes);
        let _ = decode::<InventoryRequest>(&bytes);
        let _ = decode_answer::<StoreAnswer>(&bytes);
        let _ = decode_answer::<DropAnswer>(&bytes);
        let _ = decode_answer::<InventoryAnswer>(&bytes);
        let _ = decode_answer::<StatusAnswer>(&bytes);
        let _ = decode_exactly::<JoinRequest>(&bytes);
        let _ = decode_exactly::<JoinAnswer>(&bytes);
    }
}
