//! What is held back from nodes, and who owns them.

use billing::ledger::LedgerAccount;
use billing::{BillingError, Day, Money};

use crate::support::{FIRST, World, at, egress, id, money, node, served};

/// Node 1 has earned 0.95, half of it held back.
async fn with_earnings(world: World) -> World {
    let world = world.with_tariff().await;
    world.billing.enrol(node(1), Some(&id("alice")), at(0, 0)).await.expect("enrolled");
    world.deposit("bob", "10", "d").await;
    let work = vec![served(at(1, 0), 1, 1)];
    world.count(1, vec![egress(at(1, 0), "bob", 100)], work).await;
    world.settle_until(Day(FIRST.0 + 1)).await;
    world
}

async fn what_is_held_back_is_released_a_while_after_the_node_was_vetted(world: World) {
    let world = with_earnings(world).await;
    assert_eq!(world.balance(LedgerAccount::Held(node(1))).await, money("0.475"));
    let later = |days: u32| at(days * 24, 0);
    assert_eq!(world.billing.release_held(later(90)).await.expect("run"), 0, "not vetted");
    world.billing.vet(node(1), Some(later(10))).await.expect("vetted");
    assert_eq!(world.billing.release_held(later(39)).await.expect("run"), 0, "too early");
    assert_eq!(world.billing.release_held(later(40)).await.expect("run"), 1);
    assert_eq!(world.billing.release_held(later(40)).await.expect("run"), 0, "only once");
    assert_eq!(world.balance(LedgerAccount::Held(node(1))).await, Money::ZERO);
    assert_eq!(world.balance(LedgerAccount::Node(node(1))).await, money("0.95"));
    world.check().await;
}

async fn nothing_is_held_back_from_a_vetted_node(world: World) {
    let world = with_earnings(world).await;
    world.billing.vet(node(1), Some(at(24, 0))).await.expect("vetted");
    let work = vec![served(at(30, 0), 1, 1)];
    world.count(1, vec![egress(at(30, 0), "bob", 100)], work).await;
    world.settle_until(Day(FIRST.0 + 2)).await;
    assert_eq!(world.balance(LedgerAccount::Held(node(1))).await, money("0.475"));
    assert_eq!(world.balance(LedgerAccount::Node(node(1))).await, money("1.425"));
}

async fn a_node_takes_its_balance_to_its_new_owner(world: World) {
    let world = with_earnings(world).await;
    let (alice, carol) = (id("alice"), id("carol"));
    world.billing.enrol(node(1), Some(&carol), at(30, 0)).await.expect("given");
    assert!(world.billing.nodes_of(&alice).await.expect("read").is_empty());
    assert_eq!(world.billing.nodes_of(&carol).await.expect("read"), [node(1)]);
    let standings = world.billing.standings(&carol).await.expect("read");
    assert_eq!((standings.earned, standings.held_back), (money("0.475"), money("0.475")));
    let profile = world.billing.node(node(1)).await.expect("known");
    assert_eq!((profile.enrolled, profile.owner), (at(0, 0), Some(carol)));
}

async fn a_node_that_nobody_enrolled_is_unknown(world: World) {
    for answer in
        [world.billing.vet(node(9), None).await, world.billing.node(node(9)).await.map(|_| ())]
    {
        assert!(matches!(answer, Err(BillingError::NoSuchNode(_))), "{answer:?}");
    }
}

crate::on_every_engine!(
    what_is_held_back_is_released_a_while_after_the_node_was_vetted,
    nothing_is_held_back_from_a_vetted_node,
    a_node_takes_its_balance_to_its_new_owner,
    a_node_that_nobody_enrolled_is_unknown,
);
