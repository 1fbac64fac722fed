//! What a bucket lets replication do to it, on behalf of the owner of another bucket. Asked whenever a version is delivered.

use std::sync::Arc;

use metadata::Bucket;
use types::{AccountId, BucketName, ObjectKey};

use super::access::Accesses;
use super::actions::Rule;
use super::rules::Case;
use super::{Targets, ownership};
use crate::s3::policy::{Asked, Context, Identity, Key, Values, Verdict};

/// For whom something is replicated.
#[derive(Clone, Copy, Debug)]
pub struct Replicating<'a> {
    /// The bucket it comes from.
    pub source: &'a BucketName,
    /// That bucket's owner.
    pub account: &'a AccountId,
    /// The role that the rules name. It counts as far as it is one of that account.
    pub role: Option<&'a str>,
}

impl Replicating<'_> {
    /// The role, if the account may act in it: it may in all of its own.
    fn own_role(&self) -> Option<&str> {
        self.role.filter(|role| {
            let mut fields = role.splitn(6, ':');
            let head = [fields.next(), fields.nth(1), fields.next(), fields.next()];
            let iam = [Some("arn"), Some("iam"), Some(""), Some(self.account.as_str())];
            head == iam && fields.next().is_some_and(|name| name.starts_with("role/"))
        })
    }
}

impl Context for Replicating<'_> {
    fn values(&self, key: &Key) -> Values {
        Values::One(match key.name() {
            "aws:sourcearn" => format!("arn:aws:s3:::{}", self.source),
            "aws:sourceaccount" | "aws:principalaccount" => self.account.to_string(),
            "aws:principalarn" => self
                .own_role()
                .map_or_else(|| format!("arn:aws:iam::{}:root", self.account), str::to_owned),
            "aws:securetransport" => "true".to_owned(),
            _ => return Values::Absent,
        })
    }
}

/// Knows what buckets let replication do. Cheap to clone.
#[derive(Clone)]
pub struct Consent {
    accesses: Arc<Accesses>,
}

impl Consent {
    /// By what buckets say of access, remembered together with what others ask of it.
    #[must_use]
    pub fn new(targets: &Targets) -> Self {
        Self { accesses: targets.accesses() }
    }

    /// Whether a bucket lets all these actions be done to an object: those of its own account unless its policy denies it, those of others
    /// if its policy allows it. `None` if that cannot be found out now.
    pub async fn asks(
        &self,
        who: &Replicating<'_>,
        (name, row): (&BucketName, &Bucket),
        key: &ObjectKey,
        actions: &[&str],
    ) -> Option<bool> {
        let access = self.accesses.of(name, row.id).await.ok()?;
        let resource = format!("arn:aws:s3:::{name}/{}", key.as_str());
        let account = Some(who.account.as_str());
        let identity = Identity { account, role: who.own_role(), ..Identity::default() };
        Some(actions.iter().all(|action| {
            let asked = Asked { who: identity, action, resource: &resource, context: who };
            let policy = access.policy.as_ref();
            let case = Case {
                rule: Rule::Bucket(None),
                rescue: false,
                caller: Some(who.account),
                of_key: None,
                of_bucket: policy.map_or(Verdict::Silent, |policy| policy.evaluate(&asked)),
                owner: &row.owner,
                ownership: ownership(row),
                bucket_acl: &row.acl,
                object: None,
                initiator: None,
                ignore_public_acls: access.block.ignore_acls,
                restricted: access.block.restrict_buckets && access.policy_is_public,
            };
            case.decide().allows()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_counts_if_it_is_the_account_s_own() {
        let (source, account) = ("aaa".parse().expect("a name"), "ann".parse().expect("an id"));
        let role = |role| Replicating { source: &source, account: &account, role: Some(role) };
        let own = "arn:aws:iam::ann:role/copier";
        assert_eq!(role(own).own_role(), Some(own));
        for foreign in
            ["arn:aws:iam::bob:role/copier", "arn:aws:iam::ann:user/copier", "copier", ""]
        {
            assert_eq!(role(foreign).own_role(), None, "{foreign}");
        }
        let arn = role("copier").values(&Key::new("aws:PrincipalArn"));
        assert_eq!(arn, Values::One("arn:aws:iam::ann:root".to_owned()));
    }
}
