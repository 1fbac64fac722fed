//! A batch is made: who gets something, and out of which balances.

use kv::{KeyPrefix, Span, Tx, transact};
use types::{AccountId, NodeId, Timestamp};

use super::{BATCH_NAME_MAX, BatchHead, BatchState, ItemState, Payout, entry_id};
use crate::Billing;
use crate::account::{Action, pay_debts, profile};
use crate::error::BillingError;
use crate::ledger::{Cause, LedgerAccount, PostingSet, balance, post};
use crate::money::Money;
use crate::schema::{BATCHES, NODES_OF, PAYEES, PAYOUTS, PAYOUTS_OF};

/// Nodes of one owner that one payout takes from; an owner of more gets the rest with the next.
const NODES_MAX: usize = 900;

impl Billing {
    /// Prepares the batch `name`: a payout for every owner (or only for `account`) who has a payee, is not frozen, and has at least the
    /// minimum to spend. A batch that was prepared is returned as it is; one that was begun is finished.
    ///
    /// # Errors
    /// [`BillingError::BatchName`]; those of the store.
    pub async fn prepare_payouts(
        &self,
        name: &str,
        account: Option<&AccountId>,
        now: Timestamp,
    ) -> Result<BatchHead, BillingError> {
        check_name(name)?;
        loop {
            let head = self.prepare_some(name, account, now).await?;
            if head.state != BatchState::Preparing {
                return Ok(head);
            }
        }
    }

    /// Adds the payouts of some owners; the batch as it is then.
    async fn prepare_some(
        &self,
        name: &str,
        only: Option<&AccountId>,
        now: Timestamp,
    ) -> Result<BatchHead, BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let key = name.to_owned();
            let mut head = BATCHES.get_for_update(&tx, &key).await?.unwrap_or(BatchHead {
                created: now,
                state: BatchState::Preparing,
                after: None,
                count: 0,
                sum: Money::ZERO,
            });
            if head.state != BatchState::Preparing {
                return Ok(head);
            }
            let owner = match only {
                Some(account) => head.after.is_none().then(|| account.clone()),
                None => next_owner(&tx, head.after.as_ref()).await?,
            };
            match owner {
                Some(owner) => {
                    self.add_payout(&tx, name, &owner, &mut head, now).await?;
                    head.after = Some(owner);
                }
                None => {
                    head.state = BatchState::Prepared;
                    head.after = None;
                }
            }
            BATCHES.put(&tx, &key, &head);
            Ok(head)
        })
        .await
    }

    /// Adds what `owner` is to get, if that is anything.
    async fn add_payout(
        &self,
        tx: &Tx,
        name: &str,
        owner: &AccountId,
        head: &mut BatchHead,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        let Some(payee) = PAYEES.get(tx, owner).await? else { return Ok(()) };
        let profile = profile(tx, owner).await?;
        if profile.forbids(Action::PayOut).is_some() {
            return Ok(());
        }
        if profile.netting {
            pay_debts(tx, owner, &format!("{name}/{owner}"), now).await?;
        }
        let mut balances = Vec::new();
        for ((_, node), ()) in NODES_OF.scan(tx, &KeyPrefix::of(owner), NODES_MAX).await? {
            balances.push((node, balance(tx, &LedgerAccount::Node(node)).await?));
        }
        let all = Money::total(balances.iter().map(|(_, balance)| *balance))?;
        let amount = self.rules.currency.floor(all)?;
        if amount < self.rules.payout_minimum || amount == Money::ZERO {
            return Ok(());
        }
        let from = taken(balances, amount)?;
        let out = from
            .iter()
            .map(|(node, part)| part.negated().map(|part| (LedgerAccount::Node(*node), part)));
        let mut moves = out.collect::<Result<Vec<_>, _>>()?;
        moves.push((LedgerAccount::Transit, amount));
        let cause = Cause::PayoutPrepared { batch: name.to_owned(), account: owner.clone() };
        let id = entry_id("payout-prepared", name, owner);
        post(tx, id, now, cause, PostingSet::new(moves)?).await?;

        head.count += 1;
        head.sum = head.sum.plus(amount)?;
        let (number, state) = (head.count, ItemState::Pending);
        let payout = Payout { payee, amount, from, state, reason: None, number };
        PAYOUTS.put(tx, &(name.to_owned(), owner.clone()), &payout);
        PAYOUTS_OF.put(tx, &(owner.clone(), name.to_owned()), &());
        Ok(())
    }
}

/// Takes `amount` from the balances, the first one first.
fn taken(
    balances: Vec<(NodeId, Money)>,
    amount: Money,
) -> Result<Vec<(NodeId, Money)>, BillingError> {
    let mut left = amount;
    let mut from = Vec::new();
    for (node, balance) in balances {
        let part = balance.min(left);
        left = left.minus(part)?;
        if part > Money::ZERO {
            from.push((node, part));
        }
    }
    Ok(from)
}

/// The owner of nodes that comes after `after`.
async fn next_owner(tx: &Tx, after: Option<&AccountId>) -> Result<Option<AccountId>, BillingError> {
    let span = match after {
        Some(after) => Span::all().after_prefix(&KeyPrefix::of(after)),
        None => Span::all(),
    };
    Ok(NODES_OF.scan(tx, span, 1).await?.pop().map(|((owner, _), ())| owner))
}

fn check_name(name: &str) -> Result<(), BillingError> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=BATCH_NAME_MAX).contains(&name.len()) && name.bytes().all(fine) {
        Ok(())
    } else {
        Err(BillingError::BatchName(name.to_owned()))
    }
}
