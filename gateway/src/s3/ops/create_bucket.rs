//! CreateBucket.

use metadata::records::{BucketLock, Versioning};
use metadata::{Catalog, CatalogError, NewBucket};
use s3s::dto::{BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, ObjectOwnership};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::BucketName;

use crate::s3::authorize::{Authorized, CreateBucket, Gate};
use crate::s3::{S3Settings, error, later};

/// The region in which making a bucket again that one owns is no error.
const FORGIVING_REGION: &str = "us-east-1";

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<CreateBucketInput>,
) -> S3Result<CreateBucketOutput> {
    let allowed: Authorized<CreateBucket, ()> = gate.account(&request).await?;
    let input = request.input;
    check_wishes(&input, settings)?;
    let name = new_name(&input.bucket)?;
    let plain = NewBucket::plain(settings.default_geometry);
    // Object lock needs versions, and keeps them.
    let new = match input.object_lock_enabled_for_bucket {
        Some(true) => NewBucket {
            versioning: Versioning::Enabled,
            lock: Some(BucketLock::default()),
            ..plain
        },
        None | Some(false) => plain,
    };
    match catalog.create_bucket(&name, allowed.caller(), new).await {
        Ok(_) => {}
        Err(CatalogError::BucketExists(_)) if settings.region == FORGIVING_REGION => {}
        Err(refused) => return Err(error::catalog(refused)),
    }
    Ok(CreateBucketOutput { bucket_arn: None, location: Some(format!("/{name}")) })
}

/// A name that every client can reach: each label between its dots would do as a host name's.
fn new_name(text: &str) -> S3Result<BucketName> {
    let name: BucketName = text.parse().map_err(error::name)?;
    let hyphen_at_edge = |label: &str| label.starts_with('-') || label.ends_with('-');
    if name.as_str().split('.').any(hyphen_at_edge) {
        return Err(S3Error::new(S3ErrorCode::InvalidBucketName));
    }
    Ok(name)
}

/// Refuses what the bucket would not have.
fn check_wishes(input: &CreateBucketInput, settings: &S3Settings) -> S3Result<()> {
    if let Some(acl) = &input.acl {
        later::bucket_acl(acl.as_str())?;
    }
    let grants = input.grant_full_control.is_some()
        || input.grant_read.is_some()
        || input.grant_read_acp.is_some()
        || input.grant_write.is_some()
        || input.grant_write_acp.is_some();
    if grants {
        return Err(error::later("Granting access by header"));
    }
    match input.object_ownership.as_ref().map(ObjectOwnership::as_str) {
        // Without grants the owner owns everything, whatever the mode.
        None
        | Some(
            ObjectOwnership::BUCKET_OWNER_ENFORCED
            | ObjectOwnership::BUCKET_OWNER_PREFERRED
            | ObjectOwnership::OBJECT_WRITER,
        ) => {}
        Some(_) => return Err(S3Error::new(S3ErrorCode::InvalidArgument)),
    }
    let Some(configuration) = &input.create_bucket_configuration else { return Ok(()) };
    if configuration.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        return Err(error::later("Bucket tagging"));
    }
    let region = configuration.location_constraint.as_ref().map(BucketLocationConstraint::as_str);
    match region {
        None | Some("") => Ok(()),
        Some(region) if region == settings.region => Ok(()),
        Some(_) => Err(S3Error::new(S3ErrorCode::InvalidLocationConstraint)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_a_new_name_does_not_begin_or_end_with_a_hyphen() {
        assert!(new_name("foo.b-a-r").is_ok());
        for bad in ["foo.-bar", "foo-.bar", "foo..bar"] {
            assert!(new_name(bad).is_err(), "{bad}");
        }
    }
}
