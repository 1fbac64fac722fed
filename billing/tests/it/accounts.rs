//! Customers' money, caps and limits.

use billing::account::{Adjustment, BillTo};
use billing::caps::Cap;
use billing::ledger::{LedgerAccount, Posted};
use billing::market::Floors;
use billing::{Action, Ask, BillingError, FreezeKind, Money, Prices, Scope, Tier, Usage};

use crate::support::{World, at, bucket, egress, id, money, node, released, served, stored};

const GB: u64 = billing::quantity::GB;

fn read(gigabytes: u64) -> Ask {
    let usage = Usage { egress: gigabytes * GB, ..Usage::default() };
    Ask { action: Action::Read, stored_bytes: 0, usage }
}

async fn a_request_that_is_sent_again_moves_money_once(world: World) {
    let alice = id("alice");
    let deposit = |amount: &'static str, request: &'static str| {
        let (billing, alice) = (world.billing.clone(), alice.clone());
        async move {
            let deposit = Adjustment::Deposit;
            billing.adjust(&alice, deposit, money(amount), "bank", request, at(0, 0)).await
        }
    };
    assert!(matches!(deposit("5", "a").await, Ok(Posted::New(0))));
    assert!(matches!(deposit("5", "a").await, Ok(Posted::Before(0))));
    assert!(matches!(deposit("6", "a").await, Err(BillingError::IdReused(_))));
    assert!(matches!(deposit("6", "b").await, Ok(Posted::New(1))));
    assert_eq!(world.balance(LedgerAccount::Customer(alice)).await, money("11"));
    assert_eq!(world.check().await.bank, money("11"));
}

async fn nobody_gives_what_is_not_there(world: World) {
    let alice = id("alice");
    world.deposit("alice", "5", "a").await;
    for (adjustment, amount) in [(Adjustment::Refund, "5.000001"), (Adjustment::Credit, "0.000001")]
    {
        let refused =
            world.billing.adjust(&alice, adjustment, money(amount), "because", "b", at(0, 0)).await;
        assert!(matches!(refused, Err(BillingError::Overdrawn { .. })), "{refused:?}");
    }
    // The operator gives credits of its own money only.
    world.billing.fund(money("2"), "goodwill", "f", at(0, 0)).await.expect("funded");
    let credit = Adjustment::Credit;
    let given = world.billing.adjust(&alice, credit, money("2"), "sorry", "c", at(0, 0)).await;
    assert!(matches!(given, Ok(Posted::New(_))), "{given:?}");
    let withdrawn = world.billing.withdraw(money("1"), "profit", "w", at(0, 0)).await;
    assert!(matches!(withdrawn, Err(BillingError::Overdrawn { .. })), "{withdrawn:?}");
    assert_eq!(world.check().await.customers, money("7"));
}

async fn money_moves_only_with_a_reason_and_above_zero(world: World) {
    let alice = id("alice");
    let deposit = Adjustment::Deposit;
    for reason in [String::new(), "x".repeat(501)] {
        let refused =
            world.billing.adjust(&alice, deposit, money("1"), &reason, "a", at(0, 0)).await;
        assert!(matches!(refused, Err(BillingError::Reason { .. })), "{refused:?}");
    }
    for amount in ["0", "-1"] {
        let refused =
            world.billing.adjust(&alice, deposit, money(amount), "bank", "a", at(0, 0)).await;
        assert!(matches!(refused, Err(BillingError::NotPositive(_))), "{refused:?}");
    }
}

