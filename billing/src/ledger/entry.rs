//! What an entry is made of.

use std::collections::BTreeMap;
use std::fmt;

use kv::{KeyCodec, KvError};
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId, Root, Timestamp};

use super::POSTINGS_MAX;
use crate::calendar::{Day, Month};
use crate::error::BillingError;
use crate::money::Money;
use crate::quantity::Pool;

/// A place where money can be. The numbers of the variants are stored, in keys and in records: append only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum LedgerAccount {
    /// The operator's bank account; below zero, because it is what the books have.
    Bank,
    /// The operator's own.
    Operator,
    /// Value added tax that is owed to the state.
    Tax,
    /// Covered charges that wait to be divided.
    Revenue(Pool),
    /// The nodes' part that waits for work to pay.
    Pool(Pool),
    /// On its way to payees' banks.
    Transit,
    /// A customer's money that is not used up.
    Customer(AccountId),
    /// What a customer owes; below zero.
    Receivable(AccountId),
    /// The other side of it: where that money will go once it is paid.
    Deferred(AccountId, Due),
    /// What a node earned and its owner may spend.
    Node(NodeId),
    /// What a node earned and gets when it has proven itself.
    Held(NodeId),
}

/// What a charge is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Due {
    /// Use, to be divided.
    Use(Pool),
    /// Tax on it.
    Tax,
}

impl Due {
    /// All there are, in the order in which they are paid. Tax comes first: it is not ours.
    pub const ALL: [Self; 4] =
        [Self::Tax, Self::Use(Pool::Storage), Self::Use(Pool::Egress), Self::Use(Pool::Compute)];

    /// Where the money goes once it is there.
    #[must_use]
    pub const fn destination(self) -> LedgerAccount {
        match self {
            Self::Use(pool) => LedgerAccount::Revenue(pool),
            Self::Tax => LedgerAccount::Tax,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Use(pool) => pool as u8,
            Self::Tax => 3,
        }
    }
}

impl LedgerAccount {
    /// What the key of every [`Self::Held`] begins with.
    pub(crate) const HELD: u8 = 10;

    /// Whether the laws allow that balance.
    pub(crate) fn may_stand_at(&self, balance: Money) -> bool {
        match self {
            Self::Bank | Self::Receivable(_) => balance <= Money::ZERO,
            _ => !balance.is_negative(),
        }
    }

    /// Whether it counts promises, not money.
    pub(crate) const fn is_promise(&self) -> bool {
        matches!(self, Self::Receivable(_) | Self::Deferred(..))
    }

    const fn number(&self) -> u8 {
        match self {
            Self::Bank => 0,
            Self::Operator => 1,
            Self::Tax => 2,
            Self::Revenue(_) => 3,
            Self::Pool(_) => 4,
            Self::Transit => 5,
            Self::Customer(_) => 6,
            Self::Receivable(_) => 7,
            Self::Deferred(..) => 8,
            Self::Node(_) => 9,
            Self::Held(_) => Self::HELD,
        }
    }
}

impl fmt::Display for LedgerAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bank => f.write_str("bank"),
            Self::Operator => f.write_str("operator"),
            Self::Tax => f.write_str("tax"),
            Self::Revenue(pool) => write!(f, "revenue:{pool}"),
            Self::Pool(pool) => write!(f, "pool:{pool}"),
            Self::Transit => f.write_str("transit"),
            Self::Customer(account) => write!(f, "customer:{account}"),
            Self::Receivable(account) => write!(f, "receivable:{account}"),
            Self::Deferred(account, due) => write!(f, "deferred:{account}:{due}"),
            Self::Node(node) => write!(f, "node:{node}"),
            Self::Held(node) => write!(f, "held:{node}"),
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(pool) => write!(f, "{pool}"),
            Self::Tax => f.write_str("tax"),
        }
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Storage => "storage",
            Self::Egress => "egress",
            Self::Compute => "compute",
        })
    }
}

impl KeyCodec for Pool {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        match u8::decode_from(input)? {
            0 => Ok(Self::Storage),
            1 => Ok(Self::Egress),
            2 => Ok(Self::Compute),
            _ => Err(KvError::MalformedKey { expected: "pool" }),
        }
    }
}

impl KeyCodec for Due {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.number());
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        if input.first() == Some(&Self::Tax.number()) {
            *input = &input[1..];
            return Ok(Self::Tax);
        }
        Pool::decode_from(input).map(Self::Use)
    }
}

