//! Prices that move, and the index that anybody may read.
//!
//! Each kind of thing has a *fill*: how much of what the network could do it does, in thousandths. The price that fits a fill is the
//! floor up to [`MarketRules::slack`], the ceiling from [`MarketRules::tight`] on, and on a straight line between. A day's price is
//! yesterday's, moved towards the one that fits by at most [`MarketRules::step`]:
//!
//! ```text
//! fit(u)    = floor + (ceiling − floor) · clamp((u − slack) / (tight − slack), 0, 1)
//! tomorrow  = today + clamp(fit(u) − today, −step · today, +step · today)          at least one micro-unit, if they differ
//! ```
//!
//! When pay falls, nodes whose floor is above it leave, fill rises, and with it the price and the pay of those who stay.
//!
//! Laws, each a test of the same name:
//! - *A price stays within floor and ceiling.*
//! - *More fill never lowers a price.*
//! - *When supply leaves, pay for each node that stays rises.*

use kv::{Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId, Timestamp};

use crate::Billing;
use crate::calendar::Day;
use crate::error::BillingError;
use crate::money::Money;
use crate::quantity::{Item, Pool, Usage, Work};
use crate::schema::{CEILINGS, FLOORS, INDEX, MARKET_PRICES};
use crate::settle::{self, ByPool};
use crate::tariff::{Prices, prices, tariff};

/// A whole, in thousandths.
const WHOLE: i128 = 1_000;

/// How much of what it could do the network does, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Fill {
    /// Of the disks: bytes held of bytes lent.
    pub storage: u16,
    /// Of the lines: bytes sent of bytes that could be.
    pub egress: u16,
    /// Of the processors.
    pub compute: u16,
}

impl Fill {
    fn of(self, item: Item) -> u16 {
        match item.pool() {
            Pool::Storage => self.storage,
            Pool::Egress => self.egress,
            Pool::Compute => self.compute,
        }
    }
}

/// Within which limits prices move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketRules {
    /// No price is lower.
    pub floor: Prices,
    /// No price is higher.
    pub ceiling: Prices,
    /// Up to this fill the floor fits, in thousandths.
    pub slack: u16,
    /// From this fill on the ceiling fits, in thousandths.
    pub tight: u16,
    /// The most that a price moves in a day, in thousandths of itself.
    pub step: u16,
}

impl MarketRules {
    /// Whether the rules can be followed from `start` on.
    pub(crate) fn check(&self, start: &Prices) -> Result<(), BillingError> {
        if self.slack >= self.tight || i128::from(self.tight) > WHOLE {
            return Err(BillingError::BadTariff(
                "slack has to be below tight, and tight at most 1000",
            ));
        }
        if self.step == 0 {
            return Err(BillingError::BadTariff("prices that may not move are no market"));
        }
        for item in Item::ALL {
            let (floor, ceiling) = (self.floor.of(item), self.ceiling.of(item));
            if floor.is_negative() || floor > ceiling {
                return Err(BillingError::BadTariff("a floor is below zero or above its ceiling"));
            }
            if !(floor..=ceiling).contains(&start.of(item)) {
                return Err(BillingError::BadTariff(
                    "a price is not between its floor and ceiling",
                ));
            }
        }
        Ok(())
    }

    /// Tomorrow's prices after today's, at `fill`.
    ///
    /// # Errors
    /// [`BillingError::Overflow`]
    pub fn next(&self, today: &Prices, fill: Fill) -> Result<Prices, BillingError> {
        let mut tomorrow = *today;
        for item in Item::ALL {
            let price = self.move_price(item, today.of(item).micros(), fill.of(item));
            *tomorrow.of_mut(item) =
                price.map(Money::from_micros).ok_or(BillingError::Overflow("price"))?;
        }
        Ok(tomorrow)
    }

    fn move_price(&self, item: Item, today: i128, fill: u16) -> Option<i128> {
        let (floor, ceiling) = (self.floor.of(item).micros(), self.ceiling.of(item).micros());
        let (slack, tight) = (i128::from(self.slack), i128::from(self.tight));
        let place = i128::from(fill).clamp(slack, tight) - slack;
        let fit = floor.checked_add((ceiling - floor).checked_mul(place)? / (tight - slack))?;
        let most = (today.checked_mul(self.step.into())? / WHOLE).max(1);
        let moved = today.checked_add((fit - today).clamp(-most, most))?;
        Some(moved.clamp(floor, ceiling))
    }
}

/// What nodes got, by unit of work; what one more unit would have got is about the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pays {
    /// For a gigabyte of shards held and proven for thirty days.
    pub storage: Money,
    /// For a gigabyte served.
    pub egress: Money,
    /// For a gigafuel.
    pub compute: Money,
}

/// A settled day as everybody may see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Index {
    /// What customers paid.
    pub prices: Prices,
    /// What nodes got.
    pub pays: Pays,
    /// What all customers used.
    pub usage: Usage,
    /// What all nodes did.
    pub work: Work,
}

