//! DeleteObjectTagging.

use metadata::{Catalog, Detail};
use s3s::dto::{DeleteObjectTaggingInput, DeleteObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::changes::Changes;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, DeleteObjectTagging, Gate, Said};
use crate::s3::describe;
use crate::s3::ops::version;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<DeleteObjectTaggingOutput> {
    let (with, said) = ((catalog, changes), Said::default());
    let edit = |detail: &mut Detail| detail.tags.clear();
    let (allowed, entry): (Authorized<DeleteObjectTagging>, _) =
        version::change(gate, with, &request, &said, Event::TaggingDelete, edit).await?;
    Ok(DeleteObjectTaggingOutput {
        version_id: describe::version_read(allowed.bucket(), entry.version),
    })
}
