//! The operations on who may do what: access control lists, policies, ownership, the public access block, who pays.

mod bucket_acl;
mod object_acl;
mod ownership;
mod payment;
mod policy;
mod public_access;

pub(in crate::s3) use bucket_acl::{get_bucket_acl, put_bucket_acl};
pub(in crate::s3) use object_acl::{get_object_acl, put_object_acl};
pub(in crate::s3) use ownership::{delete_ownership, get_ownership, put_ownership};
pub(in crate::s3) use payment::{get_payment, put_payment};
pub(in crate::s3) use policy::{delete_policy, get_policy, get_policy_status, put_policy};
pub(in crate::s3) use public_access::{delete_block, get_block, put_block};
