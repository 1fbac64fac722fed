//! DeleteObjectTagging.

use metadata::Catalog;
use s3s::dto::{DeleteObjectTaggingInput, DeleteObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, DeleteObjectTagging, Gate};
use crate::s3::{describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<DeleteObjectTaggingOutput> {
    let input = &request.input;
    let allowed: Authorized<DeleteObjectTagging> = gate
        .object(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    let input = &request.input;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let at = allowed.at();
    let changed = catalog.change_detail(&at, &key, version, |_, detail| {
        detail.tags.clear();
        Ok(())
    });
    let entry = changed.await.map_err(error::catalog)?;
    Ok(DeleteObjectTaggingOutput {
        version_id: describe::version_read(allowed.bucket(), entry.version),
    })
}
