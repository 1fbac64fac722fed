//! A PUT with `x-amz-write-offset-bytes`: its bytes become the end of an object. What describes the object stays as it is.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/directory-buckets-objects-append.html>

use ::http::StatusCode;
use metadata::records::{ChecksumAlgorithm, Encryption, Versioning};
use metadata::{Catalog, CatalogError, Entry, Located, Preconditions};
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::digest;
use crate::put::append::{self, Appending};
use crate::put::{Incoming, Writer};
use crate::s3::authorize::{Authorized, PutObject};
use crate::s3::body::Fault;
use crate::s3::checksum::{self, Claims};
use crate::s3::{conditions, customer, describe, encryption, error};

/// An append that may begin: the object it is for, if there is one, and what must hold of it.
pub(super) struct Asked {
    pub(super) preconditions: Preconditions,
    object: Option<Located>,
}

/// Looks whether a request's offset is where the object ends; the commit decides.
///
/// # Errors
/// `InvalidWriteOffset`, `TooManyParts`; `InvalidRequest` where versions are kept; `PreconditionFailed`.
pub(super) async fn ask(
    catalog: &Catalog,
    allowed: &Authorized<PutObject>,
    input: &PutObjectInput,
    offset: i64,
) -> S3Result<Asked> {
    if allowed.bucket().versioning != Versioning::Unversioned {
        return Err(error::catalog(CatalogError::Versioned));
    }
    let offset = u64::try_from(offset).map_err(|_| {
        error::custom(
            "InvalidWriteOffset",
            StatusCode::BAD_REQUEST,
            "The write offset must not be negative.",
        )
    })?;
    let preconditions = Preconditions {
        offset: Some(offset),
        ..conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref())
    };
    let object = match catalog.locate(allowed.id(), &describe::key(&input.key)?).await {
        Ok(object) => Some(object),
        Err(CatalogError::NoSuchKey | CatalogError::DeleteMarker { .. }) => None,
        Err(failed) => return Err(error::catalog(failed)),
    };
    // Else one byte more would make another content of it, which no list knows.
    if let Some(object) = &object {
        object.check_not_taken_down().await.map_err(error::catalog)?;
    }
    let present = object.as_ref().map(|object| &object.entry);
    append::check(&preconditions, present).map_err(error::catalog)?;
    Ok(Asked { preconditions, object })
}

impl Asked {
    /// The object that is appended to; without one the request is a PUT.
    pub(super) fn take_object(&mut self) -> Option<Located> {
        self.object.take()
    }
}

/// Appends to an object that is there.
pub(super) async fn run(
    writer: &Writer,
    allowed: &Authorized<PutObject>,
    mut input: PutObjectInput,
    claims: Claims,
    (asked, object): (Asked, Located),
    sequel: metadata::Sequel<Entry>,
    (mut incoming, fault): (Incoming, Fault),
) -> S3Result<PutObjectOutput> {
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.take(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    customer::check(&object.detail.encryption, customer.as_ref())?;
    incoming.checksums = claims.of_part(continued(&object));
    let to = Appending {
        bucket: allowed.at(),
        key: describe::key(&input.key)?,
        object: &object,
        customer,
        preconditions: asked.preconditions,
        sequel,
    };
    // Boxed: it holds a whole PUT, and is far larger than the rest.
    let entry = match Box::pin(writer.append_object(to, incoming)).await {
        Ok(entry) => entry,
        Err(crate::put::PutError::Catalog(CatalogError::PreconditionFailed)) => {
            return Err(S3Error::new(S3ErrorCode::ConditionalRequestConflict));
        }
        Err(failed) => return Err(fault.blame(failed)),
    };
    Ok(respond(&entry, &claims, &object.detail.encryption))
}

/// The algorithm whose checksum of the whole goes on.
fn continued(object: &Located) -> ChecksumAlgorithm {
    let combines = |algorithm: &ChecksumAlgorithm| {
        let empty = vec![0; digest::size_of_value(*algorithm)];
        digest::combine(*algorithm, &[(&empty, 0)]).is_some()
    };
    let mut algorithms = object.detail.checksums.iter().map(|checksum| checksum.algorithm);
    algorithms.find(combines).unwrap_or(checksum::DEFAULT)
}

fn respond(entry: &Entry, claims: &Claims, encryption: &Encryption) -> PutObjectOutput {
    let held = claims.held();
    let mut output = PutObjectOutput {
        e_tag: Some(describe::etag(&entry.etag)),
        size: Some(describe::signed(entry.size)),
        checksum_type: held.as_ref().map(|checksum| checksum::type_of(checksum.kind)),
        version_id: describe::version_written(entry.version),
        ssekms_encryption_context: encryption::context(encryption),
        ..PutObjectOutput::default()
    };
    encryption::show!(output, encryption);
    checksum::show!(output, held.iter());
    output
}
