//! GetBucketAcl, PutBucketAcl.

/// GetBucketAcl.
pub(in crate::s3) mod get_bucket_acl {
    use metadata::Catalog;
    use s3s::dto::{GetBucketAclInput, GetBucketAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::acl;
    use crate::s3::authorize::{Authorized, Gate, GetBucketAcl};
    use crate::s3::listing::Owners;

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetBucketAclInput>,
    ) -> S3Result<GetBucketAclOutput> {
        let input = &request.input;
        let allowed: Authorized<GetBucketAcl> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let bucket = allowed.bucket();
        let mut owners = Owners::new(catalog);
        Ok(GetBucketAclOutput {
            grants: Some(acl::shown(&mut owners, &bucket.owner, Some(&bucket.acl)).await?),
            owner: acl::owner(&mut owners, &bucket.owner).await?,
        })
    }
}

/// PutBucketAcl.
pub(in crate::s3) mod put_bucket_acl {
    use metadata::Catalog;
    use metadata::records::Ownership;
    use s3s::dto::{PutBucketAclInput, PutBucketAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, PutBucketAcl};
    use crate::s3::{acl, error};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<PutBucketAclInput>,
    ) -> S3Result<PutBucketAclOutput> {
        let input = &request.input;
        let allowed: Authorized<PutBucketAcl> =
            gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
        let wish = acl::Wish::of(&request.headers).with_body(request.input.access_control_policy);
        let acl = acl::of_bucket(catalog, &allowed, wish).await?;
        let change = |bucket: &mut metadata::Bucket| {
            // Turned off meanwhile, lists stay as they are.
            if bucket.ownership != Some(Ownership::BucketOwnerEnforced) {
                bucket.acl.clone_from(&acl);
            }
            Ok(())
        };
        catalog.change_bucket(&allowed.at(), change).await.map_err(error::catalog)?;
        Ok(PutBucketAclOutput::default())
    }
}
