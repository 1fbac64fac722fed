//! What can go wrong with money, by whose fault.

use kv::KvError;
use types::{AccountId, NodeId};

use crate::account::{FreezeKind, Tier};
use crate::calendar::{Day, Hour, Month};
use crate::intake::Source;
use crate::ledger::{EntryId, LedgerAccount};
use crate::money::{Money, MoneyError};
use crate::payout::{BatchState, ItemState, PayeeError};
use crate::split::SplitError;

/// A refusal or failure of the books. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BillingError {
    /// Postings that do not sum to zero. A mistake of this program: nothing was written.
    #[error("the postings sum to {0}, not to zero")]
    Unbalanced(Money),
    /// An entry without postings, or with more than one record holds.
    #[error("an entry has 1 to {max} postings, not {len}")]
    EntrySize {
        /// Postings that were given.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// The account does not hold that much.
    #[error("{account} stands at {balance}; moving {amount} would overdraw it")]
    Overdrawn {
        /// Whose.
        account: LedgerAccount,
        /// Before.
        balance: Money,
        /// What was to be added.
        amount: Money,
    },
    /// The id stands for another entry.
    #[error("the id {0} has been used for another entry; choose a new one")]
    IdReused(EntryId),
    /// Batches of a source come one after the other.
    #[error(
        "{source_id} sent batch {got} where batch {expected} is next; one in between is missing"
    )]
    Gap {
        /// Who.
        source_id: Source,
        /// The next one.
        expected: u64,
        /// The one that came.
        got: u64,
    },
    /// The batch was counted before, with other content.
    #[error("{source_id} sent batch {number} before, with other events in it")]
    BatchChanged {
        /// Who.
        source_id: Source,
        /// Which one.
        number: u64,
    },
    /// More events than one transaction can count.
    #[error("a batch has at most {max} events, not {len}")]
    BatchTooLarge {
        /// Events that came.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// Sums have outgrown their type. Only a wrong clock, size or price can do that.
    #[error("the {0} cannot be counted any more; some size, time or price is wrong")]
    Overflow(&'static str),
    /// No tariff is in force.
    #[error("no tariff is in force on {0}; add one that begins by then")]
    NoTariff(Day),
    /// The past never changes.
    #[error("prices of {asked} are fixed; the first day that can still change is {first}")]
    PastIsFixed {
        /// The day that was asked for.
        asked: Day,
        /// The first that is free.
        first: Day,
    },
    /// A tariff that contradicts itself.
    #[error("the tariff is not sound: {0}")]
    BadTariff(&'static str),
    /// An amount that has to be above zero.
    #[error("an amount above zero is needed, not {0}")]
    NotPositive(Money),
    /// A change of money needs a reason that people can read later.
    #[error("a reason is needed, of 1 to {max} bytes; this one has {len}")]
    Reason {
        /// Bytes of the reason.
        len: usize,
        /// The most there may be.
        max: usize,
    },
    /// The month's days are not all settled.
    #[error("{month} is not over: days from {open} on are not settled")]
    MonthOpen {
        /// The month.
        month: Month,
        /// The first unsettled day.
        open: Day,
    },
    /// The account is frozen for this.
    #[error("account {account} is frozen ({kind}): {reason}")]
    Frozen {
        /// Whose.
        account: AccountId,
        /// Why, as a kind.
        kind: FreezeKind,
        /// Why, in the operator's words.
        reason: String,
    },
    /// The account's tier does not allow it.
    #[error("accounts of tier {tier} may have {limit} {what}")]
    TierLimit {
        /// The tier.
        tier: Tier,
        /// How much is allowed.
        limit: u64,
        /// Of what.
        what: &'static str,
    },
    /// A spend cap is reached.
    #[error(
        "the spend cap of {scope} is {cap} a month; {spent} is spent and this would cost {cost}"
    )]
    SpendCap {
        /// What is capped, in words.
        scope: String,
        /// The cap.
        cap: Money,
        /// Spent in this month.
        spent: Money,
        /// What was asked for.
        cost: Money,
    },
    /// The market's price is above what the customer wants to pay.
    #[error("{item} costs {price}, above this account's ceiling of {ceiling}")]
    TooDear {
        /// What.
        item: String,
        /// Today's price.
        price: Money,
        /// The customer's ceiling.
        ceiling: Money,
    },
    /// The node was never enrolled.
    #[error("no node {0} is enrolled; enrol it with its owner first")]
    NoSuchNode(NodeId),
    /// Nothing to pay to.
    #[error("account {0} has no payee; add a name and an IBAN first")]
    NoPayee(AccountId),
    /// The name or the IBAN is wrong.
    #[error(transparent)]
    Payee(#[from] PayeeError),
    /// No such batch of payouts.
    #[error("no payout batch {0:?}")]
    NoSuchBatch(String),
    /// The batch has no such item.
    #[error("payout batch {batch:?} has nothing for account {account}")]
    NoSuchPayout {
        /// The batch.
        batch: String,
        /// The account.
        account: AccountId,
    },
    /// The name of a batch is its message id at the bank.
    #[error("{0:?} is not a batch name; write 1 to {max} letters, digits or hyphens", max = crate::payout::BATCH_NAME_MAX)]
    BatchName(String),
    /// A bank takes no file without a payment.
    #[error("payout batch {0:?} has nothing to pay; there is no file to make of it")]
    NothingToPay(String),
    /// The batch is not in a state that allows this.
    #[error("payout batch {batch:?} is {state}; {wanted} is not possible any more, or not yet")]
    BatchIs {
        /// The batch.
        batch: String,
        /// As it is.
        state: BatchState,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The payout is not in a state that allows this.
    #[error("the payout to {account} is {state}; it cannot be marked {wanted}")]
    PayoutIs {
        /// Whose.
        account: AccountId,
        /// As it is.
        state: ItemState,
        /// What was asked for.
        wanted: ItemState,
    },
    /// No such hour was totalled for the node.
    #[error("{node} has no totals of {hour}")]
    NoTally {
        /// The node.
        node: NodeId,
        /// The hour.
        hour: Hour,
    },
    /// A name that is not in its table.
    #[error("{text:?} is not a {what}; there are {choices}")]
    Unknown {
        /// The text.
        text: String,
        /// What it should be.
        what: &'static str,
        /// What there is.
        choices: &'static str,
    },
    /// An amount cannot be counted.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A charge cannot be divided.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A document cannot be written.
    #[error("a document could not be written")]
    Document(#[from] serde_json::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] KvError),
}
