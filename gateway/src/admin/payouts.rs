//! Money that leaves: batches of payouts, and whom they go to. Each step of a batch is told to the audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use billing::Day;
use billing::payout::{BatchHead, Payee, Payout, to_csv, to_pain001};
use serde::{Deserialize, Serialize};
use types::AccountId;

use super::auth::Operator;
use super::customers::find;
use super::error::ApiError;
use super::{AdminParts, health};

/// A batch as it is shown.
#[derive(Serialize)]
pub(super) struct ShownBatch {
    name: String,
    #[serde(flatten)]
    head: BatchHead,
    /// Its payouts, where one batch is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    payouts: Option<Vec<ShownPayout>>,
}

/// A payout as it is shown.
#[derive(Serialize)]
pub(super) struct ShownPayout {
    account: AccountId,
    #[serde(flatten)]
    payout: Payout,
}

/// `GET /admin/v1/payouts`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownBatch>>, ApiError> {
    let batches = admin.settlement.billing().payout_batches().await?;
    let shown = |(name, head)| ShownBatch { name, head, payouts: None };
    Ok(Json(batches.into_iter().map(shown).collect()))
}

/// What to prepare.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBatch {
    /// The batch's name, which is also its message id at the bank.
    name: String,
    /// Only for this owner.
    account: Option<AccountId>,
}

/// `POST /admin/v1/payouts`
pub(super) async fn prepare(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewBatch>, JsonRejection>,
) -> Result<Json<ShownBatch>, ApiError> {
    let Json(NewBatch { name, account }) = body.map_err(health::unreadable)?;
    let settlement = &admin.settlement;
    let prepared =
        settlement.billing().prepare_payouts(&name, account.as_ref(), settlement.now()).await?;
    tracing::info!(target: "audit", operator = %operator.account(), batch = name, sum = %prepared.sum, "payouts were prepared");
    Ok(Json(shown(&admin, name).await?))
}

/// `GET /admin/v1/payouts/{name}`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
) -> Result<Json<ShownBatch>, ApiError> {
    Ok(Json(shown(&admin, name).await?))
}

/// What became of a batch.
#[derive(Deserialize)]
#[serde(tag = "step", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Step {
    /// The bank has the file.
    Sent {},
    /// The bank has paid: everything, or this owner.
    Paid {
        /// Only this owner.
        account: Option<AccountId>,
    },
    /// This owner's payout came back.
    Returned {
        /// Whose.
        account: AccountId,
        /// What the bank said.
        reason: String,
    },
    /// The bank never gets the file.
    Cancelled {},
}

/// `POST /admin/v1/payouts/{name}`
pub(super) async fn step(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
    body: Result<Json<Step>, JsonRejection>,
) -> Result<Json<ShownBatch>, ApiError> {
    let Json(step) = body.map_err(health::unreadable)?;
    let (books, now) = (admin.settlement.billing(), admin.settlement.now());
    let done = match &step {
        Step::Sent {} => {
            books.mark_sent(&name).await?;
            "sent"
        }
        Step::Paid { account: None } => {
            books.mark_all_paid(&name, now).await?;
            "paid"
        }
        Step::Paid { account: Some(account) } => {
            books.mark_paid(&name, account, now).await?;
            "paid to one"
        }
        Step::Returned { account, reason } => {
            books.mark_returned(&name, account, reason, now).await?;
            "returned by one"
        }
        Step::Cancelled {} => {
            books.cancel_payouts(&name, now).await?;
            "cancelled"
        }
    };
    tracing::info!(target: "audit", operator = %operator.account(), batch = name, done, "a batch of payouts was marked");
    Ok(Json(shown(&admin, name).await?))
}

/// Which file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    format: Format,
    /// The day on which the bank shall pay; today by the accounting clock if it is not said.
    execute: Option<Day>,
}

/// The formats of a batch's file.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// ISO 20022 `pain.001.001.09`.
    #[default]
    Pain001,
    /// RFC 4180.
    Csv,
}

/// A file.
#[derive(Serialize)]
pub(super) struct BankFile {
    format: Format,
    text: String,
}

/// `GET /admin/v1/payouts/{name}/file`
pub(super) async fn file(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
    Query(Wanted { format, execute }): Query<Wanted>,
) -> Result<Json<BankFile>, ApiError> {
    let books = admin.settlement.billing();
    let payouts = books.payouts(&name).await?;
    let rules = books.rules();
    let text = match format {
        Format::Csv => to_csv(&name, &payouts, &rules.currency)?,
        Format::Pain001 => {
            let created = books.payout_batch(&name).await?.created;
            let execute = execute.unwrap_or_else(|| Day::of(admin.settlement.now()));
            to_pain001(&name, &payouts, &rules.seller, &rules.currency, created, execute)?
        }
    };
    Ok(Json(BankFile { format, text }))
}

/// `POST /admin/v1/accounts/{id}/payee`
pub(super) async fn set_payee(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
    body: Result<Json<Payee>, JsonRejection>,
) -> Result<Json<Payee>, ApiError> {
    let Json(payee) = body.map_err(health::unreadable)?;
    let account = find(&admin, &id).await?;
    admin.settlement.billing().set_payee(&account, &payee).await?;
    tracing::info!(target: "audit", operator = %operator.account(), %account, "a payee was set");
    Ok(Json(payee))
}

async fn shown(admin: &AdminParts, name: String) -> Result<ShownBatch, ApiError> {
    let books = admin.settlement.billing();
    let head = books.payout_batch(&name).await?;
    let payouts = books.payouts(&name).await?.into_iter();
    let payouts = payouts.map(|(account, payout)| ShownPayout { account, payout }).collect();
    Ok(ShownBatch { name, head, payouts: Some(payouts) })
}
