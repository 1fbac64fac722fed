//! PutObjectRetention. An empty retention lifts the one there is.

use metadata::Catalog;
use metadata::records::Retention;
use s3s::dto::{ObjectLockRetention, PutObjectRetentionInput, PutObjectRetentionOutput};
use s3s::{S3Request, S3Result};
use types::Timestamp;

use crate::put::Writer;
use crate::s3::authorize::{Authorized, BypassGovernanceRetention, Gate, PutObjectRetention};
use crate::s3::{describe, error, protection};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    writer: &Writer,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<PutObjectRetentionOutput> {
    let input = &request.input;
    let (expected, named) = (input.expected_bucket_owner.as_deref(), input.version_id.as_deref());
    let door = gate.open(&request, &input.bucket, expected).await?;
    let allowed: Authorized<PutObjectRetention> = door.object(&input.key, named).await?;
    // Who may not bypass asks in vain, and is told so only where it would matter.
    let may_bypass = door.may::<BypassGovernanceRetention>(&input.key, named);
    let input = &request.input;
    super::need(allowed.bucket())?;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let asked = input.retention.as_ref().ok_or_else(protection::malformed)?;
    let retention = wanted(asked, writer.clock.now())?;
    let bypass = input.bypass_governance_retention == Some(true) && may_bypass;
    let at = allowed.at();
    let kept = catalog.put_retention(&at, &key, version, retention, bypass).await;
    kept.map_err(error::catalog)?;
    Ok(PutObjectRetentionOutput::default())
}

fn wanted(asked: &ObjectLockRetention, now: Timestamp) -> S3Result<Option<Retention>> {
    match (&asked.mode, &asked.retain_until_date) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => {
            let mode = protection::mode_of(mode.as_str()).ok_or_else(protection::malformed)?;
            Ok(Some(Retention { mode, until: protection::until_after(until, now)? }))
        }
        (None, Some(_)) | (Some(_), None) => Err(protection::malformed()),
    }
}
