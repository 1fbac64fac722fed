//! What an entry is made of.

use std::collections::BTreeMap;
use std::fmt;

use kv::{KeyCodec, KvError};
use serde::{Deserialize, Serialize};
use types::{Root, Timestamp};

use super::{Cause, LedgerAccount, POSTINGS_MAX};
use crate::calendar::Hour;
use crate::error::BillingError;
use crate::money::Money;

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

/// What an entry did to one account, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Movement {
    /// The entry's number.
    pub entry: u64,
    /// The hour it was posted in.
    pub at: Hour,
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
    use types::{AccountId, NodeId};

    use super::*;
    use crate::calendar::Day;
    use crate::ledger::Due;
    use crate::quantity::Pool;

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
            if std::mem::discriminant(&a) != std::mem::discriminant(&b) {
                prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
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
