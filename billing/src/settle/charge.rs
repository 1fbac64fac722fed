//! Customers are charged.

use kv::{KeyPrefix, Snap, Tx, transact};
use types::{AccountId, BucketId, Timestamp};

use super::{DayCharge, Settling, Stage, is_at};
use crate::Billing;
use crate::calendar::Day;
use crate::error::BillingError;
use crate::ledger::{Cause, Due, EntryId, LedgerAccount, PostingSet, balance, post};
use crate::money::Money;
use crate::node;
use crate::pages::Pages;
use crate::quantity::{Item, Usage};
use crate::schema::{DAY_CHARGES, PROFILES, REMAINDERS, SETTLING, USAGE_HOURS};
use crate::tariff::{Prices, prices};

/// Customers of one transaction: each may take seven postings of its entry.
const AT_ONCE: usize = 140;

/// Some customers' use of a day.
struct Customers {
    rows: Pages<(Day, AccountId, BucketId, u8), Usage>,
    /// A row of the customer after those that were returned.
    ahead: Option<(AccountId, Usage)>,
}

impl Customers {
    fn new(snap: Snap, day: Day, after: Option<&AccountId>) -> Self {
        let after = after.map(|account| KeyPrefix::of(&day).then(account));
        let rows = Pages::new(snap, USAGE_HOURS, &KeyPrefix::of(&day), after.as_ref());
        Self { rows, ahead: None }
    }

    /// The next `limit` of them; fewer only at the end.
    async fn next(&mut self, limit: usize) -> Result<Vec<(AccountId, Usage)>, BillingError> {
        let mut some: Vec<(AccountId, Usage)> = self.ahead.take().into_iter().collect();
        while let Some(((_, account, ..), usage)) = self.rows.next().await? {
            if let Some((last, sum)) = some.last_mut()
                && *last == account
            {
                *sum = sum.plus(&usage).ok_or(BillingError::Overflow("usage"))?;
            } else if some.len() == limit {
                self.ahead = Some((account, usage));
                break;
            } else {
                some.push((account, usage));
            }
        }
        Ok(some)
    }
}

/// How many customers used something on `day`, what, and what they would be charged.
pub(super) async fn preview(snap: &Snap, day: Day) -> Result<(u64, Usage, Money), BillingError> {
    let prices = prices(snap, day).await?;
    let (mut accounts, mut usage, mut charged) = (0, Usage::default(), Money::ZERO);
    let mut customers = Customers::new(snap.clone(), day, None);
    loop {
        let some = customers.next(AT_ONCE).await?;
        for (account, used) in &some {
            let left = REMAINDERS.get(snap, account).await?.unwrap_or_default();
            charged = charged.plus(Money::total(prices.charge(used, &left)?.0)?)?;
            usage = usage.plus(used).ok_or(BillingError::Overflow("usage"))?;
            accounts += 1;
        }
        if some.len() < AT_ONCE {
            return Ok((accounts, usage, charged));
        }
    }
}

impl Billing {
    /// Charges the rest of the day's customers.
    pub(super) async fn charge_day(
        &self,
        mut settling: Settling,
        now: Timestamp,
    ) -> Result<(), BillingError> {
        let snap = self.kv.snapshot().await?;
        let prices = prices(&snap, settling.day).await?;
        let Stage::Charging { after, .. } = &settling.stage else { return Ok(()) };
        let mut customers = Customers::new(snap, settling.day, after.as_ref());
        loop {
            let some = customers.next(AT_ONCE).await?;
            match self.charge_some(&settling, &prices, &some, now).await? {
                Some(next @ Settling { stage: Stage::Charging { .. }, .. }) => settling = next,
                // All are charged, or somebody else is at it.
                _ => return Ok(()),
            }
        }
    }

