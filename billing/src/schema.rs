//! Every table in one place. A table's name carries its format number: data of another format is another table, and a migration moves it.
//!
//! All of it lies in a family of its own, so that it can share an engine with the catalog or have one to itself.

use kv::{Family, FamilyOptions, Table};
use types::{AccountId, BucketId, NodeId};

use crate::account::{Limits, Profile, Tier};
use crate::calendar::{Day, Hour, Month};
use crate::caps::{Cap, Scope};
use crate::intake::{Cursor, Source};
use crate::invoice::Invoice;
use crate::ledger::{Entry, EntryId, Head, LedgerAccount};
use crate::market::{Floors, Index};
use crate::meter::{Closing, Level};
use crate::money::Money;
use crate::node::NodeProfile;
use crate::payout::{BatchHead, Payee, Payout};
use crate::quantity::{OpenUsage, OpenWork, Usage, Work};
use crate::settle::{DayCharge, DaySummary, NodeDay, Settling};
use crate::tally::Answer;
use crate::tariff::{Prices, Remainders, Tariff};

/// Where the books are.
pub const FAMILY: Family = Family("billing");

/// The families an engine must be opened with.
#[must_use]
pub fn families() -> Vec<FamilyOptions> {
    vec![FamilyOptions::from(FAMILY)]
}

/// What each source has been counted up to.
pub(crate) const CURSORS: Table<Source, Cursor> = Table::new(FAMILY, "cursor/1");
/// The first hour that still takes events.
pub(crate) const OPEN_FROM: Table<(), Hour> = Table::new(FAMILY, "open-from/1");
/// The hour that is being closed, and how far that is.
pub(crate) const CLOSING: Table<(), Closing> = Table::new(FAMILY, "closing/1");
/// What each source counted in hours that are open. A row has one writer, so none is hot.
pub(crate) const OPEN_USAGE: Table<(Hour, AccountId, BucketId, Source), OpenUsage> =
    Table::new(FAMILY, "open-usage/1");
pub(crate) const OPEN_WORK: Table<(Hour, NodeId, Source), OpenWork> =
    Table::new(FAMILY, "open-work/1");
/// Bytes held at the end of the last closed hour.
pub(crate) const USAGE_LEVELS: Table<(AccountId, BucketId), [i128; crate::quantity::CLASSES]> =
    Table::new(FAMILY, "usage-level/1");
pub(crate) const WORK_LEVELS: Table<NodeId, Level> = Table::new(FAMILY, "work-level/1");
/// Totals of closed hours; the last element is the hour of the day. A day of one payer, or of one node, lies together.
pub(crate) const USAGE_HOURS: Table<(Day, AccountId, BucketId, u8), Usage> =
    Table::new(FAMILY, "usage-hour/1");
pub(crate) const WORK_HOURS: Table<(Day, NodeId, u8), Work> = Table::new(FAMILY, "work-hour/1");
/// What was used today and this month, to compare with limits and caps: by scope and day, one row for each who counts.
pub(crate) const SPENDING: Table<(AccountId, Scope, Day, Source), Usage> =
    Table::new(FAMILY, "spending/1");
/// What a node said to its totals of an hour.
pub(crate) const ANSWERS: Table<(NodeId, Hour), Answer> = Table::new(FAMILY, "answer/1");
/// Of these, the disputes.
pub(crate) const DISPUTES: Table<(Hour, NodeId), ()> = Table::new(FAMILY, "dispute/1");

pub(crate) const TARIFFS: Table<Day, Tariff> = Table::new(FAMILY, "tariff/1");
pub(crate) const MARKET_PRICES: Table<Day, Prices> = Table::new(FAMILY, "market-price/1");
pub(crate) const FLOORS: Table<NodeId, Floors> = Table::new(FAMILY, "floor/1");
pub(crate) const CEILINGS: Table<AccountId, Prices> = Table::new(FAMILY, "ceiling/1");
pub(crate) const INDEX: Table<Day, Index> = Table::new(FAMILY, "index/1");

pub(crate) const HEAD: Table<(), Head> = Table::new(FAMILY, "head/1");
pub(crate) const ENTRIES: Table<u64, Entry> = Table::new(FAMILY, "entry/1");
pub(crate) const ENTRY_IDS: Table<EntryId, u64> = Table::new(FAMILY, "entry-id/1");
pub(crate) const BALANCES: Table<LedgerAccount, Money> = Table::new(FAMILY, "balance/1");
/// Which entries moved an account, and by how much.
pub(crate) const HISTORY: Table<(LedgerAccount, u64), Money> = Table::new(FAMILY, "history/1");

/// The day that is next to be settled, and how far that is.
pub(crate) const SETTLING: Table<(), Settling> = Table::new(FAMILY, "settling/1");
pub(crate) const REMAINDERS: Table<AccountId, Remainders> = Table::new(FAMILY, "remainder/1");
pub(crate) const DAY_CHARGES: Table<(AccountId, Day), DayCharge> =
    Table::new(FAMILY, "day-charge/1");
pub(crate) const NODE_DAYS: Table<(NodeId, Day), NodeDay> = Table::new(FAMILY, "node-day/1");
/// The leaves of a day's tree: the root over a node's hours.
pub(crate) const LEAVES: Table<(Day, NodeId), [u8; 32]> = Table::new(FAMILY, "leaf/1");
pub(crate) const DAYS: Table<Day, DaySummary> = Table::new(FAMILY, "day/1");

pub(crate) const PROFILES: Table<AccountId, Profile> = Table::new(FAMILY, "profile/1");
pub(crate) const TIERS: Table<Tier, Limits> = Table::new(FAMILY, "tier/1");
pub(crate) const CAPS: Table<(AccountId, Scope), Cap> = Table::new(FAMILY, "cap/1");
pub(crate) const NODES: Table<NodeId, NodeProfile> = Table::new(FAMILY, "node/1");
pub(crate) const NODES_OF: Table<(AccountId, NodeId), ()> = Table::new(FAMILY, "node-of/1");

pub(crate) const INVOICES: Table<(AccountId, Month), Invoice> = Table::new(FAMILY, "invoice/1");
/// The last invoice number that was given.
pub(crate) const INVOICE_NUMBER: Table<(), u64> = Table::new(FAMILY, "invoice-number/1");

pub(crate) const PAYEES: Table<AccountId, Payee> = Table::new(FAMILY, "payee/1");
pub(crate) const BATCHES: Table<String, BatchHead> = Table::new(FAMILY, "batch/1");
pub(crate) const PAYOUTS: Table<(String, AccountId), Payout> = Table::new(FAMILY, "payout/1");
pub(crate) const PAYOUTS_OF: Table<(AccountId, String), ()> = Table::new(FAMILY, "payout-of/1");