/// The least that a node wants for each kind of work. It is offered none that pays less.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floors {
    /// For a gigabyte of shards held for thirty days.
    pub storage: Money,
    /// For a gigabyte served.
    pub egress: Money,
    /// For a gigafuel.
    pub compute: Money,
}

impl Floors {
    /// Whether work of the kind is to be offered at these pays. Shards are held to be served: who takes bytes takes reads.
    #[must_use]
    pub fn accept(&self, pool: Pool, pays: &Pays) -> bool {
        match pool {
            Pool::Storage | Pool::Egress => {
                self.storage <= pays.storage && self.egress <= pays.egress
            }
            Pool::Compute => self.compute <= pays.compute,
        }
    }
}

/// What a day's work was paid, by unit.
pub(crate) fn pays(work: &Work, storage: Money, paid: &ByPool) -> Pays {
    let rate = |paid: Money, units: u128, work: u128| {
        let micros = paid.micros().unsigned_abs().checked_mul(units);
        let rate = micros.and_then(|micros| micros.checked_div(work));
        rate.and_then(|rate| i128::try_from(rate).ok()).map_or(Money::ZERO, Money::from_micros)
    };
    Pays {
        storage: rate(storage, crate::quantity::GB_MONTH, work.proven()),
        egress: rate(paid[Pool::Egress as usize], Item::Egress.priced(), work.served.into()),
        compute: rate(paid[Pool::Compute as usize], Item::Compute.priced(), work.fuel.into()),
    }
}

