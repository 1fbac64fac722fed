//! A day is settled: what was used is charged, what is covered is divided, what was worked is paid.
//!
//! ```text
//! Charging   usage-hour ──▶ customers ──▶ revenue (what is covered)      some accounts at a time
//! Dividing   revenue ──▶ operator 5 %, pools 95 %                        once
//! Paying     pools ──▶ nodes, by the day's work                          some nodes at a time
//! ```
//!
//! A settlement is a row that says which day is next and how far it is. Every step is one transaction that writes its entry, its
//! rows and the new place: so a step happens once, whatever crashes, and a settlement that is done leaves nothing to run again.
//! What is paid late comes into revenue on the day it is paid, and so to the nodes that work then.
//!
//! Laws, each a property test of the same name:
//! - *Running a settlement again changes nothing.*
//! - *A crash changes nothing.*
//! - *Of what was covered the operator got five percent*: ⌊5 %⌋ of each day and pool; what is less than a micro-unit falls to
//!   the nodes.
//! - *A pool without work carries over*, and never to the operator.

mod charge;
mod pay;
mod share;

use kv::{Reads, Tx, transact};
use serde::{Deserialize, Serialize};
use types::merkle::MerkleRoot;
use types::{AccountId, NodeId, Timestamp};

pub(crate) use charge::cover;
pub use share::Earnings;

use crate::Billing;
use crate::calendar::Day;
use crate::error::BillingError;
use crate::ledger::{Cause, EntryId, LedgerAccount, PostingSet, balance, post};
use crate::money::Money;
use crate::quantity::{Pool, Usage, Work};
use crate::schema::{DAYS, OPEN_FROM, SETTLING};
use crate::split::split;
use crate::tariff::{Amounts, Prices};

/// An amount for each pool, in the order of [`Pool::ALL`].
pub type ByPool = [Money; Pool::ALL.len()];

/// Where settlement stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settling {
    /// The day.
    pub day: Day,
    /// How far it is.
    pub stage: Stage,
}

/// What is done next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// Customers are charged.
    Charging {
        /// The last one who was.
        after: Option<AccountId>,
        /// What those until then used together.
        usage: Usage,
        /// What they were charged together.
        charged: Money,
    },
    /// Revenue is divided.
    Dividing {
        /// What all used.
        usage: Usage,
        /// What all were charged.
        charged: Money,
    },
    /// Nodes are paid.
    Paying {
        /// The last one who was.
        after: Option<NodeId>,
        /// How the day was divided.
        division: Division,
    },
}

/// How a day's revenue was divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Division {
    /// What all customers used.
    pub usage: Usage,
    /// What they were charged, covered or not.
    pub charged: Money,
    /// What was covered since the division before, by pool.
    pub revenue: ByPool,
    /// The operator's part of it.
    pub fee: ByPool,
    /// What the pools held for the nodes: their part, and what was carried over from days without work.
    pub pots: ByPool,
}

/// What one customer was charged for one day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DayCharge {
    /// The day's prices.
    pub prices: Prices,
    /// What was used.
    pub usage: Usage,
    /// What it came to, by item.
    pub amounts: Amounts,
    /// How much of that was covered at once.
    pub covered: Money,
}

/// What one node did and earned on one day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeDay {
    /// What it did.
    pub work: Work,
    /// What it earned.
    pub earnings: Earnings,
    /// How much of that is held back.
    pub held_back: Money,
    /// The root over its hours.
    pub hours: MerkleRoot,
}

/// A settled day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DaySummary {
    /// How its revenue was divided.
    pub division: Division,
    /// What the nodes got of the pots; the rest is carried over.
    pub paid: ByPool,
    /// How many nodes have totals.
    pub nodes: u32,
    /// What all of them did.
    pub work: Work,
    /// The root over all nodes' hours. Publish it.
    pub root: MerkleRoot,
}

/// What the next settlement would do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Preview {
    /// Of which day.
    pub day: Day,
    /// How many customers have used something.
    pub accounts: u64,
    /// What they used.
    pub usage: Usage,
    /// What they would be charged.
    pub charged: Money,
    /// How many nodes have worked.
    pub nodes: u64,
    /// What they did.
    pub work: Work,
}

/// The first settlement is of `day`.
pub(crate) fn begin(tx: &Tx, day: Day) {
    SETTLING.put(tx, &(), &Settling { day, stage: Stage::first() });
}

/// The day that is next to be settled; `None` before anything was counted.
pub(crate) async fn next_day<R: Reads + ?Sized>(reads: &R) -> Result<Option<Day>, BillingError> {
    Ok(SETTLING.get(reads, &()).await?.map(|settling| settling.day))
}

