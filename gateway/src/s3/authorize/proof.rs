//! The proof that somebody may do something.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use metadata::Bucket;
use metadata::records::Ownership;
use types::{AccountId, BucketId, BucketName};

use super::access::{Access, PublicAccessBlock};
use super::caller::Caller;
use crate::http::RequestId;
use crate::rules::notification::Origin;

/// The proof that the caller may do `A` on `on`. Nothing but [`super::Gate`] makes one.
pub(in crate::s3) struct Authorized<A, On = Arc<Opened>> {
    caller: Caller,
    on: On,
    from: Whence,
    action: PhantomData<A>,
}

/// Where a request came from, and its id.
#[derive(Clone, Copy, Default)]
pub(super) struct Whence {
    pub(super) address: Option<IpAddr>,
    pub(super) id: Option<RequestId>,
}

/// A bucket as it was when the request was allowed.
pub(in crate::s3) struct Opened {
    pub(super) name: BucketName,
    pub(super) row: Bucket,
    pub(super) access: Arc<Access>,
}

impl<A, On> Authorized<A, On> {
    /// Only for the gate.
    pub(super) fn new(caller: Caller, on: On, from: Whence) -> Self {
        Self { caller, on, from, action: PhantomData }
    }

    /// Whose what is made now will be: the caller's account, or the id that stands for nobody.
    pub(in crate::s3) fn caller(&self) -> &AccountId {
        self.caller.owner()
    }

    /// Whether nobody signed the request.
    pub(in crate::s3) fn is_anonymous(&self) -> bool {
        self.caller.account().is_none()
    }
}

impl<A> Authorized<A> {
    /// The bucket's name.
    pub(in crate::s3) fn name(&self) -> &BucketName {
        &self.on.name
    }

    /// The bucket.
    pub(in crate::s3) fn bucket(&self) -> &Bucket {
        &self.on.row
    }

    /// Who asks, as events tell it.
    pub(in crate::s3) fn origin(&self) -> Origin {
        Origin {
            account: self.caller.account().cloned(),
            address: self.from.address,
            request: self.from.id.map(|id| id.to_string()),
        }
    }

    /// The bucket's identity.
    pub(in crate::s3) fn id(&self) -> BucketId {
        self.on.row.id
    }

    /// Name and identity: commits fail if the name has gone to another bucket meanwhile.
    pub(in crate::s3) fn at(&self) -> (BucketName, BucketId) {
        (self.on.name.clone(), self.on.row.id)
    }

    /// The writer of what is written now, if that is not the bucket's owner and keeps what it writes.
    pub(in crate::s3) fn writer(&self) -> Option<AccountId> {
        let keeps = self.ownership() != Ownership::BucketOwnerEnforced;
        (keeps && *self.caller() != self.on.row.owner).then(|| self.caller().clone())
    }

    /// Who owns what others write. A bucket that says nothing of it leaves it to the writer, as AWS's did before 2023.
    pub(in crate::s3) fn ownership(&self) -> Ownership {
        super::ownership(&self.on.row)
    }

    /// The bucket's public access block.
    pub(in crate::s3) fn public_access_block(&self) -> PublicAccessBlock {
        self.on.access.block
    }

    /// Whether public lists are refused.
    pub(in crate::s3) fn blocks_public_acls(&self) -> bool {
        self.on.access.block.block_acls
    }

    /// Whether the bucket's policy is public.
    pub(in crate::s3) fn policy_is_public(&self) -> bool {
        self.on.access.policy_is_public
    }

    /// Whether who asks pays, which answers tell.
    pub(in crate::s3) fn charged(&self) -> Option<s3s::dto::RequestCharged> {
        let foreign = self.caller.account() != Some(&self.on.row.owner);
        (self.on.access.requester_pays && foreign)
            .then(|| s3s::dto::RequestCharged::from_static(s3s::dto::RequestCharged::REQUESTER))
    }
}
