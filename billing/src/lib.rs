//! Usage in, money out: integers all the way, and nothing is lost or made.
//!
//! ```text
//! UsageEvent, WorkEvent
//!     │ intake      each batch once, rows that only its source writes
//!     ▼
//! open hours ── meter ──▶ hour totals ── settle ──▶ charges ──▶ revenue ──▶ operator 5 %
//!                          │                 (tariff, market)          └──▶ pools 95 % ──▶ nodes ──▶ payout
//!                          └─ tally, Merkle root of the day
//! ```
//!
//! [`Billing`] is a handle on the books: its methods are what gateway and operator ask, each one transaction or a chain of small
//! ones that says so. Time is always an argument, in milliseconds of the accounting clock. Nothing here knows the catalog or
//! the network: what happened comes in as [`types::usage`] events.
//!
//! - [`money`], [`quantity`], [`calendar`], [`split`]: exact arithmetic. Pure.
//! - [`intake`], [`meter`], [`tally`]: what was used and done, agreed between gateway and node.
//! - [`tariff`], [`market`]: what it costs.
//! - [`ledger`], [`settle`]: who owes whom. The laws are on top of these pages, and each is a test.
//! - [`account`], [`caps`], [`node`]: who may do what, and who owns what.
//! - [`invoice`], [`statement`], [`estimate`]: what people read.
//! - [`payout`]: money that leaves.
//! - [`export`]: everything about one person.

pub mod account;
pub mod calendar;
pub mod caps;
pub mod currency;
pub mod error;
pub mod estimate;
pub mod export;
pub mod intake;
pub mod invoice;
pub mod ledger;
pub mod market;
pub mod meter;
pub mod money;
pub mod node;
mod pages;
pub mod payout;
pub mod quantity;
mod render;
pub mod schema;
pub mod settle;
pub mod split;
pub mod statement;
pub mod tally;
pub mod tariff;

use std::sync::Arc;

use kv::Kv;
use serde::{Deserialize, Serialize};

pub use account::{Action, FreezeKind, Limits, Profile, Tier};
pub use calendar::{Day, Hour, Month};
pub use caps::{Ask, Scope, Standing};
pub use currency::Currency;
pub use error::BillingError;
pub use intake::{Batch, Counted, Source};
pub use ledger::LedgerAccount;
pub use money::{Money, MoneyError};
pub use quantity::{Item, Pool, Usage, Work};
pub use settle::DaySummary;
pub use split::{Split, SplitError, split};
pub use tariff::{Prices, Tariff};

/// What the operator decides once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// The one currency of this installation.
    pub currency: Currency,
    /// Who issues invoices and pays.
    pub seller: Seller,
    /// Percent of what an unvetted node earns that is held back.
    pub hold_percent: u8,
    /// Days after a node was vetted until it gets what was held back.
    pub hold_days: u16,
    /// The least that is paid out.
    pub payout_minimum: Money,
}

/// Who issues invoices and pays. Goes onto every document.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seller {
    /// The operator's name.
    pub name: String,
    /// Its address, line by line.
    pub address: Vec<String>,
    /// Its tax number, as invoices have to show it.
    pub tax_id: String,
    /// The account that payouts leave from.
    pub iban: String,
    /// The BIC of its bank, if the bank wants one.
    pub bic: Option<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            currency: Currency::euro(),
            seller: Seller::default(),
            hold_percent: 50,
            hold_days: 30,
            payout_minimum: Money::from_micros(10_000_000),
        }
    }
}

/// The books. A cheap handle: clones share the engine.
#[derive(Clone)]
pub struct Billing {
    kv: Arc<dyn Kv>,
    rules: Arc<Rules>,
}

impl Billing {
    /// The books in an engine that was opened with [`schema::families`].
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, rules: Rules) -> Self {
        Self { kv, rules: Arc::new(rules) }
    }

    /// What the operator decided.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl std::fmt::Debug for Billing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Billing").field("rules", &self.rules).finish_non_exhaustive()
    }
}
