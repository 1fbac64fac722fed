//! Days are settled.

use billing::ledger::{Cause, LedgerAccount};
use billing::quantity::{GB_MONTH, Pool};
use billing::{BillingError, Day, Item, Money};
use types::Timestamp;
use types::usage::WorkKind;

use crate::support::{
    CLASS, FIRST, World, at, egress, id, money, node, served, stored, usage, work,
};

const NEXT: Day = Day(FIRST.0 + 1);

async fn ninety_five_parts_go_to_the_nodes_by_what_they_served(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "10", "d1").await;
    let work = vec![served(at(1, 0), 1, 60), served(at(1, 0), 2, 40)];
    world.count(1, vec![egress(at(1, 0), "alice", 100)], work).await;
    world.settle_until(NEXT).await;
    // 100 GB at 0.01 are 1.
    assert_eq!(world.balance(LedgerAccount::Customer(id("alice"))).await, money("9"));
    assert_eq!(world.balance(LedgerAccount::Operator).await, money("0.05"));
    // Half of it is held back: nobody is vetted.
    for (number, half) in [(1, "0.285"), (2, "0.19")] {
        assert_eq!(world.balance(LedgerAccount::Node(node(number))).await, money(half));
        assert_eq!(world.balance(LedgerAccount::Held(node(number))).await, money(half));
    }
    let totals = world.check().await;
    assert_eq!(
        (totals.covered, totals.fee, totals.earned),
        (money("1"), money("0.05"), money("0.95"))
    );
}

async fn what_is_not_covered_is_owed_and_divided_only_when_it_is_paid(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "0.4", "d1").await;
    let work = vec![served(at(1, 0), 1, 100)];
    world.count(1, vec![egress(at(1, 0), "alice", 100)], work).await;
    world.settle_until(NEXT).await;
    assert_eq!(world.balance(LedgerAccount::Receivable(id("alice"))).await, money("-0.6"));
    assert_eq!(world.check().await.covered, money("0.4"));

    // What arrives pays the debt first, and goes to who works then.
    world.deposit("alice", "1", "d2").await;
    assert_eq!(world.balance(LedgerAccount::Receivable(id("alice"))).await, Money::ZERO);
    assert_eq!(world.balance(LedgerAccount::Customer(id("alice"))).await, money("0.4"));
    assert_eq!(world.balance(LedgerAccount::Revenue(Pool::Egress)).await, money("0.6"));
    world.count(1, Vec::new(), vec![served(at(30, 0), 2, 1)]).await;
    world.settle_until(Day(FIRST.0 + 2)).await;
    let totals = world.check().await;
    assert_eq!((totals.covered, totals.fee), (money("1"), money("0.05")));
    assert_eq!(world.balance(LedgerAccount::Node(node(2))).await, money("0.285"));
}

async fn a_pool_without_work_carries_over(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "10", "d1").await;
    world.count(1, vec![egress(at(1, 0), "alice", 100)], Vec::new()).await;
    world.settle_until(NEXT).await;
    assert_eq!(world.balance(LedgerAccount::Pool(Pool::Egress)).await, money("0.95"));
    assert_eq!(world.balance(LedgerAccount::Operator).await, money("0.05"));
    // The next who serve get all of it, and the operator no second part.
    world.count(1, Vec::new(), vec![served(at(30, 0), 1, 1)]).await;
    world.settle_until(Day(FIRST.0 + 2)).await;
    assert_eq!(world.balance(LedgerAccount::Pool(Pool::Egress)).await, Money::ZERO);
    assert_eq!(world.balance(LedgerAccount::Operator).await, money("0.05"));
    assert_eq!(world.check().await.nodes, money("0.95"));
}

async fn repair_and_audits_are_lines_of_their_own_out_of_the_storage_pool(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "10", "d1").await;
    // A gigabyte-month of bytes in the one day: 30 GB, from its beginning on.
    let gigabyte = billing::quantity::GB;
    let events = vec![
        work(at(0, 0), 1, WorkKind::Held { bytes: 10 * gigabyte }),
        work(at(0, 0), 1, WorkKind::Repair { bytes: gigabyte }),
        work(at(0, 0), 2, WorkKind::Audit { bytes: gigabyte / 10 }),
    ];
    world.count(1, vec![stored(at(0, 0), "alice", 30 * gigabyte)], events).await;
    world.settle_until(NEXT).await;
    let summary = world.billing.day(FIRST).await.expect("readable").expect("settled");
    // 0.007 a GB-month; 0.00665 for the nodes, of which 20 % may go to repair and audits.
    assert_eq!(summary.division.charged, money("0.007"));
    assert_eq!(summary.division.pots[Pool::Storage as usize], money("0.00665"));
    let month = FIRST.month();
    let one = world.billing.statement(node(1), month).await.expect("a statement");
    let two = world.billing.statement(node(2), month).await.expect("a statement");
    assert_eq!((one.earnings.repair, two.earnings.audit), (money("0.001"), money("0.0001")));
    assert_eq!(one.earnings.storage, money("0.00555"));
}

