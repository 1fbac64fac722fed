//! What a bucket lets a part of this system do by itself, on behalf of another bucket: asked when that is configured, and again whenever it is done.
//!
//! A bucket of the same account lets it unless its policy denies it. Another account's must say so, by its policy or, for logs, by its list. Policies know logs and
//! inventories by the services that AWS has for them, with `aws:SourceArn` and `aws:SourceAccount`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/configure-inventory.html>). Replication is [`super::consent`]'s.

use std::sync::Arc;

use metadata::records::{AclGroup, Grantee, Ownership, Permission};
use metadata::{Bucket, Catalog, CatalogError};
use types::{AccountId, BucketName};

use super::access::Accesses;
use super::ownership;
use crate::s3::policy::{Asked, Context, Identity, Key, Values, Verdict};

/// A part of this system that writes into buckets by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    /// Delivers access logs.
    Logging,
    /// Delivers inventories.
    Inventory,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    /// Who does it.
    pub(crate) actor: Actor,
    /// The bucket on whose behalf.
    pub(crate) source: &'a BucketName,
    /// That bucket's owner.
    pub(crate) account: &'a AccountId,
}

/// What a target says to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// Its policy lets it, or its list.
    Given,
    /// It says nothing of it, and belongs to the same account.
    Own,
    /// It does not let it.
    Refused,
}

/// Asks buckets what they let this system do. Cheap to clone.
#[derive(Clone)]
pub struct Targets {
    accesses: Arc<Accesses>,
}

impl Targets {
    /// Over a catalog.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self { accesses: Arc::new(Accesses::new(catalog)) }
    }

    pub(super) fn over(accesses: Arc<Accesses>) -> Self {
        Self { accesses }
    }

    /// What buckets say of access, remembered once for those who ask and for what this system does.
    pub(super) fn accesses(&self) -> Arc<Accesses> {
        Arc::clone(&self.accesses)
    }

    /// Whether a bucket lets `deed` write `key`.
    ///
    /// # Errors
    /// If what the bucket says cannot be read: then nobody may.
    pub(crate) async fn take(
        &self,
        deed: &Deed<'_>,
        target: (&BucketName, &Bucket),
        key: &str,
    ) -> Result<bool, CatalogError> {
        Ok(self.say(deed, target, key).await? != Leave::Refused)
    }

    /// What a bucket says to `deed`, which wants to write `key`, or keys that begin so.
    ///
    /// # Errors
    /// As of [`Self::take`].
    pub(crate) async fn say(
        &self,
        deed: &Deed<'_>,
        (name, row): (&BucketName, &Bucket),
        key: &str,
    ) -> Result<Leave, CatalogError> {
        let access = self.accesses.of(name, row.id).await?;
        let resource = format!("arn:aws:s3:::{name}/{key}");
        let who = Identity { service: Some(deed.actor.service()), ..Identity::default() };
        let asked = Asked { who, action: "s3:PutObject", resource: &resource, context: deed };
        let policy = access.policy.as_ref();
        let verdict = policy.map_or(Verdict::Silent, |policy| policy.evaluate(&asked));
        Ok(match verdict {
            Verdict::Allow => Leave::Given,
            Verdict::Deny => Leave::Refused,
            Verdict::Silent if deed.actor.is_listed(row) => Leave::Given,
            Verdict::Silent if row.owner == *deed.account => Leave::Own,
            Verdict::Silent => Leave::Refused,
        })
    }
}

impl Actor {
    /// Its name as a service.
    fn service(self) -> &'static str {
        match self {
            Self::Logging => "logging.s3.amazonaws.com",
            Self::Inventory => "s3.amazonaws.com",
        }
    }

    /// Whether a bucket's list lets it write there: only that of logs can, and only where lists count.
    fn is_listed(self, row: &Bucket) -> bool {
        let grants = || {
            row.acl.grants.iter().any(|grant| {
                grant.grantee == Grantee::Group(AclGroup::LogDelivery)
                    && matches!(grant.permission, Permission::Write | Permission::FullControl)
            })
        };
        matches!(self, Self::Logging)
            && ownership(row) != Ownership::BucketOwnerEnforced
            && grants()
    }
}

impl Deed<'_> {
    fn value(&self, name: &str) -> Option<String> {
        Some(match name {
            "aws:securetransport" | "aws:principalisawsservice" => "true".to_owned(),
            "aws:principalservicename" => self.actor.service().to_owned(),
            "aws:sourcearn" => format!("arn:aws:s3:::{}", self.source),
            "aws:sourceaccount" => self.account.to_string(),
            // What is listed belongs to the target's owner, which AWS's policies for inventories ask for.
            "s3:x-amz-acl" if matches!(self.actor, Actor::Inventory) => {
                "bucket-owner-full-control".to_owned()
            }
            _ => return None,
        })
    }
}

impl Context for Deed<'_> {
    fn values(&self, key: &Key) -> Values {
        self.value(key.name()).into()
    }
}

#[cfg(test)]
mod tests;
