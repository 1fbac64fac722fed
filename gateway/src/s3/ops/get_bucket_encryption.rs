//! GetBucketEncryption.

use ::http::StatusCode;
use metadata::Catalog;
use s3s::dto::{
    BlockedEncryptionTypes, EncryptionType, GetBucketEncryptionInput, GetBucketEncryptionOutput,
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetEncryptionConfiguration};
use crate::s3::encryption::{self, DefaultAlgorithm};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<GetBucketEncryptionInput>,
) -> S3Result<GetBucketEncryptionOutput> {
    let input = &request.input;
    let allowed: Authorized<GetEncryptionConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let default = encryption::default_of(catalog, allowed.id()).await?;
    let default = default.ok_or_else(|| {
        error::custom(
            "ServerSideEncryptionConfigurationNotFoundError",
            StatusCode::NOT_FOUND,
            "The server side encryption configuration was not found.",
        )
    })?;
    let algorithm = default.algorithm.map(|algorithm| {
        let (name, kms_master_key_id) = match algorithm {
            DefaultAlgorithm::Aes256 => (encryption::AES256, None),
            DefaultAlgorithm::Kms(key) => (encryption::KMS, Some(key)),
        };
        let sse_algorithm = ServerSideEncryption::from_static(name);
        ServerSideEncryptionByDefault { kms_master_key_id, sse_algorithm }
    });
    let blocked = default.block_customer.then(|| BlockedEncryptionTypes {
        encryption_type: Some(vec![EncryptionType::from_static("SSE-C")]),
    });
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: algorithm,
        blocked_encryption_types: blocked,
        bucket_key_enabled: Some(default.bucket_key),
    };
    let configuration = ServerSideEncryptionConfiguration { rules: vec![rule] };
    Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(configuration) })
}
