//! What follows from a change that somebody was allowed to make ([`crate::changes`]).

use s3s::S3Result;

use super::authorize::Authorized;
use super::error;
use crate::changes::{Changes, Following};

/// What follows changes in the bucket of `allowed`, made by its caller.
///
/// # Errors
/// If the bucket's configurations cannot be read.
pub(super) async fn changes<A>(changes: &Changes, allowed: &Authorized<A>) -> S3Result<Following> {
    let owner = &allowed.bucket().owner;
    let following = changes.of(&allowed.at(), owner, || allowed.origin()).await;
    following.map_err(error::catalog)
}