async fn time_that_was_not_proven_is_not_paid(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "10", "d1").await;
    let bytes = billing::quantity::GB;
    let half_a_day = bytes * 12 * billing::calendar::HOUR_MILLIS;
    let events = vec![
        work(at(0, 0), 1, WorkKind::Held { bytes }),
        work(at(0, 0), 2, WorkKind::Held { bytes }),
        work(at(12, 0), 2, WorkKind::Unproven { byte_millis: half_a_day }),
    ];
    world.count(1, vec![stored(at(0, 0), "alice", 180 * bytes)], events).await;
    world.settle_until(NEXT).await;
    let month = FIRST.month();
    let one = world.billing.statement(node(1), month).await.expect("a statement");
    let two = world.billing.statement(node(2), month).await.expect("a statement");
    assert_eq!(one.total.micros(), 2 * two.total.micros());
}

async fn many_tiny_accounts_pay_the_same_as_one_big_one(world: World) {
    let world = world.with_tariff().await;
    let tiny = 1_000;
    // Requests of 0.4 millionths each: five of them are 2.
    let read = |account: &str, count: u64| {
        let class = types::usage::RequestClass::Read;
        usage(at(1, 0), account, types::usage::UsageKind::Requests { class, count })
    };
    let events = (0..tiny).map(|number| read(&format!("t{number}"), 5)).collect();
    world.count(1, events, Vec::new()).await;
    world.count(1, vec![read("big", 5 * tiny)], Vec::new()).await;
    world.settle_until(NEXT).await;
    let big = world.balance(LedgerAccount::Receivable(id("big"))).await;
    let mut many = Money::ZERO;
    for number in 0..tiny {
        let owed = world.balance(LedgerAccount::Receivable(id(&format!("t{number}")))).await;
        many = many.plus(owed).expect("small");
    }
    assert_eq!((big, many), (money("-0.002"), money("-0.002")));
}

async fn what_is_less_than_a_micro_unit_a_day_is_charged_once_it_is_one(world: World) {
    let world = world.with_tariff().await;
    // 7,000 micro-units a GB-month: a kilobyte costs one in 4,286 days, 100 kB in 43 days.
    world.count(1, vec![stored(at(0, 0), "alice", 100_000)], Vec::new()).await;
    let mut owed = Vec::new();
    for day in 1..=90 {
        world.settle_until(Day(FIRST.0 + day)).await;
        let receivable = world.balance(LedgerAccount::Receivable(id("alice"))).await;
        owed.push(-receivable.micros());
    }
    let held: u128 = 100_000 * 24 * u128::from(billing::calendar::HOUR_MILLIS);
    let exact: Vec<i128> =
        (1..=90_u128).map(|days| (7_000 * held * days / GB_MONTH).cast_signed()).collect();
    assert_eq!(owed, exact);
    assert_eq!(*owed.last().expect("days"), 2);
}

async fn without_a_tariff_nothing_is_settled_and_the_error_says_what_to_do(world: World) {
    world.count(1, vec![egress(at(1, 0), "alice", 1)], Vec::new()).await;
    let now = at(25, 0);
    world.billing.close_hours(now).await.expect("closed");
    let refused = world.billing.settle(now).await;
    assert!(matches!(refused, Err(BillingError::NoTariff(day)) if day == FIRST), "{refused:?}");
    world.billing.set_tariff(FIRST, &crate::support::tariff(), now).await.expect("the first one");
    assert_eq!(world.billing.settle(now).await.expect("settled").len(), 1);
}

async fn a_preview_says_what_settling_would_do_and_changes_nothing(world: World) {
    let world = world.with_tariff().await;
    world.count(1, vec![egress(at(1, 0), "alice", 7)], vec![served(at(1, 0), 1, 7)]).await;
    let now = at(25, 0);
    world.billing.close_hours(now).await.expect("closed");
    let preview = world.billing.preview().await.expect("a preview").expect("a day");
    assert_eq!((preview.day, preview.accounts, preview.nodes), (FIRST, 1, 1));
    assert_eq!(preview.charged, money("0.07"));
    assert_eq!(world.billing.head().await.expect("a head").0, 0);
    let settled = world.billing.settle(now).await.expect("settled");
    assert_eq!(settled[0].1.division.charged, preview.charged);
    assert_eq!(settled[0].1.work, preview.work);
}