impl KeyCodec for LedgerAccount {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(self.number());
        match self {
            Self::Bank | Self::Operator | Self::Tax | Self::Transit => {}
            Self::Revenue(pool) | Self::Pool(pool) => pool.encode_to(out),
            Self::Customer(account) | Self::Receivable(account) => account.encode_to(out),
            Self::Deferred(account, due) => {
                account.encode_to(out);
                due.encode_to(out);
            }
            Self::Node(node) | Self::Held(node) => node.encode_to(out),
        }
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        Ok(match u8::decode_from(input)? {
            0 => Self::Bank,
            1 => Self::Operator,
            2 => Self::Tax,
            3 => Self::Revenue(Pool::decode_from(input)?),
            4 => Self::Pool(Pool::decode_from(input)?),
            5 => Self::Transit,
            6 => Self::Customer(AccountId::decode_from(input)?),
            7 => Self::Receivable(AccountId::decode_from(input)?),
            8 => Self::Deferred(AccountId::decode_from(input)?, Due::decode_from(input)?),
            9 => Self::Node(NodeId::decode_from(input)?),
            Self::HELD => Self::Held(NodeId::decode_from(input)?),
            _ => return Err(KvError::MalformedKey { expected: "ledger account" }),
        })
    }
}

/// One side of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Posting {
    /// Where.
    pub account: LedgerAccount,
    /// What is added to its balance.
    pub amount: Money,
}

/// Postings that sum to zero, each account once. There are no others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostingSet(Vec<Posting>);

impl PostingSet {
    /// Adds up what is moved by account. What sums to nothing is left out.
    ///
    /// # Errors
    /// [`BillingError::Unbalanced`]; [`BillingError::EntrySize`] above [`POSTINGS_MAX`];
    /// [`MoneyError::Overflow`](crate::MoneyError::Overflow). Money and promises are balanced each for themselves.
    pub fn new(
        moves: impl IntoIterator<Item = (LedgerAccount, Money)>,
    ) -> Result<Self, BillingError> {
        let mut by_account: BTreeMap<LedgerAccount, Money> = BTreeMap::new();
        for (account, amount) in moves {
            let sum = by_account.entry(account).or_default();
            *sum = sum.plus(amount)?;
        }
        by_account.retain(|_, amount| *amount != Money::ZERO);
        for promises in [false, true] {
            let side = by_account.iter().filter(|(account, _)| account.is_promise() == promises);
            let sum = Money::total(side.map(|(_, amount)| *amount))?;
            if sum != Money::ZERO {
                return Err(BillingError::Unbalanced(sum));
            }
        }
        if by_account.len() > POSTINGS_MAX {
            return Err(BillingError::EntrySize { len: by_account.len(), max: POSTINGS_MAX });
        }
        let postings = by_account.into_iter();
        Ok(Self(postings.map(|(account, amount)| Posting { account, amount }).collect()))
    }

    /// Moves `amount` from one account to another.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn transfer(
        from: LedgerAccount,
        to: LedgerAccount,
        amount: Money,
    ) -> Result<Self, BillingError> {
        Self::new([(from, amount.negated()?), (to, amount)])
    }

    pub(crate) fn into_postings(self) -> Vec<Posting> {
        self.0
    }
}

/// An entry's identity: who posts the same thing twice gives it the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryId(pub [u8; 32]);

impl EntryId {
    /// The id of `what`, by the `name` that its kind of thing has.
    #[must_use]
    pub fn of(what: &str, name: impl AsRef<[u8]>) -> Self {
        let mut bytes = Vec::with_capacity(what.len() + 1 + name.as_ref().len());
        bytes.extend_from_slice(what.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(name.as_ref());
        Self(Root::of(&bytes).0)
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Root(self.0).fmt(f)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({self})")
    }
}

impl KeyCodec for EntryId {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        <[u8; 32]>::decode_from(input).map(Self)
    }
}

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

/// What an entry did to one account, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Movement {
    /// The entry's number.
    pub entry: u64,
    /// The hour it was posted in.
    pub at: crate::calendar::Hour,
    /// Why, in words.
    pub what: String,
    /// What it added.
    pub amount: Money,
}

