//! Everything the books know about one person, for that person (GDPR, articles 15 and 20).

use kv::{KeyPrefix, Span};
use serde::Serialize;
use types::{AccountId, Timestamp};

use crate::Billing;
use crate::account::{Profile, Standings};
use crate::calendar::Day;
use crate::caps::{Cap, Scope};
use crate::error::BillingError;
use crate::invoice::Invoice;
use crate::ledger::{LedgerAccount, Movement, movements};
use crate::market::Floors;
use crate::node::NodeProfile;
use crate::payout::{Payee, Payout};
use crate::schema::{CEILINGS, DAY_CHARGES, FLOORS, NODE_DAYS, NODES, PAYEES};
use crate::settle::{DayCharge, NodeDay};
use crate::tariff::Prices;

/// One person's part of the books.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Export {
    /// Whose.
    pub account: AccountId,
    /// Tier, freezes, netting, what goes onto invoices.
    pub profile: Profile,
    /// Balances.
    pub standings: Standings,
    /// Spend caps.
    pub caps: Vec<(Scope, Cap)>,
    /// Price ceilings.
    pub ceilings: Option<Prices>,
    /// Where money goes to.
    pub payee: Option<Payee>,
    /// What was used and charged, day by day.
    pub charges: Vec<(Day, DayCharge)>,
    /// Everything that moved the balance.
    pub movements: Vec<Movement>,
    /// Issued invoices.
    pub invoices: Vec<Invoice>,
    /// Payouts, by batch.
    pub payouts: Vec<(String, Payout)>,
    /// Nodes.
    pub nodes: Vec<ExportedNode>,
}

/// One of the person's nodes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ExportedNode {
    /// Its id.
    pub node: String,
    /// Since when it is known and vetted.
    pub profile: Option<NodeProfile>,
    /// The least it works for.
    pub floors: Option<Floors>,
    /// What it did and earned, day by day.
    pub days: Vec<(Day, NodeDay)>,
    /// Everything that moved its balance.
    pub movements: Vec<Movement>,
}

impl Billing {
    /// Everything the books know about `account`. Hourly totals are not in it: [`Self::hours_of_use`] and [`Self::statement`] give them by
    /// the month.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn export(&self, account: &AccountId) -> Result<Export, BillingError> {
        let snap = self.kv.snapshot().await?;
        let (begin, end) = (Timestamp(0), Timestamp(u64::MAX));
        let charges = DAY_CHARGES.scan(&snap, &KeyPrefix::of(account), usize::MAX).await?;
        let customer = LedgerAccount::Customer(account.clone());
        let mut nodes = Vec::new();
        for node in self.nodes_of(account).await? {
            let days = NODE_DAYS.scan(&snap, Span::of(&KeyPrefix::of(&node)), usize::MAX).await?;
            nodes.push(ExportedNode {
                node: node.to_string(),
                profile: NODES.get(&snap, &node).await?,
                floors: FLOORS.get(&snap, &node).await?,
                days: days.into_iter().map(|((_, day), row)| (day, row)).collect(),
                movements: movements(&snap, &LedgerAccount::Node(node), begin, end).await?,
            });
        }
        Ok(Export {
            account: account.clone(),
            profile: self.profile(account).await?,
            standings: self.standings(account).await?,
            caps: self.caps(account).await?,
            ceilings: CEILINGS.get(&snap, account).await?,
            payee: PAYEES.get(&snap, account).await?,
            charges: charges.into_iter().map(|((_, day), charge)| (day, charge)).collect(),
            movements: movements(&snap, &customer, begin, end).await?,
            invoices: self.invoices(account).await?,
            payouts: self.payouts_of(account).await?,
            nodes,
        })
    }
}

impl Export {
    /// The export as JSON.
    ///
    /// # Errors
    /// [`BillingError::Document`]
    pub fn to_json(&self) -> Result<String, BillingError> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}
