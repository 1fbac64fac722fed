//! What a bucket's configuration says of access, with a short memory: every request asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metadata::records::ConfigKind;
use metadata::{Catalog, CatalogError};
use serde::{Deserialize, Serialize};
use types::{BucketId, BucketName};

use crate::s3::policy::{Kind, Policy};

/// How long a configuration that was looked up is believed. What another gateway changed shows after this time at the latest; what this
/// one changes shows at once.
const BELIEVED: Duration = Duration::from_secs(2);
/// Buckets remembered at once; at the limit all are forgotten and looked up anew.
const REMEMBERED: usize = 4096;

/// The four settings that keep the public out, whatever policies and lists say
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(in crate::s3) struct PublicAccessBlock {
    /// No public list can be set.
    pub(in crate::s3) block_acls: bool,
    /// Public lists that are there do not count.
    pub(in crate::s3) ignore_acls: bool,
    /// No public policy can be set.
    pub(in crate::s3) block_policy: bool,
    /// With a public policy, only the bucket's own account gets in.
    pub(in crate::s3) restrict_buckets: bool,
}

/// What a bucket's configuration says of access.
#[derive(Debug, Default)]
pub(in crate::s3) struct Access {
    /// The bucket's policy.
    pub(in crate::s3) policy: Option<Policy>,
    /// Whether that policy is public.
    pub(in crate::s3) policy_is_public: bool,
    /// The public access block; everything off if there is none.
    pub(in crate::s3) block: PublicAccessBlock,
    /// Whether requests must say that who asks pays.
    pub(in crate::s3) requester_pays: bool,
}

/// A value of `RequestPayment`, as it is stored.
pub(in crate::s3) const REQUESTER: &[u8] = b"Requester";

/// Looks configurations up and remembers them.
pub(in crate::s3) struct Accesses {
    catalog: Catalog,
    known: Mutex<HashMap<BucketId, (Arc<Access>, Instant)>>,
}

impl Accesses {
    pub(super) fn new(catalog: Catalog) -> Self {
        Self { catalog, known: Mutex::default() }
    }

    /// What the bucket's configuration says.
    ///
    /// # Errors
    /// The engine's; [`CatalogError::Corrupt`] if it cannot be read: it must not count as one that allows everything.
    pub(super) async fn of(
        &self,
        name: &BucketName,
        id: BucketId,
    ) -> Result<Arc<Access>, CatalogError> {
        if let Some(known) = self.remembered(id) {
            return Ok(known);
        }
        let access = Arc::new(self.load(name, id).await?);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id, (Arc::clone(&access), Instant::now() + BELIEVED));
        Ok(access)
    }

    /// Looks the configuration up anew at its next use: it was changed.
    pub(in crate::s3) fn forget(&self, id: BucketId) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn remembered(&self, id: BucketId) -> Option<Arc<Access>> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (access, until) = all.get(&id)?;
        (Instant::now() < *until).then(|| Arc::clone(access))
    }

    async fn get(&self, id: BucketId, kind: ConfigKind) -> Result<Option<Vec<u8>>, CatalogError> {
        self.catalog.bucket_config(id, kind, "").await
    }

    async fn load(&self, name: &BucketName, id: BucketId) -> Result<Access, CatalogError> {
        let unreadable = |what: &str| {
            CatalogError::Corrupt(format!("the {what} of bucket {name} cannot be read"))
        };
        let policy = match self.get(id, ConfigKind::Policy).await? {
            None => None,
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| unreadable("policy"))?;
                let policy = Policy::read(&text, Kind::Bucket(name.as_str()));
                Some(policy.map_err(|_| unreadable("policy"))?)
            }
        };
        let block = match self.get(id, ConfigKind::PublicAccessBlock).await? {
            None => PublicAccessBlock::default(),
            Some(bytes) => {
                serde_json::from_slice(&bytes).map_err(|_| unreadable("public access block"))?
            }
        };
        let requester_pays =
            self.get(id, ConfigKind::RequestPayment).await?.is_some_and(|payer| payer == REQUESTER);
        let policy_is_public = policy.as_ref().is_some_and(Policy::is_public);
        Ok(Access { policy, policy_is_public, block, requester_pays })
    }
}
