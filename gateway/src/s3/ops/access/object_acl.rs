//! GetObjectAcl, PutObjectAcl.

/// GetObjectAcl.
pub(in crate::s3) mod get_object_acl {
    use metadata::Catalog;
    use metadata::records::{Acl, Ownership};
    use s3s::dto::{GetObjectAclInput, GetObjectAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::s3::acl;
    use crate::s3::authorize::{Gate, GetObjectAcl, Said, owner_of};
    use crate::s3::listing::Owners;
    use crate::s3::ops::version::{self, Version};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        request: S3Request<GetObjectAclInput>,
    ) -> S3Result<GetObjectAclOutput> {
        let found: Version<GetObjectAcl> = version::open(gate, &request, &Said::default()).await?;
        let Version { allowed, located, .. } = &found;
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

/// PutObjectAcl. Conditions speak of lists that headers ask for, as on AWS, and not of one in the body.
pub(in crate::s3) mod put_object_acl {
    use metadata::records::{Acl, Detail};
    use metadata::{Catalog, Entry};
    use s3s::dto::{PutObjectAclInput, PutObjectAclOutput};
    use s3s::{S3Request, S3Result};

    use crate::changes::Changes;
    use crate::rules::notification::Event;
    use crate::s3::authorize::{Gate, PutObjectAcl, Said, owner_of};
    use crate::s3::ops::version::{self, Version};
    use crate::s3::{acl, follow};

    pub(in crate::s3) async fn run(
        gate: &Gate,
        catalog: &Catalog,
        changes: &Changes,
        request: S3Request<PutObjectAclInput>,
    ) -> S3Result<PutObjectAclOutput> {
        let found: Version<PutObjectAcl> = version::open(gate, &request, &Said::default()).await?;
        let Version { allowed, key, located, .. } = &found;
        let owner = owner_of(allowed.bucket(), located.entry.owner.as_ref());
        let wish = acl::Wish::of(&request.headers).with_body(request.input.access_control_policy);
        let acl = acl::of_object(catalog, allowed, owner, wish).await?;
        let acl = Some(acl).filter(|acl| *acl != Acl::default());
        let change = |entry: &Entry, detail: &mut Detail| {
            found.is(entry)?;
            detail.acl.clone_from(&acl);
            Ok(())
        };
        let sequel = follow::changes(changes, allowed).await?.written(key, Event::AclPut);
        let at = allowed.at();
        let changed = catalog.change_detail_then(&at, key, found.id(), change, &sequel);
        changed.await.map_err(|refused| found.failed(refused))?;
        Ok(PutObjectAclOutput { request_charged: allowed.charged() })
    }
}
