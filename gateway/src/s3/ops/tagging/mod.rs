//! Tags of objects and buckets.

pub(in crate::s3) mod delete;
pub(in crate::s3) mod delete_bucket;
pub(in crate::s3) mod get;
pub(in crate::s3) mod get_bucket;
pub(in crate::s3) mod put;
pub(in crate::s3) mod put_bucket;
