//! Multipart uploads: create → parts → complete or abort. An upload's id is the id of the manifest that the object will have.

pub(in crate::s3) mod abort;
pub(in crate::s3) mod complete;
pub(in crate::s3) mod create;
pub(in crate::s3) mod list_parts;
pub(in crate::s3) mod list_uploads;
pub(in crate::s3) mod upload_part;
pub(in crate::s3) mod upload_part_copy;

mod under_way;
