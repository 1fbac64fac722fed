//! What a bucket lets a part of this system do by itself, on behalf of another bucket.

use metadata::Bucket;
use metadata::records::Ownership;
use s3s::S3Result;
use types::{AccountId, BucketName};

use super::{Gate, ownership};
use crate::s3::policy::{Asked, Context, Identity, Key, Values, Verdict};

/// A part of this system, and for whom it acts.
pub(in crate::s3) struct Service<'a> {
    /// Its name, as policies call it.
    pub(in crate::s3) name: &'static str,
    /// The bucket on whose behalf it acts.
    pub(in crate::s3) source: &'a BucketName,
    /// That bucket's owner.
    pub(in crate::s3) account: &'a AccountId,
}

impl Context for Service<'_> {
    fn values(&self, key: &Key) -> Values {
        Values::One(match key.name() {
            "aws:sourcearn" => format!("arn:aws:s3:::{}", self.source),
            "aws:sourceaccount" => self.account.to_string(),
            "aws:principalisawsservice" | "aws:securetransport" => "true".to_owned(),
            "aws:principalservicename" => self.name.to_owned(),
            _ => return Values::Absent,
        })
    }
}

impl Gate {
    /// Whether a bucket's policy lets a service write objects whose names begin with `prefix`; `by_list` says whether its access control
    /// list does, which counts only where lists count.
    ///
    /// # Errors
    /// If the policy cannot be looked up.
    pub(in crate::s3) async fn lets_service_write(
        &self,
        service: &Service<'_>,
        (name, row): (&BucketName, &Bucket),
        prefix: &str,
        by_list: bool,
    ) -> S3Result<bool> {
        let access = self.accesses.of(name, row.id).await?;
        let resource = format!("arn:aws:s3:::{name}/{prefix}");
        let who = Identity { service: Some(service.name), ..Identity::default() };
        let asked = Asked { who, action: "s3:PutObject", resource: &resource, context: service };
        let says = access.policy.as_ref().map_or(Verdict::Silent, |policy| policy.evaluate(&asked));
        Ok(match says {
            Verdict::Allow => true,
            Verdict::Deny => false,
            Verdict::Silent => by_list && ownership(row) != Ownership::BucketOwnerEnforced,
        })
    }
}
