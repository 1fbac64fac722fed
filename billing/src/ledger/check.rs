//! Reads the books from the first entry to the last and proves their laws.

use std::collections::BTreeMap;

use kv::{Reads, Span};
use serde::Serialize;

use super::{Cause, Entry, LedgerAccount};
use crate::error::BillingError;
use crate::money::Money;
use crate::schema::{BALANCES, ENTRIES, HEAD};

/// Entries read at a time: each has up to 100 kB.
const PAGE: usize = 50;
/// Balances read at a time.
const BALANCES_PAGE: usize = 1_000;
/// Problems that are told; more than that are only counted.
const PROBLEMS_TOLD: usize = 100;

/// What the check found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Entries read.
    pub entries: u64,
    /// Where the money is, and what flowed.
    pub totals: Totals,
    /// What is wrong, in words; at most a hundred.
    pub problems: Vec<String>,
    /// How much is wrong.
    pub problem_count: u64,
}

/// Sums over all entries and balances.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Totals {
    /// In the bank.
    pub bank: Money,
    /// Customers' unused money.
    pub customers: Money,
    /// What customers owe.
    pub receivable: Money,
    /// Covered charges for use, ever.
    pub covered: Money,
    /// Of these, the operator's part, ever.
    pub fee: Money,
    /// Of these, what nodes earned, ever, less what they forfeited.
    pub earned: Money,
    /// Of these, what waits to be divided.
    pub unsettled: Money,
    /// Of these, what waits in the pools for work.
    pub carried: Money,
    /// The nodes' balances, held back included.
    pub nodes: Money,
    /// On its way to payees.
    pub transit: Money,
    /// Tax that is owed.
    pub tax: Money,
    /// The operator's balance.
    pub operator: Money,
}

impl Report {
    /// Whether everything holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn problem(&mut self, words: impl FnOnce() -> String) {
        self.problem_count += 1;
        if self.problems.len() < PROBLEMS_TOLD {
            self.problems.push(words());
        }
    }
}

pub(super) async fn check<R: Reads + ?Sized>(reads: &R) -> Result<Report, BillingError> {
    let mut report = Report::default();
    let mut balances = BTreeMap::new();
    read_entries(reads, &mut report, &mut balances).await?;
    compare_balances(reads, &mut report, &balances).await?;
    add_up(&mut report, &balances)?;
    Ok(report)
}

async fn read_entries<R: Reads + ?Sized>(
    reads: &R,
    report: &mut Report,
    balances: &mut BTreeMap<LedgerAccount, Money>,
) -> Result<(), BillingError> {
    let mut chain = [0; 32];
    loop {
        let page = ENTRIES.scan(reads, Span::all().from_key(&report.entries), PAGE).await?;
        for (number, entry) in &page {
            if *number != report.entries {
                let missing = report.entries;
                report.problem(|| format!("entry {missing} is missing"));
            }
            report.entries = number + 1;
            if entry.chained(&chain)? != entry.chain {
                report.problem(|| format!("entry {number} is not what was written"));
            }
            chain = entry.chain;
            take(*number, entry, report, balances)?;
        }
        if page.len() < PAGE {
            break;
        }
    }
    let head = HEAD.get(reads, &()).await?.unwrap_or_default();
    if (head.next, head.chain) != (report.entries, chain) {
        report.problem(|| format!("{} entries were written, not so many found", head.next));
    }
    Ok(())
}

/// Takes an entry into balances and flows.
fn take(
    number: u64,
    entry: &Entry,
    report: &mut Report,
    balances: &mut BTreeMap<LedgerAccount, Money>,
) -> Result<(), BillingError> {
    let sum = Money::total(entry.postings.iter().map(|posting| posting.amount))?;
    if sum != Money::ZERO {
        report.problem(|| format!("entry {number} sums to {sum}"));
    }
    for posting in &entry.postings {
        let balance = balances.entry(posting.account.clone()).or_default();
        *balance = balance.plus(posting.amount)?;
        if !posting.account.may_stand_at(*balance) {
            let balance = *balance;
            report.problem(|| format!("entry {number} overdraws {}: {balance}", posting.account));
        }
        let totals = &mut report.totals;
        let flow = match (&posting.account, &entry.cause) {
            (LedgerAccount::Revenue(_), cause) if !matches!(cause, Cause::Division { .. }) => {
                &mut totals.covered
            }
            (LedgerAccount::Operator, Cause::Division { .. }) => &mut totals.fee,
            (
                LedgerAccount::Node(_) | LedgerAccount::Held(_),
                Cause::Earnings { .. } | Cause::Forfeit { .. },
            ) => &mut totals.earned,
            _ => continue,
        };
        *flow = flow.plus(posting.amount)?;
    }
    Ok(())
}

async fn compare_balances<R: Reads + ?Sized>(
    reads: &R,
    report: &mut Report,
    balances: &BTreeMap<LedgerAccount, Money>,
) -> Result<(), BillingError> {
    let mut known = 0;
    let mut span = Span::all();
    loop {
        let page = BALANCES.scan(reads, span, BALANCES_PAGE).await?;
        for (account, balance) in &page {
            known += 1;
            let sum = balances.get(account).copied().unwrap_or_default();
            if sum != *balance {
                report
                    .problem(|| format!("{account} stands at {balance}; its entries sum to {sum}"));
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == BALANCES_PAGE => span = Span::all().after_key(last),
            _ => break,
        }
    }
    let summed = balances.values().filter(|balance| **balance != Money::ZERO).count();
    if known != summed {
        report
            .problem(|| format!("{known} balances are kept, and {summed} follow from the entries"));
    }
    Ok(())
}

/// The two lines on top of the ledger's page, and the one of DESIGN: what customers paid for use is what operator and nodes
/// got, and what waits.
fn add_up(
    report: &mut Report,
    balances: &BTreeMap<LedgerAccount, Money>,
) -> Result<(), BillingError> {
    let (mut money, mut promises) = (Money::ZERO, Money::ZERO);
    for (account, balance) in balances {
        let side = if account.is_promise() { &mut promises } else { &mut money };
        *side = side.plus(*balance)?;
        let totals = &mut report.totals;
        let place = match account {
            LedgerAccount::Bank => &mut totals.bank,
            LedgerAccount::Operator => &mut totals.operator,
            LedgerAccount::Tax => &mut totals.tax,
            LedgerAccount::Revenue(_) => &mut totals.unsettled,
            LedgerAccount::Pool(_) => &mut totals.carried,
            LedgerAccount::Transit => &mut totals.transit,
            LedgerAccount::Customer(_) => &mut totals.customers,
            LedgerAccount::Receivable(_) => &mut totals.receivable,
            LedgerAccount::Node(_) | LedgerAccount::Held(_) => &mut totals.nodes,
            LedgerAccount::Deferred(..) => continue,
        };
        *place = place.plus(*balance)?;
    }
    report.totals.bank = report.totals.bank.negated()?;
    report.totals.receivable = report.totals.receivable.negated()?;
    for (sum, name) in [(money, "money"), (promises, "promises")] {
        if sum != Money::ZERO {
            report.problem(|| format!("all {name} together is {sum}, not zero"));
        }
    }
    let Totals { covered, fee, earned, unsettled, carried, .. } = report.totals;
    let spread = Money::total([fee, earned, unsettled, carried])?;
    if spread != covered {
        report.problem(|| {
            format!("customers paid {covered} for use; operator, nodes and pools got {spread}")
        });
    }
    Ok(())
}