impl Billing {
    /// Finds the prices of `day` in a market, from those of the day before and today's fill. Run again, it returns what it found at
    /// first. Without a market, the prices are the tariff's.
    ///
    /// # Errors
    /// [`BillingError::PastIsFixed`] if the day has begun and has no prices of its own; [`BillingError::NoTariff`].
    pub async fn find_prices(
        &self,
        day: Day,
        fill: Fill,
        now: Timestamp,
    ) -> Result<Prices, BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            if let Some(found) = MARKET_PRICES.get_for_update(&tx, &day).await? {
                return Ok(found);
            }
            let (since, tariff) = tariff(&tx, day).await?;
            let Some(rules) = tariff.market else { return Ok(tariff.prices) };
            let unsettled = settle::next_day(&tx).await?.unwrap_or_default();
            let first = Day::of(now).next().max(unsettled);
            if day < first {
                return Err(BillingError::PastIsFixed { asked: day, first });
            }
            // On its first day a tariff's prices are its own.
            let found = if day == since {
                tariff.prices
            } else {
                rules.next(&prices(&tx, Day(day.0 - 1)).await?, fill)?
            };
            MARKET_PRICES.put(&tx, &day, &found);
            Ok(found)
        })
        .await
    }

    /// The newest settled day's index.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn index(&self) -> Result<Option<(Day, Index)>, BillingError> {
        Ok(self.index_days(1).await?.pop())
    }

    /// The index of the last `days` settled days, the newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn index_days(&self, days: usize) -> Result<Vec<(Day, Index)>, BillingError> {
        Ok(INDEX.scan_back(&self.kv.snapshot().await?, Span::all(), days).await?)
    }

    /// Sets the least that `node` works for; `None`: whatever the network pays.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_floors(
        &self,
        node: NodeId,
        floors: Option<&Floors>,
    ) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            match floors {
                Some(floors) => FLOORS.put(&tx, &node, floors),
                None => FLOORS.delete(&tx, &node),
            }
            Ok(())
        })
        .await
    }

    /// Every node's floors, for placement.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn floors(&self) -> Result<Vec<(NodeId, Floors)>, BillingError> {
        Ok(FLOORS.scan(&self.kv.snapshot().await?, Span::all(), usize::MAX).await?)
    }

    /// Sets the most that `account` pays for each thing; `None`: whatever it costs.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_ceilings(
        &self,
        account: &AccountId,
        ceilings: Option<&Prices>,
    ) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            match ceilings {
                Some(ceilings) => CEILINGS.put(&tx, account, ceilings),
                None => CEILINGS.delete(&tx, account),
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quantity::GB;

    fn flat(micros: i128) -> Prices {
        let mut prices = Prices::default();
        for item in Item::ALL {
            *prices.of_mut(item) = Money::from_micros(micros);
        }
        prices
    }

    fn rules() -> MarketRules {
        let (floor, ceiling) = (flat(2_000), flat(20_000));
        MarketRules { floor, ceiling, slack: 300, tight: 900, step: 50 }
    }

    fn at(fill: u16) -> Fill {
        Fill { storage: fill, egress: fill, compute: fill }
    }

    proptest! {
        #[test]
        fn a_price_stays_within_floor_and_ceiling(start in 2_000..=20_000_i128, fills in prop::collection::vec(0..1_200_u16, 0..200)) {
            let rules = rules();
            let mut prices = flat(start);
            for fill in fills {
                prices = rules.next(&prices, at(fill)).unwrap();
                for item in Item::ALL {
                    prop_assert!((rules.floor.of(item)..=rules.ceiling.of(item)).contains(&prices.of(item)));
                }
            }
        }

        #[test]
        fn more_fill_never_lowers_a_price(today in 2_000..=20_000_i128, less in 0..1_000_u16, more in 0..1_000_u16) {
            let (less, more) = (less.min(more), less.max(more));
            let (rules, today) = (rules(), flat(today));
            let price = |fill| rules.next(&today, at(fill)).unwrap().egress;
            prop_assert!(price(less) <= price(more));
        }

        #[test]
        fn a_price_moves_by_its_step_at_most(today in 2_000..=20_000_i128, fill in 0..1_000_u16) {
            let moved = rules().next(&flat(today), at(fill)).unwrap().egress.micros();
            prop_assert!((moved - today).abs() <= today * 50 / 1_000);
        }
    }

    /// Nodes that lend the same, each with the least it wants for a gigabyte-month.
    struct Node {
        wants: i128,
    }

    /// A network of nodes in which a fixed number of bytes is stored. Prices follow the rules, and a node leaves when it is paid
    /// less than it wants. Nothing else is decided by the test.
    #[test]
    fn when_supply_leaves_pay_for_each_node_that_stays_rises() {
        const LENT: i128 = 100;
        const STORED: i128 = 4_000;
        let rules = rules();
        // A hundred nodes lend 10,000 GB for 4,000: a fill of 400. Wants are spread from 100 to 5,050.
        let mut nodes: Vec<Node> = (0..100).map(|i| Node { wants: 100 + 50 * i }).collect();
        // Somebody set the price far too high, so all of them came.
        let mut prices = flat(20_000);
        let pay = |price: i128, nodes: usize| price * STORED * 95 / 100 / nodes as i128;
        let wants_met =
            |price: i128, nodes: usize, node: &Node| pay(price, nodes) >= node.wants * LENT;
        let mut left = Vec::new();
        for day in 0..400 {
            let count = nodes.len();
            let fill = u16::try_from(STORED * 1_000 / (LENT * count as i128)).unwrap();
            prices = rules.next(&prices, at(fill)).unwrap();
            let price = prices.storage[0].micros();
            nodes.retain(|node| wants_met(price, count, node));
            if nodes.len() < count {
                left.push((day, price, pay(price, count), pay(price, nodes.len())));
            }
            assert!(nodes.len() as i128 * LENT > STORED, "the network never loses its room");
        }
        // Pay fell, so some left; at the same price, those who stayed got more at once.
        assert!(!left.is_empty() && nodes.len() < 100);
        assert!(left.iter().all(|(_, _, before, after)| after > before), "{left:?}");
        // It comes to rest: nobody has left in the last hundred days, and the fill is higher than at first.
        assert!(left.last().unwrap().0 < 300, "{left:?}");
        assert!(STORED * 1_000 / (LENT * nodes.len() as i128) > 400);
        let price = prices.storage[0].micros();
        assert!(nodes.iter().all(|node| wants_met(price, nodes.len(), node)));
    }

    #[test]
    fn a_node_is_offered_what_pays_its_floor() {
        let money = Money::from_micros;
        let pays = Pays { storage: money(100), egress: money(50), compute: money(10) };
        let floors = Floors { storage: money(100), egress: money(50), compute: money(11) };
        assert!(floors.accept(Pool::Storage, &pays) && floors.accept(Pool::Egress, &pays));
        assert!(!floors.accept(Pool::Compute, &pays));
        let dear = Floors { egress: money(51), ..floors };
        assert!(!dear.accept(Pool::Storage, &pays), "who is not to serve is not to hold");
    }

    #[test]
    fn the_pay_of_a_unit_is_what_was_paid_by_what_was_done() {
        let work =
            Work { held: 2 * crate::quantity::GB_MONTH as i128, served: 4 * GB, ..Work::default() };
        let money = Money::from_micros;
        let pays = pays(&work, money(3_000), &[money(9_000), money(1_000), money(7)]);
        assert_eq!((pays.storage, pays.egress, pays.compute), (money(1_500), money(250), money(0)));
    }

    #[test]
    fn rules_that_contradict_themselves_are_refused() {
        let good = rules();
        good.check(&flat(5_000)).unwrap();
        for bad in [
            MarketRules { slack: 900, ..good },
            MarketRules { tight: 1_001, ..good },
            MarketRules { step: 0, ..good },
            MarketRules { floor: flat(20_001), ..good },
        ] {
            assert!(bad.check(&flat(5_000)).is_err(), "{bad:?}");
        }
        assert!(good.check(&flat(1_999)).is_err());
    }
}
