//! The operator's view of the books: tariffs, the ledger, settlement. Everything here is [`billing`]'s; this file says it in JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use billing::ledger::{Entry, LedgerAccount, Report};
use billing::settle::{DaySummary, Preview};
use billing::{Day, Hour, Money, Tariff};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::auth::Operator;
use super::error::ApiError;
use super::health::rfc3339;
use super::{AdminParts, health};
use crate::prices;
use crate::upkeep::settle::Progress;

/// Entries of the ledger shown at once.
const ENTRIES: usize = 100;
/// The most that can be asked for at once.
const ENTRIES_MAX: usize = 1_000;

/// A tariff as it is shown and set.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatedTariff {
    /// The first day on which it holds.
    from: Day,
    tariff: Tariff,
}

/// `GET /admin/v1/tariffs`
pub(super) async fn tariffs(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<DatedTariff>>, ApiError> {
    let tariffs = admin.settlement.billing().tariffs().await?;
    let shown = |(from, tariff)| DatedTariff { from, tariff };
    Ok(Json(tariffs.into_iter().map(shown).collect()))
}

/// `POST /admin/v1/tariffs`
pub(super) async fn set_tariff(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<DatedTariff>, JsonRejection>,
) -> Result<Json<DatedTariff>, ApiError> {
    let Json(new) = body.map_err(health::unreadable)?;
    let DatedTariff { from, tariff } = &new;
    if tariff.note.is_empty() {
        return Err(ApiError::Invalid("a tariff's note says why it was made".to_owned()));
    }
    if let Some(wrong) = prices::unsound(&tariff.prices) {
        return Err(ApiError::Invalid(wrong));
    }
    let settlement = &admin.settlement;
    settlement.billing().set_tariff(*from, tariff, settlement.now()).await?;
    admin.standings.forget();
    tracing::info!(target: "audit", operator = %operator.account(), %from, why = tariff.note, "a tariff was set");
    Ok(Json(new))
}

/// `DELETE /admin/v1/tariffs/{from}`
pub(super) async fn drop_tariff(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(from): Path<String>,
) -> Result<StatusCode, ApiError> {
    let from: Day = from.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    let settlement = &admin.settlement;
    settlement.billing().drop_tariff(from, settlement.now()).await?;
    tracing::info!(target: "audit", operator = %operator.account(), %from, "a tariff was taken back");
    Ok(StatusCode::NO_CONTENT)
}

/// Which entries.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// From this number on.
    #[serde(default)]
    from: u64,
    /// How many.
    limit: Option<usize>,
}

/// An entry of the ledger as it is shown.
#[derive(Serialize)]
pub(super) struct ShownEntry {
    number: u64,
    id: String,
    at: String,
    cause: serde_json::Value,
    postings: Vec<ShownPosting>,
    /// The hash over this entry and all before it.
    chain: String,
}

/// A posting, or a balance.
#[derive(Serialize)]
pub(super) struct ShownPosting {
    account: String,
    amount: Money,
}

impl ShownPosting {
    fn of(account: &LedgerAccount, amount: Money) -> Self {
        Self { account: account.to_string(), amount }
    }
}

/// `GET /admin/v1/ledger`
pub(super) async fn entries(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(which): Query<Which>,
) -> Result<Json<Vec<ShownEntry>>, ApiError> {
    let limit = which.limit.unwrap_or(ENTRIES).min(ENTRIES_MAX);
    let entries = admin.settlement.billing().entries(which.from, limit).await?;
    let shown = entries.iter().map(|(number, entry)| shown(*number, entry));
    Ok(Json(shown.collect::<Result<_, _>>()?))
}

fn shown(number: u64, entry: &Entry) -> Result<ShownEntry, ApiError> {
    let cause = serde_json::to_value(&entry.cause);
    let postings = entry.postings.iter();
    Ok(ShownEntry {
        number,
        id: entry.id.to_string(),
        at: rfc3339(entry.at),
        cause: cause.map_err(|error| ApiError::Invalid(error.to_string()))?,
        postings: postings
            .map(|posting| ShownPosting::of(&posting.account, posting.amount))
            .collect(),
        chain: hex::encode(entry.chain),
    })
}

