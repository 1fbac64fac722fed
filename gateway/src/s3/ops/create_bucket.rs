//! CreateBucket.

use metadata::records::{BucketLock, Versioning};
use metadata::{Catalog, CatalogError, NewBucket};
use s3s::dto::{BucketLocationConstraint, CreateBucketInput, CreateBucketOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::BucketName;

use crate::s3::authorize::{Gate, Said};
use crate::s3::{S3Settings, acl, error};

/// The region in which making a bucket again that one owns is no error.
const FORGIVING_REGION: &str = "us-east-1";

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<CreateBucketInput>,
) -> S3Result<CreateBucketOutput> {
    let wanted = request.input.create_bucket_configuration.as_ref();
    let region = Said::location(wanted.and_then(|wanted| wanted.location_constraint.as_ref()));
    let allowed = gate.create(&request, &request.input.bucket, &region).await?;
    let input = request.input;
    check_wishes(&input, settings)?;
    let name = new_name(&input.bucket)?;
    let ownership = input.object_ownership.as_ref().map(acl::ownership).transpose()?;
    let wish = acl::Wish::of(&request.headers);
    let acl = acl::of_new_bucket(catalog, allowed.caller(), ownership, wish).await?;
    let plain = NewBucket::plain(settings.default_geometry);
    let plain = NewBucket { ownership, acl: acl.clone(), ..plain };
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
        Err(CatalogError::BucketExists(_)) if settings.region == FORGIVING_REGION => {
            // What is there already stays as it is; who asks for something else is told so.
            if catalog.bucket(&name).await.map_err(error::catalog)?.acl != acl {
                return Err(S3Error::new(S3ErrorCode::BucketAlreadyExists));
            }
        }
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
