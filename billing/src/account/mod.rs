//! Customers: their money, how well they are known, and what they may do.
//!
//! Deposits and adjustments are acts of the operator, each with a reason and the name of its request: sent again, it changes
//! nothing.

mod adjust;
mod freeze;
mod tier;

use kv::{Reads, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

pub use adjust::Adjustment;
pub(crate) use adjust::pay_debts;
pub use freeze::{Action, Freeze, FreezeKind};
pub use tier::{Limits, Tier};

use crate::Billing;
use crate::error::BillingError;
use crate::ledger::{self, LedgerAccount};
use crate::money::Money;
use crate::schema::{PROFILES, TIERS};

/// The longest reason, in bytes.
pub const REASON_MAX: usize = 500;

/// What goes onto a customer's invoices.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BillTo {
    /// Name of the person or company.
    pub name: String,
    /// Address, line by line.
    pub address: Vec<String>,
    /// The customer's tax number.
    pub tax_id: String,
    /// Tax on top of all charges, in hundredths of a percent: 2000 is 20 %.
    pub tax_basis_points: u16,
    /// What the invoice says about tax, such as "VAT 20 %" or "reverse charge".
    pub tax_note: String,
}

/// What the books know of an account.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// How well it is known.
    pub tier: Tier,
    /// Whether what its nodes earn pays what it uses.
    pub netting: bool,
    /// Freezes in force, at most one of a kind.
    pub freezes: Vec<Freeze>,
    /// What goes onto its invoices.
    pub bill_to: BillTo,
}

impl Profile {
    /// The freeze that forbids `action`, if one does.
    #[must_use]
    pub fn forbids(&self, action: Action) -> Option<&Freeze> {
        self.freezes.iter().find(|freeze| !freeze.kind.allows(action))
    }

    /// As [`Self::forbids`], as a refusal.
    pub(crate) fn check(&self, account: &AccountId, action: Action) -> Result<(), BillingError> {
        self.forbids(action).map_or(Ok(()), |freeze| {
            Err(BillingError::Frozen {
                account: account.clone(),
                kind: freeze.kind,
                reason: freeze.reason.clone(),
            })
        })
    }
}

/// The books of one customer, for the operator and for the customer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standings {
    /// Unused money.
    pub balance: Money,
    /// What is owed.
    pub owed: Money,
    /// What its nodes earned and may be spent.
    pub earned: Money,
    /// What is held back from its nodes.
    pub held_back: Money,
}

impl Billing {
    /// What the books know of `account`; the defaults if they know nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn profile(&self, account: &AccountId) -> Result<Profile, BillingError> {
        profile(&self.kv.snapshot().await?, account).await
    }

    /// Sets how well `account` is known.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_tier(&self, account: &AccountId, tier: Tier) -> Result<(), BillingError> {
        self.edit(account, |profile| profile.tier = tier).await
    }

    /// Sets whether what the nodes of `account` earn pays what it uses.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_netting(&self, account: &AccountId, on: bool) -> Result<(), BillingError> {
        self.edit(account, |profile| profile.netting = on).await
    }

    /// Sets what goes onto the invoices of `account`, from the next one on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_bill_to(
        &self,
        account: &AccountId,
        bill_to: &BillTo,
    ) -> Result<(), BillingError> {
        self.edit(account, |profile| profile.bill_to = bill_to.clone()).await
    }

    /// Freezes `account`; a freeze of the same kind gets the new reason.
    ///
    /// # Errors
    /// [`BillingError::Reason`]
    pub async fn freeze(
        &self,
        account: &AccountId,
        kind: FreezeKind,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        check_reason(reason)?;
        self.edit(account, |profile| {
            profile.freezes.retain(|freeze| freeze.kind != kind);
            profile.freezes.push(Freeze { kind, reason: reason.to_owned(), since: now });
        })
        .await
    }

    /// Lifts the freeze of that kind, if there is one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unfreeze(
        &self,
        account: &AccountId,
        kind: FreezeKind,
    ) -> Result<(), BillingError> {
        self.edit(account, |profile| profile.freezes.retain(|freeze| freeze.kind != kind)).await
    }

    /// The limits of `tier`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn limits(&self, tier: Tier) -> Result<Limits, BillingError> {
        limits(&self.kv.snapshot().await?, tier).await
    }

    /// Sets the limits of `tier`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_limits(&self, tier: Tier, limits: &Limits) -> Result<(), BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            TIERS.put(&tx, &tier, limits);
            Ok(())
        })
        .await
    }

    /// Where `account` stands, as a customer and as an owner of nodes.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standings(&self, account: &AccountId) -> Result<Standings, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut standings = Standings {
            balance: ledger::balance(&snap, &LedgerAccount::Customer(account.clone())).await?,
            owed: ledger::balance(&snap, &LedgerAccount::Receivable(account.clone()))
                .await?
                .negated()?,
            earned: Money::ZERO,
            held_back: Money::ZERO,
        };
        for node in crate::node::nodes_of(&snap, account).await? {
            let earned = ledger::balance(&snap, &LedgerAccount::Node(node)).await?;
            let held = ledger::balance(&snap, &LedgerAccount::Held(node)).await?;
            standings.earned = standings.earned.plus(earned)?;
            standings.held_back = standings.held_back.plus(held)?;
        }
        Ok(standings)
    }

    async fn edit(
        &self,
        account: &AccountId,
        change: impl Fn(&mut Profile) + Sync,
    ) -> Result<(), BillingError> {
        let change = &change;
        transact(&*self.kv, |tx: Tx| async move {
            let mut profile = PROFILES.get_for_update(&tx, account).await?.unwrap_or_default();
            change(&mut profile);
            PROFILES.put(&tx, account, &profile);
            Ok(())
        })
        .await
    }
}

/// What the books know of `account`.
pub(crate) async fn profile<R: Reads + ?Sized>(
    reads: &R,
    account: &AccountId,
) -> Result<Profile, BillingError> {
    Ok(PROFILES.get(reads, account).await?.unwrap_or_default())
}

/// The limits of `tier`.
pub(crate) async fn limits<R: Reads + ?Sized>(
    reads: &R,
    tier: Tier,
) -> Result<Limits, BillingError> {
    Ok(TIERS.get(reads, &tier).await?.unwrap_or_else(|| tier.default_limits()))
}

/// Whether people can read later why money moved.
pub(crate) fn check_reason(reason: &str) -> Result<(), BillingError> {
    let len = reason.len();
    if (1..=REASON_MAX).contains(&len) {
        Ok(())
    } else {
        Err(BillingError::Reason { len, max: REASON_MAX })
    }
}
