//! Money leaves.

use billing::account::FreezeKind;
use billing::ledger::LedgerAccount;
use billing::payout::{BatchState, ItemState, Payee, to_csv, to_pain001};
use billing::{BillingError, Currency, Day, Money};

use crate::support::{FIRST, World, at, egress, id, money, node, served};

const NEXT: Day = Day(FIRST.0 + 1);

fn payee(name: &str) -> Payee {
    let iban = "GB82WEST12345698765432".parse().expect("an IBAN");
    Payee { name: name.to_owned(), iban, bic: Some("WESTGB22".parse().expect("a BIC")) }
}

/// Four vetted nodes of three owners; 2,850 are earned: alice 1,995 with two nodes, bob 854.999…, carol next to nothing.
async fn with_earnings(world: World) -> World {
    let world = world.with_tariff().await;
    for (number, owner) in [(1, "alice"), (2, "alice"), (3, "bob"), (4, "carol")] {
        let owner = id(owner);
        world.billing.enrol(node(number), Some(&owner), at(0, 0)).await.expect("enrolled");
        world.billing.vet(node(number), Some(at(0, 0))).await.expect("vetted");
        world.billing.set_payee(&owner, &payee(owner.as_str())).await.expect("a payee");
    }
    world.deposit("dave", "3000", "d").await;
    let work = vec![
        served(at(1, 0), 1, 40_000),
        served(at(1, 0), 2, 30_000),
        served(at(1, 0), 3, 29_999),
        served(at(1, 0), 4, 1),
    ];
    world.count(1, vec![egress(at(1, 0), "dave", 300_000)], work).await;
    world.settle_until(NEXT).await;
    world
}

async fn spendable(world: &World) -> Money {
    let mut sum = Money::ZERO;
    for number in 1..=4 {
        let balance = world.balance(LedgerAccount::Node(node(number))).await;
        sum = sum.plus(balance).expect("small");
    }
    sum
}

async fn nothing_below_the_minimum_is_paid_out(world: World) {
    let world = with_earnings(world).await;
    let head = world.billing.prepare_payouts("2026-11", None, at(25, 0)).await.expect("prepared");
    assert_eq!((head.state, head.count, head.sum), (BatchState::Prepared, 2, money("2849.97")));
    let payouts = world.billing.payouts("2026-11").await.expect("payouts");
    let amounts: Vec<_> =
        payouts.iter().map(|(owner, payout)| (owner.as_str(), payout.amount)).collect();
    assert_eq!(amounts, [("alice", money("1995")), ("bob", money("854.97"))]);
    assert_eq!(payouts[0].1.from.len(), 2);
    // What a bank cannot move, and what is too little, stays.
    assert_eq!(spendable(&world).await, money("0.03"));
    let totals = world.check().await;
    assert_eq!(totals.transit, money("2849.97"));
}

async fn nothing_is_paid_twice(world: World) {
    let world = with_earnings(world).await;
    let name = "2026-11";
    // The engine stops after each transaction, and everything is asked for again.
    let again = |left: u64| world.engine.allow(left);
    loop {
        again(1);
        let prepared = world.billing.prepare_payouts(name, None, at(25, 0)).await;
        again(u64::MAX);
        world.check().await;
        if prepared.is_ok() {
            break;
        }
    }
    let head = world.billing.prepare_payouts(name, None, at(26, 0)).await.expect("as it is");
    assert_eq!((head.count, head.sum), (2, money("2849.97")));
    // Another batch finds nothing more to pay.
    let other = world.billing.prepare_payouts("another", None, at(26, 0)).await.expect("empty");
    assert_eq!((other.count, other.sum), (0, Money::ZERO));
    for _ in 0..3 {
        world.billing.mark_sent(name).await.expect("sent");
    }
    for _ in 0..3 {
        world.billing.mark_all_paid(name, at(30, 0)).await.expect("paid");
        world.billing.mark_paid(name, &id("alice"), at(30, 0)).await.expect("paid");
    }
    let totals = world.check().await;
    assert_eq!((totals.transit, totals.bank), (Money::ZERO, money("150.03")));
}

async fn returned_money_goes_back_to_the_balance(world: World) {
    let world = with_earnings(world).await;
    let before = spendable(&world).await;
    let (alice, bob, name) = (id("alice"), id("bob"), "b1");
    world.billing.prepare_payouts(name, None, at(25, 0)).await.expect("prepared");
    let early = world.billing.mark_paid(name, &alice, at(25, 0)).await;
    assert!(matches!(early, Err(BillingError::BatchIs { .. })), "{early:?}");
    world.billing.mark_sent(name).await.expect("sent");
    // One comes back before, one after the bank said it had paid.
    world.billing.mark_paid(name, &bob, at(26, 0)).await.expect("paid");
    for account in [&alice, &bob, &alice, &bob] {
        let returned = world.billing.mark_returned(name, account, "closed", at(27, 0)).await;
        returned.expect("returned");
    }
    assert_eq!(spendable(&world).await, before);
    let totals = world.check().await;
    assert_eq!((totals.transit, totals.bank), (Money::ZERO, money("3000")));
    let paid = world.billing.mark_paid(name, &alice, at(28, 0)).await;
    assert!(matches!(paid, Err(BillingError::PayoutIs { .. })), "{paid:?}");
    let payouts = world.billing.payouts_of(&alice).await.expect("payouts");
    assert_eq!(
        (payouts[0].1.state, payouts[0].1.reason.as_deref()),
        (ItemState::Returned, Some("closed"))
    );
    // The next batch pays it again.
    let next = world.billing.prepare_payouts("b2", None, at(28, 0)).await.expect("prepared");
    assert_eq!(next.sum, money("2849.97"));
}

