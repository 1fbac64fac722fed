//! GetObjectTagging.

use metadata::Catalog;
use s3s::dto::{GetObjectTaggingInput, GetObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetObjectTagging};
use crate::s3::{describe, error, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<GetObjectTaggingOutput> {
    let input = &request.input;
    let allowed: Authorized<GetObjectTagging> = gate
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
    let located = catalog.locate_version(allowed.id(), &key, version).await;
    let located = located.map_err(error::catalog)?;
    Ok(GetObjectTaggingOutput {
        tag_set: tags::shown(&located.detail.tags),
        version_id: describe::version_read(allowed.bucket(), located.entry.version),
    })
}
