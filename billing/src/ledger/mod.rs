//! Double entry, append-only.
//!
//! A balance above zero is what the books owe to somebody; one below zero is what they have, or are owed. Every entry's
//! postings sum to zero, so all balances together do:
//!
//! ```text
//! bank + customers + revenue + pools + operator + tax + nodes + held back + in transit = 0      money
//! receivables + deferred                                                             = 0      promises
//! ```
//!
//! Laws, each a property test of the same name:
//! - *Every entry sums to zero or does not exist*: a [`PostingSet`] cannot be made otherwise.
//! - *Money is conserved*: both lines above hold after every entry.
//! - *Payouts never exceed money received*: no claim is ever below zero and the bank never above it, so all that is owed, and
//!   all that was paid out, is covered by what came in. An entry that would break it is refused as [`BillingError::Overdrawn`].
//! - *An id is posted once*, however often it is sent.
//! - *What was written stays*: each entry carries the hash of all before it.

mod account;
mod cause;
mod check;
mod entry;

use kv::{KeyPrefix, Reads, Span, Tx, transact};
use types::{Root, Timestamp};

pub use account::{Due, LedgerAccount};
pub use cause::Cause;
pub use check::{Report, Totals};
pub use entry::{Entry, EntryId, Head, Movement, Posting, PostingSet};

use crate::Billing;
use crate::calendar::Hour;
use crate::error::BillingError;
use crate::money::Money;
use crate::schema::{BALANCES, ENTRIES, ENTRY_IDS, HEAD, HISTORY};

/// The most postings of one entry: with the longest names it is then below the 100 kB of a value.
pub const POSTINGS_MAX: usize = 1_000;

/// What came of posting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Posted {
    /// It is in the books now, under this number.
    New(u64),
    /// It was there before.
    Before(u64),
    /// There was nothing to move.
    Nothing,
}

/// The number of the entry that `id` stands for.
///
/// # Errors
/// [`BillingError::IdReused`] if it stands for another `cause`.
pub(crate) async fn find(
    tx: &Tx,
    id: &EntryId,
    cause: &Cause,
) -> Result<Option<u64>, BillingError> {
    let Some(number) = ENTRY_IDS.get_for_update(tx, id).await? else { return Ok(None) };
    match ENTRIES.get(tx, &number).await? {
        Some(entry) if entry.cause == *cause => Ok(Some(number)),
        _ => Err(BillingError::IdReused(*id)),
    }
}

/// Writes an entry, unless it was written before. Part of the caller's transaction.
///
/// # Errors
/// [`BillingError::IdReused`], [`BillingError::Overdrawn`]; those of the store.
pub(crate) async fn post(
    tx: &Tx,
    id: EntryId,
    at: Timestamp,
    cause: Cause,
    set: PostingSet,
) -> Result<Posted, BillingError> {
    if let Some(number) = find(tx, &id, &cause).await? {
        return Ok(Posted::Before(number));
    }
    let postings = set.into_postings();
    if postings.is_empty() {
        return Ok(Posted::Nothing);
    }
    let head = HEAD.get_for_update(tx, &()).await?.unwrap_or_default();
    for Posting { account, amount } in &postings {
        let balance = BALANCES.get_for_update(tx, account).await?.unwrap_or_default();
        let after = balance.plus(*amount)?;
        if !account.may_stand_at(after) {
            let (account, amount) = (account.clone(), *amount);
            return Err(BillingError::Overdrawn { account, balance, amount });
        }
        if after == Money::ZERO {
            BALANCES.delete(tx, account);
        } else {
            BALANCES.put(tx, account, &after);
        }
        HISTORY.put(tx, &(account.clone(), head.next), amount);
    }
    // In order of time even when a clock was set back, so that a period can be looked up.
    let at = at.max(head.at);
    let mut entry = Entry { id, at, cause, postings, chain: [0; 32] };
    entry.chain = entry.chained(&head.chain)?;
    ENTRIES.put(tx, &head.next, &entry);
    ENTRY_IDS.put(tx, &id, &head.next);
    HEAD.put(tx, &(), &Head { next: head.next + 1, chain: entry.chain, at });
    Ok(Posted::New(head.next))
}

