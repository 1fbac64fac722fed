//! Versioning of a bucket, and the list of all versions in it.

pub(in crate::s3) mod get;
pub(in crate::s3) mod list;
pub(in crate::s3) mod put;
