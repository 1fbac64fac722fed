//! The operations: one to a file, one shape: input → authorize → run → respond.

pub(super) mod access;
pub(super) mod config;
pub(super) mod copy_object;
pub(super) mod create_bucket;
pub(super) mod delete_bucket;
pub(super) mod delete_bucket_encryption;
pub(super) mod delete_object;
pub(super) mod delete_objects;
pub(super) mod get_bucket_encryption;
pub(super) mod get_bucket_location;
pub(super) mod get_object;
pub(super) mod get_object_attributes;
pub(super) mod head_bucket;
pub(super) mod head_object;
pub(super) mod list_buckets;
pub(super) mod list_objects;
pub(super) mod list_objects_v2;
pub(super) mod lock;
pub(super) mod multipart;
pub(super) mod put_bucket_encryption;
pub(super) mod put_object;
pub(super) mod rename_object;
pub(super) mod restore_object;
pub(super) mod tagging;
pub(super) mod versioning;

mod append_object;
mod extract;
mod found;
mod source;
mod version;
