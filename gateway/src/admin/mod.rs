//! The operator's door: a small REST API under `/admin/v1`, and what watchers ask (`/livez`, `/readyz`, `/metrics`,
//! `/takedowns`).
//!
//! ```text
//! watchers ─▶ health                                     unsigned, reveals nothing of anybody
//! operator ─▶ auth (SigV4, service `drystone`) ─▶ Operator ─▶ accounts · keys · buckets · money · nodes · invites · takedowns · durability · backup · fsck
//! ```
//!
//! Only [`auth`] can make an `Operator`, and every handler behind it demands one: a route that was mounted in front of the check
//! answers 500 instead of obeying a stranger. What the API offers is written down in `openapi.json`, which it serves too.

mod accounts;
mod auth;
pub mod backup;
mod buckets;
mod customers;
mod durability;
mod error;
mod estimate;
mod fsck;
mod health;
mod invites;
mod keys;
mod kms;
pub mod metrics;
mod money;
mod nodes;
mod papers;
mod payouts;
pub mod sigv4;
mod takedown;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::metrics_exporter_prometheus::PrometheusHandle;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use metadata::Catalog;
use protocol::invite::Token;
use seal::Keyring;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use types::GeometryName;
use types::clock::SharedClock;

pub use error::ApiError;

use crate::configs::Configs;
use crate::http::{Limits, serve as serve_http};
use crate::keys::WrappingKeys;
use crate::nodes::Nodes;
use crate::nodes::vetting::VettingRules;
use crate::quota::Quotas;
use crate::standing::Standings;
use crate::upkeep::pace::Pacer;
use crate::upkeep::queue::Progress;
use crate::upkeep::settle::Settlement;

/// The SigV4 service that admin requests are signed for.
pub const SERVICE: &str = "drystone";

/// Words invites: knows where nodes should dial and which root they pin.
pub trait Invites: Send + Sync + 'static {
    /// The invite around `token`, as one printable word.
    fn make(&self, token: Token) -> String;
}

/// What the admin API works with.
#[derive(Clone)]
pub struct AdminParts {
    /// Accounts, nodes, groups, garbage.
    pub catalog: Catalog,
    /// Bucket configurations.
    pub configs: Configs,
    /// What buckets may hold.
    pub quotas: Arc<Quotas>,
    /// The books, and what keeps them.
    pub settlement: Settlement,
    /// Forgotten when something about accounts' money is changed.
    pub standings: Arc<Standings>,
    /// Seals the secrets of access keys.
    pub keyring: Arc<Keyring>,
    /// The named keys of SSE-KMS.
    pub keys: Arc<WrappingKeys>,
    /// Who is online.
    pub nodes: Arc<Nodes>,
    /// What repair has done and has to do.
    pub progress: Arc<Progress>,
    /// Bounds what repair moves.
    pub pacer: Arc<Pacer>,
    /// When a newcomer gets a full share.
    pub vetting: VettingRules,
    /// A node that is offline this long is declared lost.
    pub node_lost_after: Duration,
    /// Words invites.
    pub invites: Arc<dyn Invites>,
    /// The geometry that must be writable for the gateway to call itself ready.
    pub geometry: GeometryName,
    /// Tells the time to signatures and records.
    pub clock: SharedClock,
    /// When the gateway started.
    pub started: Instant,
    /// Where keyring and operator's keys lie, for backups.
    pub data_dir: PathBuf,
    /// Ends the gateway's memory of an access key that was changed.
    pub forget_key: Arc<dyn Fn(&str) + Send + Sync>,
    /// Renders the process's metrics.
    pub metrics: PrometheusHandle,
}

/// Serves the admin API until `shutdown`, and keeps the metrics from growing meanwhile.
pub async fn serve(listener: TcpListener, parts: AdminParts, shutdown: CancellationToken) {
    let upkeep = metrics::upkeep(parts.metrics.clone());
    tokio::select! {
        () = serve_http(listener, None, router(parts), Limits::admin(), shutdown) => {}
        () = upkeep => {}
    }
}

/// Every route of the admin door.
pub fn router(parts: AdminParts) -> Router {
    let parts = Arc::new(parts);
    let signed = Router::new()
        .route("/admin/v1/accounts", get(accounts::list).post(accounts::create))
        .route("/admin/v1/accounts/{id}/money", get(customers::show).post(customers::change))
        .route("/admin/v1/accounts/{id}/invoice", get(papers::invoice))
        .route("/admin/v1/accounts/{id}/payee", post(payouts::set_payee))
        .route("/admin/v1/estimate/node", get(estimate::node))
        .route("/admin/v1/estimate/customer", get(estimate::customer))
        .route("/admin/v1/invoices", post(papers::issue))
        .route("/admin/v1/payouts", get(payouts::list).post(payouts::prepare))
        .route("/admin/v1/payouts/{name}", get(payouts::show).post(payouts::step))
        .route("/admin/v1/payouts/{name}/file", get(payouts::file))
        .route("/admin/v1/nodes/{id}/statement", get(papers::statement))
        .route("/admin/v1/nodes/{id}/owner", post(papers::set_owner))
        .route("/admin/v1/tariffs", get(money::tariffs).post(money::set_tariff))
        .route("/admin/v1/tariffs/{from}", delete(money::drop_tariff))
        .route("/admin/v1/ledger", get(money::entries))
        .route("/admin/v1/ledger/balances", get(money::balances))
        .route("/admin/v1/ledger/check", get(money::check))
        .route("/admin/v1/settlement", get(money::progress).post(money::settle))
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{id}", get(keys::show).delete(keys::delete))
        .route("/admin/v1/keys/{id}/{change}", post(keys::change))
        .route(
            "/admin/v1/buckets/{name}/quota",
            get(buckets::show).post(buckets::set).delete(buckets::lift),
        )
        .route("/admin/v1/kms", get(kms::list).post(kms::create))
        .route("/admin/v1/kms/{name}/{change}", post(kms::change))
        .route(
            "/admin/v1/takedowns",
            get(takedown::list).post(takedown::add).delete(takedown::remove),
        )
        .route("/admin/v1/nodes", get(nodes::list))
        .route("/admin/v1/nodes/{id}", get(nodes::show))
        .route("/admin/v1/nodes/{id}/{change}", post(nodes::change))
        .route("/admin/v1/invites", post(invites::invite).delete(invites::revoke))
        .route("/admin/v1/durability", get(durability::show))
        .route("/admin/v1/durability/object", get(durability::object))
        .route("/admin/v1/fsck", post(fsck::run))
        .route("/admin/v1/backup", post(backup::handle))
        .route("/admin/v1/openapi.json", get(health::openapi))
        .fallback(health::unknown)
        .method_not_allowed_fallback(health::wrong_method)
        .layer(from_fn_with_state(Arc::clone(&parts), auth::check));
    Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/takedowns", get(takedown::log))
        .merge(signed)
        .with_state(parts)
}

#[cfg(test)]
mod tests;
