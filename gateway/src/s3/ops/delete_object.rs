//! DeleteObject. Deleting what is not there succeeds.

use metadata::{Catalog, CatalogError, Preconditions};
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Result};
use types::ObjectKey;

use crate::s3::authorize::{Authorized, DeleteObject, Gate};
use crate::s3::{conditions, describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    let input = &request.input;
    let allowed: Authorized<DeleteObject> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    describe::only_null(input.version_id.as_deref())?;
    let key = describe::key(&input.key)?;
    let preconditions = conditions::of_delete(
        input.if_match.as_ref(),
        input.if_match_size,
        input.if_match_last_modified_time.as_ref(),
    )?;
    delete(catalog, &allowed, &key, &preconditions).await.map_err(error::catalog)?;
    Ok(DeleteObjectOutput::default())
}

/// Deletes one object, whatever the way it was asked for. What is not there meets every condition.
pub(super) async fn delete(
    catalog: &Catalog,
    allowed: &Authorized<DeleteObject>,
    key: &ObjectKey,
    preconditions: &Preconditions,
) -> Result<(), CatalogError> {
    match catalog.delete_object(&allowed.at(), key, preconditions).await {
        Ok(_) | Err(CatalogError::NoSuchKey) => Ok(()),
        Err(refused) => Err(refused),
    }
}
