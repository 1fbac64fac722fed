//! A node's statement of a month, and how its owner checks it.
//!
//! ```text
//! hour leaf = node id (32) ‖ hour (4) ‖ held (16) ‖ not proven (16) ‖ served (8) ‖ repair (8) ‖ audit (8) ‖ fuel (8)
//! hours     = Merkle root over the node's hour leaves of a day, in order
//! day leaf  = node id (32) ‖ hours (32)
//! root      = Merkle root over the day leaves of all nodes, in order of ids: published
//! ```
//!
//! Numbers are big-endian, the tree is [`types::merkle`]'s. So the hours on a statement, together with one short proof for each day, show
//! that they are what was published; and against the node's own counters, that they are what it did. [`check`] does both and needs
//! nothing but the statement, the counters and the published roots.

mod check;
mod print;

use std::collections::BTreeMap;

use kv::{KeyPrefix, Snap};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use types::merkle::{self, MerkleRoot};
use types::{AccountId, NodeId, Root};

pub use check::{Finding, check};

use crate::calendar::{Day, Hour, Month};
use crate::error::BillingError;
use crate::ledger::{LedgerAccount, Movement, balance, movements};
use crate::money::Money;
use crate::pages::Pages;
use crate::quantity::Work;
use crate::schema::{ANSWERS, DAYS, LEAVES, NODE_DAYS, NODES, WORK_HOURS};
use crate::settle::Earnings;
use crate::tally::Answer;
use crate::{Billing, Seller};

/// Bytes of an hour leaf.
const HOUR_LEAF: usize = 32 + 4 + 2 * 16 + 4 * 8;

/// A hash, in hexadecimal where people read it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hash(pub [u8; 32]);

/// The leaf of a node's hour.
#[must_use]
pub fn hour_leaf(node: &NodeId, hour: Hour, work: &Work) -> [u8; HOUR_LEAF] {
    let pieces: [&[u8]; 8] = [
        node.as_bytes(),
        &hour.0.to_be_bytes(),
        &work.held.to_be_bytes(),
        &work.unproven.to_be_bytes(),
        &work.served.to_be_bytes(),
        &work.repair.to_be_bytes(),
        &work.audit.to_be_bytes(),
        &work.fuel.to_be_bytes(),
    ];
    let mut leaf = [0; HOUR_LEAF];
    let mut rest = &mut leaf[..];
    for piece in pieces {
        let (head, tail) = rest.split_at_mut(piece.len());
        head.copy_from_slice(piece);
        rest = tail;
    }
    leaf
}

/// The leaf of a node's day.
#[must_use]
pub fn day_leaf(node: &NodeId, hours: &MerkleRoot) -> [u8; 64] {
    let mut leaf = [0; 64];
    leaf[..32].copy_from_slice(node.as_bytes());
    leaf[32..].copy_from_slice(hours);
    leaf
}

/// What a node did and earned in a month.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatement {
    /// Who pays.
    pub seller: Seller,
    /// The currency's code.
    pub currency: String,
    /// Which node.
    pub node: Hash,
    /// Whose it is.
    pub owner: Option<AccountId>,
    /// Which month.
    pub month: Month,
    /// Every settled day of it on which the node has totals.
    pub days: Vec<StatementDay>,
    /// What it did.
    pub work: Work,
    /// What it earned.
    pub earnings: Earnings,
    /// All of that together.
    pub total: Money,
    /// How much of it is held back.
    pub held_back: Money,
    /// Everything that moved what it may spend: days' earnings, what was released, netted, paid out.
    pub movements: Vec<Movement>,
    /// What it may spend now.
    pub balance: Money,
    /// What is held back now.
    pub held: Money,
    /// How amounts were rounded.
    pub rounding: String,
}

/// A day on a statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatementDay {
    /// The day.
    pub day: Day,
    /// Its hours.
    pub hours: Vec<StatementHour>,
    /// What was done in all of them.
    pub work: Work,
    /// What was earned.
    pub earnings: Earnings,
    /// How much of that is held back.
    pub held_back: Money,
    /// The published root of the day.
    pub root: Hash,
    /// The node's place in the day's tree.
    pub index: u32,
    /// How many nodes the tree has.
    pub nodes: u32,
    /// The siblings from the node's leaf upwards.
    pub proof: Vec<Hash>,
}

/// An hour on a statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatementHour {
    /// The hour.
    pub hour: Hour,
    /// What the gateway counted.
    pub work: Work,
    /// What the node said to it.
    pub answer: Option<Answer>,
}

