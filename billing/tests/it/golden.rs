//! The stored form of every table, key and value. A change here makes existing books unreadable: the table needs a new format number
//! then, and a migration.

use std::collections::BTreeSet;

use billing::account::{BillTo, Freeze};
use billing::calendar::Month;
use billing::caps::{Cap, Scope};
use billing::intake::{Cursor, Source};
use billing::invoice::{Invoice, InvoiceLine};
use billing::ledger::{Cause, Due, Entry, EntryId, Head, LedgerAccount, Movement, Posting};
use billing::market::{Floors, Index, MarketRules, Pays};
use billing::meter::{Closing, ClosingStage};
use billing::node::NodeProfile;
use billing::payout::{BatchHead, BatchState, ItemState, Payee, Payout};
use billing::quantity::{OpenUsage, OpenWork, Pool, Steps};
use billing::settle::{DayCharge, Division, Earnings, NodeDay, Settling, Stage};
use billing::tally::Answer;
use billing::tariff::{Overheads, Remainders};
use billing::{
    Day, DaySummary, FreezeKind, Hour, Item, Limits, Money, Prices, Profile, Seller, Tariff, Tier,
    Usage, Work,
};
use kv::{KeyCodec, Kv as _, Reads as _, Scan};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::usage::WorkKind;
use types::{AccountId, BucketId, NodeId, Timestamp};

use crate::support::{FIRST, World, at, egress, id, money, node, served, stored, work};

const T: Timestamp = Timestamp(1_700_000_000_000);
const DAY: Day = Day(20_000);
const STEPS: Steps = Steps { bytes: 10, moment: -11 };
const WORK: Work = Work { held: 1, unproven: 2, served: 3, repair: 4, audit: 5, fuel: 6 };

fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, bytes: &str) {
    assert_eq!(hex::encode(postcard::to_stdvec(value).expect("bytes")), bytes, "{value:?}");
    let read: T = postcard::from_bytes(&hex::decode(bytes).expect("hex")).expect("readable");
    assert_eq!(read, *value);
}

