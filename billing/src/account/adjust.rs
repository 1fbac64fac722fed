//! The operator moves money: with customers, and its own.

use kv::{Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

use super::check_reason;
use crate::Billing;
use crate::error::BillingError;
use crate::ledger::{Cause, EntryId, LedgerAccount, Posted, PostingSet, post};
use crate::money::Money;
use crate::settle::cover;

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

impl Billing {
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

fn check_positive(amount: Money) -> Result<(), BillingError> {
    if amount > Money::ZERO { Ok(()) } else { Err(BillingError::NotPositive(amount)) }
}
