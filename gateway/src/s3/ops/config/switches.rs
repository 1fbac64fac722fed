//! Transfer acceleration, which is kept and shown: there is one endpoint.

use metadata::ConfigKind;
use s3s::dto::{
    BucketAccelerateStatus, GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput, PutBucketAccelerateConfigurationInput,
    PutBucketAccelerateConfigurationOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Result};
use serde::{Deserialize, Serialize};

use crate::configs::{Configs, Kept};
use crate::s3::authorize::{
    Authorized, Gate, GetAccelerateConfiguration, PutAccelerateConfiguration,
};
use crate::s3::error;

/// Whether acceleration is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Accelerated(bool);

impl Kept for Accelerated {
    const KIND: ConfigKind = ConfigKind::Accelerate;
}

pub(in crate::s3) async fn put_acceleration(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<PutBucketAccelerateConfigurationInput>,
) -> S3Result<PutBucketAccelerateConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutAccelerateConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if allowed.name().as_str().contains('.') {
        let message =
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names";
        return Err(error::refuse(S3ErrorCode::InvalidRequest, message));
    }
    let status = request.input.accelerate_configuration.status;
    let on = match status.as_ref().map(BucketAccelerateStatus::as_str) {
        Some(BucketAccelerateStatus::ENABLED) => true,
        Some(BucketAccelerateStatus::SUSPENDED) => false,
        _ => return Err(error::malformed_xml()),
    };
    configs.put(&allowed.at(), &Accelerated(on)).await.map_err(error::catalog)?;
    Ok(PutBucketAccelerateConfigurationOutput {})
}

pub(in crate::s3) async fn get_acceleration(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketAccelerateConfigurationInput>,
) -> S3Result<GetBucketAccelerateConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<GetAccelerateConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let on = configs.get::<Accelerated>(allowed.id()).await.map_err(error::catalog)?;
    let word = |on: bool| {
        if on { BucketAccelerateStatus::ENABLED } else { BucketAccelerateStatus::SUSPENDED }
    };
    Ok(GetBucketAccelerateConfigurationOutput {
        status: on.map(|on| BucketAccelerateStatus::from_static(word(on.0))),
        ..GetBucketAccelerateConfigurationOutput::default()
    })
}
