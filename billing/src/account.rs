//! Customers: their money, how well they are known, and what they may do.
//!
//! Deposits and adjustments are acts of the operator, each with a reason and the name of its request: sent again, it changes
//! nothing.

use std::fmt;
use std::str::FromStr;

use kv::{KeyCodec, KvError, Reads, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

use crate::Billing;
use crate::error::BillingError;
use crate::ledger::{self, Cause, EntryId, LedgerAccount, Posted, PostingSet, post};
use crate::money::Money;
use crate::schema::{PROFILES, TIERS};
use crate::settle::cover;

/// The longest reason, in bytes.
pub const REASON_MAX: usize = 500;

const GB: u64 = crate::quantity::GB;
const GIGAFUEL: u64 = crate::quantity::GIGAFUEL;

/// How well somebody is known. Discriminants are stored: never renumber.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Tier {
    /// Not at all.
    #[default]
    Unverified = 0,
    /// Somebody reads mail at the address.
    Email = 1,
    /// A person whose identity was checked.
    Identified = 2,
    /// A company that was looked up.
    Company = 3,
}

impl Tier {
    /// Every tier, the least known first.
    pub const ALL: [Self; 4] = [Self::Unverified, Self::Email, Self::Identified, Self::Company];

    /// The limits it has until the operator sets others.
    #[must_use]
    pub const fn default_limits(self) -> Limits {
        match self {
            Self::Unverified => Limits {
                stored_bytes: 5 * GB,
                egress_per_day: GB,
                requests_per_second: 10,
                fuel_per_day: 0,
                nodes_per_job: 0,
            },
            Self::Email => Limits {
                stored_bytes: 100 * GB,
                egress_per_day: 20 * GB,
                requests_per_second: 50,
                fuel_per_day: 100 * GIGAFUEL,
                nodes_per_job: 10,
            },
            Self::Identified => Limits {
                stored_bytes: 10_000 * GB,
                egress_per_day: 1_000 * GB,
                requests_per_second: 500,
                fuel_per_day: 10_000 * GIGAFUEL,
                nodes_per_job: 200,
            },
            Self::Company => Limits {
                stored_bytes: u64::MAX,
                egress_per_day: u64::MAX,
                requests_per_second: 5_000,
                fuel_per_day: u64::MAX,
                nodes_per_job: u64::MAX,
            },
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Email => "email",
            Self::Identified => "identified",
            Self::Company => "company",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = BillingError;

    fn from_str(text: &str) -> Result<Self, BillingError> {
        Self::ALL.into_iter().find(|tier| tier.name() == text).ok_or_else(|| {
            BillingError::Unknown {
                text: text.to_owned(),
                what: "tier",
                choices: "unverified, email, identified and company",
            }
        })
    }
}

impl KeyCodec for Tier {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        let number = usize::from(u8::decode_from(input)?);
        Self::ALL.get(number).copied().ok_or(KvError::MalformedKey { expected: "tier" })
    }
}

/// What accounts of a tier may have. [`u64::MAX`] is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Logical bytes at rest.
    pub stored_bytes: u64,
    /// Bytes sent in a day.
    pub egress_per_day: u64,
    /// Requests in a second; the gateway's token bucket takes it from here.
    pub requests_per_second: u64,
    /// Fuel in a day.
    pub fuel_per_day: u64,
    /// Nodes that one job may run on.
    pub nodes_per_job: u64,
}

/// Why an account is frozen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FreezeKind {
    /// It owes money.
    Billing,
    /// A court or an authority wants everything to stay as it is.
    Legal,
    /// It harms others.
    Abuse,
}

/// What an account wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// See what there is.
    List,
    /// Get bytes out.
    Read,
    /// Bring bytes in.
    Write,
    /// Release bytes.
    Delete,
    /// Run functions.
    Compute,
    /// Have its nodes earn.
    Earn,
    /// Get money.
    PayOut,
}

impl Action {
    /// Everything an account can want.
    pub const ALL: [Self; 7] = [
        Self::List,
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::Compute,
        Self::Earn,
        Self::PayOut,
    ];
}

impl FreezeKind {
    /// What a freeze still allows.
    ///
    /// | | list | read | write | delete | compute | earn | pay out |
    /// |---|---|---|---|---|---|---|---|
    /// | billing | yes | no | no | yes | no | yes | no |
    /// | legal | yes | no | no | no | no | yes | no |
    /// | abuse | yes | no | no | yes | no | no | no |
    ///
    /// Who owes money can always owe less: by deleting, and by earning. Under a legal freeze nothing may disappear.
    #[must_use]
    pub const fn allows(self, action: Action) -> bool {
        match action {
            Action::List => true,
            Action::Read | Action::Write | Action::Compute | Action::PayOut => false,
            Action::Delete => matches!(self, Self::Billing | Self::Abuse),
            Action::Earn => matches!(self, Self::Billing | Self::Legal),
        }
    }
}

impl fmt::Display for FreezeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Billing => "billing",
            Self::Legal => "legal",
            Self::Abuse => "abuse",
        })
    }
}

/// A freeze in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freeze {
    /// Why, as a kind.
    pub kind: FreezeKind,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

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

