//! Configurations that are one word: who pays for requests, and transfer acceleration (which is kept and shown: there is one endpoint).

use metadata::ConfigKind;
use s3s::dto::{
    BucketAccelerateStatus, GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, Payer, PutBucketAccelerateConfigurationInput,
    PutBucketAccelerateConfigurationOutput, PutBucketRequestPaymentInput,
    PutBucketRequestPaymentOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Result};
use serde::{Deserialize, Serialize};

use crate::configs::{Configs, Kept};
use crate::s3::authorize::{
    Authorized, Gate, GetAccelerateConfiguration, GetBucketRequestPayment,
    PutAccelerateConfiguration, PutBucketRequestPayment,
};
use crate::s3::error;

/// Whether whoever asks pays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(in crate::s3) struct RequesterPays(pub(in crate::s3) bool);

impl Kept for RequesterPays {
    const KIND: ConfigKind = ConfigKind::RequestPayment;
}

/// Whether acceleration is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Accelerated(bool);

impl Kept for Accelerated {
    const KIND: ConfigKind = ConfigKind::Accelerate;
}

pub(in crate::s3) async fn put_payment(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<PutBucketRequestPaymentInput>,
) -> S3Result<PutBucketRequestPaymentOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketRequestPayment> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let pays = match request.input.request_payment_configuration.payer.as_str() {
        Payer::REQUESTER => true,
        Payer::BUCKET_OWNER => false,
        _ => return Err(error::malformed_xml()),
    };
    configs.put(&allowed.at(), &RequesterPays(pays)).await.map_err(error::catalog)?;
    Ok(PutBucketRequestPaymentOutput {})
}

pub(in crate::s3) async fn get_payment(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketRequestPaymentInput>,
) -> S3Result<GetBucketRequestPaymentOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketRequestPayment> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let pays = configs.get::<RequesterPays>(allowed.id()).await.map_err(error::catalog)?;
    let payer =
        if pays.is_some_and(|pays| pays.0) { Payer::REQUESTER } else { Payer::BUCKET_OWNER };
    Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::from_static(payer)) })
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
