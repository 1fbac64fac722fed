//! PutObjectTagging: the tags replace those there are.

use metadata::{Catalog, Detail};
use s3s::dto::{PutObjectTaggingInput, PutObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::changes::Changes;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Gate, PutObjectTagging, Said};
use crate::s3::ops::version;
use crate::s3::{describe, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<PutObjectTaggingOutput> {
    let tags = tags::read(request.input.tagging.tag_set.clone(), tags::OF_OBJECT)?;
    let said = Said::object_tags(tags.clone());
    let edit = |detail: &mut Detail| detail.tags.clone_from(&tags);
    let (with, event) = ((catalog, changes), Event::TaggingPut);
    let (allowed, entry): (Authorized<PutObjectTagging>, _) =
        version::change(gate, with, &request, &said, event, edit).await?;
    Ok(PutObjectTaggingOutput {
        version_id: describe::version_read(allowed.bucket(), entry.version),
    })
}
