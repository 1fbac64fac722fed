//! Money that leaves: what nodes earned, to their owners' banks.
//!
//! ```text
//! prepare ──▶ prepared ──▶ sent ──▶ paid
//!                │           └────▶ returned ──▶ back in the nodes' balances
//!                └──▶ cancelled ────────────────▶ likewise
//! ```
//!
//! A batch has a name, which is also its message id at the bank, and holds one payout for each owner. Preparing moves the money
//! out of the nodes' balances in the transaction that writes the payout, so it can be in one payout only; preparing a batch
//! again finds it as it is.
//!
//! Laws, each a test of the same name:
//! - *Nothing is paid twice*, whatever crashes between.
//! - *Returned money goes back to the balance.*
//! - *The control sum is the sum of the payouts.*
//! - *Nothing below the minimum is paid out*, and what a bank cannot move stays in the balance.

mod files;
mod iban;
mod pain001;
mod prepare;

use std::fmt;

use kv::{KeyPrefix, Reads, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId, Timestamp};

pub use files::to_csv;
pub use iban::{Bic, Iban, PayeeError};
pub use pain001::to_pain001;

use crate::Billing;
use crate::account::check_reason;
use crate::error::BillingError;
use crate::ledger::{Cause, EntryId, LedgerAccount, PostingSet, post};
use crate::money::Money;
use crate::schema::{BATCHES, PAYEES, PAYOUTS, PAYOUTS_OF};

/// The longest name of a batch: what a message id holds.
pub const BATCH_NAME_MAX: usize = 35;
/// The longest name of a payee: what a bank's file holds.
pub const NAME_MAX: usize = 70;
/// Owners that are looked at in one step.
const OWNERS_PAGE: usize = 200;

/// Whom money goes to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payee {
    /// The name of the bank account's owner.
    pub name: String,
    /// The bank account.
    pub iban: Iban,
    /// The bank, where one is wanted.
    pub bic: Option<Bic>,
}

/// A batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BatchHead {
    /// When it was begun.
    pub created: Timestamp,
    /// How far it is.
    pub state: BatchState,
    /// The owner up to whom it is prepared, while it is being.
    pub after: Option<AccountId>,
    /// How many payouts it holds.
    pub count: u32,
    /// What they come to together.
    pub sum: Money,
}

/// How far a batch is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchState {
    /// Payouts are still being added.
    Preparing,
    /// Nothing will be added; the file can be made.
    Prepared,
    /// The bank has the file.
    Sent,
    /// It was never sent; the money is back.
    Cancelled,
}

/// How far a payout is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemState {
    /// As its batch.
    Pending,
    /// The bank has paid it.
    Paid,
    /// It came back, or never left.
    Returned,
}

/// One payout of a batch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payout {
    /// To whom, as it was then.
    pub payee: Payee,
    /// How much.
    pub amount: Money,
    /// Out of which nodes' balances.
    pub from: Vec<(NodeId, Money)>,
    /// How far it is.
    pub state: ItemState,
    /// What the bank said, if it came back.
    pub reason: Option<String>,
    /// Its number in the batch, from 1; part of the end-to-end id.
    pub number: u32,
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preparing => "being prepared",
            Self::Prepared => "prepared",
            Self::Sent => "sent",
            Self::Cancelled => "cancelled",
        })
    }
}

impl fmt::Display for ItemState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Returned => "returned",
        })
    }
}

impl Billing {
    /// Sets whom the earnings of the nodes of `account` go to.
    ///
    /// # Errors
    /// [`BillingError::Payee`] for a name that is empty or above [`NAME_MAX`].
    pub async fn set_payee(&self, account: &AccountId, payee: &Payee) -> Result<(), BillingError> {
        if payee.name.trim().is_empty() || payee.name.chars().count() > NAME_MAX {
            return Err(PayeeError::Name(payee.name.clone()).into());
        }
        transact(&*self.kv, |tx: Tx| async move {
            PAYEES.put(&tx, account, payee);
            Ok(())
        })
        .await
    }

    /// Whom the earnings of the nodes of `account` go to.
    ///
    /// # Errors
    /// [`BillingError::NoPayee`]
    pub async fn payee(&self, account: &AccountId) -> Result<Payee, BillingError> {
        let payee = PAYEES.get(&self.kv.snapshot().await?, account).await?;
        payee.ok_or_else(|| BillingError::NoPayee(account.clone()))
    }

