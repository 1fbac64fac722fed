//! PutObjectTagging: the tags replace those there are.

use metadata::{Catalog, Detail, Entry};
use s3s::dto::{PutObjectTaggingInput, PutObjectTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::changes::Changes;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Gate, PutObjectTagging};
use crate::s3::{describe, error, follow, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<PutObjectTaggingInput>,
) -> S3Result<PutObjectTaggingOutput> {
    let input = &request.input;
    let allowed: Authorized<PutObjectTagging> = gate
        .object(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    let input = request.input;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let tags = tags::read(input.tagging.tag_set, tags::OF_OBJECT)?;
    let change = |_: &Entry, detail: &mut Detail| {
        detail.tags.clone_from(&tags);
        Ok(())
    };
    let sequel = follow::changes(changes, &allowed).await?.written(&key, Event::TaggingPut);
    let at = allowed.at();
    let changed = catalog.change_detail_then(&at, &key, version, change, &sequel);
    let entry = changed.await.map_err(error::catalog)?;
    Ok(PutObjectTaggingOutput {
        version_id: describe::version_read(allowed.bucket(), entry.version),
    })
}
