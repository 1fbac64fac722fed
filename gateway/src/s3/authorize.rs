//! Who may do what: the one place that decides, and the proof that it did.
//!
//! An operation's work takes an [`Authorized`] of its action, and only [`Gate`] can make one. For now a bucket's owner may do everything with
//! it and nobody else anything; policies and grants will be evaluated here, in [`decide`].

use std::marker::PhantomData;
use std::sync::Arc;

use metadata::{Bucket, Catalog};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::{AccountId, BucketId, BucketName};

use super::auth::AccessKeys;
use super::error;

/// Something that may be allowed, by the name that policies give it.
pub(super) trait Action {
    /// As in <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>.
    const NAME: &'static str;
}

macro_rules! actions {
    ($($name:ident),+ $(,)?) => {
        $(
            pub(super) struct $name;

            impl Action for $name {
                const NAME: &'static str = concat!("s3:", stringify!($name));
            }
        )+
    };
}

actions! {
    ListAllMyBuckets, CreateBucket, DeleteBucket, ListBucket, GetBucketLocation, ListBucketMultipartUploads,
    GetObject, GetObjectAttributes, PutObject, DeleteObject, AbortMultipartUpload, ListMultipartUploadParts,
    GetBucketVersioning, PutBucketVersioning, ListBucketVersions,
    GetBucketObjectLockConfiguration, PutBucketObjectLockConfiguration,
    GetObjectRetention, PutObjectRetention, GetObjectLegalHold, PutObjectLegalHold,
    GetObjectTagging, PutObjectTagging, DeleteObjectTagging, GetBucketTagging, PutBucketTagging,
}

/// The proof that `caller` may do `A` on `on`. Nothing but [`Gate`] makes one.
pub(super) struct Authorized<A, On = Opened> {
    caller: AccountId,
    on: On,
    action: PhantomData<A>,
}

/// A bucket as it was when the request was allowed.
pub(super) struct Opened {
    name: BucketName,
    row: Bucket,
}

impl<A, On> Authorized<A, On> {
    /// Who asks.
    pub(super) fn caller(&self) -> &AccountId {
        &self.caller
    }
}

impl<A> Authorized<A> {
    /// The bucket's name.
    pub(super) fn name(&self) -> &BucketName {
        &self.on.name
    }

    /// The bucket.
    pub(super) fn bucket(&self) -> &Bucket {
        &self.on.row
    }

    /// The bucket's identity.
    pub(super) fn id(&self) -> BucketId {
        self.on.row.id
    }

    /// Name and identity: commits fail if the name has gone to another bucket meanwhile.
    pub(super) fn at(&self) -> (BucketName, BucketId) {
        (self.on.name.clone(), self.on.row.id)
    }

    /// The writer of what is written now, if that is not the bucket's owner.
    pub(super) fn writer(&self) -> Option<AccountId> {
        (self.caller != self.on.row.owner).then(|| self.caller.clone())
    }
}

/// The access key whose signature was verified before this request was handed to a service that verifies none
/// (see [`super::lenient`]). Extensions cannot come from the network.
#[derive(Clone)]
pub(super) struct Vouched(pub(super) String);

/// Decides, and knows what it takes to decide.
#[derive(Clone)]
pub(super) struct Gate {
    catalog: Catalog,
    keys: Arc<AccessKeys>,
}

impl Gate {
    pub(super) fn new(catalog: Catalog, keys: Arc<AccessKeys>) -> Self {
        Self { catalog, keys }
    }

    /// Lets an account act on what is its own.
    pub(super) async fn account<A: Action, T>(
        &self,
        request: &S3Request<T>,
    ) -> S3Result<Authorized<A, ()>> {
        let caller = self.caller(request).await?;
        Ok(Authorized { caller, on: (), action: PhantomData })
    }

    /// Lets an account act on a bucket, which must belong to `expected` if the client says so.
    pub(super) async fn bucket<A: Action, T>(
        &self,
        request: &S3Request<T>,
        name: &str,
        expected: Option<&str>,
    ) -> S3Result<Authorized<A>> {
        let caller = self.caller(request).await?;
        let name: BucketName = name.parse().map_err(error::name)?;
        let row = self.catalog.bucket(&name).await.map_err(error::catalog)?;
        if expected.is_some_and(|owner| owner != row.owner.as_str()) || !decide(&caller, &row) {
            tracing::debug!(action = A::NAME, %caller, bucket = %name, "access denied");
            return Err(S3Error::new(S3ErrorCode::AccessDenied));
        }
        Ok(Authorized { caller, on: Opened { name, row }, action: PhantomData })
    }

    async fn caller<T>(&self, request: &S3Request<T>) -> S3Result<AccountId> {
        let signed =
            request.credentials.as_ref().map(|credentials| credentials.access_key.as_str());
        let vouched = || request.extensions.get::<Vouched>().map(|vouched| vouched.0.as_str());
        match signed.or_else(vouched) {
            Some(key) => self.keys.account(key).await,
            None => Err(S3Error::new(S3ErrorCode::AccessDenied)),
        }
    }
}

/// The rule.
fn decide(caller: &AccountId, bucket: &Bucket) -> bool {
    *caller == bucket.owner
}
