//! DeleteObject. Deleting what is not there succeeds.

use metadata::{Catalog, CatalogError, Delete, Deleted};
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Result};

use crate::changes::Changes;
use crate::s3::authorize::{Authorized, BypassGovernanceRetention, DeleteObject, Gate};
use crate::s3::{conditions, describe, error, follow};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<DeleteObjectInput>,
) -> S3Result<DeleteObjectOutput> {
    let input = &request.input;
    let (expected, named) = (input.expected_bucket_owner.as_deref(), input.version_id.as_deref());
    let door = gate.open(&request, &input.bucket, expected).await?;
    let allowed: Authorized<DeleteObject> = door.object(&input.key, named).await?;
    // Who may not bypass asks in vain, and is told so only where it would matter.
    let bypass = input.bypass_governance_retention == Some(true)
        && door.may::<BypassGovernanceRetention>((&input.key, named)).await?;
    drop(door);
    let input = request.input;
    let key = describe::key(&input.key)?;
    let version = describe::version(input.version_id.as_deref())?;
    let following = follow::changes(changes, &allowed).await?;
    let delete = Delete {
        sequel: following.deleted(&key, version.is_some()),
        version,
        key,
        preconditions: conditions::of_delete(
            input.if_match.as_ref(),
            input.if_match_size,
            input.if_match_last_modified_time.as_ref(),
        )?,
        bypass,
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
