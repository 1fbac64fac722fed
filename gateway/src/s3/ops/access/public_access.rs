//! GetPublicAccessBlock, PutPublicAccessBlock, DeletePublicAccessBlock.

/// GetPublicAccessBlock.
pub(in crate::s3) mod get_block {
    use ::http::StatusCode;
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{
        GetPublicAccessBlockInput, GetPublicAccessBlockOutput, PublicAccessBlockConfiguration,
    };
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, GetBucketPublicAccessBlock};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<GetPublicAccessBlockOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketPublicAccessBlock> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let kind = ConfigKind::PublicAccessBlock;
        let found = catalog.bucket_config(allowed.id(), kind, "").await.map_err(error::catalog)?;
        if found.is_none() {
            return Err(none());
        }
        let block = allowed.public_access_block();
        Ok(GetPublicAccessBlockOutput {
            public_access_block_configuration: Some(PublicAccessBlockConfiguration {
                block_public_acls: Some(block.block_acls),
                block_public_policy: Some(block.block_policy),
                ignore_public_acls: Some(block.ignore_acls),
                restrict_public_buckets: Some(block.restrict_buckets),
            }),
        })
    }

    fn none() -> S3Error {
        let mut none = error::refuse(
            S3ErrorCode::from_bytes(b"NoSuchPublicAccessBlockConfiguration")
                .unwrap_or(S3ErrorCode::NoSuchResource),
            "The public access block configuration was not found",
        );
        none.set_status_code(StatusCode::NOT_FOUND);
        none
    }
}

/// PutPublicAccessBlock.
pub(in crate::s3) mod put_block {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{PutPublicAccessBlockInput, PutPublicAccessBlockOutput};
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PublicAccessBlock, PutBucketPublicAccessBlock};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<PutPublicAccessBlockOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketPublicAccessBlock> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let asked = &input.public_access_block_configuration;
        let block = PublicAccessBlock {
            block_acls: asked.block_public_acls.unwrap_or(false),
            ignore_acls: asked.ignore_public_acls.unwrap_or(false),
            block_policy: asked.block_public_policy.unwrap_or(false),
            restrict_buckets: asked.restrict_public_buckets.unwrap_or(false),
        };
        let text =
            serde_json::to_vec(&block).map_err(|_| S3Error::new(S3ErrorCode::InternalError))?;
        let kind = ConfigKind::PublicAccessBlock;
        let put = catalog.put_bucket_config(&allowed.at(), kind, "", text).await;
        gate.forget_bucket(allowed.id());
        put.map_err(error::catalog)?;
        Ok(PutPublicAccessBlockOutput::default())
    }
}

/// DeletePublicAccessBlock. Deleting what is not there succeeds.
pub(in crate::s3) mod delete_block {
    use metadata::Catalog;
    use metadata::records::ConfigKind;
    use s3s::dto::{DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketPublicAccessBlock};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<DeletePublicAccessBlockInput>,
    ) -> S3Result<DeletePublicAccessBlockOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketPublicAccessBlock> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let kind = ConfigKind::PublicAccessBlock;
        let deleted = catalog.delete_bucket_config(&allowed.at(), kind, "").await;
        gate.forget_bucket(allowed.id());
        deleted.map_err(error::catalog)?;
        Ok(DeletePublicAccessBlockOutput::default())
    }
}
