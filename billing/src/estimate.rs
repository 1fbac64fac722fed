//! What a node would earn, and what a customer would pay, with the arithmetic shown. Pure: today's index goes in.
//!
//! Nothing here is a promise. A node is paid a share of what customers paid, so its estimate holds as long as the network is as full
//! and as busy as on the day of the index.

use serde::Serialize;

use crate::calendar::HOURS;
use crate::error::BillingError;
use crate::market::Index;
use crate::money::Money;
use crate::quantity::{GB, GB_MONTH, Item, MONTH_HOURS};
use crate::split::split;
use crate::tariff::Prices;

/// Days of a month, as prices mean it.
const MONTH_DAYS: u64 = MONTH_HOURS / HOURS as u64;
/// A whole, in thousandths.
const WHOLE: u64 = 1_000;
/// Byte-milliseconds of a gigabyte-day.
const GB_DAY: u128 = GB_MONTH / MONTH_DAYS as u128;

/// One line of arithmetic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// What is worked out.
    pub what: String,
    /// How, in numbers.
    pub arithmetic: String,
    /// What it comes to, where that is money.
    pub amount: Option<Money>,
}

/// An estimate of a month of thirty days.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Estimate {
    /// How it was worked out, line by line.
    pub steps: Vec<Step>,
    /// What it comes to in a month.
    pub per_month: Money,
}

/// A node that might join.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeOffer {
    /// Bytes of disk.
    pub disk: u64,
    /// Bits a second upwards.
    pub up: u64,
    /// Hours online in a day.
    pub hours: u8,
    /// How much of the lent disks is used, in thousandths.
    pub fill: u16,
}

/// What running a node costs its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NodeCosts {
    /// Watts that it draws more than without: nothing, if the computer runs anyhow.
    pub watts: u32,
    /// What a kilowatt-hour costs.
    pub kilowatt_hour: Money,
    /// What disk and machine lose in a month by it.
    pub wear: Money,
}

/// What a customer would use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CustomerPlan {
    /// The storage class.
    pub storage: Item,
    /// Bytes held.
    pub store: u64,
    /// Bytes read in a month.
    pub egress: u64,
}

impl Estimate {
    fn new() -> Self {
        Self { steps: Vec::new(), per_month: Money::ZERO }
    }

    fn fact(&mut self, what: &str, arithmetic: String) {
        self.steps.push(Step { what: what.to_owned(), arithmetic, amount: None });
    }

    fn add(&mut self, what: &str, arithmetic: String, amount: Money) -> Result<(), BillingError> {
        self.per_month = self.per_month.plus(amount)?;
        self.steps.push(Step { what: what.to_owned(), arithmetic, amount: Some(amount) });
        Ok(())
    }
}

/// What `offer` would earn in a month, at what `index` says was paid.
///
/// # Errors
/// [`BillingError::Overflow`]
pub fn node(offer: &NodeOffer, index: &Index) -> Result<Estimate, BillingError> {
    let mut estimate = Estimate::new();
    let hours = u64::from(offer.hours.min(HOURS));
    let fill = u64::from(offer.fill).min(WHOLE);
    let held = scaled(offer.disk, fill, WHOLE)?;
    estimate.fact(
        "bytes held",
        format!("{} disk × {fill} ‰ of lent disks in use = {}", gb(offer.disk), gb(held)),
    );
    let paid = scaled(held, hours, HOURS.into())?;
    estimate.add(
        "storage",
        format!("{} × {hours} h of {HOURS} h online × {} a GB-month", gb(held), index.pays.storage),
        priced(index.pays.storage, paid)?,
    )?;
    let served = served(offer, held, hours, index, &mut estimate)?;
    estimate.add(
        "serving",
        format!("{} × {} a GB", gb(served), index.pays.egress),
        priced(index.pays.egress, served)?,
    )?;
    Ok(estimate)
}

/// What the network reads of what it holds, as far as the line can carry it.
fn served(
    offer: &NodeOffer,
    held: u64,
    hours: u64,
    index: &Index,
    estimate: &mut Estimate,
) -> Result<u64, BillingError> {
    // Of a day's work, so that byte-milliseconds count as gigabyte-days.
    let gb_days = index.work.proven() / GB_DAY;
    let a_day = u128::from(index.work.served).checked_div(gb_days).unwrap_or(0);
    let a_month = u128::from(held / GB) * a_day * u128::from(MONTH_DAYS);
    let a_month = u64::try_from(a_month).map_err(|_| BillingError::Overflow("bytes"))?;
    let asked = scaled(a_month, hours, HOURS.into())?;
    let line = scaled(offer.up / 8, hours * 3600 * MONTH_DAYS, 1)?;
    estimate.fact(
        "bytes asked for",
        format!(
            "{} held × {a_day} bytes read a day of each GB × {MONTH_DAYS} days × {hours} h of {HOURS} h = {}",
            gb(held),
            gb(asked)
        ),
    );
    estimate.fact(
        "bytes the line carries",
        format!("{} bit/s ÷ 8 × {hours} h × {MONTH_DAYS} days = {}", offer.up, gb(line)),
    );
    Ok(asked.min(line))
}