/// What `account` stands at.
pub(crate) async fn balance<R: Reads + ?Sized>(
    reads: &R,
    account: &LedgerAccount,
) -> Result<Money, BillingError> {
    Ok(BALANCES.get(reads, account).await?.unwrap_or_default())
}

impl Billing {
    /// What `account` stands at.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn balance(&self, account: &LedgerAccount) -> Result<Money, BillingError> {
        balance(&self.kv.snapshot().await?, account).await
    }

    /// Every ledger account that does not stand at zero, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn balances(
        &self,
        after: Option<&LedgerAccount>,
        limit: usize,
    ) -> Result<Vec<(LedgerAccount, Money)>, BillingError> {
        let span = after.map_or_else(Span::all, |after| Span::all().after_key(after));
        Ok(BALANCES.scan(&self.kv.snapshot().await?, span, limit).await?)
    }

    /// Up to `limit` entries, from number `from` on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn entries(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Entry)>, BillingError> {
        let span = Span::all().from_key(&from);
        Ok(ENTRIES.scan(&self.kv.snapshot().await?, span, limit).await?)
    }

    /// The entries that moved `account`, with what they moved: up to `limit` from number `from` on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn history(
        &self,
        account: &LedgerAccount,
        from: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Money)>, BillingError> {
        let snap = self.kv.snapshot().await?;
        history(&snap, account, from, limit).await
    }

    /// How many entries there are, and the hash over all of them: publish it, and nobody can change the past unseen.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn head(&self) -> Result<(u64, Root), BillingError> {
        let head = HEAD.get(&self.kv.snapshot().await?, &()).await?.unwrap_or_default();
        Ok((head.next, Root(head.chain)))
    }

    /// Reads everything and proves the laws on top of [this page](crate::ledger).
    ///
    /// # Errors
    /// Those of the store; what is wrong with the books is in the report.
    pub async fn check(&self) -> Result<Report, BillingError> {
        check::check(&self.kv.snapshot().await?).await
    }

    /// Runs `set` as a transaction of its own.
    pub(crate) async fn post(
        &self,
        id: EntryId,
        at: Timestamp,
        cause: Cause,
        set: PostingSet,
    ) -> Result<Posted, BillingError> {
        let (cause, set) = (&cause, &set);
        transact(
            &*self.kv,
            |tx: Tx| async move { post(&tx, id, at, cause.clone(), set.clone()).await },
        )
        .await
    }
}

/// The number of the first entry that is not before `at`; entries are in order of time.
pub(crate) async fn first_since<R: Reads + ?Sized>(
    reads: &R,
    at: Timestamp,
) -> Result<u64, BillingError> {
    let (mut low, mut high) = (0, HEAD.get(reads, &()).await?.unwrap_or_default().next);
    while low < high {
        let middle = low.midpoint(high);
        match ENTRIES.get(reads, &middle).await? {
            Some(entry) if entry.at < at => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// What moved `account` from `from` until before `to`, in words.
pub(crate) async fn movements<R: Reads + ?Sized>(
    reads: &R,
    account: &LedgerAccount,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Movement>, BillingError> {
    let (first, end) = (first_since(reads, from).await?, first_since(reads, to).await?);
    let mut movements = Vec::new();
    for (number, amount) in history(reads, account, first, usize::MAX).await? {
        if number >= end {
            break;
        }
        if let Some(entry) = ENTRIES.get(reads, &number).await? {
            let (at, what) = (Hour::of(entry.at), entry.cause.to_string());
            movements.push(Movement { entry: number, at, what, amount });
        }
    }
    Ok(movements)
}

/// As [`Billing::history`].
pub(crate) async fn history<R: Reads + ?Sized>(
    reads: &R,
    account: &LedgerAccount,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Money)>, BillingError> {
    let span = Span::of(&KeyPrefix::of(account)).from_key(&(account.clone(), from));
    let rows = HISTORY.scan(reads, span, limit).await?;
    Ok(rows.into_iter().map(|((_, number), amount)| (number, amount)).collect())
}
