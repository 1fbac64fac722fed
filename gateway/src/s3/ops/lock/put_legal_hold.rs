//! PutObjectLegalHold.

use metadata::Catalog;
use s3s::dto::{PutObjectLegalHoldInput, PutObjectLegalHoldOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutObjectLegalHold};
use crate::s3::{describe, error, protection};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<PutObjectLegalHoldOutput> {
    let input = &request.input;
    let allowed: Authorized<PutObjectLegalHold> = gate
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
    let status = input.legal_hold.as_ref().and_then(|hold| hold.status.as_ref());
    let hold = status.and_then(|status| protection::hold_of(status.as_str()));
    let hold = hold.ok_or_else(protection::malformed)?;
    let kept = catalog.put_legal_hold(&allowed.at(), &key, version, hold).await;
    kept.map_err(error::catalog)?;
    Ok(PutObjectLegalHoldOutput::default())
}
