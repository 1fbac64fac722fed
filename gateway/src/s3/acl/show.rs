//! How lists are shown.

use metadata::records::{Acl, AclGroup, Grantee, Permission};
use s3s::{S3Result, dto};
use types::AccountId;

use super::wish::{ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY};
use crate::s3::listing::Owners;

/// The list of something that `owner` owns, in S3's words: groups first, then the owner, then who else was given something.
pub(in crate::s3) async fn shown(
    owners: &mut Owners<'_>,
    owner: &AccountId,
    acl: Option<&Acl>,
) -> S3Result<Vec<dto::Grant>> {
    let private = Acl::default();
    let acl = acl.unwrap_or(&private);
    let is_group = |grantee: &Grantee| matches!(grantee, Grantee::Group(_));
    let mut all = Vec::with_capacity(acl.grants.len() + 1);
    for grant in acl.grants.iter().filter(|grant| is_group(&grant.grantee)) {
        all.push(line(grantee(owners, &grant.grantee).await?, grant.permission));
    }
    if !acl.without_owner {
        let grantee = grantee(owners, &Grantee::Account(owner.clone())).await?;
        all.push(line(grantee, Permission::FullControl));
    }
    for grant in acl.grants.iter().filter(|grant| !is_group(&grant.grantee)) {
        all.push(line(grantee(owners, &grant.grantee).await?, grant.permission));
    }
    Ok(all)
}

/// An owner, as lists name them.
pub(in crate::s3) async fn owner(
    owners: &mut Owners<'_>,
    owner: &AccountId,
) -> S3Result<Option<dto::Owner>> {
    owners.get(owner).await.map(Some)
}

fn line(grantee: dto::Grantee, permission: Permission) -> dto::Grant {
    let permission = match permission {
        Permission::FullControl => dto::Permission::FULL_CONTROL,
        Permission::Read => dto::Permission::READ,
        Permission::Write => dto::Permission::WRITE,
        Permission::ReadAcp => dto::Permission::READ_ACP,
        Permission::WriteAcp => dto::Permission::WRITE_ACP,
    };
    dto::Grant {
        grantee: Some(grantee),
        permission: Some(dto::Permission::from_static(permission)),
    }
}

async fn grantee(owners: &mut Owners<'_>, grantee: &Grantee) -> S3Result<dto::Grantee> {
    let none = dto::Grantee {
        display_name: None,
        email_address: None,
        id: None,
        type_: dto::Type::from_static(dto::Type::GROUP),
        uri: None,
    };
    Ok(match grantee {
        Grantee::Account(id) => {
            let owner = owners.get(id).await?;
            dto::Grantee {
                display_name: owner.display_name,
                id: owner.id,
                type_: dto::Type::from_static(dto::Type::CANONICAL_USER),
                ..none
            }
        }
        Grantee::Group(group) => dto::Grantee { uri: Some(uri(*group).to_owned()), ..none },
    })
}

fn uri(group: AclGroup) -> &'static str {
    match group {
        AclGroup::AllUsers => ALL_USERS,
        AclGroup::AuthenticatedUsers => AUTHENTICATED_USERS,
        AclGroup::LogDelivery => LOG_DELIVERY,
    }
}