    /// Charges `some` customers and moves the settlement behind them; `None` if it has been moved meanwhile.
    async fn charge_some(
        &self,
        seen: &Settling,
        prices: &Prices,
        some: &[(AccountId, Usage)],
        now: Timestamp,
    ) -> Result<Option<Settling>, BillingError> {
        let Stage::Charging { usage, charged, .. } = seen.stage else { return Ok(None) };
        let day = seen.day;
        transact(&*self.kv, |tx: Tx| async move {
            if !is_at(&tx, seen).await? {
                return Ok(None);
            }
            let (mut usage, mut charged) = (usage, charged);
            let mut moves = Vec::new();
            for (account, used) in some {
                let amount = charge_one(&tx, day, account, used, prices, &mut moves, now).await?;
                charged = charged.plus(amount)?;
                usage = usage.plus(used).ok_or(BillingError::Overflow("usage"))?;
            }
            if let Some((first, _)) = some.first() {
                let id = EntryId::of("charge", format!("{day}/{first}"));
                post(&tx, id, now, Cause::Charge { day }, PostingSet::new(moves)?).await?;
            }
            let stage = match some.last() {
                Some((last, _)) if some.len() == AT_ONCE => {
                    Stage::Charging { after: Some(last.clone()), usage, charged }
                }
                _ => Stage::Dividing { usage, charged },
            };
            let next = Settling { day, stage };
            SETTLING.put(&tx, &(), &next);
            Ok(Some(next))
        })
        .await
    }
}

/// Charges one customer; what it came to.
async fn charge_one(
    tx: &Tx,
    day: Day,
    account: &AccountId,
    usage: &Usage,
    prices: &Prices,
    moves: &mut Vec<(LedgerAccount, Money)>,
    now: Timestamp,
) -> Result<Money, BillingError> {
    let before = REMAINDERS.get_for_update(tx, account).await?.unwrap_or_default();
    let (amounts, left) = prices.charge(usage, &before)?;
    let mut dues = Due::ALL.map(|due| (due, Money::ZERO));
    for item in Item::ALL {
        let place = dues.iter_mut().find(|(due, _)| *due == Due::Use(item.pool()));
        if let Some((_, sum)) = place {
            *sum = sum.plus(amounts[item.index()])?;
        }
    }
    let charged = Money::total(amounts)?;
    let net = EntryId::of("netting", format!("{day}/{account}"));
    let covered = cover(tx, account, &dues, net, now, moves).await?;
    REMAINDERS.put(tx, account, &left);
    let row = DayCharge { prices: *prices, usage: *usage, amounts, covered };
    DAY_CHARGES.put(tx, &(account.clone(), day), &row);
    Ok(charged)
}

/// Adds to `moves` what pays older debts and `dues` from what the account has; what it has not is promised. Where the account
/// wants it, its nodes' earnings fill the gap first, by an entry of the id `net`. Returns how much of `dues` is covered.
pub(crate) async fn cover(
    tx: &Tx,
    account: &AccountId,
    dues: &[(Due, Money)],
    net: EntryId,
    now: Timestamp,
    moves: &mut Vec<(LedgerAccount, Money)>,
) -> Result<Money, BillingError> {
    let mut debts = Vec::with_capacity(Due::ALL.len());
    for due in Due::ALL {
        debts.push((due, balance(tx, &LedgerAccount::Deferred(account.clone(), due)).await?));
    }
    let all = Money::total(debts.iter().chain(dues).map(|(_, amount)| *amount))?;
    let customer = LedgerAccount::Customer(account.clone());
    let mut available = balance(tx, &customer).await?;
    let gap = all.minus(available)?;
    if gap > Money::ZERO && PROFILES.get(tx, account).await?.is_some_and(|row| row.netting) {
        available = available.plus(node::net(tx, account, gap, net, now).await?)?;
    }
    for (due, debt) in debts {
        let paid = debt.min(available);
        available = available.minus(paid)?;
        moves.push((customer.clone(), paid.negated()?));
        moves.push((due.destination(), paid));
        moves.push((LedgerAccount::Receivable(account.clone()), paid));
        moves.push((LedgerAccount::Deferred(account.clone(), due), paid.negated()?));
    }
    let mut covered = Money::ZERO;
    for (due, amount) in dues {
        let paid = (*amount).min(available);
        let owed = amount.minus(paid)?;
        available = available.minus(paid)?;
        covered = covered.plus(paid)?;
        moves.push((customer.clone(), paid.negated()?));
        moves.push((due.destination(), paid));
        moves.push((LedgerAccount::Receivable(account.clone()), owed.negated()?));
        moves.push((LedgerAccount::Deferred(account.clone(), *due), owed));
    }
    Ok(covered)
}
