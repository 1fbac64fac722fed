//! Nodes as payees: who owns them, what is held back from them.
//!
//! A node is *vetted* by whoever watches it, the gateway. Of what an unvetted one earns, [`Rules::hold_percent`](crate::Rules) is held
//! back; [`Rules::hold_days`](crate::Rules) after it was vetted it gets all of that. What a node forfeits goes back into the storage
//! pool, to the other nodes: never to the operator.

use std::cmp::Reverse;
use std::time::Duration;

use kv::{KeyPrefix, Reads, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId, Timestamp};

use crate::Billing;
use crate::account::check_reason;
use crate::error::BillingError;
use crate::ledger::{Cause, EntryId, LedgerAccount, Posted, PostingSet, balance, post};
use crate::money::Money;
use crate::quantity::Pool;
use crate::schema::{BALANCES, NODES, NODES_OF};

/// Nodes of one owner that are looked at when its earnings are to pay.
const OWNED_AT_ONCE: usize = 900;
/// Of these, the most that pay at once, those with the highest balances first: a charge of many customers has to fit into one
/// transaction. What is not paid so is owed, and paid by the next charge or before the next payout.
const NETTED_AT_ONCE: usize = 25;
/// Balances that are looked at in one step when what was held back is released.
const HELD_PAGE: usize = 500;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What the books know of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeProfile {
    /// Whose it is; nobody is paid for a node without owner, and its balance waits.
    pub owner: Option<AccountId>,
    /// Since when it is known.
    pub enrolled: Timestamp,
    /// Since when it is vetted.
    pub vetted: Option<Timestamp>,
}

impl Billing {
    /// Makes `node` known, or gives it to another `owner`, who then also gets what it has earned.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn enrol(
        &self,
        node: NodeId,
        owner: Option<&AccountId>,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let before = NODES.get_for_update(&tx, &node).await?;
            if let Some(old) = before.as_ref().and_then(|profile| profile.owner.clone()) {
                NODES_OF.delete(&tx, &(old, node));
            }
            if let Some(owner) = owner {
                NODES_OF.put(&tx, &(owner.clone(), node), &());
            }
            let (enrolled, vetted) =
                before.map_or((now, None), |profile| (profile.enrolled, profile.vetted));
            let profile = NodeProfile { owner: owner.cloned(), enrolled, vetted };
            NODES.put(&tx, &node, &profile);
            Ok(())
        })
        .await
    }

    /// Says since when `node` is vetted, or that it is not (any more).
    ///
    /// # Errors
    /// [`BillingError::NoSuchNode`]
    pub async fn vet(&self, node: NodeId, since: Option<Timestamp>) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let profile = NODES.get_for_update(&tx, &node).await?;
            let profile = profile.ok_or(BillingError::NoSuchNode(node))?;
            NODES.put(&tx, &node, &NodeProfile { vetted: since, ..profile });
            Ok(())
        })
        .await
    }

    /// What the books know of `node`.
    ///
    /// # Errors
    /// [`BillingError::NoSuchNode`]
    pub async fn node(&self, node: NodeId) -> Result<NodeProfile, BillingError> {
        let profile = NODES.get(&self.kv.snapshot().await?, &node).await?;
        profile.ok_or(BillingError::NoSuchNode(node))
    }

    /// The nodes of `owner`, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn nodes_of(&self, owner: &AccountId) -> Result<Vec<NodeId>, BillingError> {
        nodes_of(&self.kv.snapshot().await?, owner).await
    }

    /// Gives vetted nodes what was held back from them, [`Rules::hold_days`](crate::Rules) after they were vetted. Returns how many
    /// got something. Running it again changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn release_held(&self, now: Timestamp) -> Result<u64, BillingError> {
        let wait = DAY * u32::from(self.rules.hold_days);
        let mut released = 0;
        let mut span = held_span();
        loop {
            let page = BALANCES.scan(&self.kv.snapshot().await?, span, HELD_PAGE).await?;
            for (account, _) in &page {
                let LedgerAccount::Held(node) = account else { continue };
                released += u64::from(self.release(*node, wait, now).await?);
            }
            match page.last() {
                Some((last, _)) if page.len() == HELD_PAGE => span = held_span().after_key(last),
                _ => return Ok(released),
            }
        }
    }

    async fn release(
        &self,
        node: NodeId,
        wait: Duration,
        now: Timestamp,
    ) -> Result<bool, BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let profile = NODES.get_shared(&tx, &node).await?;
            let Some(since) = profile.and_then(|profile| profile.vetted) else { return Ok(false) };
            if since.plus(wait) > now {
                return Ok(false);
            }
            let held = balance(&tx, &LedgerAccount::Held(node)).await?;
            let (from, to) = (LedgerAccount::Held(node), LedgerAccount::Node(node));
            let set = PostingSet::transfer(from, to, held)?;
            // While it is vetted nothing more is held back: once for each vetting.
            let id = EntryId::of("release", format!("{node}/{}", since.0));
            let posted = post(&tx, id, now, Cause::Release { node }, set).await?;
            Ok(matches!(posted, Posted::New(_)))
        })
        .await
    }

    /// Takes what was held back from `node` into the storage pool, as when it left without notice or cheated. `request` names this
    /// act: sent again, it changes nothing. Returns what was taken.
    ///
    /// # Errors
    /// [`BillingError::Reason`], [`BillingError::IdReused`].
    pub async fn forfeit(
        &self,
        node: NodeId,
        reason: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Money, BillingError> {
        check_reason(reason)?;
        transact(&*self.kv, |tx: Tx| async move {
            let held = balance(&tx, &LedgerAccount::Held(node)).await?;
            let (from, to) = (LedgerAccount::Held(node), LedgerAccount::Pool(Pool::Storage));
            let cause = Cause::Forfeit { node, reason: reason.to_owned() };
            let set = PostingSet::transfer(from, to, held)?;
            match post(&tx, EntryId::of("forfeit", request), now, cause, set).await? {
                Posted::New(_) => Ok(held),
                Posted::Before(_) | Posted::Nothing => Ok(Money::ZERO),
            }
        })
        .await
    }
}