async fn what_nodes_earn_pays_what_their_owner_uses(world: World) {
    let world = world.with_tariff().await;
    let alice = id("alice");
    world.billing.enrol(node(1), Some(&alice), at(0, 0)).await.expect("enrolled");
    world.billing.vet(node(1), Some(at(0, 0))).await.expect("vetted");
    world.deposit("bob", "10", "d").await;
    // Alice's node serves Bob, then Alice reads.
    let work = vec![served(at(1, 0), 1, 1)];
    world.count(1, vec![egress(at(1, 0), "bob", 100)], work).await;
    world
        .count(1, vec![egress(at(30, 0), "alice", 50), egress(at(54, 0), "alice", 10)], Vec::new())
        .await;
    world.settle_until(billing::Day(crate::support::FIRST.0 + 2)).await;
    assert_eq!(world.billing.standings(&alice).await.expect("read").owed, money("0.5"));

    world.billing.set_netting(&alice, true).await.expect("set");
    world.settle_until(billing::Day(crate::support::FIRST.0 + 3)).await;
    // 0.95 earned; 0.5 from before and 0.1 of that day are paid.
    let standings = world.billing.standings(&alice).await.expect("read");
    assert_eq!((standings.owed, standings.earned), (Money::ZERO, money("0.35")));
    world.check().await;
}

async fn a_spend_cap_counts_what_the_account_the_bucket_and_the_key_have_spent(world: World) {
    let world = world.with_tariff().await;
    let alice = id("alice");
    let cap = |text: &str| Some(Cap { per_month: money(text) });
    for (scope, text) in [
        (Scope::Account, "1"),
        (Scope::Bucket(bucket(1)), "0.5"),
        (Scope::Key("AK".to_owned()), "0.05"),
    ] {
        world.billing.set_cap(&alice, &scope, cap(text)).await.expect("set");
    }
    world.billing.set_tier(&alice, Tier::Company).await.expect("set");
    world.count(1, vec![egress(at(1, 0), "alice", 3)], Vec::new()).await;
    world.count(2, vec![egress(at(1, 0), "alice", 1)], Vec::new()).await;
    let standing = |bucket, key: Option<&'static str>| {
        let (billing, alice) = (world.billing.clone(), alice.clone());
        async move { billing.standing(&alice, bucket, key, at(2, 0)).await.expect("read") }
    };
    // 4 GB are 0.04; the key has room for one more.
    let mut all = standing(Some(bucket(1)), Some("AK")).await;
    assert!(all.caps.iter().all(|cap| cap.spent == money("0.04")));
    all.take(&read(1)).expect("room");
    let refused = all.take(&read(1)).expect_err("full").to_string();
    assert!(refused.contains("access key AK") && refused.contains("0.050000"), "{refused}");
    // Another key has none, another bucket neither; the account has its own.
    let mut other = standing(Some(bucket(2)), Some("OTHER")).await;
    other.take(&read(96)).expect("room");
    assert!(matches!(other.take(&read(1)), Err(BillingError::SpendCap { .. })));
    // A new month begins at nothing.
    let december = at(30 * 24, 0);
    let fresh = world.billing.standing(&alice, None, Some("AK"), december).await.expect("read");
    assert!(fresh.caps.iter().all(|cap| cap.spent == Money::ZERO));
    world.billing.set_cap(&alice, &Scope::Account, None).await.expect("lifted");
    assert_eq!(world.billing.caps(&alice).await.expect("read").len(), 2);
}

async fn byte_hours_count_against_a_cap_once_their_hour_is_closed(world: World) {
    let world = world.with_tariff().await;
    let alice = id("alice");
    let cap = Some(Cap { per_month: money("100") });
    world.billing.set_cap(&alice, &Scope::Bucket(bucket(1)), cap).await.expect("set");
    world.count(1, vec![stored(at(0, 0), "alice", 72_000 * GB)], Vec::new()).await;
    world.billing.close_hours(at(1, 6)).await.expect("closed");
    let standing = world.billing.standing(&alice, Some(bucket(1)), None, at(1, 7)).await;
    // 72,000 GB for one of 720 hours at 0.007.
    assert_eq!(standing.expect("read").caps[0].spent, money("0.7"));
}

