//! A customer's invoice of a month.
//!
//! Laws, each a test of the same name:
//! - *An invoice is what was charged*: its lines add up to the month's day charges, and its quantities to the hourly totals.
//! - *An issued invoice never changes*, and numbers have no gaps.

mod hours;
mod print;

use std::collections::BTreeMap;

use kv::{KeyPrefix, Reads, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

pub use hours::{HourOfUse, hours_to_csv};

use crate::account::{BillTo, profile};
use crate::calendar::{Day, Month};
use crate::error::BillingError;
use crate::ledger::{
    Cause, Due, EntryId, LedgerAccount, Movement, PostingSet, balance, movements, post,
};
use crate::money::Money;
use crate::quantity::{Item, text_number};
use crate::schema::{DAY_CHARGES, INVOICE_NUMBER, INVOICES, REMAINDERS};
use crate::settle::{self, DayCharge, cover};
use crate::{Billing, Seller};

/// Hundredths of a percent in a whole.
const BASIS: i128 = 10_000;
/// Movements that an invoice lists; with the longest reasons it is then below the 100 kB of a value. More are summed in one line.
const MOVEMENTS_MAX: usize = 130;

/// An invoice, as it was issued or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invoice {
    /// Its number, without gaps over all invoices; `None` for a draft.
    pub number: Option<u64>,
    /// When it was issued.
    pub issued: Option<Day>,
    /// Who issues it.
    pub seller: Seller,
    /// Whose it is.
    pub account: AccountId,
    /// To whom it goes.
    pub bill_to: BillTo,
    /// Which month.
    pub month: Month,
    /// The currency's code.
    pub currency: String,
    /// What was used, by item and price.
    pub lines: Vec<InvoiceLine>,
    /// All lines together.
    pub net: Money,
    /// Tax on that.
    pub tax: Money,
    /// Both.
    pub total: Money,
    /// Deposits, credits, refunds, earnings that were used: everything that moved the balance in the month.
    pub movements: Vec<Movement>,
    /// Unused money when the invoice was made.
    pub balance: Money,
    /// What was owed then, of this month and before.
    pub owed: Money,
    /// How amounts were rounded.
    pub rounding: String,
}

/// What was used of one thing at one price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// What.
    pub item: Item,
    /// Its name.
    pub name: String,
    /// The first day at this price.
    pub from: Day,
    /// The last one.
    pub to: Day,
    /// How much, in what it is counted in: byte-milliseconds, bytes, requests, fuel units. Exact: the sum of the hourly totals.
    #[serde(with = "text_number")]
    pub quantity: i128,
    /// What the price is for.
    pub unit: String,
    /// How much of what it is counted in that is.
    #[serde(with = "text_number")]
    pub priced: i128,
    /// The price.
    pub price: Money,
    /// What was charged.
    pub amount: Money,
}

const ROUNDING: &str = "Every charge is price times exact use since the account began, cut to whole millionths of the currency, less what \
    was charged before. No hour, day or month is rounded by itself, and the fraction of a millionth that is not charged yet waits for the next use: \
    so a line can differ from price times quantity by less than two millionths. Tax is cut to whole millionths. The total is taken from the balance \
    as it stands.";

