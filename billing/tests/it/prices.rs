//! Tariffs and the market over time.

use billing::market::{Fill, MarketRules};
use billing::{BillingError, Day, Item, Prices, Tariff};

use crate::support::{FIRST, World, at, egress, money, tariff};

fn day(number: u32) -> Day {
    Day(FIRST.0 + number)
}

fn priced(egress: &str) -> Tariff {
    let tariff = tariff();
    Tariff { prices: Prices { egress: money(egress), ..tariff.prices }, ..tariff }
}

fn market() -> Tariff {
    let scaled = |factor| {
        let mut prices = tariff().prices;
        for item in Item::ALL {
            let price = prices.of(item).times(factor).expect("small");
            *prices.of_mut(item) = price;
        }
        prices
    };
    let (floor, ceiling) = (tariff().prices, scaled(4));
    let rules = MarketRules { floor, ceiling, slack: 200, tight: 900, step: 100 };
    Tariff { prices: scaled(2), market: Some(rules), ..tariff() }
}

fn full() -> Fill {
    Fill { storage: 1_000, egress: 1_000, compute: 1_000 }
}

async fn the_past_never_changes(world: World) {
    let billing = &world.billing;
    billing.set_tariff(FIRST, &priced("1"), at(50, 0)).await.expect("the first may be old");
    let now = at(50, 0);
    for past in [day(0), day(1), day(2)] {
        let refused = billing.set_tariff(past, &priced("2"), now).await;
        assert!(
            matches!(refused, Err(BillingError::PastIsFixed { first, .. }) if first == day(3)),
            "{refused:?}"
        );
        let refused = billing.drop_tariff(past, now).await;
        assert!(matches!(refused, Err(BillingError::PastIsFixed { .. })), "{refused:?}");
    }
    billing.set_tariff(day(5), &priced("2"), now).await.expect("the future");
    billing.set_tariff(day(5), &priced("3"), now).await.expect("still the future");
    for (number, egress) in [(0, "1"), (4, "1"), (5, "3"), (100, "3")] {
        let prices = billing.prices(day(number)).await.expect("prices");
        assert_eq!(prices.egress, money(egress), "{number}");
    }
    billing.drop_tariff(day(5), now).await.expect("not begun");
    assert_eq!(billing.prices(day(100)).await.expect("prices").egress, money("1"));
    let none = billing.prices(Day(FIRST.0 - 1)).await;
    assert!(matches!(none, Err(BillingError::NoTariff(_))), "{none:?}");
}

async fn a_day_is_charged_at_its_own_prices(world: World) {
    let billing = &world.billing;
    billing.set_tariff(FIRST, &priced("1"), at(0, 0)).await.expect("set");
    billing.set_tariff(day(1), &priced("3"), at(0, 0)).await.expect("set");
    let events = vec![egress(at(23, 59), "alice", 1), egress(at(24, 0), "alice", 1)];
    world.count(1, events, Vec::new()).await;
    world.settle_until(day(2)).await;
    for (number, charged) in [(0, "1"), (1, "3")] {
        let summary = billing.day(day(number)).await.expect("readable").expect("settled");
        assert_eq!(summary.division.charged, money(charged));
    }
    let invoice = billing.invoice(&crate::support::id("alice"), FIRST.month()).await;
    let prices: Vec<_> = invoice.expect("a draft").lines.iter().map(|line| line.price).collect();
    assert_eq!(prices, [money("1"), money("3")]);
}

async fn a_tariff_that_contradicts_itself_is_refused(world: World) {
    let mut below = tariff();
    below.prices.egress = money("-1");
    let mut greedy = tariff();
    greedy.overheads.percent_max = 101;
    let mut narrow = market();
    narrow.prices = tariff().prices;
    narrow.prices.egress = money("0");
    for bad in [below, greedy, narrow] {
        let refused = world.billing.set_tariff(FIRST, &bad, at(0, 0)).await;
        assert!(matches!(refused, Err(BillingError::BadTariff(_))), "{refused:?}");
    }
}

async fn market_prices_move_day_by_day_and_are_found_once(world: World) {
    let billing = &world.billing;
    billing.set_tariff(FIRST, &market(), at(0, 0)).await.expect("set");
    assert_eq!(billing.prices(day(0)).await.expect("prices").egress, money("0.02"));
    let found = billing.find_prices(day(1), full(), at(1, 0)).await.expect("found");
    assert_eq!(found.egress, money("0.022"));
    // Asked again with another fill: what was found stays.
    let again = billing.find_prices(day(1), Fill::default(), at(2, 0)).await.expect("found");
    assert_eq!(again, found);
    let next = billing.find_prices(day(2), full(), at(25, 0)).await.expect("found");
    assert_eq!(next.egress, money("0.0242"));
    // A day that nobody found prices for keeps those before it; one that has begun cannot get any.
    assert_eq!(billing.prices(day(4)).await.expect("prices"), next);
    let late = billing.find_prices(day(3), full(), at(3 * 24, 0)).await;
    assert!(matches!(late, Err(BillingError::PastIsFixed { .. })), "{late:?}");
}

async fn a_new_tariff_ends_the_old_market(world: World) {
    let billing = &world.billing;
    billing.set_tariff(FIRST, &market(), at(0, 0)).await.expect("set");
    billing.find_prices(day(1), full(), at(1, 0)).await.expect("found");
    billing.set_tariff(day(3), &market(), at(25, 0)).await.expect("set");
    billing.set_tariff(day(5), &tariff(), at(25, 0)).await.expect("set");
    for (number, egress) in [(1, "0.022"), (2, "0.022"), (3, "0.02"), (4, "0.02"), (5, "0.01")] {
        let prices = billing.prices(day(number)).await.expect("prices");
        assert_eq!(prices.egress, money(egress), "{number}");
    }
}

crate::on_every_engine!(
    the_past_never_changes,
    a_day_is_charged_at_its_own_prices,
    a_tariff_that_contradicts_itself_is_refused,
    market_prices_move_day_by_day_and_are_found_once,
    a_new_tariff_ends_the_old_market,
);
