//! DeleteBucketEncryption.

use metadata::Catalog;
use metadata::records::ConfigKind;
use s3s::dto::{DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutEncryptionConfiguration};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteBucketEncryptionInput>,
) -> S3Result<DeleteBucketEncryptionOutput> {
    let input = &request.input;
    // AWS asks for the same permission as for setting it.
    let allowed: Authorized<PutEncryptionConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    catalog
        .delete_bucket_config(&allowed.at(), ConfigKind::Encryption, "")
        .await
        .map_err(error::catalog)?;
    Ok(DeleteBucketEncryptionOutput::default())
}