async fn bytes_at_rest_are_known_before_and_after_their_hour_is_closed(world: World) {
    let alice = id("alice");
    let held = async |minute| {
        let standing = world.billing.standing(&alice, None, None, at(0, minute)).await;
        standing.expect("read").stored_bytes
    };
    assert_eq!(held(0).await, 0);
    world
        .count(1, vec![stored(at(0, 1), "alice", 100), stored(at(1, 1), "alice", 10)], Vec::new())
        .await;
    assert_eq!(held(2).await, 110);
    world.count(2, vec![released(at(0, 5), "alice", 40)], Vec::new()).await;
    assert_eq!(held(6).await, 70);
    world.billing.close_hours(at(1, 6)).await.expect("closed");
    assert_eq!(held(6).await, 70);
    world.billing.close_hours(at(4, 6)).await.expect("closed");
    assert_eq!(held(6).await, 70);
}

async fn a_freeze_says_why_and_can_be_lifted(world: World) {
    let alice = id("alice");
    let freeze = FreezeKind::Billing;
    world.billing.freeze(&alice, freeze, "unpaid", at(0, 0)).await.expect("frozen");
    world.billing.freeze(&alice, freeze, "still unpaid", at(1, 0)).await.expect("frozen");
    let mut standing = world.billing.standing(&alice, None, None, at(1, 0)).await.expect("read");
    assert_eq!(standing.profile.freezes.len(), 1);
    let refused = standing.take(&read(0)).expect_err("frozen").to_string();
    assert!(refused.contains("still unpaid"), "{refused}");
    world.billing.unfreeze(&alice, freeze).await.expect("lifted");
    let mut standing = world.billing.standing(&alice, None, None, at(1, 0)).await.expect("read");
    standing.take(&read(0)).expect("allowed");
}

async fn the_operator_can_change_what_a_tier_allows(world: World) {
    let mut limits = world.billing.limits(Tier::Email).await.expect("read");
    assert_eq!(limits, Tier::Email.default_limits());
    limits.fuel_per_day = 7;
    world.billing.set_limits(Tier::Email, &limits).await.expect("set");
    assert_eq!(world.billing.limits(Tier::Email).await.expect("read"), limits);
}

async fn an_export_holds_what_the_books_know_of_a_person(world: World) {
    let world = world.with_tariff().await;
    let alice = id("alice");
    let bill_to = BillTo { name: "Alice Example".to_owned(), ..BillTo::default() };
    world.billing.set_bill_to(&alice, &bill_to).await.expect("set");
    world.billing.enrol(node(1), Some(&alice), at(0, 0)).await.expect("enrolled");
    world.billing.set_floors(node(1), Some(&Floors::default())).await.expect("set");
    world.billing.set_ceilings(&alice, Some(&Prices::default())).await.expect("set");
    world.deposit("alice", "3", "a").await;
    world.deposit("bob", "3", "b").await;
    let work = vec![served(at(1, 0), 1, 1)];
    world.count(1, vec![egress(at(1, 0), "alice", 1), egress(at(1, 0), "bob", 1)], work).await;
    world.settle_until(billing::Day(crate::support::FIRST.0 + 1)).await;
    let export = world.billing.export(&alice).await.expect("an export");
    assert_eq!((export.charges.len(), export.nodes.len(), export.nodes[0].days.len()), (1, 1, 1));
    assert_eq!(export.movements.len(), 2);
    let json = export.to_json().expect("JSON");
    assert!(json.contains("Alice Example") && !json.contains("bob"), "{json}");
}

crate::on_every_engine!(
    a_request_that_is_sent_again_moves_money_once,
    nobody_gives_what_is_not_there,
    money_moves_only_with_a_reason_and_above_zero,
    what_nodes_earn_pays_what_their_owner_uses,
    a_spend_cap_counts_what_the_account_the_bucket_and_the_key_have_spent,
    byte_hours_count_against_a_cap_once_their_hour_is_closed,
    bytes_at_rest_are_known_before_and_after_their_hour_is_closed,
    a_freeze_says_why_and_can_be_lifted,
    the_operator_can_change_what_a_tier_allows,
    an_export_holds_what_the_books_know_of_a_person,
);
