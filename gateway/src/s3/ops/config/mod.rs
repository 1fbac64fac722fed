//! Bucket configurations, one kind to a file: put (parse, then keep), get, delete.

pub(in crate::s3) mod cors;
mod inventory;
pub(in crate::s3) mod lifecycle;
pub(in crate::s3) mod logging;
pub(in crate::s3) mod named;
pub(in crate::s3) mod notification;
pub(in crate::s3) mod replication;
pub(in crate::s3) mod switches;
pub(in crate::s3) mod website;

mod target;

/// Rule ids are no longer, in characters.
const ID_MAX: usize = 255;