/// One entry, as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its identity.
    pub id: EntryId,
    /// When it was posted.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// What it moved; sums to zero.
    pub postings: Vec<Posting>,
    /// BLAKE3 of the chain before and of all the above.
    pub chain: [u8; 32],
}

impl Entry {
    /// What its `chain` has to be after `before`.
    pub(crate) fn chained(&self, before: &[u8; 32]) -> Result<[u8; 32], BillingError> {
        let body = (before, &self.id, self.at, &self.cause, &self.postings);
        let encode = |source| KvError::Encode { table: "entry/1", source };
        Ok(Root::of(&postcard::to_stdvec(&body).map_err(encode)?).0)
    }
}

/// The end of the books.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Head {
    /// The number of the next entry.
    pub next: u64,
    /// The chain of the last one; zeros before the first.
    pub chain: [u8; 32],
    /// The time of the last one: no entry is earlier than the one before it.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn account() -> impl Strategy<Value = LedgerAccount> {
        let id = "[a-z]{1,3}".prop_map(|id| id.parse::<AccountId>().unwrap());
        let pool = prop::sample::select(Pool::ALL.to_vec());
        let due = prop::sample::select(Due::ALL.to_vec());
        prop_oneof![
            Just(LedgerAccount::Bank),
            Just(LedgerAccount::Operator),
            Just(LedgerAccount::Tax),
            Just(LedgerAccount::Transit),
            pool.clone().prop_map(LedgerAccount::Revenue),
            pool.prop_map(LedgerAccount::Pool),
            id.clone().prop_map(LedgerAccount::Customer),
            id.clone().prop_map(LedgerAccount::Receivable),
            (id, due).prop_map(|(id, due)| LedgerAccount::Deferred(id, due)),
            any::<[u8; 32]>().prop_map(|id| LedgerAccount::Node(NodeId(id))),
            any::<[u8; 32]>().prop_map(|id| LedgerAccount::Held(NodeId(id))),
        ]
    }

    proptest! {
        #[test]
        fn every_entry_sums_to_zero_or_does_not_exist(
            moves in prop::collection::vec((account(), -1_000..1_000_i128), 0..30)
        ) {
            let sum = |promise: bool| -> i128 {
                let side = moves.iter().filter(|(account, _)| account.is_promise() == promise);
                side.map(|(_, amount)| amount).sum()
            };
            let set = PostingSet::new(
                moves.iter().map(|(account, amount)| (account.clone(), Money::from_micros(*amount)))
            );
            prop_assert_eq!(set.is_ok(), sum(false) == 0 && sum(true) == 0);
            if let Ok(set) = set {
                let total = Money::total(set.0.iter().map(|posting| posting.amount)).unwrap();
                prop_assert_eq!(total, Money::ZERO);
                prop_assert!(set.0.windows(2).all(|pair| pair[0].account < pair[1].account));
            }
        }

        #[test]
        fn keys_of_accounts_read_back_and_sort_as_the_accounts(a in account(), b in account()) {
            prop_assert_eq!(LedgerAccount::decode(&a.encode()).unwrap(), a.clone());
            prop_assert!(a == b || !a.encode().starts_with(&b.encode()));
            if a.number() != b.number() {
                prop_assert_eq!(a.encode().cmp(&b.encode()), a.number().cmp(&b.number()));
            }
        }
    }

    #[test]
    fn promises_are_not_balanced_with_money() {
        let alice: AccountId = "alice".parse().unwrap();
        let moves = [
            (LedgerAccount::Receivable(alice), Money::from_micros(-5)),
            (LedgerAccount::Operator, Money::from_micros(5)),
        ];
        assert!(matches!(PostingSet::new(moves), Err(BillingError::Unbalanced(_))));
    }

    #[test]
    fn an_entry_fits_its_value_however_long_the_names_are() {
        let name = |number: usize| format!("{number:064}").parse::<AccountId>().unwrap();
        let amount = Money::from_micros(i128::from(i64::MAX));
        let postings = (0..POSTINGS_MAX).map(|number| Posting {
            account: LedgerAccount::Deferred(name(number), Due::Tax),
            amount,
        });
        let entry = Entry {
            id: EntryId([0; 32]),
            at: Timestamp(u64::MAX),
            cause: Cause::Charge { day: Day(u32::MAX) },
            postings: postings.collect(),
            chain: [0; 32],
        };
        assert!(postcard::to_stdvec(&entry).unwrap().len() <= kv::VALUE_MAX);
    }
}
