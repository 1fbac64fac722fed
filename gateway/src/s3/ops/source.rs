//! The source of a copy: which object, whether the caller may read it, whether it is the one they mean.

use std::ops::Range;

use metadata::{CatalogError, Located};
use s3s::dto::{self, CopySource, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::ObjectKey;

use crate::get::Reader;
use crate::put::{self, CustomerKey, PUT_MAX};
use crate::s3::authorize::{Authorized, Door, Gate, GetObject, GetObjectTagging, Which};
use crate::s3::body::{self, Fault};
use crate::s3::conditions::ReadConditions;
use crate::s3::{customer, describe, error};

/// What CopyObject and UploadPartCopy say of their source.
pub(super) struct Source {
    door: Door<'static>,
    allowed: Authorized<GetObject>,
    key: String,
    version: Option<String>,
    conditions: ReadConditions,
    customer: Option<CustomerKey>,
}

/// The fields of a request that speak of its source.
pub(super) struct Fields {
    pub(super) source: CopySource,
    pub(super) expected_owner: Option<String>,
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<dto::Timestamp>,
    pub(super) if_unmodified_since: Option<dto::Timestamp>,
    pub(super) algorithm: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_md5: Option<String>,
}

/// Takes [`Fields`] out of a CopyObject or UploadPartCopy.
macro_rules! fields {
    ($input:expr) => {
        $crate::s3::ops::source::Fields {
            source: $input.copy_source.clone(),
            expected_owner: $input.expected_source_bucket_owner.take(),
            if_match: $input.copy_source_if_match.take(),
            if_none_match: $input.copy_source_if_none_match.take(),
            if_modified_since: $input.copy_source_if_modified_since.take(),
            if_unmodified_since: $input.copy_source_if_unmodified_since.take(),
            algorithm: $input.copy_source_sse_customer_algorithm.take(),
            key: $input.copy_source_sse_customer_key.take(),
            key_md5: $input.copy_source_sse_customer_key_md5.take(),
        }
    };
}
pub(super) use fields;

impl Source {
    /// Reads the fields, asks whether the caller may read the source, and finds it: what the decision was about is what is copied.
    pub(super) async fn open<T>(
        gate: &Gate,
        request: &S3Request<T>,
        fields: Fields,
    ) -> S3Result<(Self, Located)> {
        let CopySource::Bucket { bucket, key, version_id } = fields.source else {
            return Err(error::later("Copying from an access point"));
        };
        let (key, version) = (key.to_string(), version_id.as_deref().map(str::to_owned));
        let customer =
            customer::key(fields.algorithm.as_deref(), fields.key, fields.key_md5.as_deref())?;
        let conditions = ReadConditions {
            if_match: fields.if_match,
            if_none_match: fields.if_none_match,
            if_modified_since: fields.if_modified_since,
            if_unmodified_since: fields.if_unmodified_since,
        };
        let expected = fields.expected_owner.as_deref();
        let door = gate.open(request, &bucket, expected).await?.into_owned();
        let (allowed, look) = door.find((&key, version.as_deref())).await?;
        let source = Self { door, allowed, key, version, conditions, customer };
        Ok((source, look.map_err(of_source)?))
    }

    /// The source as it is by now, about which is decided anew.
    pub(super) async fn again(&self) -> S3Result<Located> {
        let (_, look) = self.door.find::<GetObject>(self.which()).await?;
        look.map_err(of_source)
    }

    /// Whether it is the one the client means, and the key they brought opens it.
    pub(super) fn check(&self, from: &Located) -> S3Result<()> {
        customer::check(&from.detail.encryption, self.customer.as_ref())?;
        self.conditions.check_source(&from.entry)
    }

    /// Asks whether the caller may read the source's tags, if it has any: who takes them along learns them.
    pub(super) fn ask_tags(&self, from: &Located) -> S3Result<()> {
        if !from.detail.tags.is_empty() {
            let _: Authorized<GetObjectTagging> = self.door.also(self.which(), from)?;
        }
        Ok(())
    }

    /// Whether `key` of the bucket that `target` may write to is this very object. An older version may be copied over its own key: that
    /// is how one brings it back.
    pub(super) fn is<A>(&self, target: &Authorized<A>, key: &ObjectKey) -> bool {
        self.allowed.id() == target.id() && self.key == key.as_str() && self.version.is_none()
    }

    /// The id of the version that was copied, where it is told.
    pub(super) fn version(&self, from: &Located) -> Option<String> {
        describe::version_read(self.allowed.bucket(), from.entry.version)
    }

    /// The customer's key of the source.
    pub(super) fn customer(&self) -> Option<&CustomerKey> {
        self.customer.as_ref()
    }

    fn which(&self) -> Which<'_> {
        (&self.key, self.version.as_deref())
    }
}

/// A source that is a delete marker cannot be copied, by whatever name it was meant.
fn of_source(failed: CatalogError) -> S3Error {
    match failed {
        CatalogError::DeleteMarker { named: true, .. } => error::refuse(
            S3ErrorCode::InvalidRequest,
            "The source of a copy request may not specifically refer to a delete marker by version id.",
        ),
        failed => error::catalog(failed),
    }
}

/// The source's bytes on their way to being stored anew. Nothing is read of an empty range.
pub(super) async fn bytes(
    reader: &Reader,
    source: &Source,
    from: &Located,
    range: Range<u64>,
) -> S3Result<(put::Body, Fault)> {
    if range.is_empty() {
        return Ok(body::receive(None));
    }
    let opened = reader.for_upkeep().open(from, range, source.customer()).await;
    Ok(body::resend(opened.map_err(error::get)?))
}

/// S3 copies no more than 5 GiB in one request.
pub(super) fn check_size(bytes: u64) -> S3Result<()> {
    if bytes <= PUT_MAX {
        return Ok(());
    }
    let message = format!(
        "The specified copy source is larger than the maximum allowable size for a copy source: {PUT_MAX}"
    );
    Err(error::refuse(S3ErrorCode::InvalidRequest, message))
}
