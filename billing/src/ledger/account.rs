//! The places where money can be.

use std::fmt;

use kv::{KeyCodec, KvError};
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId};

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
