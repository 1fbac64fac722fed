//! DeleteObject. Deleting what is not there succeeds.

use metadata::{Catalog, CatalogError, Delete, Deleted};
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Result};

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
    let delete = Delete {
        version: describe::version(input.version_id.as_deref())?,
        key: describe::key(&input.key)?,
        preconditions: conditions::of_delete(
            input.if_match.as_ref(),
            input.if_match_size,
            input.if_match_last_modified_time.as_ref(),
        )?,
        bypass: input.bypass_governance_retention == Some(true),
    };
    let deleted = settle(catalog.delete_object(&allowed.at(), &delete).await);
    let deleted = deleted.map_err(error::catalog)?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        request_charged: None,
        version_id: deleted.version.map(|id| id.to_string()),
    })
}

/// What is not there meets every condition.
pub(super) fn settle(deleted: Result<Deleted, CatalogError>) -> Result<Deleted, CatalogError> {
    match deleted {
        Err(CatalogError::NoSuchKey) => Ok(Deleted::default()),
        decided => decided,
    }
}
