//! What things cost, and since when.
//!
//! Laws:
//! - *The past never changes*: a tariff begins on a day that has not begun, and none is ever taken back that has.
//! - *Nothing rounds to zero*: a charge is ⌊price · exact use so far⌋ − what was charged already. What is left of a
//!   micro-unit waits in the account's [`Remainders`] for the next hour, day and month, and is never dropped.
//! - *Many tiny charges cost the same as a big one.*

use kv::{Reads, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::Timestamp;

use crate::Billing;
use crate::calendar::Day;
use crate::error::BillingError;
use crate::market::MarketRules;
use crate::money::Money;
use crate::quantity::{CLASSES, ITEMS, Item, REQUEST_CLASSES, Usage};
use crate::schema::{MARKET_PRICES, TARIFFS};

/// Tariffs that are read when the one of a day is looked for: the newest first.
const ONE: usize = 1;
/// A share that is written in percent cannot be more than the whole.
const WHOLE: u8 = 100;

/// The price of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// A gigabyte for thirty days, in each storage class: local, home, wide.
    pub storage: [Money; CLASSES],
    /// A gigabyte sent.
    pub egress: Money,
    /// A thousand requests: write, read, list.
    pub requests: [Money; REQUEST_CLASSES],
    /// A gigafuel.
    pub compute: Money,
}

/// What repair and audits are worth. They are paid from the storage pool, for they are what keeps the bytes there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overheads {
    /// For a gigabyte moved for repair.
    pub repair: Money,
    /// For a gigabyte served to audits.
    pub audit: Money,
    /// At most so many percent of the day's storage pool go to both; if they are worth more, each gets its part of that.
    pub percent_max: u8,
}

/// Prices from one day on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// What customers pay. In a market, what they pay on its first day.
    pub prices: Prices,
    /// What repair and audits are worth to nodes.
    pub overheads: Overheads,
    /// If the prices move: within which limits.
    pub market: Option<MarketRules>,
    /// Why it was made, for people.
    pub note: String,
}

/// What each item's price has not yet come to: price · use that was not charged, in micro-units · [`Item::priced`]. By
/// [`Item::index`]. Below zero after a correction: later use pays it off first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Remainders(pub [i128; ITEMS]);

/// A charge, by [`Item::index`].
pub type Amounts = [Money; ITEMS];

impl Prices {
    /// The price of `item`, for as much of it as [`Item::priced`] says.
    #[must_use]
    pub const fn of(&self, item: Item) -> Money {
        match item {
            Item::Storage(class) => self.storage[class as usize],
            Item::Egress => self.egress,
            Item::Requests(class) => self.requests[class as usize],
            Item::Compute => self.compute,
        }
    }

    /// A place to set the price of `item`.
    pub const fn of_mut(&mut self, item: Item) -> &mut Money {
        match item {
            Item::Storage(class) => &mut self.storage[class as usize],
            Item::Egress => &mut self.egress,
            Item::Requests(class) => &mut self.requests[class as usize],
            Item::Compute => &mut self.compute,
        }
    }

    /// What `usage` costs, to the micro-unit, with what was left over before; and what is left over now.
    ///
    /// # Errors
    /// [`BillingError::Overflow`]
    pub fn charge(
        &self,
        usage: &Usage,
        before: &Remainders,
    ) -> Result<(Amounts, Remainders), BillingError> {
        let mut amounts = Amounts::default();
        let mut left = *before;
        for item in Item::ALL {
            let rest = &mut left.0[item.index()];
            let due = self
                .of(item)
                .micros()
                .checked_mul(usage.of(item))
                .and_then(|cost| cost.checked_add(*rest))
                .ok_or(BillingError::Overflow("cost"))?;
            let priced =
                i128::try_from(item.priced()).map_err(|_| BillingError::Overflow("unit"))?;
            let whole = (due / priced).max(0);
            amounts[item.index()] = Money::from_micros(whole);
            *rest = due - whole * priced;
        }
        Ok((amounts, left))
    }

    /// What `usage` costs by itself, rounded up to the micro-unit: to ask before it is done.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn quote(&self, usage: &Usage) -> Result<Money, BillingError> {
        let (amounts, left) = self.charge(usage, &Remainders::default())?;
        let parts = left.0.iter().any(|rest| *rest > 0);
        Ok(Money::total(amounts)?.plus(Money::from_micros(parts.into()))?)
    }
}

