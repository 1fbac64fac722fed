//! What the operator does with a customer's money and rights: deposits, tiers, freezes, spend caps. Each act has a reason and is told to the
//! audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use billing::account::{Adjustment, REASON_MAX, Standings};
use billing::caps::{Cap, Spent};
use billing::{FreezeKind, Limits, Money, Profile, Scope, Tier, Usage};
use metadata::CatalogError;
use serde::{Deserialize, Serialize};
use types::{AccountId, BucketName};

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health};

/// What is to be changed.
#[derive(Deserialize)]
#[serde(tag = "change", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Change {
    /// Money arrived at the bank, or goes back, or the operator gives some of its own.
    Money {
        /// Which of them.
        kind: Adjustment,
        /// How much.
        amount: Money,
        /// Why.
        reason: String,
        /// Names this act: sent again, it changes nothing.
        request: String,
    },
    /// How well the account is known.
    Tier {
        /// How well.
        tier: Tier,
        /// Why.
        reason: String,
    },
    /// The account is frozen.
    Freeze {
        /// Why, as a kind.
        kind: FreezeKind,
        /// Why, in words.
        reason: String,
    },
    /// A freeze ends.
    Unfreeze {
        /// Which.
        kind: FreezeKind,
        /// Why.
        reason: String,
    },
    /// The most that may be spent in a month.
    Cap {
        /// In this bucket, and not by the whole account.
        bucket: Option<BucketName>,
        /// With this access key, and not by the whole account.
        key: Option<String>,
        /// The most; nothing lifts the cap.
        amount: Option<Money>,
        /// Why.
        reason: String,
    },
    /// Whether what the account's nodes earn pays what it uses.
    Netting {
        /// Whether.
        on: bool,
        /// Why.
        reason: String,
    },
}

impl Change {
    fn reason(&self) -> &str {
        match self {
            Self::Money { reason, .. }
            | Self::Tier { reason, .. }
            | Self::Freeze { reason, .. }
            | Self::Unfreeze { reason, .. }
            | Self::Cap { reason, .. }
            | Self::Netting { reason, .. } => reason,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Money { kind: Adjustment::Deposit, .. } => "deposit",
            Self::Money { kind: Adjustment::Refund, .. } => "refund",
            Self::Money { kind: Adjustment::Credit, .. } => "credit",
            Self::Money { kind: Adjustment::Correction, .. } => "correction",
            Self::Tier { .. } => "tier",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
            Self::Cap { .. } => "cap",
            Self::Netting { .. } => "netting",
        }
    }
}

/// A customer as it is shown.
#[derive(Serialize)]
pub(super) struct ShownCustomer {
    account: AccountId,
    #[serde(flatten)]
    standings: Standings,
    profile: Profile,
    /// What its tier allows; held to only where the gateway runs with tier limits.
    limits: Limits,
    stored_bytes: u64,
    /// What was used on the day that is not over.
    today: Usage,
    caps: Vec<ShownCap>,
}

#[derive(Serialize)]
struct ShownCap {
    scope: String,
    cap: Money,
    /// Known of the cap on the whole account.
    spent: Option<Money>,
}

/// `GET /admin/v1/accounts/{id}/money`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
) -> Result<Json<ShownCustomer>, ApiError> {
    let account = find(&admin, &id).await?;
    Ok(Json(shown(&admin, account).await?))
}

/// `POST /admin/v1/accounts/{id}/money`
pub(super) async fn change(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Json<ShownCustomer>, ApiError> {
    let Json(change) = body.map_err(health::unreadable)?;
    let account = find(&admin, &id).await?;
    let len = change.reason().len();
    if !(1..=REASON_MAX).contains(&len) {
        return Err(ApiError::Invalid(format!("a reason is needed, of 1 to {REASON_MAX} bytes")));
    }
    apply(&admin, &account, &change).await?;
    admin.standings.forget();
    let (act, why) = (change.name(), change.reason());
    tracing::info!(target: "audit", operator = %operator.account(), %account, act, why, "a customer's account was changed");
    Ok(Json(shown(&admin, account).await?))
}

async fn apply(admin: &AdminParts, account: &AccountId, change: &Change) -> Result<(), ApiError> {
    let (books, now) = (admin.settlement.billing(), admin.settlement.now());
    match change {
        Change::Money { kind, amount, reason, request } => {
            books.adjust(account, *kind, *amount, reason, request, now).await?;
        }
        Change::Tier { tier, .. } => books.set_tier(account, *tier).await?,
        Change::Freeze { kind, reason } => books.freeze(account, *kind, reason, now).await?,
        Change::Unfreeze { kind, .. } => books.unfreeze(account, *kind).await?,
        Change::Netting { on, .. } => books.set_netting(account, *on).await?,
        Change::Cap { bucket, key, amount, .. } => {
            let scope = match (bucket, key) {
                (None, None) => Scope::Account,
                (Some(bucket), None) => Scope::Bucket(bucket_of(admin, account, bucket).await?),
                (None, Some(key)) => Scope::Key(key.clone()),
                (Some(_), Some(_)) => {
                    let words = "a cap is on a bucket or on a key, not on both";
                    return Err(ApiError::Invalid(words.to_owned()));
                }
            };
            let cap = amount.map(|per_month| Cap { per_month });
            books.set_cap(account, &scope, cap).await?;
        }
    }
    Ok(())
}

async fn bucket_of(
    admin: &AdminParts,
    account: &AccountId,
    name: &BucketName,
) -> Result<types::BucketId, ApiError> {
    match admin.catalog.bucket(name).await {
        Ok(bucket) if bucket.owner == *account => Ok(bucket.id),
        Ok(_) | Err(CatalogError::NoSuchBucket(_)) => {
            Err(CatalogError::Missing("bucket of this account").into())
        }
        Err(failed) => Err(failed.into()),
    }
}

pub(super) async fn find(admin: &AdminParts, id: &str) -> Result<AccountId, ApiError> {
    let none = || ApiError::Catalog(CatalogError::Missing("account"));
    let account: AccountId = id.parse().map_err(|_| none())?;
    admin.catalog.account(&account).await?.map(|_| account).ok_or_else(none)
}

async fn shown(admin: &AdminParts, account: AccountId) -> Result<ShownCustomer, ApiError> {
    let (books, now) = (admin.settlement.billing(), admin.settlement.now());
    let standing = books.standing(&account, None, None, now).await?;
    let spent: BTreeMap<Scope, Money> =
        standing.caps.into_iter().map(|Spent { scope, spent, .. }| (scope, spent)).collect();
    let caps = books.caps(&account).await?.into_iter().map(|(scope, cap)| ShownCap {
        spent: spent.get(&scope).copied(),
        scope: scope.to_string(),
        cap: cap.per_month,
    });
    Ok(ShownCustomer {
        standings: books.standings(&account).await?,
        profile: standing.profile,
        limits: standing.limits,
        stored_bytes: standing.stored_bytes,
        today: standing.today,
        caps: caps.collect(),
        account,
    })
}
