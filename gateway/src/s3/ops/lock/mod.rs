//! Object lock: of a bucket, and of single versions.

pub(in crate::s3) mod get_configuration;
pub(in crate::s3) mod get_legal_hold;
pub(in crate::s3) mod get_retention;
pub(in crate::s3) mod put_configuration;
pub(in crate::s3) mod put_legal_hold;
pub(in crate::s3) mod put_retention;

use metadata::Bucket;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::s3::error;

/// Operations on the lock of a version need a bucket that has object lock.
fn need(bucket: &Bucket) -> S3Result<()> {
    match bucket.lock {
        Some(_) => Ok(()),
        None => Err(error::refuse(
            S3ErrorCode::InvalidRequest,
            "Bucket is missing Object Lock Configuration",
        )),
    }
}

/// A version on which no such lock was ever put.
fn none() -> S3Error {
    error::refuse(
        S3ErrorCode::NoSuchObjectLockConfiguration,
        "The specified object does not have a ObjectLock configuration",
    )
}