impl Billing {
    /// The statement of `node` for the days of `month` that are settled.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn statement(
        &self,
        node: NodeId,
        month: Month,
    ) -> Result<NodeStatement, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut statement = NodeStatement {
            seller: self.rules.seller.clone(),
            currency: self.rules.currency.code().to_owned(),
            node: Hash(node.0),
            owner: NODES.get(&snap, &node).await?.and_then(|profile| profile.owner),
            month,
            days: Vec::new(),
            work: Work::default(),
            earnings: Earnings::default(),
            total: Money::ZERO,
            held_back: Money::ZERO,
            movements: Vec::new(),
            balance: balance(&snap, &LedgerAccount::Node(node)).await?,
            held: balance(&snap, &LedgerAccount::Held(node)).await?,
            rounding: ROUNDING.to_owned(),
        };
        for day in month.days() {
            if let Some(day) = statement_day(&snap, node, day).await? {
                statement.add(day)?;
            }
        }
        let (from, to) = (month.first().start(), month.next().first().start());
        statement.movements = movements(&snap, &LedgerAccount::Node(node), from, to).await?;
        Ok(statement)
    }

    /// The published roots of the settled days of `month`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn roots(&self, month: Month) -> Result<BTreeMap<Day, MerkleRoot>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut roots = BTreeMap::new();
        for day in month.days() {
            if let Some(summary) = DAYS.get(&snap, &day).await? {
                roots.insert(day, summary.root);
            }
        }
        Ok(roots)
    }
}

const ROUNDING: &str = "Each day's pool is divided among all nodes by their exact work. Shares are whole millionths of the currency; \
    what is left of the division goes, a millionth each, to the largest remainders, and equal remainders take turns from day to day. Nothing is \
    kept back by rounding. A payout is cut to what a bank can move; the rest stays in the balance.";

async fn statement_day(
    snap: &Snap,
    node: NodeId,
    day: Day,
) -> Result<Option<StatementDay>, BillingError> {
    let (Some(row), Some(summary)) =
        (NODE_DAYS.get(snap, &(node, day)).await?, DAYS.get(snap, &day).await?)
    else {
        return Ok(None);
    };
    let mut hours = Vec::new();
    let prefix = KeyPrefix::of(&day).then(&node);
    for ((_, _, hour), work) in WORK_HOURS.scan(snap, &prefix, usize::MAX).await? {
        let hour = day.hour(hour);
        let answer = ANSWERS.get(snap, &(node, hour)).await?;
        hours.push(StatementHour { hour, work, answer });
    }
    let mut leaves = Vec::new();
    let mut place = 0;
    let mut rows = Pages::new(snap.clone(), LEAVES, &KeyPrefix::of(&day), None);
    while let Some(((_, other), hours)) = rows.next().await? {
        if other < node {
            place += 1;
        }
        leaves.push(day_leaf(&other, &hours));
    }
    let proof = merkle::prove(&leaves, place).ok_or(BillingError::Overflow("nodes"))?;
    Ok(Some(StatementDay {
        day,
        hours,
        work: row.work,
        earnings: row.earnings,
        held_back: row.held_back,
        root: Hash(summary.root),
        index: proof.index,
        nodes: proof.count,
        proof: proof.siblings.into_iter().map(Hash).collect(),
    }))
}

impl NodeStatement {
    fn add(&mut self, day: StatementDay) -> Result<(), BillingError> {
        self.work = self.work.plus(&day.work).ok_or(BillingError::Overflow("work"))?;
        let (sum, more) = (&mut self.earnings, &day.earnings);
        for (sum, more) in [
            (&mut sum.storage, more.storage),
            (&mut sum.repair, more.repair),
            (&mut sum.audit, more.audit),
            (&mut sum.egress, more.egress),
            (&mut sum.compute, more.compute),
        ] {
            *sum = sum.plus(more)?;
        }
        self.total = self.total.plus(day.earnings.total()?)?;
        self.held_back = self.held_back.plus(day.held_back)?;
        self.days.push(day);
        Ok(())
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&Root(self.0))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            let mut bytes = [0; 32];
            hex::decode_to_slice(text, &mut bytes).map_err(de::Error::custom)?;
            Ok(Self(bytes))
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_leaves_are_these() {
        let work = Work { held: 1, unproven: 2, served: 3, repair: 4, audit: 5, fuel: 6 };
        let node = NodeId([0xaa; 32]);
        let number = |value: u8, len: usize| format!("{value:0width$x}", width = len * 2);
        let golden = "aa".repeat(32)
            + &number(7, 4)
            + &number(1, 16)
            + &number(2, 16)
            + &number(3, 8)
            + &number(4, 8)
            + &number(5, 8)
            + &number(6, 8);
        assert_eq!(hex::encode(hour_leaf(&node, Hour(7), &work)), golden);
        assert_eq!(hex::encode(day_leaf(&node, &[0xbb; 32])), "aa".repeat(32) + &"bb".repeat(32));
    }

    #[test]
    fn a_hash_is_hexadecimal_in_json() {
        let json = serde_json::to_string(&Hash([0xab; 32])).unwrap();
        assert_eq!(json, format!("\"{}\"", "ab".repeat(32)));
        assert_eq!(serde_json::from_str::<Hash>(&json).unwrap(), Hash([0xab; 32]));
        assert!(serde_json::from_str::<Hash>("\"ab\"").is_err());
    }
}
