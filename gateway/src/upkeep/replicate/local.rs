//! Into a bucket of this gateway. No data moves: the replica shares the source's streams.

use metadata::list_versions::ListedVersion;
use metadata::records::{Detail, Lock, ReplicationStatus, Versioning};
use metadata::{Bucket, CatalogError, Entry, Located, Preconditions};
use types::AccountId;

use super::ReplicationError;
use super::worker::ReplicationWorker;
use crate::changes::Replicate;
use crate::put::Target;
use crate::rules::notification::Origin;
use crate::rules::replication::{Destination, Replication};
use crate::s3::Replicating;

/// The class that needs no configuration.
const STANDARD: &str = "STANDARD";

/// A version on its way.
struct Way<'a> {
    worker: &'a ReplicationWorker,
    task: &'a Replicate,
    to: &'a Destination,
    /// The owner of the source's bucket.
    owner: &'a AccountId,
    /// The destination's row.
    row: Bucket,
}

/// Makes a replica, or brings it up to date.
pub(super) async fn replicate(
    worker: &ReplicationWorker,
    task: &Replicate,
    source: &Bucket,
    to: &Destination,
) -> Result<(), ReplicationError> {
    let row = worker.catalog.bucket(&to.bucket).await?;
    if to.account.as_ref().is_some_and(|account| account != row.owner.as_str()) {
        return Err(ReplicationError::Refused("the destination is another account's now"));
    }
    if row.versioning != Versioning::Enabled {
        return Err(ReplicationError::Refused("the destination keeps no versions"));
    }
    let way = Way { worker, task, to, owner: &source.owner, row };
    if task.marker { way.marker().await } else { way.version().await }
}

