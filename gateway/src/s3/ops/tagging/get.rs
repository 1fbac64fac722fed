//! GetObjectTagging.

use s3s::dto::{GetObjectTaggingInput, GetObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Gate, GetObjectTagging, Said};
use crate::s3::ops::version::{self, Version};
use crate::s3::{describe, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetObjectTaggingInput>,
) -> S3Result<GetObjectTaggingOutput> {
    let found: Version<GetObjectTagging> = version::open(gate, &request, &Said::default()).await?;
    let Version { allowed, located, .. } = &found;
    Ok(GetObjectTaggingOutput {
        tag_set: tags::shown(&located.detail.tags),
        version_id: describe::version_read(allowed.bucket(), located.entry.version),
    })
}
