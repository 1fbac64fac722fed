//! Access control lists: how clients write them, how they are shown. What they grant is in [`super::granted`].
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>

mod show;
mod wish;

use metadata::records::Ownership;
use s3s::{S3Error, S3ErrorCode, S3Result, dto};

pub(super) use super::granted::is_public;
pub(super) use show::{owner, shown};
pub(super) use wish::{Wish, of_bucket, of_new_bucket, of_new_object, of_object};

/// What S3 calls who owns what others write.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn ownership(word: &dto::ObjectOwnership) -> S3Result<Ownership> {
    match word.as_str() {
        dto::ObjectOwnership::BUCKET_OWNER_ENFORCED => Ok(Ownership::BucketOwnerEnforced),
        dto::ObjectOwnership::BUCKET_OWNER_PREFERRED => Ok(Ownership::BucketOwnerPreferred),
        dto::ObjectOwnership::OBJECT_WRITER => Ok(Ownership::ObjectWriter),
        _ => Err(S3Error::new(S3ErrorCode::InvalidArgument)),
    }
}
