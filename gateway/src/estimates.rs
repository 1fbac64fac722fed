//! Estimates: what a node would earn and what a customer would pay, from the books of this installation; before its first settled day from its
//! prices and a few plain assumptions, which the estimate names.

use billing::estimate::{self, CustomerPlan, Estimate, NodeOffer, Step};
use billing::market::{Index, Pays};
use billing::quantity::{GB, GB_MONTH};
use billing::{BillingError, Item, Money, Prices, Usage, Work, split};
use types::GeometryName;

/// Of the lent disks, so much is taken to be in use while nobody knows: half.
pub const FILL: u16 = 500;
/// Of what is held, so much is taken to be read in a month while nobody knows, in percent.
const READ_PERCENT: u64 = 20;
/// Days of a month, as prices mean it.
const MONTH_DAYS: u64 = 30;

/// What a node would earn in a month: by the last settled day, or by assumption.
///
/// # Errors
/// [`BillingError::Overflow`].
pub fn node(
    offer: &NodeOffer,
    index: Option<&Index>,
    prices: &Prices,
) -> Result<Estimate, BillingError> {
    match index {
        // A day on which nobody was paid says nothing of other days.
        Some(index) if index.work.proven() > 0 && index.pays.storage > Money::ZERO => {
            estimate::node(offer, index)
        }
        _ => {
            let mut assumed = estimate::node(offer, &assumed(prices)?)?;
            let arithmetic = format!(
                "no day was settled yet: nodes are taken to get 95 % of today's prices by the gigabyte of data, spread over the shards of class \
                 home, and {READ_PERCENT} % of what is held to be read in a month"
            );
            let what = "assumption".to_owned();
            assumed.steps.insert(0, Step { what, arithmetic, amount: None });
            Ok(assumed)
        }
    }
}

/// What a customer would pay in a month.
///
/// # Errors
/// [`BillingError::Overflow`].
pub fn customer(
    store: u64,
    egress: u64,
    class: GeometryName,
    prices: &Prices,
) -> Result<Estimate, BillingError> {
    estimate::customer(&CustomerPlan { storage: Item::Storage(class), store, egress }, prices)
}

/// A day that was settled at `prices` and as assumed.
fn assumed(prices: &Prices) -> Result<Index, BillingError> {
    let nodes = |price| -> Result<Money, BillingError> {
        Ok(Money::total(split(price, Money::ZERO, &[1], 0)?.shares)?)
    };
    let home = GeometryName::Home.geometry();
    let storage = nodes(prices.of(Item::Storage(GeometryName::Home)))?;
    // A gigabyte of data is n / k gigabytes of shards.
    let micros = storage.micros() * home.k as i128 / home.n as i128;
    let pays = Pays {
        storage: Money::from_micros(micros),
        egress: nodes(prices.egress)?,
        compute: nodes(prices.compute)?,
    };
    // A day's work of a network of a hundred gigabytes.
    let held = 100 * i128::try_from(GB_MONTH / u128::from(MONTH_DAYS)).unwrap_or(i128::MAX);
    let served = READ_PERCENT * GB / MONTH_DAYS;
    let work = Work { held, served, ..Work::default() };
    Ok(Index { prices: *prices, pays, usage: Usage::default(), work })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::first_tariff;

    #[test]
    fn an_estimate_without_books_says_what_it_assumes() {
        let offer = NodeOffer { disk: 500 * GB, up: 20_000_000, hours: 24, fill: FILL };
        let prices = first_tariff().prices;
        let estimate = node(&offer, None, &prices).expect("counted");
        assert_eq!(estimate.steps[0].what, "assumption");
        // 250 GB held · 6,000 micros · 95 % · 10 ∕ 24, and 250 GB · 20 % · 6,000 micros · 95 %, but for rounding.
        let expected = 250 * 2_375 + 50 * 5_700;
        assert!((estimate.per_month.micros() - expected).abs() < 1_000, "{estimate:?}");
    }

    #[test]
    fn a_customer_pays_for_what_they_hold_and_read() {
        let prices = first_tariff().prices;
        let estimate = customer(2_000 * GB, 300 * GB, GeometryName::Local, &prices);
        let per_month = estimate.expect("counted").per_month;
        assert_eq!(per_month, Money::from_micros(2_000 * 5_000 + 300 * 6_000));
    }
}
