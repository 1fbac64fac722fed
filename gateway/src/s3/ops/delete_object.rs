//! DeleteObject. Deleting what is not there succeeds.

use metadata::{Catalog, CatalogError, Delete, Deleted};
use s3s::dto::{DeleteObjectInput, DeleteObjectOutput};
use s3s::{S3Request, S3Result};
use types::{ObjectKey, VersionId};

use crate::changes::Changes;
use crate::s3::authorize::{
    Authorized, BypassGovernanceRetention, DeleteObject, Gate, ReplicateDelete,
};
use crate::s3::{conditions, describe, error, follow, replica};

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
    let replica = replica::asked(&request.uri, gate.now())?.filter(|_| named.is_none());
    if replica.is_some() {
        let _: Authorized<ReplicateDelete> = door.object(&input.key, None).await?;
    }
    drop(door);
    let input = request.input;
    let key = describe::key(&input.key)?;
    if let Some(version) = replica {
        return replicate(catalog, &allowed, &key, version).await;
    }
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

/// Takes a delete marker over from another Drystone; one that is there already is there.
async fn replicate(
    catalog: &Catalog,
    allowed: &Authorized<DeleteObject>,
    key: &ObjectKey,
    version: VersionId,
) -> S3Result<DeleteObjectOutput> {
    match catalog.replicate_marker(&allowed.at(), key, version).await {
        Ok(()) => {}
        Err(CatalogError::PreconditionFailed) => {
            match catalog.locate_version(allowed.id(), key, Some(version)).await {
                Err(CatalogError::DeleteMarker { .. }) => {}
                _ => return Err(error::catalog(CatalogError::PreconditionFailed)),
            }
        }
        Err(failed) => return Err(error::catalog(failed)),
    }
    Ok(DeleteObjectOutput {
        delete_marker: Some(true),
        request_charged: None,
        version_id: Some(version.to_string()),
    })
}

/// What is not there meets every condition.
pub(super) fn settle(deleted: Result<Deleted, CatalogError>) -> Result<Deleted, CatalogError> {
    match deleted {
        Err(CatalogError::NoSuchKey) => Ok(Deleted::default()),
        decided => decided,
    }
}
