//! DeleteObjectTagging.

use metadata::{Catalog, Detail, Entry};
use s3s::dto::{DeleteObjectTaggingInput, DeleteObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::changes::Changes;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, DeleteObjectTagging, Gate};
use crate::s3::{describe, error, follow};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
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
    let change = |_: &Entry, detail: &mut Detail| {
        detail.tags.clear();
        Ok(())
    };
    let sequel = follow::changes(changes, &allowed).await?.written(&key, Event::TaggingDelete);
    let at = allowed.at();
    let changed = catalog.change_detail_then(&at, &key, version, change, &sequel);
    let entry = changed.await.map_err(error::catalog)?;
    Ok(DeleteObjectTaggingOutput {
        version_id: describe::version_read(allowed.bucket(), entry.version),
    })
}
