//! Why money moves.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId};

use crate::calendar::{Day, Month};
use crate::money::Money;

/// Why money moved. What makes two requests the same is in here. Discriminants are stored: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A customer's money arrived.
    Deposit {
        /// Whose.
        account: AccountId,
        /// How much.
        amount: Money,
        /// Where from, in the operator's words.
        reason: String,
    },
    /// A customer's unused money went back to the customer.
    Refund {
        /// Whose.
        account: AccountId,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// The operator gave a customer money of its own.
    Credit {
        /// To whom.
        account: AccountId,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// A credit, or a deposit booked by mistake, was taken back from a customer to the operator or the bank.
    Correction {
        /// From whom.
        account: AccountId,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// The operator put money in.
    Funding {
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// The operator took its own money out.
    Withdrawal {
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
    },
    /// Collected tax went to the state.
    TaxPaid {
        /// How much.
        amount: Money,
        /// For what.
        reason: String,
    },
    /// A day's use was charged to some customers.
    Charge {
        /// Which day's.
        day: Day,
    },
    /// Tax on an invoice was charged.
    TaxCharge {
        /// To whom.
        account: AccountId,
        /// On which month's invoice.
        month: Month,
    },
    /// What nodes of a customer earned became the customer's, to pay for what it used.
    Netting {
        /// Whose.
        account: AccountId,
    },
    /// A customer's money paid what it owed from before.
    Debts {
        /// Whose.
        account: AccountId,
    },
    /// A day's covered charges were divided between operator and pools.
    Division {
        /// Which day's.
        day: Day,
    },
    /// Pools paid a day's work of some nodes.
    Earnings {
        /// Which day's.
        day: Day,
    },
    /// What was held back from a node became its own.
    Release {
        /// Which node.
        node: NodeId,
    },
    /// What was held back from a node went back into the storage pool, to the others.
    Forfeit {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
    },
    /// A payout was prepared.
    PayoutPrepared {
        /// In which batch.
        batch: String,
        /// To whom.
        account: AccountId,
    },
    /// The bank paid it.
    PayoutPaid {
        /// In which batch.
        batch: String,
        /// To whom.
        account: AccountId,
    },
    /// It came back, or never left.
    PayoutReturned {
        /// In which batch.
        batch: String,
        /// To whom.
        account: AccountId,
        /// What the bank said.
        reason: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deposit { reason, .. } => write!(f, "deposit: {reason}"),
            Self::Refund { reason, .. } => write!(f, "refund: {reason}"),
            Self::Credit { reason, .. } => write!(f, "credit: {reason}"),
            Self::Correction { reason, .. } => write!(f, "correction: {reason}"),
            Self::Funding { reason, .. } => write!(f, "funding: {reason}"),
            Self::Withdrawal { reason, .. } => write!(f, "withdrawal: {reason}"),
            Self::TaxPaid { reason, .. } => write!(f, "tax paid: {reason}"),
            Self::Charge { day } => write!(f, "use on {day}"),
            Self::TaxCharge { month, .. } => write!(f, "tax on {month}"),
            Self::Netting { .. } => f.write_str("earnings used to pay"),
            Self::Debts { .. } => f.write_str("older debts paid"),
            Self::Division { day } => write!(f, "division of {day}"),
            Self::Earnings { day } => write!(f, "work on {day}"),
            Self::Release { .. } => f.write_str("held-back money released"),
            Self::Forfeit { reason, .. } => write!(f, "held-back money forfeited: {reason}"),
            Self::PayoutPrepared { batch, .. } => write!(f, "payout {batch} prepared"),
            Self::PayoutPaid { batch, .. } => write!(f, "payout {batch} paid"),
            Self::PayoutReturned { batch, reason, .. } => {
                write!(f, "payout {batch} returned: {reason}")
            }
        }
    }
}
