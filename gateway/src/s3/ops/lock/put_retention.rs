//! PutObjectRetention. An empty retention lifts the one there is.

use metadata::Catalog;
use metadata::records::Retention;
use s3s::dto::{ObjectLockRetention, PutObjectRetentionInput, PutObjectRetentionOutput};
use s3s::{S3Request, S3Result};
use types::Timestamp;

use crate::s3::authorize::{BypassGovernanceRetention, Gate, PutObjectRetention, Said};
use crate::s3::ops::version::{self, Addressed as _, Version};
use crate::s3::protection;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutObjectRetentionInput>,
) -> S3Result<PutObjectRetentionOutput> {
    let (input, now) = (&request.input, gate.now());
    let said = Said::retention(input.retention.as_ref(), now);
    let door = version::door(gate, &request).await?;
    let found: Version<PutObjectRetention> =
        version::through(&door, input.address(), &said).await?;
    // Who may not bypass asks in vain, and is told so only where it would matter.
    let bypass = input.bypass_governance_retention == Some(true)
        && door.may_also::<BypassGovernanceRetention>(input.address().which, &found.located);
    super::need(found.allowed.bucket())?;
    let asked = input.retention.as_ref().ok_or_else(protection::malformed)?;
    let retention = wanted(asked, now)?;
    // A bucket with object lock keeps versions, so the id names this one alone.
    let at = found.allowed.at();
    let kept = catalog.put_retention(&at, &found.key, found.id(), retention, bypass).await;
    kept.map_err(|refused| found.failed(refused))?;
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