impl Billing {
    /// The invoice of `account` for `month`: the issued one, or a draft of what is settled so far.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn invoice(
        &self,
        account: &AccountId,
        month: Month,
    ) -> Result<Invoice, BillingError> {
        let snap = self.kv.snapshot().await?;
        match INVOICES.get(&snap, &(account.clone(), month)).await? {
            Some(issued) => Ok(issued),
            None => self.draft(&snap, account, month).await,
        }
    }

    /// The issued invoices of `account`, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn invoices(&self, account: &AccountId) -> Result<Vec<Invoice>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let rows = INVOICES.scan(&snap, &KeyPrefix::of(account), usize::MAX).await?;
        Ok(rows.into_iter().map(|(_, invoice)| invoice).collect())
    }

    /// Issues the invoice of `account` for `month`, charges the tax on it, and gives it a number. One that was issued is returned as it
    /// was.
    ///
    /// # Errors
    /// [`BillingError::MonthOpen`] until every day of the month is settled.
    pub async fn issue_invoice(
        &self,
        account: &AccountId,
        month: Month,
        now: Timestamp,
    ) -> Result<Invoice, BillingError> {
        transact(&*self.kv, |tx: Tx| async move {
            let key = (account.clone(), month);
            if let Some(issued) = INVOICES.get_for_update(&tx, &key).await? {
                return Ok(issued);
            }
            let open = settle::next_day(&tx).await?.unwrap_or_default();
            if open < month.next().first() {
                return Err(BillingError::MonthOpen { month, open });
            }
            let tax = self.draft(&tx, account, month).await?.tax;
            let name = format!("{month}/{account}");
            let mut moves = Vec::new();
            let net = EntryId::of("tax-netting", &name);
            cover(&tx, account, &[(Due::Tax, tax)], net, now, &mut moves).await?;
            let cause = Cause::TaxCharge { account: account.clone(), month };
            post(&tx, EntryId::of("tax", &name), now, cause, PostingSet::new(moves)?).await?;

            let number = INVOICE_NUMBER.get_for_update(&tx, &()).await?.unwrap_or(0) + 1;
            INVOICE_NUMBER.put(&tx, &(), &number);
            let draft = self.draft(&tx, account, month).await?;
            let invoice = Invoice { number: Some(number), issued: Some(Day::of(now)), ..draft };
            INVOICES.put(&tx, &key, &invoice);
            Ok(invoice)
        })
        .await
    }

    /// Issues the invoices of everybody who was charged something in `month`. Returns how many there are.
    ///
    /// # Errors
    /// As [`Self::issue_invoice`].
    pub async fn issue_invoices(&self, month: Month, now: Timestamp) -> Result<u64, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut issued = 0;
        let mut span = Span::all();
        while let Some(((account, _), _)) = DAY_CHARGES.scan(&snap, span, 1).await?.pop() {
            let span_of = month_of(&account, month);
            if !DAY_CHARGES.scan(&snap, span_of, 1).await?.is_empty() {
                self.issue_invoice(&account, month, now).await?;
                issued += 1;
            }
            span = Span::all().after_prefix(&KeyPrefix::of(&account));
        }
        Ok(issued)
    }

    async fn draft<R: Reads + ?Sized>(
        &self,
        reads: &R,
        account: &AccountId,
        month: Month,
    ) -> Result<Invoice, BillingError> {
        let charges = DAY_CHARGES.scan(reads, month_of(account, month), usize::MAX).await?;
        let lines = lines(charges.iter().map(|((_, day), charge)| (*day, charge)))?;
        let net = Money::total(lines.iter().map(|line| line.amount))?;
        let bill_to = profile(reads, account).await?.bill_to;
        let tax = net.times(bill_to.tax_basis_points.into())?.micros() / BASIS;
        let tax = Money::from_micros(tax);
        let customer = LedgerAccount::Customer(account.clone());
        let (from, to) = (month.first().start(), month.next().first().start());
        let left = REMAINDERS.get(reads, account).await?.unwrap_or_default();
        let waiting = Item::ALL.iter().filter(|item| left.0[item.index()] != 0).count();
        Ok(Invoice {
            number: None,
            issued: None,
            seller: self.rules.seller.clone(),
            account: account.clone(),
            bill_to,
            month,
            currency: self.rules.currency.code().to_owned(),
            lines,
            net,
            tax,
            total: net.plus(tax)?,
            movements: shortened(movements(reads, &customer, from, to).await?)?,
            balance: balance(reads, &customer).await?,
            owed: balance(reads, &LedgerAccount::Receivable(account.clone())).await?.negated()?,
            rounding: format!("{ROUNDING} Fractions waiting now: of {waiting} items."),
        })
    }
}

/// The first movements, and the sum of those that do not fit.
fn shortened(mut movements: Vec<Movement>) -> Result<Vec<Movement>, BillingError> {
    if movements.len() > MOVEMENTS_MAX {
        let rest = movements.split_off(MOVEMENTS_MAX - 1);
        let amount = Money::total(rest.iter().map(|movement| movement.amount))?;
        let what = format!("{} more, listed in the account's history", rest.len());
        movements.extend(rest.into_iter().next().map(|first| Movement { what, amount, ..first }));
    }
    Ok(movements)
}

/// The day charges of a month.
fn month_of(account: &AccountId, month: Month) -> Span {
    let prefix = KeyPrefix::of(account);
    Span::of(&prefix)
        .from_key(&(account.clone(), month.first()))
        .before_key(&(account.clone(), month.next().first()))
}

/// One line for each item and price, in the order of items and days.
fn lines<'a>(
    charges: impl Iterator<Item = (Day, &'a DayCharge)>,
) -> Result<Vec<InvoiceLine>, BillingError> {
    let mut lines: BTreeMap<(usize, Money), InvoiceLine> = BTreeMap::new();
    for (day, charge) in charges {
        for item in Item::ALL {
            let (quantity, amount) = (charge.usage.of(item), charge.amounts[item.index()]);
            if quantity == 0 && amount == Money::ZERO {
                continue;
            }
            let price = charge.prices.of(item);
            let line = lines.entry((item.index(), price)).or_insert_with(|| InvoiceLine {
                item,
                name: item.name(),
                from: day,
                to: day,
                quantity: 0,
                unit: item.unit().to_owned(),
                priced: item.priced() as i128,
                price,
                amount: Money::ZERO,
            });
            line.to = day;
            line.quantity =
                line.quantity.checked_add(quantity).ok_or(BillingError::Overflow("usage"))?;
            line.amount = line.amount.plus(amount)?;
        }
    }
    Ok(lines.into_values().collect())
}