/// `GET /admin/v1/ledger/balances`
pub(super) async fn balances(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownPosting>>, ApiError> {
    let books = admin.settlement.billing();
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let page = books.balances(after.as_ref(), ENTRIES_MAX).await?;
        shown.extend(page.iter().map(|(account, amount)| ShownPosting::of(account, *amount)));
        match page.into_iter().nth(ENTRIES_MAX - 1) {
            Some((last, _)) => after = Some(last),
            None => return Ok(Json(shown)),
        }
    }
}

/// What a check of the books found.
#[derive(Serialize)]
pub(super) struct Checked {
    sound: bool,
    /// The hash over all entries.
    head: String,
    #[serde(flatten)]
    report: Report,
}

/// `GET /admin/v1/ledger/check`
pub(super) async fn check(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Checked>, ApiError> {
    let books = admin.settlement.billing();
    let (_, head) = books.head().await?;
    let report = books.check().await?;
    let sound = report.is_sound();
    if !sound {
        tracing::error!(target: "audit", problems = report.problem_count, "the books do not balance");
    }
    Ok(Json(Checked { sound, head: hex::encode(head.0), report }))
}

/// Where settlement stands.
#[derive(Serialize)]
pub(super) struct ShownProgress {
    /// Events counted since the gateway started.
    events: u64,
    /// Everything until then, by the wall clock, is counted.
    counted_until: Option<String>,
    /// The same moment by the accounting clock.
    accounting_time: Option<String>,
    /// The first hour that still takes events.
    open_hour: Option<Hour>,
    /// The day that is next to be settled.
    next_day: Option<Day>,
    /// Days settled since the gateway started.
    days: u64,
    /// What went wrong in the last round.
    error: Option<String>,
}

/// `GET /admin/v1/settlement`
pub(super) async fn progress(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Json<ShownProgress> {
    let Progress { events, counted_until, accounting_time, open_hour, next_day, days, error } =
        admin.settlement.progress();
    Json(ShownProgress {
        events,
        counted_until: counted_until.map(rfc3339),
        accounting_time: accounting_time.map(rfc3339),
        open_hour,
        next_day,
        days,
        error,
    })
}

/// How to settle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settle {
    /// Only say what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// What came of it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Settled {
    /// What the next day would come to; nothing before anything was used.
    Preview { preview: Option<Preview> },
    /// The days that were settled.
    Days { days: Vec<SettledDay> },
}

/// A settled day.
#[derive(Serialize)]
pub(super) struct SettledDay {
    day: Day,
    charged: Money,
    /// What was covered, by pool: storage, egress, compute.
    revenue: [Money; 3],
    /// The operator's part of it.
    fee: [Money; 3],
    /// What the nodes got.
    paid: [Money; 3],
    nodes: u32,
}

impl SettledDay {
    fn of((day, summary): (Day, DaySummary)) -> Self {
        let DaySummary { division, paid, nodes, .. } = summary;
        let (charged, revenue, fee) = (division.charged, division.revenue, division.fee);
        Self { day, charged, revenue, fee, paid, nodes }
    }
}

/// `POST /admin/v1/settlement`
pub(super) async fn settle(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<Settle>, JsonRejection>,
) -> Result<Json<Settled>, ApiError> {
    let Json(Settle { dry_run }) = body.map_err(health::unreadable)?;
    if dry_run {
        return Ok(Json(Settled::Preview { preview: admin.settlement.preview().await? }));
    }
    let days = admin.settlement.round().await?;
    tracing::info!(target: "audit", operator = %operator.account(), days = days.len(), "days were settled on demand");
    Ok(Json(Settled::Days { days: days.into_iter().map(SettledDay::of).collect() }))
}