impl Stage {
    fn first() -> Self {
        Self::Charging { after: None, usage: Usage::default(), charged: Money::ZERO }
    }
}

impl Billing {
    /// Settles every day whose hours are all closed; finishes one that was begun. Returns the days it finished. Call
    /// [`Self::close_hours`] before.
    ///
    /// # Errors
    /// [`BillingError::NoTariff`]; those of the store. What was done stays, and the next call goes on.
    pub async fn settle(&self, now: Timestamp) -> Result<Vec<(Day, DaySummary)>, BillingError> {
        let mut finished = Vec::new();
        while let Some(settling) = self.to_settle().await? {
            let day = settling.day;
            self.settle_day(settling, now).await?;
            if let Some(summary) = self.day(day).await? {
                finished.push((day, summary));
            }
        }
        Ok(finished)
    }

    /// What a settled day came to.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn day(&self, day: Day) -> Result<Option<DaySummary>, BillingError> {
        Ok(DAYS.get(&self.kv.snapshot().await?, &day).await?)
    }

    /// The day that is next to be settled; `None` before anything was counted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next_day(&self) -> Result<Option<Day>, BillingError> {
        next_day(&self.kv.snapshot().await?).await
    }

    /// What settling the next day would do, as far as its hours are closed. Changes nothing.
    ///
    /// # Errors
    /// [`BillingError::NoTariff`]; those of the store.
    pub async fn preview(&self) -> Result<Option<Preview>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let Some(day) = next_day(&snap).await? else { return Ok(None) };
        let (accounts, usage, charged) = charge::preview(&snap, day).await?;
        let nodes = pay::nodes(&snap, day).await?;
        let work = pay::all_work(&nodes)?;
        Ok(Some(Preview { day, accounts, usage, charged, nodes: nodes.len() as u64, work }))
    }

    /// The next day, if it can be settled.
    async fn to_settle(&self) -> Result<Option<Settling>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let (settling, open) = (SETTLING.get(&snap, &()).await?, OPEN_FROM.get(&snap, &()).await?);
        // A closing may still be adding up the hour below the open one: it counts as open until it is done.
        let closing = crate::schema::CLOSING.get(&snap, &()).await?;
        let open = closing.map(|closing| closing.hour).or(open);
        Ok(settling
            .zip(open)
            .and_then(|(settling, open)| (settling.day.next().hour(0) <= open).then_some(settling)))
    }

    async fn settle_day(&self, settling: Settling, now: Timestamp) -> Result<(), BillingError> {
        let day = settling.day;
        match settling.stage {
            Stage::Charging { .. } => self.charge_day(settling, now).await,
            Stage::Dividing { .. } => self.divide(&settling, now).await,
            Stage::Paying { after, division } => self.pay_day(day, after, division, now).await,
        }
    }

    /// Five percent of what was covered to the operator, the rest into the pools.
    async fn divide(&self, settling: &Settling, now: Timestamp) -> Result<(), BillingError> {
        let Stage::Dividing { usage, charged } = settling.stage else { return Ok(()) };
        let day = settling.day;
        transact(&*self.kv, |tx: Tx| async move {
            if !is_at(&tx, settling).await? {
                return Ok(());
            }
            let mut division = Division { usage, charged, ..Division::default() };
            let mut moves = Vec::new();
            for pool in Pool::ALL {
                let revenue = balance(&tx, &LedgerAccount::Revenue(pool)).await?;
                let carried = balance(&tx, &LedgerAccount::Pool(pool)).await?;
                let divided = split(revenue, carried, &[], 0)?;
                let fee = divided.operator;
                moves.push((LedgerAccount::Revenue(pool), revenue.negated()?));
                moves.push((LedgerAccount::Operator, fee));
                moves.push((LedgerAccount::Pool(pool), revenue.minus(fee)?));
                division.revenue[pool as usize] = revenue;
                division.fee[pool as usize] = fee;
                division.pots[pool as usize] = divided.carried;
            }
            let id = EntryId::of("division", day.to_string());
            post(&tx, id, now, Cause::Division { day }, PostingSet::new(moves)?).await?;
            let stage = Stage::Paying { after: None, division };
            SETTLING.put(&tx, &(), &Settling { day, stage });
            Ok(())
        })
        .await
    }
}

/// Whether settlement still stands where the caller has seen it; and nobody else moves it until the commit.
async fn is_at(tx: &Tx, seen: &Settling) -> Result<bool, BillingError> {
    Ok(SETTLING.get_for_update(tx, &()).await?.as_ref() == Some(seen))
}