impl Tariff {
    /// Whether it can be used.
    fn check(&self) -> Result<(), BillingError> {
        let Overheads { repair, audit, percent_max } = self.overheads;
        let all = Item::ALL.map(|item| self.prices.of(item));
        if all.iter().chain([&repair, &audit]).any(|price| price.is_negative()) {
            return Err(BillingError::BadTariff("a price is below zero"));
        }
        if percent_max > WHOLE {
            return Err(BillingError::BadTariff("overheads take more than all of the pool"));
        }
        self.market.as_ref().map_or(Ok(()), |market| market.check(&self.prices))
    }
}

impl Billing {
    /// Makes `tariff` the one from the beginning of `from` on; replaces one that was to begin on the same day.
    ///
    /// # Errors
    /// [`BillingError::PastIsFixed`] if that day has begun by `now` or is settled; [`BillingError::BadTariff`]. The very
    /// first tariff may begin in the past.
    pub async fn set_tariff(
        &self,
        from: Day,
        tariff: &Tariff,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        tariff.check()?;
        transact(&*self.kv, |tx: Tx| async move {
            if !TARIFFS.scan(&tx, Span::all(), ONE).await?.is_empty() {
                self.check_free(&tx, from, now).await?;
            }
            TARIFFS.put(&tx, &from, tariff);
            Ok(())
        })
        .await
    }

    /// Takes back a tariff that has not begun.
    ///
    /// # Errors
    /// [`BillingError::PastIsFixed`]; [`BillingError::NoTariff`] if none was to begin then.
    pub async fn drop_tariff(&self, from: Day, now: Timestamp) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            self.check_free(&tx, from, now).await?;
            if TARIFFS.get_for_update(&tx, &from).await?.is_none() {
                return Err(BillingError::NoTariff(from));
            }
            TARIFFS.delete(&tx, &from);
            Ok(())
        })
        .await
    }

    /// Every tariff and the day from which on it holds, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tariffs(&self) -> Result<Vec<(Day, Tariff)>, BillingError> {
        Ok(TARIFFS.scan(&self.kv.snapshot().await?, Span::all(), usize::MAX).await?)
    }

    /// The tariff of `day`.
    ///
    /// # Errors
    /// [`BillingError::NoTariff`]
    pub async fn tariff(&self, day: Day) -> Result<Tariff, BillingError> {
        Ok(tariff(&self.kv.snapshot().await?, day).await?.1)
    }

    /// The prices of `day`: the tariff's, or where it has made a market, the market's.
    ///
    /// # Errors
    /// [`BillingError::NoTariff`]
    pub async fn prices(&self, day: Day) -> Result<Prices, BillingError> {
        prices(&self.kv.snapshot().await?, day).await
    }

    async fn check_free(&self, tx: &Tx, asked: Day, now: Timestamp) -> Result<(), BillingError> {
        let unsettled = crate::settle::next_day(tx).await?.unwrap_or_default();
        let first = Day::of(now).next().max(unsettled);
        if asked < first { Err(BillingError::PastIsFixed { asked, first }) } else { Ok(()) }
    }
}

/// The tariff of `day` and since when it holds.
pub(crate) async fn tariff<R: Reads + ?Sized>(
    reads: &R,
    day: Day,
) -> Result<(Day, Tariff), BillingError> {
    let span = Span::all().before_key(&day.next());
    let newest = TARIFFS.scan_back(reads, span, ONE).await?.pop();
    newest.ok_or(BillingError::NoTariff(day))
}

