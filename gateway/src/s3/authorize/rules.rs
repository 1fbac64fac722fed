//! The decision itself: what policies, ownership, access control lists and the public access block say together. Pure.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-s3-evaluates-access-control.html>, with an access key's own policy in the place of
//! a permissions boundary: it narrows what the account may do and never widens it.

use metadata::records::{Acl, Ownership, Permission};
use types::AccountId;

use super::actions::Rule;
use crate::s3::granted;
use crate::s3::policy::Verdict;

/// Everything that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Who decides about the action.
    pub(super) rule: Rule,
    /// Whether an account can never lock itself out of it.
    pub(super) rescue: bool,
    /// The account that asks; `None` is anonymous.
    pub(super) caller: Option<&'a AccountId>,
    /// What the policy of the access key says, if it has one.
    pub(super) of_key: Option<Verdict>,
    /// What the bucket's policy says.
    pub(super) of_bucket: Verdict,
    /// The bucket's owner.
    pub(super) owner: &'a AccountId,
    /// Who owns what others write.
    pub(super) ownership: Ownership,
    /// The bucket's list.
    pub(super) bucket_acl: &'a Acl,
    /// The object's owner and list, where there is an object.
    pub(super) object: Option<(&'a AccountId, Option<&'a Acl>)>,
    /// Who began the upload.
    pub(super) initiator: Option<&'a AccountId>,
    /// `IgnorePublicAcls`.
    pub(super) ignore_public_acls: bool,
    /// `RestrictPublicBuckets`, and the bucket's policy is public.
    pub(super) restricted: bool,
}

/// Why something is allowed or not, for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reason {
    /// Allowed: it is the caller's own.
    Owner,
    /// Allowed: the bucket's policy says so.
    BucketPolicy,
    /// Allowed: a list grants it.
    Acl,
    /// Allowed: the caller began the upload.
    Initiator,
    /// Denied: the key's policy does not allow it.
    KeyPolicy,
    /// Denied: the bucket's policy denies it.
    ExplicitDeny,
    /// Denied: the public access block keeps others out.
    Restricted,
    /// Denied: nothing allows it.
    Nothing,
}

impl Reason {
    pub(super) fn allows(self) -> bool {
        match self {
            Self::Owner | Self::BucketPolicy | Self::Acl | Self::Initiator => true,
            Self::KeyPolicy | Self::ExplicitDeny | Self::Restricted | Self::Nothing => false,
        }
    }
}

impl Case<'_> {
    /// Decides.
    pub(super) fn decide(&self) -> Reason {
        if self.of_key.is_some_and(|verdict| verdict != Verdict::Allow) {
            return Reason::KeyPolicy;
        }
        let own_account = self.caller == Some(self.owner);
        let rescued = self.rescue && own_account && self.of_key.is_none();
        if self.of_bucket == Verdict::Deny && !rescued {
            return Reason::ExplicitDeny;
        }
        if self.restricted && !own_account {
            return Reason::Restricted;
        }
        match self.rule {
            Rule::Own => self.own(),
            Rule::Bucket(grant) => self.of_bucket_s_owner(grant),
            Rule::Upload if self.caller.is_some() && self.caller == self.initiator => {
                Reason::Initiator
            }
            Rule::Upload => self.of_bucket_s_owner(None),
            Rule::Object(grant) => self.of_object_s_owner(grant),
        }
    }

    fn own(&self) -> Reason {
        if self.caller == Some(self.owner) { Reason::Owner } else { Reason::Nothing }
    }

    fn of_bucket_s_owner(&self, grant: Option<Permission>) -> Reason {
        if self.caller == Some(self.owner) {
            return Reason::Owner;
        }
        if self.of_bucket == Verdict::Allow {
            return Reason::BucketPolicy;
        }
        match grant {
            Some(permission) if self.granted(Some(self.bucket_acl), permission) => Reason::Acl,
            _ => Reason::Nothing,
        }
    }

    fn of_object_s_owner(&self, grant: Permission) -> Reason {
        let (owner, acl) = match self.object {
            Some((owner, acl)) if self.ownership != Ownership::BucketOwnerEnforced => (owner, acl),
            // What is not there would be the bucket's owner's to show, and where lists are off everything is theirs.
            _ => (self.owner, None),
        };
        if self.caller == Some(owner) {
            return Reason::Owner;
        }
        if owner == self.owner && self.of_bucket == Verdict::Allow {
            return Reason::BucketPolicy;
        }
        if self.granted(acl, grant) { Reason::Acl } else { Reason::Nothing }
    }

    fn granted(&self, acl: Option<&Acl>, permission: Permission) -> bool {
        self.ownership != Ownership::BucketOwnerEnforced
            && acl.is_some_and(|acl| {
                granted::grants(acl, self.caller, permission, self.ignore_public_acls)
            })
    }
}

#[cfg(test)]
mod tests {
    use metadata::records::{AclGroup, Grant, Grantee};

    use super::*;
    use Verdict::{Allow, Deny, Silent};

    fn id(text: &str) -> AccountId {
        text.parse().expect("an id")
    }

    fn list(grantee: Grantee, permission: Permission) -> Acl {
        Acl { grants: vec![Grant { grantee, permission }], without_owner: false }
    }

    const READ: Rule = Rule::Object(Permission::Read);
    const LIST: Rule = Rule::Bucket(Some(Permission::Read));
    const CONFIGURE: Rule = Rule::Bucket(None);

    struct World {
        owner: AccountId,
        other: AccountId,
        private: Acl,
    }