#[test]
fn the_stored_bytes_of_every_record_are_these() {
    golden(
        &Cursor { next: 7, last: [9; 32] },
        "070909090909090909090909090909090909090909090909090909090909090909",
    );
    golden(&OpenUsage { steps: [STEPS; 3], flat: usage() }, "141514151415020306900305060708");
    golden(&OpenWork { steps: STEPS, flat: WORK }, "1415020403040506");
    golden(
        &Closing {
            hour: Hour(480_000),
            stage: ClosingStage::Usage(Some((alice(), BucketId([3; 16])))),
        },
        "80a61d000105616c69636503030303030303030303030303030303",
    );
    golden(&Closing { hour: Hour(480_000), stage: ClosingStage::Work(None) }, "80a61d0100");
    golden(&usage(), "020306900305060708");
    golden(&WORK, "020403040506");
    golden(&Answer::Agreed { at: T, signature: vec![7, 8] }, "0080d095ffbc31020708");
    golden(
        &Answer::Disputed { at: T, own: WORK, ruling: Some("no".to_owned()) },
        "0180d095ffbc3102040304050601026e6f",
    );
    golden(
        &tariff(),
        "020406080a0c0e1002041401020406080a0c0e10020406080a0c0e10ac02840732046e6f7465",
    );
    golden(&Floors { storage: micros(1), egress: micros(2), compute: micros(3) }, "020406");
    golden(&index(), "020406080a0c0e10020406020306900305060708020403040506");
    golden(
        &Head { next: 3, chain: [9; 32], at: T },
        "03090909090909090909090909090909090909090909090909090909090909090980d095ffbc31",
    );
    golden(
        &entry(),
        "080808080808080808080808080808080808080808080808080808080808080880d095ffbc310905616c696365030009030104090101010101010101010101010101010101010101010101010101010101010101060909090909090909090909090909090909090909090909090909090909090909",
    );
    golden(
        &Settling {
            day: DAY,
            stage: Stage::Charging { after: Some(alice()), usage: usage(), charged: micros(9) },
        },
        "a09c01000105616c69636502030690030506070812",
    );
    golden(
        &Settling { day: DAY, stage: Stage::Dividing { usage: usage(), charged: micros(9) } },
        "a09c010102030690030506070812",
    );
    golden(
        &Settling {
            day: DAY,
            stage: Stage::Paying { after: Some(NodeId([1; 32])), division: division() },
        },
        "a09c010201010101010101010101010101010101010101010101010101010101010101010102030690030506070812020406080a0c0e1012",
    );
    golden(&Remainders([1, -2, 3, 4, 5, 6, 7, 8]), "020306080a0c0e10");
    golden(
        &DayCharge {
            prices: prices(),
            usage: usage(),
            amounts: [1, 2, 3, 4, 5, 6, 7, 8].map(micros),
            covered: micros(9),
        },
        "020406080a0c0e10020306900305060708020406080a0c0e1012",
    );
    golden(
        &NodeDay { work: WORK, earnings: earnings(), held_back: micros(9), hours: [9; 32] },
        "020403040506020406080a120909090909090909090909090909090909090909090909090909090909090909",
    );
    golden(
        &DaySummary {
            division: division(),
            paid: [1, 2, 3].map(micros),
            nodes: 7,
            work: WORK,
            root: [9; 32],
        },
        "02030690030506070812020406080a0c0e1012020406070204030405060909090909090909090909090909090909090909090909090909090909090909",
    );
    golden(
        &profile(),
        "02010101056f7264657280d095ffbc3105416c69636501063120526f6164025431d00f03564154",
    );
    golden(
        &Limits {
            stored_bytes: 1,
            egress_per_day: 2,
            requests_per_second: 3,
            fuel_per_day: 4,
            nodes_per_job: 5,
        },
        "0102030405",
    );
    golden(&Cap { per_month: micros(7) }, "0e");
    golden(
        &NodeProfile { owner: Some(alice()), enrolled: T, vetted: Some(T) },
        "0105616c69636580d095ffbc310180d095ffbc31",
    );
    golden(
        &payee(),
        "05416c696365164742383257455354313233343536393837363534333201085745535447423232",
    );
    golden(
        &BatchHead {
            created: T,
            state: BatchState::Prepared,
            after: None,
            count: 2,
            sum: micros(30_000),
        },
        "80d095ffbc31010002e0d403",
    );
    golden(
        &payout(),
        "05416c696365164742383257455354313233343536393837363534333201085745535447423232c0b802020101010101010101010101010101010101010101010101010101010101010101b0ea010202020202020202020202020202020202020202020202020202020202020202904e020106636c6f73656401",
    );
    golden(
        &invoice(),
        "010101a09c01085468652057616c6c00025430000005616c69636505416c69636501063120526f6164025431d00f03564154870503455552010106656772657373a09c01a09c011402474280a8d6b9070802020002010580a61d076465706f73697404060803637574",
    );
}

#[test]
fn the_stored_bytes_of_every_key_are_these() {
    fn key<K: KeyCodec + PartialEq + std::fmt::Debug>(key: &K, bytes: &str) {
        assert_eq!(hex::encode(key.encode()), bytes, "{key:?}");
        assert_eq!(K::decode(&hex::decode(bytes).expect("hex")).expect("readable"), *key);
    }
    let ones = "01".repeat(32);
    key(&Hour(480_000), "00075300");
    key(&DAY, "00004e20");
    key(&Month(647), "00000287");
    key(&Source(7), "0000000000000007");
    key(&EntryId([1; 32]), &ones);
    for (number, tier) in Tier::ALL.iter().enumerate() {
        key(tier, &format!("{number:02x}"));
    }
    key(&Scope::Account, "00");
    key(&Scope::Bucket(BucketId([3; 16])), &format!("01{}", "03".repeat(16)));
    key(&Scope::Key("AK".to_owned()), "02414b0000");
    key(&LedgerAccount::Bank, "00");
    key(&LedgerAccount::Operator, "01");
    key(&LedgerAccount::Tax, "02");
    key(&LedgerAccount::Revenue(Pool::Egress), "0301");
    key(&LedgerAccount::Pool(Pool::Compute), "0402");
    key(&LedgerAccount::Transit, "05");
    key(&LedgerAccount::Customer(id("al")), "06616c0000");
    key(&LedgerAccount::Receivable(id("al")), "07616c0000");
    key(&LedgerAccount::Deferred(id("al"), Due::Use(Pool::Storage)), "08616c000000");
    key(&LedgerAccount::Deferred(id("al"), Due::Tax), "08616c000003");
    key(&LedgerAccount::Node(NodeId([1; 32])), &format!("09{ones}"));
    key(&LedgerAccount::Held(NodeId([1; 32])), &format!("0a{ones}"));
}

