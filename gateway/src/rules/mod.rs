//! Bucket configurations that act, in the form in which they are kept: plain values and pure decisions. What the wire looks like is the S3
//! surface's affair ([`crate::s3`]); who carries the decisions out is upkeep's ([`crate::upkeep`]).

pub mod cors;
pub mod inventory;
pub mod lifecycle;
pub mod logging;
pub mod notification;
pub mod replication;
pub mod website;
