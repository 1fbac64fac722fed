//! GetBucketOwnershipControls, PutBucketOwnershipControls, DeleteBucketOwnershipControls.

/// GetBucketOwnershipControls.
pub(in crate::s3) mod get_ownership {
    use metadata::records::Ownership;
    use s3s::dto::{
        GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, ObjectOwnership,
        OwnershipControls, OwnershipControlsRule,
    };
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, GetBucketOwnershipControls};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        request: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<GetBucketOwnershipControlsOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketOwnershipControls> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let word = match allowed.bucket().ownership {
            Some(Ownership::BucketOwnerEnforced) => ObjectOwnership::BUCKET_OWNER_ENFORCED,
            Some(Ownership::BucketOwnerPreferred) => ObjectOwnership::BUCKET_OWNER_PREFERRED,
            Some(Ownership::ObjectWriter) => ObjectOwnership::OBJECT_WRITER,
            None => return Err(S3Error::new(S3ErrorCode::OwnershipControlsNotFoundError)),
        };
        let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from_static(word) };
        let ownership_controls = Some(OwnershipControls { rules: vec![rule] });
        Ok(GetBucketOwnershipControlsOutput { ownership_controls })
    }
}

/// PutBucketOwnershipControls.
pub(in crate::s3) mod put_ownership {
    use metadata::records::{Acl, Ownership};
    use metadata::{Bucket, Catalog};
    use s3s::dto::{PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput};
    use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketOwnershipControls};
    use crate::s3::{acl, error};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<PutBucketOwnershipControlsOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketOwnershipControls> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let [rule] = &*input.ownership_controls.rules else {
            return Err(S3Error::new(S3ErrorCode::MalformedXML));
        };
        let ownership = acl::ownership(&rule.object_ownership)
            .map_err(|_| S3Error::new(S3ErrorCode::MalformedXML))?;
        let change = |bucket: &mut Bucket| {
            // Decided where it is changed: the list may just have been opened.
            if may_be(ownership, &bucket.acl) {
                bucket.ownership = Some(ownership);
            }
            Ok(())
        };
        let bucket = catalog.change_bucket(&allowed.at(), change).await.map_err(error::catalog)?;
        if may_be(ownership, &bucket.acl) {
            return Ok(PutBucketOwnershipControlsOutput::default());
        }
        Err(error::refuse(
            S3ErrorCode::InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ))
    }

    /// Lists cannot be turned off while the bucket's own grants something.
    fn may_be(ownership: Ownership, acl: &Acl) -> bool {
        ownership != Ownership::BucketOwnerEnforced || acl.grants.is_empty()
    }
}

/// DeleteBucketOwnershipControls: what is written from now on is its writer's.
pub(in crate::s3) mod delete_ownership {
    use metadata::{Bucket, Catalog};
    use s3s::dto::{DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketOwnershipControls};
    use crate::s3::error;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<DeleteBucketOwnershipControlsInput>,
    ) -> S3Result<DeleteBucketOwnershipControlsOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketOwnershipControls> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let change = |bucket: &mut Bucket| {
            bucket.ownership = None;
            Ok(())
        };
        catalog.change_bucket(&allowed.at(), change).await.map_err(error::catalog)?;
        Ok(DeleteBucketOwnershipControlsOutput::default())
    }
}
