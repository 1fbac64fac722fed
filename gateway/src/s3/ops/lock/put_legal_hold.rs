//! PutObjectLegalHold.

use metadata::Catalog;
use s3s::dto::{PutObjectLegalHoldInput, PutObjectLegalHoldOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Gate, PutObjectLegalHold, Said};
use crate::s3::ops::version::{self, Version};
use crate::s3::protection;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutObjectLegalHoldInput>,
) -> S3Result<PutObjectLegalHoldOutput> {
    let said = Said::legal_hold(request.input.legal_hold.as_ref());
    let found: Version<PutObjectLegalHold> = version::open(gate, &request, &said).await?;
    super::need(found.allowed.bucket())?;
    let status = request.input.legal_hold.as_ref().and_then(|hold| hold.status.as_ref());
    let hold = status.and_then(|status| protection::hold_of(status.as_str()));
    let hold = hold.ok_or_else(protection::malformed)?;
    // A bucket with object lock keeps versions, so the id names this one alone.
    let at = found.allowed.at();
    let kept = catalog.put_legal_hold(&at, &found.key, found.id(), hold).await;
    kept.map_err(|refused| found.failed(refused))?;
    Ok(PutObjectLegalHoldOutput::default())
}
