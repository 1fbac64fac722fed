//! GetObjectLegalHold.

use metadata::Catalog;
use s3s::dto::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus,
};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetObjectLegalHold};
use crate::s3::{describe, error, protection};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<GetObjectLegalHoldOutput> {
    let input = &request.input;
    let allowed: Authorized<GetObjectLegalHold> = gate
        .object(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    let input = &request.input;
    super::need(allowed.bucket())?;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let located = catalog.locate_version(allowed.id(), &key, version).await;
    let lock = located.map_err(error::catalog)?.detail.lock;
    let status = protection::told_hold(&lock).ok_or_else(super::none)?;
    Ok(GetObjectLegalHoldOutput {
        legal_hold: Some(ObjectLockLegalHold {
            status: Some(ObjectLockLegalHoldStatus::from_static(status)),
        }),
    })
}
