//! Nodes are paid.

use kv::{KeyPrefix, Snap, Tx, transact};
use types::merkle::{self, MerkleRoot};
use types::{NodeId, Timestamp};

use super::share::{Earnings, shares};
use super::{ByPool, DaySummary, Division, NodeDay, Settling, Stage, is_at};
use crate::Billing;
use crate::calendar::Day;
use crate::error::BillingError;
use crate::ledger::{Cause, EntryId, LedgerAccount, PostingSet, post};
use crate::market::{self, Index};
use crate::money::Money;
use crate::node;
use crate::pages::Pages;
use crate::quantity::{Pool, Work};
use crate::schema::{DAYS, INDEX, LEAVES, NODE_DAYS, SETTLING, WORK_HOURS};
use crate::statement::{day_leaf, hour_leaf};
use crate::tariff::{prices, tariff};

/// Nodes of one transaction: each may take two postings of its entry.
const AT_ONCE: usize = 450;

/// What a node did on a day.
pub(super) struct NodeSum {
    node: NodeId,
    work: Work,
    /// The root over its hours.
    hours: MerkleRoot,
}

/// Every node's day, in order of ids. This, and what each of them earned, is what a settlement keeps in memory: about half a kilobyte for each
/// node.
pub(super) async fn nodes(snap: &Snap, day: Day) -> Result<Vec<NodeSum>, BillingError> {
    let mut rows = Pages::new(snap.clone(), WORK_HOURS, &KeyPrefix::of(&day), None);
    let mut sums: Vec<NodeSum> = Vec::new();
    let mut leaves = Vec::new();
    while let Some(((_, node, hour), work)) = rows.next().await? {
        match sums.last_mut() {
            Some(last) if last.node == node => {
                last.work = last.work.plus(&work).ok_or(BillingError::Overflow("work"))?;
            }
            last => {
                if let Some(last) = last {
                    last.hours = merkle::root(&leaves);
                }
                leaves.clear();
                sums.push(NodeSum { node, work, hours: MerkleRoot::default() });
            }
        }
        leaves.push(hour_leaf(&node, day.hour(hour), &work));
    }
    if let Some(last) = sums.last_mut() {
        last.hours = merkle::root(&leaves);
    }
    Ok(sums)
}

/// What all of them did.
pub(super) fn all_work(nodes: &[NodeSum]) -> Result<Work, BillingError> {
    let sum = nodes.iter().try_fold(Work::default(), |sum, node| sum.plus(&node.work));
    sum.ok_or(BillingError::Overflow("work"))
}

impl Billing {
    /// Pays the rest of the day's nodes and ends the day.
    pub(super) async fn pay_day(
        &self,
        day: Day,
        mut after: Option<NodeId>,
        division: Division,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        let snap = self.kv.snapshot().await?;
        let nodes = nodes(&snap, day).await?;
        let works: Vec<Work> = nodes.iter().map(|node| node.work).collect();
        let overheads = tariff(&snap, day).await?.1.overheads;
        let shares = shares(&division.pots, &works, &overheads, day.0.into())?;
        let paid: Vec<(NodeSum, Earnings)> = nodes.into_iter().zip(shares).collect();

        let begin = paid.partition_point(|(sum, _)| after.is_some_and(|after| sum.node <= after));
        for some in paid[begin..].chunks(AT_ONCE) {
            let seen = Settling { day, stage: Stage::Paying { after, division } };
            match self.pay_some(&seen, some, now).await? {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
        let seen = Settling { day, stage: Stage::Paying { after, division } };
        self.end_day(&snap, &seen, division, &paid).await
    }

    /// Pays `some` nodes and moves the settlement behind them; the last one, or `None` if it has been moved meanwhile.
    async fn pay_some(
        &self,
        seen: &Settling,
        some: &[(NodeSum, Earnings)],
        now: Timestamp,
    ) -> Result<Option<NodeId>, BillingError> {
        let Stage::Paying { division, .. } = seen.stage else { return Ok(None) };
        let Some((last, _)) = some.last() else { return Ok(None) };
        let (day, last) = (seen.day, last.node);
        transact(&*self.kv, |tx: Tx| async move {
            if !is_at(&tx, seen).await? {
                return Ok(None);
            }
            let mut moves = Vec::with_capacity(2 * some.len() + Pool::ALL.len());
            let mut pools = ByPool::default();
            for (sum, earnings) in some {
                for (pool, part) in pools.iter_mut().zip(earnings.by_pool()?) {
                    *pool = pool.plus(part)?;
                }
                let total = earnings.total()?;
                let held_back = self.held_back(&tx, sum.node, total).await?;
                moves.push((LedgerAccount::Node(sum.node), total.minus(held_back)?));
                moves.push((LedgerAccount::Held(sum.node), held_back));
                let row =
                    NodeDay { work: sum.work, earnings: *earnings, held_back, hours: sum.hours };
                NODE_DAYS.put(&tx, &(sum.node, day), &row);
                LEAVES.put(&tx, &(day, sum.node), &sum.hours);
            }
            for pool in Pool::ALL {
                moves.push((LedgerAccount::Pool(pool), pools[pool as usize].negated()?));
            }
            let id = EntryId::of("earnings", format!("{day}/{last}"));
            post(&tx, id, now, Cause::Earnings { day }, PostingSet::new(moves)?).await?;
            let stage = Stage::Paying { after: Some(last), division };
            SETTLING.put(&tx, &(), &Settling { day, stage });
            Ok(Some(last))
        })
        .await
    }

    /// What is not spendable yet of what a node has just earned.
    async fn held_back(&self, tx: &Tx, node: NodeId, total: Money) -> Result<Money, BillingError> {
        if total == Money::ZERO || node::is_vetted(tx, &node).await? {
            return Ok(Money::ZERO);
        }
        let percent = i128::from(self.rules.hold_percent.min(100));
        Ok(Money::from_micros(total.times(percent)?.micros() / 100))
    }

    /// Writes what the day came to; the next day can be settled then.
    async fn end_day(
        &self,
        snap: &Snap,
        seen: &Settling,
        division: Division,
        nodes: &[(NodeSum, Earnings)],
    ) -> Result<(), BillingError> {
        let day = seen.day;
        let leaves: Vec<_> = nodes.iter().map(|(sum, _)| day_leaf(&sum.node, &sum.hours)).collect();
        let mut paid = ByPool::default();
        let mut work = Work::default();
        let mut storage = Money::ZERO;
        for (sum, earnings) in nodes {
            for (pool, part) in paid.iter_mut().zip(earnings.by_pool()?) {
                *pool = pool.plus(part)?;
            }
            storage = storage.plus(earnings.storage)?;
            work = work.plus(&sum.work).ok_or(BillingError::Overflow("work"))?;
        }
        let count = u32::try_from(nodes.len()).map_err(|_| BillingError::Overflow("nodes"))?;
        let root = merkle::root(&leaves);
        let summary = DaySummary { division, paid, nodes: count, work, root };
        let pays = market::pays(&work, storage, &paid);
        let index = Index { prices: prices(snap, day).await?, pays, usage: division.usage, work };
        let (summary, index) = (&summary, &index);
        transact(&*self.kv, |tx: Tx| async move {
            if is_at(&tx, seen).await? {
                DAYS.put(&tx, &day, summary);
                INDEX.put(&tx, &day, index);
                super::begin(&tx, day.next());
            }
            Ok(())
        })
        .await
    }
}
