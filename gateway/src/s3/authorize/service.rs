//! What a bucket lets a part of this system do by itself, on behalf of another bucket: asked when that is configured, and again whenever it is done.
//!
//! A bucket of the same account lets it unless its policy denies it. Another account's must say so, by its policy or, for logs, by its list. Policies know logs and
//! inventories by the services that AWS has for them, with `aws:SourceArn` and `aws:SourceAccount`
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/configure-inventory.html>), and replication by the role that its rules name
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html>).

use std::sync::Arc;

use metadata::records::{AclGroup, Grantee, Ownership, Permission};
use metadata::{Bucket, Catalog, CatalogError};
use types::{AccountId, BucketName};

use super::access::Accesses;
use super::ownership;
use crate::s3::policy::{Asked, Context, Identity, Key, Values, Verdict};

/// The session under which replication takes its role.
const REPLICATION_SESSION: &str = "s3-replication";

/// A part of this system that writes into buckets by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor<'a> {
    /// Delivers access logs.
    Logging,
    /// Delivers inventories.
    Inventory,
    /// Makes replicas, as the role that the rules name.
    Replication {
        /// The role's ARN, as the client gave it. One of another account is nobody's.
        role: &'a str,
        /// Whether it replicates a delete marker.
        marker: bool,
    },
}

/// What it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed<'a> {
    /// Who does it.
    pub(crate) actor: Actor<'a>,
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
        let verdict = access.policy.as_ref().map_or(Verdict::Silent, |policy| {
            deed.identified(|who| {
                let action = deed.actor.action();
                policy.evaluate(&Asked { who, action, resource: &resource, context: deed })
            })
        });
        Ok(match verdict {
            Verdict::Allow => Leave::Given,
            Verdict::Deny => Leave::Refused,
            Verdict::Silent if deed.actor.is_listed(row) => Leave::Given,
            Verdict::Silent if row.owner == *deed.account => Leave::Own,
            Verdict::Silent => Leave::Refused,
        })
    }
}

impl<'a> Actor<'a> {
    fn action(&self) -> &'static str {
        match self {
            Self::Logging | Self::Inventory => "s3:PutObject",
            Self::Replication { marker: false, .. } => "s3:ReplicateObject",
            Self::Replication { marker: true, .. } => "s3:ReplicateDelete",
        }
    }

    /// Its name as a service.
    fn service(&self) -> Option<&'static str> {
        match self {
            Self::Logging => Some("logging.s3.amazonaws.com"),
            Self::Inventory => Some("s3.amazonaws.com"),
            Self::Replication { .. } => None,
        }
    }

    /// The role that it takes, if that is one of the account.
    fn role(&self, account: &AccountId) -> Option<&'a str> {
        match *self {
            Self::Replication { role, .. } => {
                Some(role).filter(|role| role.starts_with(&format!("arn:aws:iam::{account}:role/")))
            }
            Self::Logging | Self::Inventory => None,
        }
    }

    /// Whether a bucket's list lets it write there: only that of logs can, and only where lists count.
    fn is_listed(&self, row: &Bucket) -> bool {
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
    /// Asks something of it as policies see it.
    fn identified<R>(&self, ask: impl FnOnce(Identity<'_>) -> R) -> R {
        let Some(service) = self.actor.service() else {
            let role = self.actor.role(self.account);
            let session = role.and_then(|role| role.rsplit('/').next()).map(|name| {
                format!("arn:aws:sts::{}:assumed-role/{name}/{REPLICATION_SESSION}", self.account)
            });
            let account = Some(self.account.as_str());
            return ask(Identity { account, arn: session.as_deref(), role, service: None });
        };
        ask(Identity { service: Some(service), ..Identity::default() })
    }

    fn value(&self, name: &str) -> Option<String> {
        let service = self.actor.service();
        match name {
            "aws:securetransport" => Some("true".to_owned()),
            "aws:principalisawsservice" => Some(service.is_some().to_string()),
            "aws:principalservicename" => service.map(str::to_owned),
            "aws:sourcearn" if service.is_some() => Some(format!("arn:aws:s3:::{}", self.source)),
            "aws:sourceaccount" if service.is_some() => Some(self.account.to_string()),
            "aws:principalaccount" if service.is_none() => Some(self.account.to_string()),
            "aws:principalarn" => self.actor.role(self.account).map(str::to_owned),
            // What is listed belongs to the target's owner, which AWS's policies for inventories ask for.
            "s3:x-amz-acl" if matches!(self.actor, Actor::Inventory) => {
                Some("bucket-owner-full-control".to_owned())
            }
            _ => None,
        }
    }
}

impl Context for Deed<'_> {
    fn values(&self, key: &Key) -> Values {
        self.value(key.name()).into()
    }
}

#[cfg(test)]
mod tests;