    impl World {
        fn new() -> Self {
            Self { owner: id("owner"), other: id("other"), private: Acl::default() }
        }

        fn case<'a>(&'a self, rule: Rule, caller: Option<&'a AccountId>) -> Case<'a> {
            Case {
                rule,
                rescue: false,
                caller,
                of_key: None,
                of_bucket: Silent,
                owner: &self.owner,
                ownership: Ownership::ObjectWriter,
                bucket_acl: &self.private,
                object: None,
                initiator: None,
                ignore_public_acls: false,
                restricted: false,
            }
        }
    }

    #[test]
    fn an_owner_may_and_a_stranger_may_not() {
        let world = World::new();
        for rule in [READ, LIST, CONFIGURE, Rule::Upload, Rule::Own] {
            assert_eq!(world.case(rule, Some(&world.owner)).decide(), Reason::Owner);
            assert_eq!(world.case(rule, Some(&world.other)).decide(), Reason::Nothing);
            assert_eq!(world.case(rule, None).decide(), Reason::Nothing);
        }
    }

    #[test]
    fn a_deny_binds_the_owner_too_but_not_where_it_would_lock_them_out() {
        let world = World::new();
        let denied = Case { of_bucket: Deny, ..world.case(CONFIGURE, Some(&world.owner)) };
        assert_eq!(denied.decide(), Reason::ExplicitDeny);
        let rescue = Case { rescue: true, ..denied };
        assert_eq!(rescue.decide(), Reason::Owner);
        let narrowed = Case { of_key: Some(Allow), ..rescue };
        assert_eq!(
            narrowed.decide(),
            Reason::ExplicitDeny,
            "a key with a policy is not the account"
        );
        let foreign = Case { caller: Some(&world.other), ..rescue };
        assert_eq!(foreign.decide(), Reason::ExplicitDeny);
    }

    #[test]
    fn a_key_s_policy_narrows_and_never_widens() {
        let world = World::new();
        let own = world.case(LIST, Some(&world.owner));
        for (verdict, reason) in
            [(Allow, Reason::Owner), (Silent, Reason::KeyPolicy), (Deny, Reason::KeyPolicy)]
        {
            assert_eq!(Case { of_key: Some(verdict), ..own }.decide(), reason);
        }
        let foreign = Case { of_key: Some(Allow), ..world.case(LIST, Some(&world.other)) };
        assert_eq!(foreign.decide(), Reason::Nothing);
    }

    #[test]
    fn the_bucket_s_policy_does_not_reach_objects_of_others() {
        let world = World::new();
        let allowed = Case { of_bucket: Allow, ..world.case(READ, None) };
        assert_eq!(allowed.decide(), Reason::BucketPolicy);
        let theirs = Case { object: Some((&world.other, None)), ..allowed };
        assert_eq!(theirs.decide(), Reason::Nothing);
        let bucket_s_owner = Case { caller: Some(&world.owner), ..theirs };
        assert_eq!(bucket_s_owner.decide(), Reason::Nothing);
        let writer = Case { caller: Some(&world.other), ..theirs };
        assert_eq!(writer.decide(), Reason::Owner);
        let enforced = Case { ownership: Ownership::BucketOwnerEnforced, ..bucket_s_owner };
        assert_eq!(enforced.decide(), Reason::Owner);
        let former =
            Case { ownership: Ownership::BucketOwnerEnforced, of_bucket: Silent, ..writer };
        assert_eq!(former.decide(), Reason::Nothing);
    }

    #[test]
    fn lists_grant_unless_they_are_off_or_ignored() {
        let world = World::new();
        let public = list(Grantee::Group(AclGroup::AllUsers), Permission::Read);
        let read = Case { object: Some((&world.owner, Some(&public))), ..world.case(READ, None) };
        assert_eq!(read.decide(), Reason::Acl);
        assert_eq!(Case { ignore_public_acls: true, ..read }.decide(), Reason::Nothing);
        assert_eq!(
            Case { ownership: Ownership::BucketOwnerEnforced, ..read }.decide(),
            Reason::Nothing
        );
        assert_eq!(
            Case { rule: Rule::Object(Permission::ReadAcp), ..read }.decide(),
            Reason::Nothing
        );
        let listing = Case { bucket_acl: &public, ..world.case(LIST, None) };
        assert_eq!(listing.decide(), Reason::Acl);
        assert_eq!(Case { rule: CONFIGURE, ..listing }.decide(), Reason::Nothing);
        let named = list(Grantee::Account(world.other.clone()), Permission::FullControl);
        let named = Case { bucket_acl: &named, ..world.case(LIST, Some(&world.other)) };
        assert_eq!(Case { ignore_public_acls: true, ..named }.decide(), Reason::Acl);
    }

    #[test]
    fn a_restricted_bucket_is_its_account_s_alone() {
        let world = World::new();
        let public = Case { of_bucket: Allow, restricted: true, ..world.case(READ, None) };
        assert_eq!(public.decide(), Reason::Restricted);
        assert_eq!(Case { caller: Some(&world.other), ..public }.decide(), Reason::Restricted);
        assert_eq!(Case { caller: Some(&world.owner), ..public }.decide(), Reason::Owner);
    }

    #[test]
    fn who_began_an_upload_may_look_after_it() {
        let world = World::new();
        let theirs =
            Case { initiator: Some(&world.other), ..world.case(Rule::Upload, Some(&world.other)) };
        assert_eq!(theirs.decide(), Reason::Initiator);
        assert_eq!(Case { caller: None, initiator: None, ..theirs }.decide(), Reason::Nothing);
    }
}