async fn a_batch_that_was_never_sent_can_be_cancelled(world: World) {
    let world = with_earnings(world).await;
    let before = spendable(&world).await;
    world.billing.prepare_payouts("b1", None, at(25, 0)).await.expect("prepared");
    loop {
        world.engine.allow(2);
        let cancelled = world.billing.cancel_payouts("b1", at(26, 0)).await;
        world.engine.allow(u64::MAX);
        if cancelled.is_ok() {
            break;
        }
        world.check().await;
    }
    assert_eq!(spendable(&world).await, before);
    for answer in [
        world.billing.mark_sent("b1").await,
        world.billing.mark_paid("b1", &id("alice"), at(26, 0)).await,
    ] {
        assert!(matches!(answer, Err(BillingError::BatchIs { .. })), "{answer:?}");
    }
    world.billing.prepare_payouts("b2", None, at(26, 0)).await.expect("prepared");
    world.billing.mark_sent("b2").await.expect("sent");
    let late = world.billing.cancel_payouts("b2", at(27, 0)).await;
    assert!(matches!(late, Err(BillingError::BatchIs { .. })), "{late:?}");
}

async fn who_is_frozen_or_has_no_payee_waits(world: World) {
    let world = with_earnings(world).await;
    let (alice, eve) = (id("alice"), id("eve"));
    world.billing.freeze(&alice, FreezeKind::Legal, "order 7", at(24, 0)).await.expect("frozen");
    world.billing.enrol(node(3), Some(&eve), at(24, 0)).await.expect("given");
    let none = world.billing.prepare_payouts("b1", None, at(25, 0)).await.expect("prepared");
    assert_eq!(none.count, 0);
    world.billing.unfreeze(&alice, FreezeKind::Legal).await.expect("lifted");
    world.billing.set_payee(&eve, &payee("Eve")).await.expect("a payee");
    let only = world.billing.prepare_payouts("b2", Some(&eve), at(26, 0)).await.expect("prepared");
    assert_eq!((only.count, only.sum), (1, money("854.97")));
    let all = world.billing.prepare_payouts("b3", None, at(26, 0)).await.expect("prepared");
    assert_eq!((all.count, all.sum), (1, money("1995")));
}

async fn the_files_of_a_batch_name_every_payout_and_sum_up(world: World) {
    let world = with_earnings(world).await;
    let head = world.billing.prepare_payouts("2026-11", None, at(25, 0)).await.expect("prepared");
    let payouts = world.billing.payouts("2026-11").await.expect("payouts");
    let euro = Currency::euro();
    let csv = to_csv("2026-11", &payouts, &euro).expect("CSV");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(
        lines[1],
        "2026-11-1,alice,alice,GB82WEST12345698765432,WESTGB22,1995.00,EUR,pending,"
    );
    assert_eq!(lines.len(), 3);
    let seller = &world.billing.rules().seller;
    let xml = to_pain001("2026-11", &payouts, seller, &euro, at(25, 0), NEXT).expect("XML");
    let sum = euro.bank_text(head.sum).expect("cents");
    assert!(xml.contains(&format!("<CtrlSum>{sum}</CtrlSum>")));
    assert!(xml.contains("<NbOfTxs>2</NbOfTxs>"));
}

async fn a_batch_has_a_name_that_a_bank_takes(world: World) {
    for name in ["", "a b", "ä", &"x".repeat(36)] {
        let refused = world.billing.prepare_payouts(name, None, at(0, 0)).await;
        assert!(matches!(refused, Err(BillingError::BatchName(_))), "{refused:?}");
    }
    let unknown = world.billing.payout_batch("x").await;
    assert!(matches!(unknown, Err(BillingError::NoSuchBatch(_))), "{unknown:?}");
}

async fn a_payee_has_a_name(world: World) {
    for name in [String::new(), "  ".to_owned(), "x".repeat(71)] {
        let refused = world.billing.set_payee(&id("alice"), &payee(&name)).await;
        assert!(matches!(refused, Err(BillingError::Payee(_))), "{refused:?}");
    }
    let none = world.billing.payee(&id("alice")).await;
    assert!(matches!(none, Err(BillingError::NoPayee(_))), "{none:?}");
}

crate::on_every_engine!(
    nothing_below_the_minimum_is_paid_out,
    nothing_is_paid_twice,
    returned_money_goes_back_to_the_balance,
    a_batch_that_was_never_sent_can_be_cancelled,
    who_is_frozen_or_has_no_payee_waits,
    the_files_of_a_batch_name_every_payout_and_sum_up,
    a_batch_has_a_name_that_a_bank_takes,
    a_payee_has_a_name,
);