/// A life that leaves a row in every table.
#[tokio::test]
async fn the_tables_are_these() {
    let world = World::in_memory().with_tariff().await;
    let billing = &world.billing;
    let alice = alice();
    let prices = prices();
    let mut tariff = crate::support::tariff();
    let rules =
        MarketRules { floor: tariff.prices, ceiling: tariff.prices, slack: 1, tight: 2, step: 1 };
    tariff.market = Some(rules);
    billing.set_tariff(Day(FIRST.0 + 1), &tariff, at(0, 0)).await.expect("set");
    billing
        .find_prices(Day(FIRST.0 + 2), billing::market::Fill::default(), at(1, 0))
        .await
        .expect("found");
    billing.enrol(node(1), Some(&alice), at(0, 0)).await.expect("enrolled");
    billing.vet(node(1), Some(at(0, 0))).await.expect("vetted");
    billing.set_floors(node(1), Some(&Floors::default())).await.expect("set");
    billing.set_ceilings(&alice, Some(&prices)).await.expect("set");
    billing.set_payee(&alice, &payee()).await.expect("set");
    billing.set_netting(&alice, false).await.expect("set");
    let limits = Tier::Email.default_limits();
    billing.set_limits(Tier::Email, &limits).await.expect("set");
    let cap = Some(Cap { per_month: money("1") });
    billing.set_cap(&alice, &Scope::Account, cap).await.expect("set");
    world.deposit("alice", "1000", "d").await;
    let held = work(at(1, 0), 1, WorkKind::Held { bytes: 5 });
    let used = vec![stored(at(1, 0), "alice", 5), egress(at(1, 0), "alice", 5_000)];
    world.count(1, used, vec![held, served(at(1, 0), 1, 1)]).await;
    world.settle_until(Day(FIRST.0 + 30)).await;
    let now = at(30 * 24, 10);
    billing.issue_invoice(&alice, FIRST.month(), now).await.expect("issued");
    billing.prepare_payouts("b", None, now).await.expect("prepared");
    let own = Work::default();
    let dispute = Answer::Disputed { at: now, own, ruling: None };
    billing.answer_tally(node(1), FIRST.hour(1), &dispute).await.expect("disputed");
    let late = egress(at(30 * 24 + 2, 0), "alice", 1);
    world.count(1, vec![late], vec![served(at(30 * 24 + 2, 0), 1, 1)]).await;
    // A closing that stops in the middle.
    world.engine.allow(2);
    let stopped = billing.close_hours(at(30 * 24 + 5, 0)).await;
    assert!(stopped.is_err());

    let snap = world.engine.snapshot().await.expect("a snapshot");
    let rows = snap.scan(Scan::prefix(billing::schema::FAMILY, b"")).await.expect("rows");
    let names: BTreeSet<String> = rows
        .iter()
        .map(|(key, _)| {
            key.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect()
        })
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(names, TABLES);
}

const TABLES: [&str; 39] = [
    "answer/1",
    "balance/1",
    "batch/1",
    "cap/1",
    "ceiling/1",
    "closing/1",
    "cursor/1",
    "day-charge/1",
    "day/1",
    "dispute/1",
    "entry-id/1",
    "entry/1",
    "floor/1",
    "head/1",
    "history/1",
    "index/1",
    "invoice-number/1",
    "invoice/1",
    "leaf/1",
    "market-price/1",
    "node-day/1",
    "node-of/1",
    "node/1",
    "open-from/1",
    "open-usage/1",
    "open-work/1",
    "payee/1",
    "payout-of/1",
    "payout/1",
    "profile/1",
    "remainder/1",
    "settling/1",
    "spending/1",
    "tariff/1",
    "tier/1",
    "usage-hour/1",
    "usage-level/1",
    "work-hour/1",
    "work-level/1",
];

