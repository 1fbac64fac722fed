//! Every action that an operation can need, with what decides about it beside policies.

use metadata::records::Permission;

/// Who decides about an action, before and beside any policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::s3) enum Rule {
    /// An account on what is its own.
    Own,
    /// The bucket's owner; others by policy, or by this grant in the bucket's access control list.
    Bucket(Option<Permission>),
    /// The object's owner, who may be another than the bucket's; others by this grant in the object's list, and by the bucket's policy if
    /// the bucket's owner owns the object.
    Object(Permission),
    /// As [`Rule::Bucket`] without a grant, and whoever began the upload.
    Upload,
}

/// What an action does to the world: how loudly the audit log tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::s3) enum Effect {
    /// Nothing.
    Read,
    /// Changes data.
    Write,
    /// Changes who may do what, or how a bucket behaves.
    Control,
}

/// What is known of an action.
#[derive(Clone, Copy, Debug)]
pub(in crate::s3) struct Meta {
    /// The name that policies give it.
    pub(in crate::s3) name: &'static str,
    /// The name it has when the request names a version.
    pub(in crate::s3) of_version: Option<&'static str>,
    /// Who decides.
    pub(in crate::s3) rule: Rule,
    /// What it does.
    pub(in crate::s3) effect: Effect,
    /// Whether an account can never lock itself out of it.
    pub(in crate::s3) rescue: bool,
}

/// Something that may be allowed.
pub(in crate::s3) trait Action {
    /// What is known of it. Names as in
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>.
    const META: Meta;
}

/// An action on an account's own things.
pub(in crate::s3) trait OfAccount: Action {}
/// An action on a bucket.
pub(in crate::s3) trait OfBucket: Action {}
/// An action on an object.
pub(in crate::s3) trait OfObject: Action {}

macro_rules! actions {
    ($($kind:ident $effect:ident ($rule:expr) { $($name:ident $(| $version:ident)?),+ $(,)? })+) => {
        $($(
            #[allow(dead_code, reason = "the table is whole, and not every action has its operation")]
            pub(in crate::s3) struct $name;

            impl $kind for $name {}

            impl Action for $name {
                const META: Meta = Meta {
                    name: concat!("s3:", stringify!($name)),
                    of_version: version!($($version)?),
                    rule: $rule,
                    effect: Effect::$effect,
                    rescue: is_rescue(stringify!($name)),
                };
            }
        )+)+
    };
}

macro_rules! version {
    () => {
        None
    };
    ($name:ident) => {
        Some(concat!("s3:", stringify!($name)))
    };
}

/// An account may always see and change its buckets' policies, whatever they deny: else a slip would lock it out for good
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html>).
const fn is_rescue(name: &str) -> bool {
    matches!(name.as_bytes(), b"GetBucketPolicy" | b"PutBucketPolicy" | b"DeleteBucketPolicy")
}

// The grants follow https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping.
actions! {
    OfAccount Read (Rule::Own) { ListAllMyBuckets }
    OfAccount Control (Rule::Own) { CreateBucket }

    OfBucket Read (Rule::Bucket(Some(Permission::Read))) { ListBucket, ListBucketVersions, ListBucketMultipartUploads }
    OfBucket Read (Rule::Bucket(Some(Permission::ReadAcp))) { GetBucketAcl }
    OfBucket Control (Rule::Bucket(Some(Permission::WriteAcp))) { PutBucketAcl }
    OfBucket Read (Rule::Bucket(None)) {
        GetAccelerateConfiguration, GetAnalyticsConfiguration, GetBucketCORS, GetBucketLocation, GetBucketLogging, GetBucketNotification,
        GetBucketObjectLockConfiguration, GetBucketOwnershipControls, GetBucketPolicy, GetBucketPolicyStatus,
        GetBucketPublicAccessBlock, GetBucketRequestPayment, GetBucketTagging, GetBucketVersioning, GetBucketWebsite,
        GetEncryptionConfiguration, GetIntelligentTieringConfiguration, GetInventoryConfiguration, GetLifecycleConfiguration,
        GetMetricsConfiguration, GetReplicationConfiguration,
    }
    OfBucket Control (Rule::Bucket(None)) {
        DeleteBucket, DeleteBucketPolicy, DeleteBucketWebsite, PutAccelerateConfiguration, PutAnalyticsConfiguration, PutBucketCORS,
        PutBucketLogging, PutBucketNotification, PutBucketObjectLockConfiguration, PutBucketOwnershipControls, PutBucketPolicy,
        PutBucketPublicAccessBlock, PutBucketRequestPayment, PutBucketTagging, PutBucketVersioning, PutBucketWebsite,
        PutEncryptionConfiguration, PutIntelligentTieringConfiguration, PutInventoryConfiguration, PutLifecycleConfiguration,
        PutMetricsConfiguration, PutReplicationConfiguration,
    }

    OfObject Read (Rule::Object(Permission::Read)) {
        GetObject | GetObjectVersion, GetObjectAttributes | GetObjectVersionAttributes,
    }
    OfObject Read (Rule::Object(Permission::ReadAcp)) { GetObjectAcl | GetObjectVersionAcl }
    OfObject Control (Rule::Object(Permission::WriteAcp)) { PutObjectAcl | PutObjectVersionAcl }
    OfObject Write (Rule::Bucket(Some(Permission::Write))) { PutObject, DeleteObject | DeleteObjectVersion }
    OfObject Read (Rule::Bucket(None)) { GetObjectTagging | GetObjectVersionTagging, GetObjectRetention, GetObjectLegalHold }
    OfObject Write (Rule::Bucket(None)) {
        PutObjectTagging | PutObjectVersionTagging, DeleteObjectTagging | DeleteObjectVersionTagging, RestoreObject,
        ReplicateObject, ReplicateDelete,
    }
    OfObject Control (Rule::Bucket(None)) { PutObjectRetention, PutObjectLegalHold, BypassGovernanceRetention }
    OfObject Read (Rule::Upload) { ListMultipartUploadParts }
    OfObject Write (Rule::Upload) { AbortMultipartUpload }
}

impl Meta {
    /// The action's name for a request that names a version, or does not.
    pub(super) fn name_for(&self, version: bool) -> &'static str {
        self.of_version.filter(|_| version).unwrap_or(self.name)
    }
}