fn many(number: u32) -> types::NodeId {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    types::NodeId(id)
}

/// More customers and nodes than one transaction takes, and a stop after each transaction.
async fn a_settlement_that_is_interrupted_anywhere_goes_on(world: World) {
    let world = world.with_tariff().await;
    let name = |number: u32| format!("c{number:04}");
    for part in 0..3_u32 {
        let numbers = part * 150..(part + 1) * 150;
        let usage = numbers.clone().map(|number| egress(at(1, 0), &name(number), 1)).collect();
        world.count(1, usage, Vec::new()).await;
        let work = numbers.flat_map(|number| {
            (0..3_u32).map(move |more| types::usage::WorkEvent {
                at: at(1, 0),
                node: many(number * 3 + more),
                kind: WorkKind::Served { bytes: u64::from(number) + 1 },
            })
        });
        world.count(2, Vec::new(), work.collect()).await;
    }
    for number in (0..450).step_by(2) {
        world.deposit(&name(number), "1", &name(number)).await;
    }
    let now = at(25, 0);
    world.billing.close_hours(now).await.expect("closed");
    let mut stops = 0;
    loop {
        world.engine.allow(1);
        let settled = world.billing.settle(now).await;
        world.engine.allow(u64::MAX);
        world.check().await;
        if settled.is_ok() {
            break;
        }
        stops += 1;
    }
    assert!(stops >= 5, "{stops}");
    let totals = world.check().await;
    assert_eq!((totals.covered, totals.receivable), (money("2.25"), money("2.25")));
    assert_eq!(totals.nodes, money("2.1375"));
}

async fn every_charge_can_be_traced_to_its_entry(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "5", "d1").await;
    world.count(1, vec![egress(at(1, 0), "alice", 100)], Vec::new()).await;
    world.settle_until(NEXT).await;
    let customer = LedgerAccount::Customer(id("alice"));
    let history = world.billing.history(&customer, 0, 10).await.expect("a history");
    let amounts: Vec<Money> = history.iter().map(|(_, amount)| *amount).collect();
    assert_eq!(amounts, [money("5"), money("-1")]);
    let entries = world.billing.entries(history[1].0, 1).await.expect("an entry");
    assert_eq!(entries[0].1.cause, Cause::Charge { day: FIRST });
}

async fn the_index_of_a_day_says_what_was_paid_for_a_unit(world: World) {
    let world = world.with_tariff().await;
    world.deposit("alice", "5", "d1").await;
    let work = vec![served(at(1, 0), 1, 200)];
    world.count(1, vec![egress(at(1, 0), "alice", 100)], work).await;
    assert_eq!(world.billing.index().await.expect("none"), None);
    world.settle_until(NEXT).await;
    let (day, index) = world.billing.index().await.expect("readable").expect("an index");
    assert_eq!(day, FIRST);
    assert_eq!(index.prices.of(Item::Storage(CLASS)), money("0.007"));
    // 0.95 for 200 GB.
    assert_eq!(index.pays.egress, money("0.00475"));
}

async fn an_entry_is_never_earlier_than_the_one_before(world: World) {
    let billing = &world.billing;
    billing.fund(money("1"), "start", "f1", at(5, 0)).await.expect("funded");
    billing.fund(money("1"), "start", "f2", Timestamp(0)).await.expect("funded");
    let entries = billing.entries(0, 10).await.expect("entries");
    assert_eq!(entries[1].1.at, at(5, 0));
}

crate::on_every_engine!(
    ninety_five_parts_go_to_the_nodes_by_what_they_served,
    what_is_not_covered_is_owed_and_divided_only_when_it_is_paid,
    a_pool_without_work_carries_over,
    repair_and_audits_are_lines_of_their_own_out_of_the_storage_pool,
    time_that_was_not_proven_is_not_paid,
    many_tiny_accounts_pay_the_same_as_one_big_one,
    what_is_less_than_a_micro_unit_a_day_is_charged_once_it_is_one,
    without_a_tariff_nothing_is_settled_and_the_error_says_what_to_do,
    a_preview_says_what_settling_would_do_and_changes_nothing,
    a_settlement_that_is_interrupted_anywhere_goes_on,
    every_charge_can_be_traced_to_its_entry,
    the_index_of_a_day_says_what_was_paid_for_a_unit,
    an_entry_is_never_earlier_than_the_one_before,
);