fn micros(micros: i128) -> Money {
    Money::from_micros(micros)
}

fn alice() -> AccountId {
    id("alice")
}

fn usage() -> Usage {
    Usage { stored: [1, -2, 3], egress: 400, requests: [5, 6, 7], fuel: 8 }
}

fn prices() -> Prices {
    Prices {
        storage: [1, 2, 3].map(micros),
        egress: micros(4),
        requests: [5, 6, 7].map(micros),
        compute: micros(8),
    }
}

fn tariff() -> Tariff {
    let market =
        MarketRules { floor: prices(), ceiling: prices(), slack: 300, tight: 900, step: 50 };
    Tariff {
        prices: prices(),
        overheads: Overheads { repair: micros(1), audit: micros(2), percent_max: 20 },
        market: Some(market),
        note: "note".to_owned(),
    }
}

fn index() -> Index {
    let pays = Pays { storage: micros(1), egress: micros(2), compute: micros(3) };
    Index { prices: prices(), pays, usage: usage(), work: WORK }
}

fn earnings() -> Earnings {
    Earnings {
        storage: micros(1),
        repair: micros(2),
        audit: micros(3),
        egress: micros(4),
        compute: micros(5),
    }
}

fn division() -> Division {
    Division {
        usage: usage(),
        charged: micros(9),
        revenue: [1, 2, 3].map(micros),
        fee: [4, 5, 6].map(micros),
        pots: [7, 8, 9].map(micros),
    }
}

fn entry() -> Entry {
    let posting = |account, amount| Posting { account, amount: micros(amount) };
    Entry {
        id: EntryId([8; 32]),
        at: T,
        cause: Cause::Netting { account: alice() },
        postings: vec![
            posting(LedgerAccount::Bank, -5),
            posting(LedgerAccount::Revenue(Pool::Egress), 2),
            posting(LedgerAccount::Node(NodeId([1; 32])), 3),
        ],
        chain: [9; 32],
    }
}

fn bill_to() -> BillTo {
    BillTo {
        name: "Alice".to_owned(),
        address: vec!["1 Road".to_owned()],
        tax_id: "T1".to_owned(),
        tax_basis_points: 2_000,
        tax_note: "VAT".to_owned(),
    }
}

fn profile() -> Profile {
    let freeze = Freeze { kind: FreezeKind::Legal, reason: "order".to_owned(), since: T };
    Profile { tier: Tier::Identified, netting: true, freezes: vec![freeze], bill_to: bill_to() }
}

fn payee() -> Payee {
    Payee {
        name: "Alice".to_owned(),
        iban: "GB82WEST12345698765432".parse().expect("an IBAN"),
        bic: Some("WESTGB22".parse().expect("a BIC")),
    }
}

fn payout() -> Payout {
    Payout {
        payee: payee(),
        amount: micros(20_000),
        from: vec![(NodeId([1; 32]), micros(15_000)), (NodeId([2; 32]), micros(5_000))],
        state: ItemState::Returned,
        reason: Some("closed".to_owned()),
        number: 1,
    }
}

fn invoice() -> Invoice {
    let line = InvoiceLine {
        item: Item::Egress,
        name: "egress".to_owned(),
        from: DAY,
        to: DAY,
        quantity: 10,
        unit: "GB".to_owned(),
        priced: 1_000_000_000,
        price: micros(4),
        amount: micros(1),
    };
    let movement =
        Movement { entry: 5, at: Hour(480_000), what: "deposit".to_owned(), amount: micros(2) };
    Invoice {
        number: Some(1),
        issued: Some(DAY),
        seller: Seller {
            name: "The Wall".to_owned(),
            tax_id: "T0".to_owned(),
            ..Seller::default()
        },
        account: alice(),
        bill_to: bill_to(),
        month: Month(647),
        currency: "EUR".to_owned(),
        lines: vec![line],
        net: micros(1),
        tax: micros(0),
        total: micros(1),
        movements: vec![movement],
        balance: micros(3),
        owed: micros(4),
        rounding: "cut".to_owned(),
    }
}