/// The prices of `day`.
pub(crate) async fn prices<R: Reads + ?Sized>(reads: &R, day: Day) -> Result<Prices, BillingError> {
    let (since, tariff) = tariff(reads, day).await?;
    if tariff.market.is_none() {
        return Ok(tariff.prices);
    }
    // Only what the market found under this very tariff.
    let span = Span::all().from_key(&since).before_key(&day.next());
    let newest = MARKET_PRICES.scan_back(reads, span, ONE).await?.pop();
    Ok(newest.map_or(tariff.prices, |(_, prices)| prices))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::GeometryName;

    use super::*;
    use crate::quantity::GB_MONTH;

    fn prices() -> impl Strategy<Value = Prices> {
        prop::collection::vec(0..5_000_000_i128, ITEMS).prop_map(|micros| {
            let mut prices = Prices::default();
            for item in Item::ALL {
                *prices.of_mut(item) = Money::from_micros(micros[item.index()]);
            }
            prices
        })
    }

    fn usage() -> impl Strategy<Value = Usage> {
        let stored = prop::array::uniform3(0..1_i128 << 60);
        let flat = (0..1_u64 << 34, prop::array::uniform3(0..5_000_u64), 0..1_u64 << 34);
        (stored, flat).prop_map(|(stored, (egress, requests, fuel))| Usage {
            stored,
            egress,
            requests,
            fuel,
        })
    }

    proptest! {
        #[test]
        fn nothing_rounds_to_zero(prices in prices(), hours in prop::collection::vec(usage(), 1..50)) {
            let mut left = Remainders::default();
            let mut charged = Money::ZERO;
            let mut all = Usage::default();
            for hour in &hours {
                let (amounts, rest) = prices.charge(hour, &left).unwrap();
                left = rest;
                charged = charged.plus(Money::total(amounts).unwrap()).unwrap();
                all = all.plus(hour).unwrap();
            }
            // Hour by hour or all at once: the same, to the last micro-unit.
            let (at_once, rest) = prices.charge(&all, &Remainders::default()).unwrap();
            prop_assert_eq!(charged, Money::total(at_once).unwrap());
            prop_assert_eq!(left, rest);
        }

        #[test]
        fn many_tiny_charges_cost_the_same_as_a_big_one(prices in prices(), tiny in usage(), accounts in 1..500_u64) {
            let mut many = Money::ZERO;
            let mut left = [0_i128; ITEMS];
            let mut big = Usage::default();
            for _ in 0..accounts {
                let (amounts, rest) = prices.charge(&tiny, &Remainders::default()).unwrap();
                many = many.plus(Money::total(amounts).unwrap()).unwrap();
                for (sum, rest) in left.iter_mut().zip(rest.0) {
                    *sum += rest;
                }
                big = big.plus(&tiny).unwrap();
            }
            let one = Money::total(prices.charge(&big, &Remainders::default()).unwrap().0).unwrap();
            // What the tiny ones have not paid yet stands in their remainders, each below a micro-unit for each item.
            let waiting: i128 = Item::ALL.iter().map(|item| left[item.index()] / item.priced() as i128).sum();
            prop_assert_eq!(many.plus(Money::from_micros(waiting)), Ok(one));
        }

        #[test]
        fn a_quote_is_never_below_the_charge(prices in prices(), usage in usage()) {
            let (amounts, _) = prices.charge(&usage, &Remainders::default()).unwrap();
            let (charged, quote) = (Money::total(amounts).unwrap(), prices.quote(&usage).unwrap());
            prop_assert!(charged <= quote && quote.micros() <= charged.micros() + 1);
        }
    }

    #[test]
    fn a_gigabyte_for_thirty_days_costs_its_price() {
        let mut prices = Prices::default();
        prices.storage[GeometryName::Home as usize] = Money::from_micros(7_001);
        let mut usage = Usage::default();
        usage.stored[GeometryName::Home as usize] = GB_MONTH as i128;
        let (amounts, left) = prices.charge(&usage, &Remainders::default()).unwrap();
        assert_eq!(amounts[Item::Storage(GeometryName::Home).index()], Money::from_micros(7_001));
        assert_eq!(left, Remainders::default());
    }

    #[test]
    fn a_correction_is_paid_off_by_later_use_and_not_charged_twice() {
        let prices = Prices { storage: [Money::from_micros(100); 3], ..Prices::default() };
        let mut usage = Usage::default();
        usage.stored[0] = -(GB_MONTH as i128);
        let (amounts, left) = prices.charge(&usage, &Remainders::default()).unwrap();
        assert_eq!(amounts, Amounts::default());
        usage.stored[0] = 3 * GB_MONTH as i128;
        let (amounts, left) = prices.charge(&usage, &left).unwrap();
        assert_eq!((amounts[0], left), (Money::from_micros(200), Remainders::default()));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let prices = Prices { egress: Money::from_micros(i128::MAX), ..Prices::default() };
        let usage = Usage { egress: 2, ..Usage::default() };
        assert!(matches!(
            prices.charge(&usage, &Remainders::default()),
            Err(BillingError::Overflow(_))
        ));
    }
}
