//! Configurations of which a bucket may have many, each under an id: metrics, analytics and intelligent tiering are kept and shown
//! (nothing here acts on them: `docs/S3.md` says why); inventories are also made. What
//! is only kept is kept as the XML that it is, and not judged beyond its schema.

use std::future::{Ready, ready};

use ::http::StatusCode;
use metadata::{Catalog, ConfigKind};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::{BucketId, BucketName as Name};

use crate::s3::authorize::{Authorized, Gate};
use crate::s3::error;

/// The longest id, in characters.
const ID_MAX: usize = 64;
/// The most configurations of a kind in a bucket.
const CONFIGS_MAX: usize = 1_000;
/// Configurations in one page of a list.
const PAGE: usize = 100;

/// The four operations of one kind.
macro_rules! named {
    (
        $module:ident, $kind:ident, $xml:ident, $field:ident, $list:ident, $write:path, $read:path, $check:path,
        $put:ident $get:ident,
        $PutInput:ident $PutOutput:ident, $GetInput:ident $GetOutput:ident,
        $DeleteInput:ident $DeleteOutput:ident, $ListInput:ident $ListOutput:ident
    ) => {
        pub(in crate::s3) mod $module {
            use s3s::{S3Request, S3Result, dto};

            use super::{check_id, keep, none, page};
            use crate::s3::authorize::{Authorized, Gate, $get, $put};
            use crate::s3::error;
            use metadata::{Catalog, ConfigKind};

            pub(in crate::s3) async fn put(
                gate: &Gate,
                catalog: &Catalog,
                request: S3Request<dto::$PutInput>,
            ) -> S3Result<dto::$PutOutput> {
                let input = &request.input;
                let allowed: Authorized<$put> = gate
                    .bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref())
                    .await?;
                $check(gate, catalog, &request, &allowed).await?;
                let input = request.input;
                check_id(&input.id, &input.$field.id)?;
                let bytes = $write(&input.$field)?;
                keep(catalog, &allowed.at(), ConfigKind::$kind, &input.id, bytes).await?;
                Ok(dto::$PutOutput {})
            }

            pub(in crate::s3) async fn get(
                gate: &Gate,
                catalog: &Catalog,
                request: S3Request<dto::$GetInput>,
            ) -> S3Result<dto::$GetOutput> {
                let input = &request.input;
                let allowed: Authorized<$get> = gate
                    .bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref())
                    .await?;
                let (id, kind) = (allowed.id(), ConfigKind::$kind);
                let kept = catalog.bucket_config(id, kind, &request.input.id).await;
                let kept = kept.map_err(error::catalog)?.ok_or_else(none)?;
                Ok(dto::$GetOutput { $field: Some($read(&kept)?) })
            }

            pub(in crate::s3) async fn delete(
                gate: &Gate,
                catalog: &Catalog,
                request: S3Request<dto::$DeleteInput>,
            ) -> S3Result<dto::$DeleteOutput> {
                let input = &request.input;
                let allowed: Authorized<$put> = gate
                    .bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref())
                    .await?;
                let (at, kind) = (allowed.at(), ConfigKind::$kind);
                let gone = catalog.delete_bucket_config(&at, kind, &request.input.id).await;
                if gone.map_err(error::catalog)? { Ok(dto::$DeleteOutput {}) } else { Err(none()) }
            }

            pub(in crate::s3) async fn list(
                gate: &Gate,
                catalog: &Catalog,
                request: S3Request<dto::$ListInput>,
            ) -> S3Result<dto::$ListOutput> {
                let input = &request.input;
                let allowed: Authorized<$get> = gate
                    .bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref())
                    .await?;
                let after = request.input.continuation_token;
                let (rows, next) =
                    page(catalog, allowed.id(), ConfigKind::$kind, after.as_deref()).await?;
                let shown: Vec<dto::$xml> =
                    rows.iter().map(|row| $read(row)).collect::<S3Result<_>>()?;
                Ok(dto::$ListOutput {
                    continuation_token: after,
                    is_truncated: Some(next.is_some()),
                    $list: (!shown.is_empty()).then_some(shown),
                    next_continuation_token: next,
                })
            }
        }
    };
}

named! {
    metrics, Metrics, MetricsConfiguration, metrics_configuration, metrics_configuration_list, crate::s3::xml::write, crate::s3::xml::read,
    super::anywhere,
    PutMetricsConfiguration GetMetricsConfiguration,
    PutBucketMetricsConfigurationInput PutBucketMetricsConfigurationOutput,
    GetBucketMetricsConfigurationInput GetBucketMetricsConfigurationOutput,
    DeleteBucketMetricsConfigurationInput DeleteBucketMetricsConfigurationOutput,
    ListBucketMetricsConfigurationsInput ListBucketMetricsConfigurationsOutput
}

