//! GetObjectLegalHold.

use s3s::dto::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus,
};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Gate, GetObjectLegalHold, Said};
use crate::s3::ops::version::{self, Version};
use crate::s3::protection;

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetObjectLegalHoldInput>,
) -> S3Result<GetObjectLegalHoldOutput> {
    let found: Version<GetObjectLegalHold> =
        version::open(gate, &request, &Said::default()).await?;
    super::need(found.allowed.bucket())?;
    let status = protection::told_hold(&found.located.detail.lock).ok_or_else(super::none)?;
    Ok(GetObjectLegalHoldOutput {
        legal_hold: Some(ObjectLockLegalHold {
            status: Some(ObjectLockLegalHoldStatus::from_static(status)),
        }),
    })
}
