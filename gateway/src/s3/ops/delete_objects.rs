//! DeleteObjects: up to a thousand at once, each for itself.

use futures::StreamExt as _;
use metadata::delete::DELETES_AT_ONCE;
use metadata::{Catalog, Delete, Deleted, Sequel};
use s3s::dto::{
    DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error, ObjectIdentifier,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::delete_object::settle;
use crate::changes::Changes;
use crate::s3::authorize::{BypassGovernanceRetention, DeleteObject, Door, Gate};
use crate::s3::{conditions, describe, error, follow};

/// The most keys in one request.
const KEYS_MAX: usize = 1000;
/// Transactions under way at once: enough to share the log's fsyncs.
const AT_ONCE: usize = 32;

/// What became of one object.
type Outcome = Result<Deleted, S3Error>;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<DeleteObjectsInput>,
) -> S3Result<DeleteObjectsOutput> {
    let input = &request.input;
    let expected = input.expected_bucket_owner.as_deref();
    // Each key is asked for by itself: policies may tell them apart.
    let door = gate.open(&request, &input.bucket, expected).await?.into_owned();
    let bypass = request.input.bypass_governance_retention == Some(true);
    let wanted = request.input.delete;
    if !(1..=KEYS_MAX).contains(&wanted.objects.len()) {
        return Err(S3Error::new(S3ErrorCode::MalformedXML));
    }
    let batches = wanted.objects.chunks(DELETES_AT_ONCE);
    let batches: Vec<_> =
        batches.map(|objects| some(catalog, changes, &door, objects, bypass)).collect();
    let results: Vec<_> = futures::stream::iter(batches).buffered(AT_ONCE).concat().await;
    let quiet = wanted.quiet == Some(true);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (object, outcome) in wanted.objects.into_iter().zip(results) {
        match outcome {
            Ok(done) if !quiet => deleted.push(shown(object, &done)),
            Ok(_) => {}
            Err(refused) => errors.push(shown_error(object, &refused)),
        }
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), request_charged: None })
}

/// Deletes a few in one transaction; an outcome for each, in their order.
async fn some(
    catalog: &Catalog,
    changes: &Changes,
    door: &Door<'_>,
    objects: &[ObjectIdentifier],
    bypass: bool,
) -> Vec<Outcome> {
    let (mut all, mut first) = (Vec::with_capacity(objects.len()), None);
    for object in objects {
        let version = object.version_id.as_deref();
        all.push(match door.object::<DeleteObject>(&object.key, version).await {
            Ok(allowed) => {
                first.get_or_insert(allowed);
                may_bypass(door, object, bypass).await.and_then(|bypass| read(object, bypass))
            }
            Err(refused) => Err(refused),
        });
    }
    let read = all;
    // Nothing of it is allowed.
    let Some(allowed) = first else {
        return read.into_iter().map(|refused| refused.map(|_| Deleted::default())).collect();
    };
    let following = match follow::changes(changes, &allowed).await {
        Ok(following) => following,
        Err(failed) => return all_failed(read, failed),
    };
    let followed = |delete: &Delete| Delete {
        sequel: following.deleted(&delete.key, delete.version.is_some()),
        ..delete.clone()
    };
    let deletes: Vec<_> = read.iter().flatten().map(followed).collect();
    let mut done = match catalog.delete_objects(&allowed.at(), &deletes).await {
        Ok(results) => results.into_iter().map(settle),
        Err(failed) => return all_failed(read, error::catalog(failed)),
    };
    let outcome = |read: S3Result<Delete>| {
        read?;
        done.next().map_or_else(|| Ok(Deleted::default()), |done| done.map_err(error::catalog))
    };
    read.into_iter().map(outcome).collect()
}

/// Who may not bypass asks in vain, and is told so only where it would matter.
async fn may_bypass(door: &Door<'_>, object: &ObjectIdentifier, asked: bool) -> S3Result<bool> {
    let which = (object.key.as_str(), object.version_id.as_deref());
    Ok(asked && door.may::<BypassGovernanceRetention>(which).await?)
}

/// The transaction failed, so every object of it did, if for another reason than those that could not be read.
fn all_failed(read: Vec<S3Result<Delete>>, failed: S3Error) -> Vec<Outcome> {
    let copy = || {
        let message = failed.message().map(str::to_owned);
        S3Error::with_message(failed.code().clone(), message.unwrap_or_default())
    };
    read.into_iter().map(|read| Err(read.err().unwrap_or_else(copy))).collect()
}

fn read(object: &ObjectIdentifier, bypass: bool) -> S3Result<Delete> {
    let etag = object.e_tag.clone().map(ETagCondition::ETag);
    Ok(Delete {
        key: describe::key(&object.key)?,
        version: describe::version(object.version_id.as_deref())?,
        preconditions: conditions::of_delete(
            etag.as_ref(),
            object.size,
            object.last_modified_time.as_ref(),
        )?,
        bypass,
        sequel: Sequel::default(),
    })
}

/// A deletion that names a version repeats its id; a delete marker, made or removed, is told by its own.
fn shown(object: ObjectIdentifier, done: &Deleted) -> DeletedObject {
    let marker = done.version.filter(|_| done.marker).map(|id| id.to_string());
    DeletedObject {
        delete_marker: done.marker.then_some(true),
        delete_marker_version_id: marker,
        key: Some(object.key),
        version_id: object.version_id,
    }
}

fn shown_error(object: ObjectIdentifier, refused: &S3Error) -> Error {
    Error {
        code: Some(refused.code().as_str().to_owned()),
        key: Some(object.key),
        message: refused.message().map(str::to_owned),
        version_id: object.version_id,
    }
}