fn held_span() -> Span {
    // The first byte of the key says which kind of account it is.
    Span::of(&KeyPrefix::of(&LedgerAccount::HELD))
}

/// The nodes of `owner`, in order.
pub(crate) async fn nodes_of<R: Reads + ?Sized>(
    reads: &R,
    owner: &AccountId,
) -> Result<Vec<NodeId>, BillingError> {
    let rows = NODES_OF.scan(reads, &KeyPrefix::of(owner), usize::MAX).await?;
    Ok(rows.into_iter().map(|((_, node), ())| node).collect())
}

/// Whether nothing is held back from `node`.
pub(crate) async fn is_vetted<R: Reads + ?Sized>(
    reads: &R,
    node: &NodeId,
) -> Result<bool, BillingError> {
    Ok(NODES.get(reads, node).await?.is_some_and(|profile| profile.vetted.is_some()))
}

/// Moves up to `gap` of what the nodes of `owner` earned and may spend to the owner as a customer. Returns how much.
pub(crate) async fn net(
    tx: &Tx,
    owner: &AccountId,
    gap: Money,
    id: EntryId,
    now: Timestamp,
) -> Result<Money, BillingError> {
    let mut earned = Vec::new();
    for ((_, node), ()) in NODES_OF.scan(tx, &KeyPrefix::of(owner), OWNED_AT_ONCE).await? {
        let account = LedgerAccount::Node(node);
        earned.push((balance(tx, &account).await?, account));
    }
    earned.sort_by_key(|(balance, _)| Reverse(*balance));
    let mut moves = Vec::new();
    let mut moved = Money::ZERO;
    for (balance, account) in earned.into_iter().take(NETTED_AT_ONCE) {
        let part = balance.min(gap.minus(moved)?);
        moved = moved.plus(part)?;
        moves.push((account, part.negated()?));
    }
    moves.push((LedgerAccount::Customer(owner.clone()), moved));
    let cause = Cause::Netting { account: owner.clone() };
    post(tx, id, now, cause, PostingSet::new(moves)?).await?;
    Ok(moved)
}