    /// The batch `name`.
    ///
    /// # Errors
    /// [`BillingError::NoSuchBatch`]
    pub async fn payout_batch(&self, name: &str) -> Result<BatchHead, BillingError> {
        batch(&self.kv.snapshot().await?, name).await
    }

    /// Every batch, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn payout_batches(&self) -> Result<Vec<(String, BatchHead)>, BillingError> {
        Ok(BATCHES.scan(&self.kv.snapshot().await?, Span::all(), usize::MAX).await?)
    }

    /// The payouts of the batch `name`, by owner.
    ///
    /// # Errors
    /// [`BillingError::NoSuchBatch`]
    pub async fn payouts(&self, name: &str) -> Result<Vec<(AccountId, Payout)>, BillingError> {
        let snap = self.kv.snapshot().await?;
        batch(&snap, name).await?;
        payouts(&snap, name).await
    }

    /// The payouts of `account`, by batch.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn payouts_of(
        &self,
        account: &AccountId,
    ) -> Result<Vec<(String, Payout)>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut payouts = Vec::new();
        for ((_, name), ()) in PAYOUTS_OF.scan(&snap, &KeyPrefix::of(account), usize::MAX).await? {
            let payout = PAYOUTS.get(&snap, &(name.clone(), account.clone())).await?;
            payouts.extend(payout.map(|payout| (name, payout)));
        }
        Ok(payouts)
    }

    /// The bank has the file. Said again, it changes nothing.
    ///
    /// # Errors
    /// [`BillingError::BatchIs`] unless it is prepared.
    pub async fn mark_sent(&self, name: &str) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let head = batch_for_update(&tx, name).await?;
            match head.state {
                BatchState::Sent => Ok(()),
                BatchState::Prepared => {
                    let sent = BatchHead { state: BatchState::Sent, ..head };
                    BATCHES.put(&tx, &name.to_owned(), &sent);
                    Ok(())
                }
                state => Err(BillingError::BatchIs {
                    batch: name.to_owned(),
                    state,
                    wanted: "sending it",
                }),
            }
        })
        .await
    }

    /// The bank has paid `account`. Said again, it changes nothing.
    ///
    /// # Errors
    /// [`BillingError::BatchIs`] unless the batch is sent; [`BillingError::PayoutIs`] if it came back;
    /// [`BillingError::NoSuchPayout`].
    pub async fn mark_paid(
        &self,
        name: &str,
        account: &AccountId,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let payout = sent_payout(&tx, name, account).await?;
            match payout.state {
                ItemState::Paid => return Ok(()),
                ItemState::Pending => {}
                state @ ItemState::Returned => {
                    let (account, wanted) = (account.clone(), ItemState::Paid);
                    return Err(BillingError::PayoutIs { account, state, wanted });
                }
            }
            let (transit, bank) = (LedgerAccount::Transit, LedgerAccount::Bank);
            let set = PostingSet::transfer(transit, bank, payout.amount)?;
            let cause = Cause::PayoutPaid { batch: name.to_owned(), account: account.clone() };
            post(&tx, entry_id("payout-paid", name, account), now, cause, set).await?;
            let key = (name.to_owned(), account.clone());
            PAYOUTS.put(&tx, &key, &Payout { state: ItemState::Paid, ..payout });
            Ok(())
        })
        .await
    }

    /// The bank has paid everything in the batch that did not come back.
    ///
    /// # Errors
    /// As [`Self::mark_paid`].
    pub async fn mark_all_paid(&self, name: &str, now: Timestamp) -> Result<(), BillingError> {
        for (account, payout) in self.payouts(name).await? {
            if payout.state == ItemState::Pending {
                self.mark_paid(name, &account, now).await?;
            }
        }
        Ok(())
    }

    /// The payout to `account` came back: its money is in the nodes' balances again. It may have been marked paid before. Said again, it
    /// changes nothing.
    ///
    /// # Errors
    /// [`BillingError::BatchIs`] unless the batch is sent; [`BillingError::NoSuchPayout`]; [`BillingError::Reason`].
    pub async fn mark_returned(
        &self,
        name: &str,
        account: &AccountId,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        check_reason(reason)?;
        transact(&*self.kv, |tx: Tx| async move {
            let payout = sent_payout(&tx, name, account).await?;
            give_back(&tx, name, account, payout, reason, now).await
        })
        .await
    }

    /// Gives everything back, of a batch that the bank never got.
    ///
    /// # Errors
    /// [`BillingError::BatchIs`] once it is sent.
    pub async fn cancel_payouts(&self, name: &str, now: Timestamp) -> Result<(), BillingError> {
        // From the first step on it can be neither sent nor added to.
        transact(&*self.kv, |tx: Tx| async move {
            let head = batch_for_update(&tx, name).await?;
            if head.state == BatchState::Sent {
                return Err(BillingError::BatchIs {
                    batch: name.to_owned(),
                    state: head.state,
                    wanted: "cancelling it",
                });
            }
            let cancelled = BatchHead { state: BatchState::Cancelled, after: None, ..head };
            BATCHES.put(&tx, &name.to_owned(), &cancelled);
            Ok(())
        })
        .await?;
        let all = self.payouts(name).await?;
        let left = all.iter().filter(|(_, payout)| payout.state != ItemState::Returned);
        for (account, _) in left {
            transact(&*self.kv, |tx: Tx| async move {
                let payout = payout(&tx, name, account).await?;
                give_back(&tx, name, account, payout, "cancelled before it was sent", now).await
            })
            .await?;
        }
        Ok(())
    }
}

