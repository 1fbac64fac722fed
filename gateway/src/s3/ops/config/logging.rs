//! PutBucketLogging, GetBucketLogging.

use metadata::{Bucket, Catalog, CatalogError};
use s3s::dto::{
    GetBucketLoggingInput, GetBucketLoggingOutput, LoggingEnabled, PartitionDateSource,
    PartitionedPrefix, PutBucketLoggingInput, PutBucketLoggingOutput, SimplePrefix,
    TargetObjectKeyFormat,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::BucketName;

use super::target;
use crate::configs::Configs;
use crate::rules::logging::{Logging, Naming};
use crate::s3::authorize::{Actor, Authorized, Deed, Gate, GetBucketLogging, PutBucketLogging};
use crate::s3::error;

/// The most bytes of a prefix: what stands after it must fit a key, too.
const PREFIX_MAX: usize = 800;

pub(in crate::s3) async fn put(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    request: S3Request<PutBucketLoggingInput>,
) -> S3Result<PutBucketLoggingOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketLogging> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let Some(wanted) = request.input.bucket_logging_status.logging_enabled.clone() else {
        configs.delete::<Logging>(&allowed.at()).await.map_err(error::catalog)?;
        return Ok(PutBucketLoggingOutput {});
    };
    let naming = naming(wanted.target_object_key_format)?;
    let prefix = wanted.target_prefix;
    if wanted.target_grants.is_some_and(|grants| !grants.is_empty()) {
        return Err(error::later("Granting access to the objects of a log (use a bucket policy)"));
    }
    if prefix.len() > PREFIX_MAX {
        return Err(error::refuse(S3ErrorCode::InvalidArgument, "The target prefix is too long."));
    }
    let target: BucketName = wanted.target_bucket.parse().map_err(|_| no_target())?;
    let row = match catalog.bucket(&target).await {
        Ok(row) => row,
        Err(CatalogError::NoSuchBucket(_)) => return Err(no_target()),
        Err(failed) => return Err(error::catalog(failed)),
    };
    check_target(gate, &request, &allowed, (&target, &row), &prefix).await?;
    let logging = Logging { target, owner: row.owner, prefix, naming };
    configs.put(&allowed.at(), &logging).await.map_err(error::catalog)?;
    Ok(PutBucketLoggingOutput {})
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketLoggingInput>,
) -> S3Result<GetBucketLoggingOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketLogging> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let logging = configs.get::<Logging>(allowed.id()).await.map_err(error::catalog)?;
    Ok(GetBucketLoggingOutput { logging_enabled: logging.map(|logging| show(&logging)) })
}

/// The target must take logs. It is asked again whenever one is delivered.
async fn check_target(
    gate: &Gate,
    request: &S3Request<PutBucketLoggingInput>,
    allowed: &Authorized<PutBucketLogging>,
    target: (&BucketName, &Bucket),
    prefix: &str,
) -> S3Result<()> {
    if target.1.lock.is_some_and(|lock| lock.default.is_some()) {
        return Err(refused("The target bucket for logging must not have a default retention."));
    }
    let account = &allowed.bucket().owner;
    let deed = Deed { actor: Actor::Logging, source: allowed.name(), account };
    if target::takes(gate, request, &deed, target, prefix).await? {
        return Ok(());
    }
    Err(refused(
        "The target bucket must let logs be delivered: by its policy or list, or as a bucket of the same owner whose policy does not deny it.",
    ))
}

fn naming(format: Option<TargetObjectKeyFormat>) -> S3Result<Option<Naming>> {
    let Some(format) = format else { return Ok(None) };
    match (format.simple_prefix, format.partitioned_prefix) {
        (Some(_), None) => Ok(Some(Naming::Simple)),
        (None, Some(PartitionedPrefix { partition_date_source })) => {
            match partition_date_source.as_ref().map(PartitionDateSource::as_str) {
                Some(PartitionDateSource::EVENT_TIME) => Ok(Some(Naming::ByEvent)),
                None | Some(PartitionDateSource::DELIVERY_TIME) => Ok(Some(Naming::ByDelivery)),
                Some(_) => Err(error::malformed_xml()),
            }
        }
        _ => Err(error::malformed_xml()),
    }
}

fn no_target() -> S3Error {
    refused("The target bucket for logging does not exist.")
}

fn refused(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidTargetBucketForLogging, message)
}

fn show(logging: &Logging) -> LoggingEnabled {
    let partitioned = |source| TargetObjectKeyFormat {
        partitioned_prefix: Some(PartitionedPrefix {
            partition_date_source: Some(PartitionDateSource::from_static(source)),
        }),
        simple_prefix: None,
    };
    let format = logging.naming.map(|naming| match naming {
        Naming::Simple => {
            TargetObjectKeyFormat { partitioned_prefix: None, simple_prefix: Some(SimplePrefix {}) }
        }
        Naming::ByDelivery => partitioned(PartitionDateSource::DELIVERY_TIME),
        Naming::ByEvent => partitioned(PartitionDateSource::EVENT_TIME),
    });
    LoggingEnabled {
        target_bucket: logging.target.to_string(),
        target_grants: None,
        target_object_key_format: format,
        target_prefix: logging.prefix.clone(),
    }
}