named! {
    analytics, Analytics, AnalyticsConfiguration, analytics_configuration, analytics_configuration_list, crate::s3::xml::write, crate::s3::xml::read,
    super::anywhere,
    PutAnalyticsConfiguration GetAnalyticsConfiguration,
    PutBucketAnalyticsConfigurationInput PutBucketAnalyticsConfigurationOutput,
    GetBucketAnalyticsConfigurationInput GetBucketAnalyticsConfigurationOutput,
    DeleteBucketAnalyticsConfigurationInput DeleteBucketAnalyticsConfigurationOutput,
    ListBucketAnalyticsConfigurationsInput ListBucketAnalyticsConfigurationsOutput
}

named! {
    tiering, IntelligentTiering, IntelligentTieringConfiguration, intelligent_tiering_configuration,
    intelligent_tiering_configuration_list, crate::s3::xml::write, crate::s3::xml::read, super::anywhere,
    PutIntelligentTieringConfiguration GetIntelligentTieringConfiguration,
    PutBucketIntelligentTieringConfigurationInput PutBucketIntelligentTieringConfigurationOutput,
    GetBucketIntelligentTieringConfigurationInput GetBucketIntelligentTieringConfigurationOutput,
    DeleteBucketIntelligentTieringConfigurationInput DeleteBucketIntelligentTieringConfigurationOutput,
    ListBucketIntelligentTieringConfigurationsInput ListBucketIntelligentTieringConfigurationsOutput
}

named! {
    inventories, Inventory, InventoryConfiguration, inventory_configuration, inventory_configuration_list,
    crate::s3::ops::config::inventory::write, crate::s3::ops::config::inventory::read, crate::s3::ops::config::inventory::check,
    PutInventoryConfiguration GetInventoryConfiguration,
    PutBucketInventoryConfigurationInput PutBucketInventoryConfigurationOutput,
    GetBucketInventoryConfigurationInput GetBucketInventoryConfigurationOutput,
    DeleteBucketInventoryConfigurationInput DeleteBucketInventoryConfigurationOutput,
    ListBucketInventoryConfigurationsInput ListBucketInventoryConfigurationsOutput
}

/// What is only kept has nothing written anywhere.
fn anywhere<T, A>(
    _: &Gate,
    _: &Catalog,
    _: &S3Request<T>,
    _: &Authorized<A>,
) -> Ready<S3Result<()>> {
    ready(Ok(()))
}

fn check_id(in_query: &str, in_body: &str) -> S3Result<()> {
    let fine = !in_query.is_empty() && in_query.chars().count() <= ID_MAX;
    if fine && in_query == in_body {
        return Ok(());
    }
    Err(error::refuse(
        S3ErrorCode::InvalidArgument,
        "The id is empty, too long, or not that of the configuration.",
    ))
}

async fn keep(
    catalog: &Catalog,
    at: &(Name, BucketId),
    kind: ConfigKind,
    id: &str,
    bytes: Vec<u8>,
) -> S3Result<()> {
    let present = catalog.bucket_configs(at.1, kind).await.map_err(error::catalog)?;
    if present.len() >= CONFIGS_MAX && !present.iter().any(|(name, _)| name == id) {
        return Err(error::custom(
            "TooManyConfigurations",
            StatusCode::BAD_REQUEST,
            "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.",
        ));
    }
    catalog.put_bucket_config(at, kind, id, bytes).await.map_err(error::catalog)
}

/// A page of what is kept after an id, and the id after which the next page begins.
async fn page(
    catalog: &Catalog,
    bucket: BucketId,
    kind: ConfigKind,
    after: Option<&str>,
) -> S3Result<(Vec<Vec<u8>>, Option<String>)> {
    let all = catalog.bucket_configs(bucket, kind).await.map_err(error::catalog)?;
    let mut rows: Vec<_> = all
        .into_iter()
        .filter(|(id, _)| after.is_none_or(|after| id.as_str() > after))
        .take(PAGE + 1)
        .collect();
    let more = rows.len() > PAGE;
    rows.truncate(PAGE);
    let next = rows.last().filter(|_| more).map(|(id, _)| id.clone());
    Ok((rows.into_iter().map(|(_, bytes)| bytes).collect(), next))
}

fn none() -> S3Error {
    let message = "The specified configuration does not exist.";
    error::custom("NoSuchConfiguration", StatusCode::NOT_FOUND, message)
}