/// Undoes a payout, unless that was done before.
async fn give_back(
    tx: &Tx,
    name: &str,
    account: &AccountId,
    payout: Payout,
    reason: &str,
    now: Timestamp,
) -> Result<(), BillingError> {
    let source = match payout.state {
        ItemState::Returned => return Ok(()),
        ItemState::Pending => LedgerAccount::Transit,
        ItemState::Paid => LedgerAccount::Bank,
    };
    let back = payout.from.iter().map(|(node, part)| (LedgerAccount::Node(*node), *part));
    let mut moves: Vec<_> = back.collect();
    moves.push((source, payout.amount.negated()?));
    let cause = Cause::PayoutReturned {
        batch: name.to_owned(),
        account: account.clone(),
        reason: reason.to_owned(),
    };
    let id = entry_id("payout-returned", name, account);
    post(tx, id, now, cause, PostingSet::new(moves)?).await?;
    let (state, reason) = (ItemState::Returned, Some(reason.to_owned()));
    let key = (name.to_owned(), account.clone());
    PAYOUTS.put(tx, &key, &Payout { state, reason, ..payout });
    Ok(())
}

async fn batch<R: Reads + ?Sized>(reads: &R, name: &str) -> Result<BatchHead, BillingError> {
    let head = BATCHES.get(reads, &name.to_owned()).await?;
    head.ok_or_else(|| BillingError::NoSuchBatch(name.to_owned()))
}

async fn batch_for_update(tx: &Tx, name: &str) -> Result<BatchHead, BillingError> {
    let head = BATCHES.get_for_update(tx, &name.to_owned()).await?;
    head.ok_or_else(|| BillingError::NoSuchBatch(name.to_owned()))
}

async fn payout(tx: &Tx, name: &str, account: &AccountId) -> Result<Payout, BillingError> {
    let key = (name.to_owned(), account.clone());
    let payout = PAYOUTS.get_for_update(tx, &key).await?;
    payout.ok_or_else(|| BillingError::NoSuchPayout { batch: key.0, account: key.1 })
}

/// A payout of a batch that the bank has.
async fn sent_payout(tx: &Tx, name: &str, account: &AccountId) -> Result<Payout, BillingError> {
    let head = batch_for_update(tx, name).await?;
    if head.state != BatchState::Sent {
        return Err(BillingError::BatchIs {
            batch: name.to_owned(),
            state: head.state,
            wanted: "telling what the bank did",
        });
    }
    payout(tx, name, account).await
}

/// The payouts of a batch, by owner.
pub(crate) async fn payouts<R: Reads + ?Sized>(
    reads: &R,
    name: &str,
) -> Result<Vec<(AccountId, Payout)>, BillingError> {
    let prefix = KeyPrefix::of(&name.to_owned());
    let mut all = Vec::new();
    let mut span = Span::of(&prefix);
    loop {
        let page = PAYOUTS.scan(reads, span, OWNERS_PAGE).await?;
        let (full, last) = (page.len() == OWNERS_PAGE, page.last().map(|(key, _)| key.clone()));
        all.extend(page.into_iter().map(|((_, account), payout)| (account, payout)));
        match last {
            Some(last) if full => span = Span::of(&prefix).after_key(&last),
            _ => return Ok(all),
        }
    }
}

fn entry_id(what: &str, name: &str, account: &AccountId) -> EntryId {
    EntryId::of(what, format!("{name}/{account}"))
}