/// How the operator moves money with a customer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adjustment {
    /// The customer's money arrived at the bank.
    Deposit,
    /// Unused money goes back to the customer's bank.
    Refund,
    /// The operator gives of its own: goodwill, or a charge taken back. What nodes were paid they keep.
    Credit,
    /// A credit is taken back, as far as it is unused.
    Correction,
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

    /// Moves money with a customer. What arrives pays first what is owed. `request` names this act.
    ///
    /// # Errors
    /// [`BillingError::NotPositive`], [`BillingError::Reason`], [`BillingError::IdReused`]; [`BillingError::Overdrawn`] if the
    /// customer, or for a credit the operator, does not have that much.
    pub async fn adjust(
        &self,
        account: &AccountId,
        adjustment: Adjustment,
        amount: Money,
        reason: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Posted, BillingError> {
        check_reason(reason)?;
        check_positive(amount)?;
        transact(&*self.kv, |tx: Tx| async move {
            let customer = LedgerAccount::Customer(account.clone());
            let (account_id, words) = (account.clone(), reason.to_owned());
            let (from, to, cause) = match adjustment {
                Adjustment::Deposit => (
                    LedgerAccount::Bank,
                    customer,
                    Cause::Deposit { account: account_id, amount, reason: words },
                ),
                Adjustment::Refund => (
                    customer,
                    LedgerAccount::Bank,
                    Cause::Refund { account: account_id, amount, reason: words },
                ),
                Adjustment::Credit => (
                    LedgerAccount::Operator,
                    customer,
                    Cause::Credit { account: account_id, amount, reason: words },
                ),
                Adjustment::Correction => (
                    customer,
                    LedgerAccount::Operator,
                    Cause::Correction { account: account_id, amount, reason: words },
                ),
            };
            let set = PostingSet::transfer(from, to, amount)?;
            let posted = post(&tx, EntryId::of("adjustment", request), now, cause, set).await?;
            if matches!(posted, Posted::New(_)) {
                pay_debts(&tx, account, request, now).await?;
            }
            Ok(posted)
        })
        .await
    }

    /// The operator puts in money of its own, from which it can give credits.
    ///
    /// # Errors
    /// As [`Self::adjust`].
    pub async fn fund(
        &self,
        amount: Money,
        reason: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Posted, BillingError> {
        let cause = Cause::Funding { amount, reason: reason.to_owned() };
        let (from, to) = (LedgerAccount::Bank, LedgerAccount::Operator);
        self.operate(from, to, amount, reason, cause, request, now).await
    }

    /// The operator takes out what is its own.
    ///
    /// # Errors
    /// As [`Self::adjust`].
    pub async fn withdraw(
        &self,
        amount: Money,
        reason: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Posted, BillingError> {
        let cause = Cause::Withdrawal { amount, reason: reason.to_owned() };
        let (from, to) = (LedgerAccount::Operator, LedgerAccount::Bank);
        self.operate(from, to, amount, reason, cause, request, now).await
    }

    /// Collected tax goes to the state.
    ///
    /// # Errors
    /// As [`Self::adjust`].
    pub async fn pay_tax(
        &self,
        amount: Money,
        reason: &str,
        request: &str,
        now: Timestamp,
    ) -> Result<Posted, BillingError> {
        let cause = Cause::TaxPaid { amount, reason: reason.to_owned() };
        let (from, to) = (LedgerAccount::Tax, LedgerAccount::Bank);
        self.operate(from, to, amount, reason, cause, request, now).await
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

    #[expect(clippy::too_many_arguments, reason = "one act of the operator, spelt out")]
    async fn operate(
        &self,
        from: LedgerAccount,
        to: LedgerAccount,
        amount: Money,
        reason: &str,
        cause: Cause,
        request: &str,
        now: Timestamp,
    ) -> Result<Posted, BillingError> {
        check_reason(reason)?;
        check_positive(amount)?;
        let set = PostingSet::transfer(from, to, amount)?;
        self.post(EntryId::of("operator", request), now, cause, set).await
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

/// Pays what `account` owes from what it has.
pub(crate) async fn pay_debts(
    tx: &Tx,
    account: &AccountId,
    request: &str,
    now: Timestamp,
) -> Result<(), BillingError> {
    let mut moves = Vec::new();
    cover(tx, account, &[], EntryId::of("debts-netting", request), now, &mut moves).await?;
    let cause = Cause::Debts { account: account.clone() };
    post(tx, EntryId::of("debts", request), now, cause, PostingSet::new(moves)?).await?;
    Ok(())
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

fn check_positive(amount: Money) -> Result<(), BillingError> {
    if amount > Money::ZERO { Ok(()) } else { Err(BillingError::NotPositive(amount)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_freeze_allows_what_its_row_of_the_table_says() {
        let allowed = |kind: FreezeKind| Action::ALL.map(|action| kind.allows(action));
        let (yes, no) = (true, false);
        assert_eq!(allowed(FreezeKind::Billing), [yes, no, no, yes, no, yes, no]);
        assert_eq!(allowed(FreezeKind::Legal), [yes, no, no, no, no, yes, no]);
        assert_eq!(allowed(FreezeKind::Abuse), [yes, no, no, yes, no, no, no]);
    }

    #[test]
    fn who_is_better_known_may_have_more() {
        for pair in Tier::ALL.windows(2) {
            let [less, more] = [pair[0], pair[1]].map(Tier::default_limits);
            assert!(less.stored_bytes < more.stored_bytes);
            assert!(less.egress_per_day < more.egress_per_day);
            assert!(less.requests_per_second < more.requests_per_second);
            assert!(less.fuel_per_day < more.fuel_per_day);
            assert!(less.nodes_per_job < more.nodes_per_job);
        }
    }

    #[test]
    fn an_unverified_account_runs_no_jobs() {
        let limits = Tier::Unverified.default_limits();
        assert_eq!((limits.fuel_per_day, limits.nodes_per_job), (0, 0));
    }

    #[test]
    fn the_name_of_a_tier_reads_back_as_the_tier() {
        for tier in Tier::ALL {
            assert_eq!(tier.to_string().parse::<Tier>().unwrap(), tier);
        }
        assert!("gold".parse::<Tier>().is_err());
    }
}