impl Way<'_> {
    async fn marker(&self) -> Result<(), ReplicationError> {
        self.ask(&["s3:ReplicateDelete"]).await?;
        let at = (self.to.bucket.clone(), self.row.id);
        let (key, version) = (&self.task.key, self.task.version);
        match self.worker.catalog.replicate_marker(&at, key, version).await {
            Err(CatalogError::PreconditionFailed) if self.find().await? != Found::Nothing => Ok(()),
            done => Ok(done?),
        }
    }

    async fn version(&self) -> Result<(), ReplicationError> {
        let (bucket, key, version) = (self.task.bucket.1, &self.task.key, self.task.version);
        let found = self.worker.catalog.locate_version(bucket, key, Some(version)).await;
        let source = match found {
            Ok(located) => located,
            // Deleted before it could be replicated.
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        source.check_not_taken_down().await?;
        let mut actions = vec!["s3:ReplicateObject"];
        let tags = self.task.changed || !source.detail.tags.is_empty();
        actions.extend(tags.then_some("s3:ReplicateTags"));
        actions.extend(self.overrides_owner().then_some("s3:ObjectOwnerOverrideToBucketOwner"));
        self.ask(&actions).await?;
        let entry = match self.find().await? {
            Found::Version(entry) => self.follow(&source.detail, entry).await?,
            // It became a delete marker there: not of our doing.
            Found::Marker => return Ok(()),
            Found::Nothing => match self.share(&source).await {
                // Another gateway was faster.
                Err(error) if error.is_taken() => match self.find().await? {
                    Found::Version(entry) => self.follow(&source.detail, entry).await?,
                    Found::Marker => return Ok(()),
                    Found::Nothing => return Err(error),
                },
                made => made?,
            },
        };
        self.move_to_class(entry).await
    }

    /// Whether the destination lets the source's owner do all that.
    async fn ask(&self, actions: &[&str]) -> Result<(), ReplicationError> {
        let rules = self.worker.configs.get::<Replication>(self.task.bucket.1).await?;
        let who = Replicating {
            source: &self.task.bucket.0,
            account: self.owner,
            role: rules.as_ref().map(|rules| rules.role.as_str()),
        };
        let (at, key) = ((&self.to.bucket, &self.row), &self.task.key);
        match self.worker.consent.asks(&who, at, key, actions).await {
            Some(true) => Ok(()),
            Some(false) => {
                Err(ReplicationError::Refused("the destination's policy does not allow it"))
            }
            None => Err(ReplicationError::Policy),
        }
    }

    async fn share(&self, source: &Located) -> Result<Entry, ReplicationError> {
        let at = (self.to.bucket.clone(), self.row.id);
        let following = self.worker.changes.of(&at, &self.row.owner, Origin::default).await?;
        let sequel = following.replicated(&self.task.key);
        let target = Target { sequel, ..self.target(source) };
        // Boxed: a PUT is far larger than the rest.
        let shared = Box::pin(self.worker.recoder.writer.share_object(source, None, target));
        Ok(shared.await?)
    }

    /// Carries over what of a version can change after it was written: its tags and its access control list.
    async fn follow(&self, source: &Detail, replica: Entry) -> Result<Entry, ReplicationError> {
        let keeps_acl = !self.overrides_owner();
        let change = |_: &Entry, replica: &mut Detail| {
            if replica.replication == Some(ReplicationStatus::Replica) {
                replica.tags.clone_from(&source.tags);
                if keeps_acl {
                    replica.acl.clone_from(&source.acl);
                }
            }
            Ok(())
        };
        let at = (self.to.bucket.clone(), self.row.id);
        let version = Some(replica.version);
        Ok(self.worker.catalog.change_detail(&at, &self.task.key, version, change).await?)
    }

    /// A replica is made in its source's class; where the rule names another, it moves there.
    async fn move_to_class(&self, entry: Entry) -> Result<(), ReplicationError> {
        let wanted = self.to.class.as_deref().filter(|class| *class != STANDARD);
        let Some(class) = wanted.filter(|class| entry.class.as_deref() != Some(class)) else {
            return Ok(());
        };
        let at = (self.to.bucket.clone(), self.row.id);
        let version = ListedVersion { key: self.task.key.clone(), entry, latest: false };
        Ok(Box::pin(self.worker.recoder.move_to(&at, &version, class)).await?)
    }

    /// What the destination has of the version.
    async fn find(&self) -> Result<Found, CatalogError> {
        let (key, version) = (&self.task.key, Some(self.task.version));
        match self.worker.catalog.locate_version(self.row.id, key, version).await {
            Ok(located) => Ok(Found::Version(located.entry)),
            Err(CatalogError::DeleteMarker { .. }) => Ok(Found::Marker),
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => Ok(Found::Nothing),
            Err(error) => Err(error),
        }
    }

    fn overrides_owner(&self) -> bool {
        self.to.owner_override && self.row.owner != *self.owner
    }

    /// The replica: as its source is coded, so that the bytes can be shared.
    fn target(&self, from: &Located) -> Target {
        let standard = self.to.class.as_deref() == Some(STANDARD);
        let lock = if self.row.lock.is_some() { from.detail.lock } else { Lock::default() };
        let overridden = self.overrides_owner();
        let owner = from.entry.owner.as_ref().unwrap_or(self.owner);
        let owner = (!overridden && *owner != self.row.owner).then(|| owner.clone());
        Target {
            bucket: (self.to.bucket.clone(), self.row.id),
            key: self.task.key.clone(),
            geometry: from.entry.geometry,
            class: from.entry.class.clone().filter(|_| !standard),
            owner,
            detail: Detail {
                lock,
                acl: from.detail.acl.clone().filter(|_| !overridden),
                restore: None,
                replication: Some(ReplicationStatus::Replica),
                ..from.detail.clone()
            },
            customer: None,
            preconditions: Preconditions::default(),
            replica: Some(self.task.version),
            sequel: metadata::Sequel::default(),
        }
    }
}

/// What is at the place of a replica.
#[derive(PartialEq, Eq)]
enum Found {
    Nothing,
    Version(Entry),
    Marker,
}
