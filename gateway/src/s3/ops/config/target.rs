//! Where configurations have something written: whether the bucket takes it, and whether who configures it could write there themselves.

use metadata::Bucket;
use s3s::{S3Request, S3Result};
use types::BucketName;

use crate::s3::authorize::{Deed, Gate, Leave, PutObject};
use crate::s3::error;

/// Whether a bucket lets `deed` write keys that begin with `prefix`. Where it only does because it is of the same account, the caller needs the right, too:
/// else who may configure one bucket could fill another.
///
/// # Errors
/// `AccessDenied` for the caller; if the bucket's policy cannot be read.
pub(super) async fn takes<T>(
    gate: &Gate,
    request: &S3Request<T>,
    deed: &Deed<'_>,
    (target, row): (&BucketName, &Bucket),
    prefix: &str,
) -> S3Result<bool> {
    match gate.targets().say(deed, (target, row), prefix).await.map_err(error::catalog)? {
        Leave::Given => Ok(true),
        Leave::Refused => Ok(false),
        Leave::Own => {
            gate.open(request, target.as_str(), None).await?.below::<PutObject>(prefix)?;
            Ok(true)
        }
    }
}
