//! GetObjectAcl, PutObjectAcl.

/// GetObjectAcl.
pub(in crate::s3) mod get_object_acl {
    use metadata::Catalog;
    use metadata::records::{Acl, Ownership};
    use s3s::dto::{GetObjectAclInput, GetObjectAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::authorize::{Authorized, Gate, GetObjectAcl, owner_of};
    use crate::s3::listing::Owners;
    use crate::s3::{acl, describe, error};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<GetObjectAclOutput> {
        let input = &request.input;
        let (at, version) = ((&*input.bucket, &*input.key), input.version_id.as_deref());
        let expected = input.expected_bucket_owner.as_deref();
        let allowed: Authorized<GetObjectAcl> =
            gate.object(&request, at, version, expected).await?;
        let key = describe::key(&input.key)?;
        let version = describe::version(version)?;
        let located = catalog.locate_version(allowed.id(), &key, version).await;
        let located = located.map_err(error::catalog)?;
        let owner = owner_of(allowed.bucket(), located.entry.owner.as_ref());
        // Where lists are off, an object has none but its owner's full control.
        let on = allowed.ownership() != Ownership::BucketOwnerEnforced;
        let list: Option<&Acl> = located.detail.acl.as_ref().filter(|_| on);
        let mut owners = Owners::new(catalog);
        Ok(GetObjectAclOutput {
            grants: Some(acl::shown(&mut owners, owner, list).await?),
            owner: acl::owner(&mut owners, owner).await?,
            request_charged: allowed.charged(),
        })
    }
}

/// PutObjectAcl.
pub(in crate::s3) mod put_object_acl {
    use metadata::records::{Acl, Detail};
    use metadata::{Catalog, Entry};
    use s3s::dto::{PutObjectAclInput, PutObjectAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::changes::Changes;
    use crate::rules::notification::Event;
    use crate::s3::authorize::{Authorized, Gate, PutObjectAcl, owner_of};
    use crate::s3::{acl, describe, error, follow};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        changes: &Changes,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<PutObjectAclOutput> {
        let input = &request.input;
        let (at, version) = ((&*input.bucket, &*input.key), input.version_id.as_deref());
        let expected = input.expected_bucket_owner.as_deref();
        let allowed: Authorized<PutObjectAcl> =
            gate.object(&request, at, version, expected).await?;
        let key = describe::key(&input.key)?;
        let version = describe::version(version)?;
        let located = catalog.locate_version(allowed.id(), &key, version).await;
        let located = located.map_err(error::catalog)?;
        let owner = owner_of(allowed.bucket(), located.entry.owner.as_ref());
        let wish = acl::Wish::of(&request.headers).with_body(request.input.access_control_policy);
        let acl = acl::of_object(catalog, &allowed, owner, wish).await?;
        let acl = Some(acl).filter(|acl| *acl != Acl::default());
        let change = |_: &Entry, detail: &mut Detail| {
            detail.acl.clone_from(&acl);
            Ok(())
        };
        // The version that was looked at: a newer one may be somebody else's.
        let version = Some(located.entry.version);
        let sequel = follow::changes(changes, &allowed).await?.written(&key, Event::AclPut);
        catalog
            .change_detail_then(&allowed.at(), &key, version, change, &sequel)
            .await
            .map_err(error::catalog)?;
        Ok(PutObjectAclOutput { request_charged: allowed.charged() })
    }
}