/// What `plan` would cost in a month at `prices`, tax not counted; and who would get it.
///
/// # Errors
/// [`BillingError::Overflow`]
pub fn customer(plan: &CustomerPlan, prices: &Prices) -> Result<Estimate, BillingError> {
    let mut estimate = Estimate::new();
    let storage = prices.of(plan.storage);
    let words = format!("{} × {storage} a GB-month", gb(plan.store));
    estimate.add(&plan.storage.name(), words, priced(storage, plan.store)?)?;
    let words = format!("{} × {} a GB", gb(plan.egress), prices.egress);
    estimate.add("egress", words, priced(prices.egress, plan.egress)?)?;
    let parts = split(estimate.per_month, Money::ZERO, &[1], 0)?;
    let nodes = Money::total(parts.shares)?;
    estimate.fact(
        "who gets it",
        format!(
            "{} × 95 % = {nodes} to nodes, {} to the operator",
            estimate.per_month, parts.operator
        ),
    );
    Ok(estimate)
}

/// What is left of an estimate once it has paid for power and wear; below zero, the node costs more than it earns.
///
/// # Errors
/// [`BillingError::Overflow`]
pub fn break_even(
    offer: &NodeOffer,
    earned: &Estimate,
    costs: &NodeCosts,
) -> Result<Estimate, BillingError> {
    let mut estimate = earned.clone();
    let hours = u64::from(offer.hours.min(HOURS)) * MONTH_DAYS;
    let watt_hours = i128::from(costs.watts) * i128::from(hours);
    let power = costs.kilowatt_hour.times(watt_hours)?.micros() / 1_000;
    let words = format!("{} W × {hours} h ÷ 1000 × {} a kWh", costs.watts, costs.kilowatt_hour);
    estimate.add("power", words, Money::from_micros(-power))?;
    estimate.add("wear", "disk and machine".to_owned(), costs.wear.negated()?)?;
    Ok(estimate)
}

/// `bytes` at a price for each gigabyte.
fn priced(price: Money, bytes: u64) -> Result<Money, BillingError> {
    Ok(Money::from_micros(price.times(bytes.into())?.micros() / i128::from(GB)))
}

fn scaled(number: u64, by: u64, of: u64) -> Result<u64, BillingError> {
    let scaled = u128::from(number) * u128::from(by) / u128::from(of);
    u64::try_from(scaled).map_err(|_| BillingError::Overflow("bytes"))
}

/// Gigabytes with three digits, cut.
fn gb(bytes: u64) -> String {
    format!("{}.{:03} GB", bytes / GB, bytes % GB / 1_000_000)
}

#[cfg(test)]
mod tests {
    use types::GeometryName;

    use super::*;
    use crate::market::Pays;
    use crate::quantity::{Usage, Work};

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    /// A day on which a network of 1,000 GB of shards served 1,000 GB.
    fn index() -> Index {
        let work = Work { held: (1_000 * GB_DAY) as i128, served: 1_000 * GB, ..Work::default() };
        let pays = Pays { storage: money("0.5"), egress: money("4.75"), compute: Money::ZERO };
        Index { prices: Prices::default(), pays, usage: Usage::default(), work }
    }

    /// The worked example of docs/MONEY.md.
    #[test]
    fn ten_gigabytes_a_day_sold_at_fifty_for_ten_come_to_fourteen_hundred_and_twenty_five_a_month()
    {
        let prices = Prices { egress: money("5"), ..Prices::default() };
        let storage = Item::Storage(GeometryName::Home);
        let plan = CustomerPlan { storage, store: 0, egress: 300 * GB };
        let paid = customer(&plan, &prices).unwrap();
        assert_eq!(paid.per_month, money("1500"));
        let split = split(paid.per_month, Money::ZERO, &[1], 0).unwrap();
        assert_eq!((split.operator, split.shares[0]), (money("75"), money("1425")));

        // A home computer that holds 10 GB, of which all is read once a day, over a line of 1 Mbit/s.
        let offer = NodeOffer { disk: 10 * GB, up: 1_000_000, hours: 24, fill: 1_000 };
        let no_storage = Index { pays: Pays { storage: Money::ZERO, ..index().pays }, ..index() };
        let earned = node(&offer, &no_storage).unwrap();
        assert_eq!(earned.per_month, money("1425"));
        let costs = NodeCosts { watts: 10, kilowatt_hour: money("0.30"), wear: money("1") };
        let left = break_even(&offer, &earned, &costs).unwrap();
        // 10 W × 720 h = 7.2 kWh = 2.16
        assert_eq!(left.per_month, money("1421.84"));
    }

    #[test]
    fn a_slow_line_serves_no_more_than_it_carries() {
        let offer = NodeOffer { disk: 100 * GB, up: 1_000_000, hours: 12, fill: 500 };
        let estimate = node(&offer, &index()).unwrap();
        // 50 GB held, asked for 50 × 30 ÷ 2 = 750 GB; the line carries 125 kB/s × 43,200 s × 30 = 162 GB.
        let amounts: Vec<_> = estimate.steps.iter().filter_map(|step| step.amount).collect();
        assert_eq!(amounts, [money("12.5"), money("769.5")]);
    }

    #[test]
    fn a_node_that_earns_less_than_its_power_shows_a_loss() {
        let offer = NodeOffer { disk: GB, up: 1_000_000, hours: 24, fill: 0 };
        let estimate = node(&offer, &index()).unwrap();
        assert_eq!(estimate.per_month, Money::ZERO);
        let costs = NodeCosts { watts: 50, kilowatt_hour: money("0.30"), wear: Money::ZERO };
        assert_eq!(break_even(&offer, &estimate, &costs).unwrap().per_month, money("-10.8"));
    }

    #[test]
    fn an_index_without_work_promises_no_reads() {
        let index = Index { work: Work::default(), ..index() };
        let offer = NodeOffer { disk: 100 * GB, up: 10_000_000, hours: 24, fill: 1_000 };
        assert_eq!(node(&offer, &index).unwrap().per_month, money("50"));
    }
}
