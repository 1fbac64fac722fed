//! DeleteObjects: up to a thousand at once, each for itself.

use futures::StreamExt as _;
use metadata::Catalog;
use s3s::dto::{
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::delete_object::delete;
use crate::s3::authorize::{Authorized, DeleteObject, Gate};
use crate::s3::{conditions, describe, error};

/// The most keys in one request.
const KEYS_MAX: usize = 1000;
/// Deletions under way at once: enough to share the log's fsyncs.
const AT_ONCE: usize = 32;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let input = &request.input;
    let allowed: Authorized<DeleteObject> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let wanted = request.input.delete;
    if !(1..=KEYS_MAX).contains(&wanted.objects.len()) {
        return Err(S3Error::new(S3ErrorCode::MalformedXML));
    }
    let results: Vec<_> = futures::stream::iter(wanted.objects)
        .map(|object| one(catalog, &allowed, object))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let quiet = wanted.quiet == Some(true);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(object) if !quiet => deleted.push(object),
            Ok(_) => {}
            Err(refused) => errors.push(refused),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), request_charged: None })
}

async fn one(
    catalog: &Catalog,
    allowed: &Authorized<DeleteObject>,
    object: ObjectIdentifier,
) -> Result<DeletedObject, Error> {
    let result = attempt(catalog, allowed, &object).await;
    let ObjectIdentifier { key, version_id, .. } = object;
    match result {
        Ok(()) => Ok(DeletedObject { key: Some(key), version_id, ..DeletedObject::default() }),
        Err(refused) => Err(Error {
            code: Some(refused.code().as_str().to_owned()),
            key: Some(key),
            message: refused.message().map(str::to_owned),
            version_id,
        }),
    }
}

async fn attempt(
    catalog: &Catalog,
    allowed: &Authorized<DeleteObject>,
    object: &ObjectIdentifier,
) -> S3Result<()> {
    describe::only_null(object.version_id.as_deref())?;
    let key = describe::key(&object.key)?;
    let etag = object.e_tag.clone().map(ETagCondition::ETag);
    let preconditions =
        conditions::of_delete(etag.as_ref(), object.size, object.last_modified_time.as_ref())?;
    delete(catalog, allowed, &key, &preconditions).await.map_err(error::catalog)
}
