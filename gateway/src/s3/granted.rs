//! What access control lists grant. Pure.

use metadata::records::{Acl, AclGroup, Grant, Grantee, Permission};
use types::AccountId;

/// Whether a list grants `permission` to `caller`, who is not the owner. Groups count for nothing where public lists are ignored.
pub(super) fn grants(
    acl: &Acl,
    caller: Option<&AccountId>,
    permission: Permission,
    ignore_public: bool,
) -> bool {
    acl.grants.iter().any(|grant| {
        let enough = grant.permission == permission || grant.permission == Permission::FullControl;
        enough && includes(&grant.grantee, caller, ignore_public)
    })
}

fn includes(grantee: &Grantee, caller: Option<&AccountId>, ignore_public: bool) -> bool {
    match grantee {
        Grantee::Account(id) => caller == Some(id),
        Grantee::Group(AclGroup::AllUsers) => !ignore_public,
        Grantee::Group(AclGroup::AuthenticatedUsers) => !ignore_public && caller.is_some(),
        // Logs are delivered by the gateway itself, which asks no list.
        Grantee::Group(AclGroup::LogDelivery) => false,
    }
}

/// Whether a list lets strangers in: everybody, or everybody who has an account anywhere.
pub(super) fn is_public(acl: &Acl) -> bool {
    let public = |grant: &Grant| {
        matches!(grant.grantee, Grantee::Group(AclGroup::AllUsers | AclGroup::AuthenticatedUsers))
    };
    acl.grants.iter().any(public)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_who_they_say() {
        let ann: AccountId = "ann".parse().expect("an id");
        let list = |grantee, permission| Acl {
            grants: vec![Grant { grantee, permission }],
            without_owner: false,
        };
        let all = list(Grantee::Group(AclGroup::AllUsers), Permission::Read);
        let signed = list(Grantee::Group(AclGroup::AuthenticatedUsers), Permission::FullControl);
        let logs = list(Grantee::Group(AclGroup::LogDelivery), Permission::Write);
        for (acl, caller, permission, ignored, expected) in [
            (&all, None, Permission::Read, false, true),
            (&all, Some(&ann), Permission::Read, false, true),
            (&all, Some(&ann), Permission::Read, true, false),
            (&all, None, Permission::Write, false, false),
            (&signed, None, Permission::Read, false, false),
            (&signed, Some(&ann), Permission::WriteAcp, false, true),
            (&logs, Some(&ann), Permission::Write, false, false),
        ] {
            assert_eq!(
                grants(acl, caller, permission, ignored),
                expected,
                "{acl:?} {permission:?}"
            );
        }
        assert!(is_public(&all) && is_public(&signed) && !is_public(&logs));
    }
}
