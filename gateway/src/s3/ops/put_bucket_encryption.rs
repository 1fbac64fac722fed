//! PutBucketEncryption: how objects are encrypted that ask for nothing.

use metadata::Catalog;
use metadata::records::ConfigKind;
use s3s::dto::{
    PutBucketEncryptionInput, PutBucketEncryptionOutput, ServerSideEncryptionByDefault,
    ServerSideEncryptionRule,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::put::Writer;
use crate::s3::authorize::{Authorized, Gate, PutEncryptionConfiguration};
use crate::s3::encryption::{self, BucketDefault, DefaultAlgorithm};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    writer: &Writer,
    request: S3Request<PutBucketEncryptionInput>,
) -> S3Result<PutBucketEncryptionOutput> {
    let input = &request.input;
    let allowed: Authorized<PutEncryptionConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let rules = request.input.server_side_encryption_configuration.rules;
    let default = read(rules)?;
    if let Some(DefaultAlgorithm::Kms(key)) = &default.algorithm {
        writer.keys.usable(key).await.map_err(error::key)?;
    }
    let stored = serde_json::to_vec(&default).map_err(S3Error::internal_error)?;
    catalog
        .put_bucket_config(&allowed.at(), ConfigKind::Encryption, "", stored)
        .await
        .map_err(error::catalog)?;
    Ok(PutBucketEncryptionOutput::default())
}

/// A bucket has one rule.
fn read(rules: Vec<ServerSideEncryptionRule>) -> S3Result<BucketDefault> {
    let malformed = || S3Error::new(S3ErrorCode::MalformedXML);
    let Ok([rule]) = <[ServerSideEncryptionRule; 1]>::try_from(rules) else {
        return Err(malformed());
    };
    let blocked = rule.blocked_encryption_types.and_then(|blocked| blocked.encryption_type);
    let blocked = blocked.unwrap_or_default();
    let algorithm = rule.apply_server_side_encryption_by_default.map(algorithm).transpose()?;
    if algorithm.is_none() && blocked.is_empty() {
        return Err(malformed());
    }
    Ok(BucketDefault {
        algorithm,
        bucket_key: rule.bucket_key_enabled.unwrap_or(false),
        block_customer: blocked.iter().any(|kind| kind.as_str() == "SSE-C"),
    })
}

fn algorithm(default: ServerSideEncryptionByDefault) -> S3Result<DefaultAlgorithm> {
    match (default.sse_algorithm.as_str(), default.kms_master_key_id) {
        (encryption::AES256, None) => Ok(DefaultAlgorithm::Aes256),
        (encryption::AES256, Some(_)) => Err(error::refuse(
            S3ErrorCode::InvalidArgument,
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        )),
        (encryption::KMS, key) => Ok(DefaultAlgorithm::Kms(encryption::key_name(key)?)),
        ("aws:kms:dsse", _) => Err(error::later("Dual-layer encryption (aws:kms:dsse)")),
        _ => Err(S3Error::new(S3ErrorCode::MalformedXML)),
    }
}
