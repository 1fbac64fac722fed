//! GetBucketPolicy, PutBucketPolicy, DeleteBucketPolicy, GetBucketPolicyStatus.

/// GetBucketPolicy: the very text that was put.
pub(in crate::s3) mod get_policy {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{GetBucketPolicyInput, GetBucketPolicyOutput};
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, GetBucketPolicy};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<GetBucketPolicyOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketPolicy> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let found = catalog.bucket_config(allowed.id(), ConfigKind::Policy, "").await;
        let bytes = found.map_err(error::catalog)?;
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchBucketPolicy))?;
        Ok(GetBucketPolicyOutput { policy: Some(text) })
    }
}

/// PutBucketPolicy.
pub(in crate::s3) mod put_policy {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{PutBucketPolicyInput, PutBucketPolicyOutput};
    use s3s::{S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketPolicy};
    use crate::s3::error;
    use crate::s3::policy::{Kind, Policy};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<PutBucketPolicyOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketPolicy> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let text = request.input.policy;
        let policy = Policy::read(&text, Kind::Bucket(allowed.name().as_str()))
            .map_err(|wrong| error::refuse(S3ErrorCode::MalformedPolicy, wrong.to_string()))?;
        if allowed.public_access_block().block_policy && policy.is_public() {
            let message = "Access Denied: public policies are blocked by the bucket's public access block (BlockPublicPolicy)";
            return Err(error::refuse(S3ErrorCode::AccessDenied, message));
        }
        let kind = ConfigKind::Policy;
        let put = catalog.put_bucket_config(&allowed.at(), kind, "", text.into_bytes()).await;
        gate.forget_bucket(allowed.id());
        put.map_err(error::catalog)?;
        Ok(PutBucketPolicyOutput::default())
    }
}

/// DeleteBucketPolicy. Deleting what is not there succeeds.
pub(in crate::s3) mod delete_policy {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{DeleteBucketPolicyInput, DeleteBucketPolicyOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, DeleteBucketPolicy, Gate};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<DeleteBucketPolicyOutput> {
        let input = &request.input;
        let allowed: Authorized<DeleteBucketPolicy> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let deleted = catalog.delete_bucket_config(&allowed.at(), ConfigKind::Policy, "").await;
        gate.forget_bucket(allowed.id());
        deleted.map_err(error::catalog)?;
        Ok(DeleteBucketPolicyOutput::default())
    }
}

/// GetBucketPolicyStatus: whether strangers get in, by the policy or by the bucket's list. A bucket without a policy is not public by it.
pub(in crate::s3) mod get_policy_status {
    use metadata::records::Ownership;
    use s3s::dto::{GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput, PolicyStatus};
    use s3s::{S3Request, S3Result};

    use crate::s3::acl;
    use crate::s3::authorize::{Authorized, Gate, GetBucketPolicyStatus};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        request: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<GetBucketPolicyStatusOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketPolicyStatus> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let block = allowed.public_access_block();
        let by_policy = allowed.policy_is_public() && !block.restrict_buckets;
        let lists_count =
            allowed.ownership() != Ownership::BucketOwnerEnforced && !block.ignore_acls;
        let is_public = by_policy || (lists_count && acl::is_public(&allowed.bucket().acl));
        let policy_status = Some(PolicyStatus { is_public: Some(is_public) });
        Ok(GetBucketPolicyStatusOutput { policy_status })
    }
}
