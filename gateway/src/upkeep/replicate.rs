//! Replicates versions into other buckets, as commits have queued it.
//!
//! A replica has the id, time, entity tag and everything else of its source, and takes its place among the versions of its key by its time; so the
//! order in which versions are replicated does not matter, and doing it twice does no harm. No data moves: the replica shares the source's
//! streams. What fails for a reason that may pass is queued anew, after ever longer pauses and for a day.

use std::time::Duration;

use futures::StreamExt as _;
use metadata::list_versions::ListedVersion;
use metadata::queue::TaskAt;
use metadata::records::{Detail, Lock, ReplicationStatus, Versioning};
use metadata::{Bucket, Catalog, CatalogError, Entry, Located, Preconditions, Task};
use tokio_util::sync::CancellationToken;
use types::BucketName;
use types::clock::SharedClock;

use crate::changes::{Changes, REPLICATION_QUEUE, Replicate};
use crate::configs::Configs;
use crate::put::recode::{RecodeError, Recoder};
use crate::put::{PutError, Target};
use crate::rules::notification::Origin;
use crate::rules::replication::{Destination, Replication};
use crate::s3::{Actor, Deed, Targets};

/// Between two looks at a queue in which nothing was due.
const POLL: Duration = Duration::from_millis(500);
/// Tasks read at a time.
const PAGE: usize = 200;
/// Tasks under way at once.
const AT_ONCE: usize = 8;
/// The first pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// How long a version is tried.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The class that needs no configuration.
const STANDARD: &str = "STANDARD";

/// Why a version could not be replicated.
#[derive(Debug, thiserror::Error)]
enum ReplicationError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The replica could not be stored.
    #[error(transparent)]
    Store(#[from] PutError),
    /// The replica could not be moved to its class.
    #[error(transparent)]
    Move(#[from] RecodeError),
    /// The destination takes none.
    #[error("{0}")]
    Refused(&'static str),
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct ReplicationWorker {
    /// Buckets, versions, the queue.
    pub catalog: Catalog,
    /// What follows from a replica.
    pub changes: Changes,
    /// Stores replicas, and moves them to their class.
    pub recoder: Recoder,
    /// As which role.
    pub configs: Configs,
    /// What destinations take.
    pub targets: Targets,
    /// The time.
    pub clock: SharedClock,
}

impl ReplicationWorker {
    /// Replicates until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let rounds = async {
            loop {
                match self.round().await {
                    Ok(true) => {}
                    Ok(false) => tokio::time::sleep(POLL).await,
                    Err(error) => {
                        tracing::warn!(%error, "the queue of replication cannot be read");
                        tokio::time::sleep(PAUSE_MIN).await;
                    }
                }
            }
        };
        tokio::select! {
            () = rounds => {}
            () = stop.cancelled() => {}
        }
    }

    /// Does a page of what is due; whether there may be more.
    async fn round(&self) -> Result<bool, CatalogError> {
        let now = self.clock.now();
        let mut tasks = self.catalog.queued(REPLICATION_QUEUE, PAGE).await?;
        tasks.retain(|(at, _)| at.1 <= now);
        let more = tasks.len() == PAGE;
        futures::stream::iter(tasks)
            .for_each_concurrent(AT_ONCE, |(at, work)| async move {
                if let Err(error) = self.work(&at, &work).await {
                    tracing::warn!(%error, "a step of replication could not be noted");
                }
            })
            .await;
        Ok(more)
    }

    async fn work(&self, at: &TaskAt, work: &[u8]) -> Result<(), CatalogError> {
        let done = std::slice::from_ref(at);
        let Ok(mut task) = serde_json::from_slice::<Replicate>(work) else {
            tracing::error!("a task of replication cannot be read");
            return self.catalog.unqueue(done).await;
        };
        let old = self.clock.now().since(task.since) > AGE_MAX;
        let mut left = Vec::new();
        for destination in std::mem::take(&mut task.destinations) {
            let (source, target) = (&task.bucket.0, &destination.bucket);
            match self.replicate(&task, &destination).await {
                Ok(()) => metrics::counter!("drystone_replicated_total").increment(1),
                Err(error) if error.may_pass() && !old => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(bucket = %source, %target, error, "a version waits for replication");
                    left.push(destination);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(bucket = %source, %target, error, "a version was not replicated");
                    metrics::counter!("drystone_replication_failed_total").increment(1);
                    task.failed = true;
                }
            }
        }
        if left.is_empty() {
            let status =
                if task.failed { ReplicationStatus::Failed } else { ReplicationStatus::Completed };
            self.note(&task, status).await?;
            return self.catalog.unqueue(done).await;
        }
        task.destinations = left;
        task.attempts = task.attempts.saturating_add(1);
        let pause = PAUSE_MIN.saturating_mul(1 << task.attempts.min(16)).min(PAUSE_MAX);
        let again = Task { due: self.clock.now().plus(pause), ..task.queued() };
        self.catalog.requeue(at, again).await
    }

    /// Writes down how far the source's replication is. A delete marker has nowhere to write it.
    async fn note(&self, task: &Replicate, status: ReplicationStatus) -> Result<(), CatalogError> {
        if task.marker {
            return Ok(());
        }
        let change = |_: &Entry, detail: &mut Detail| {
            detail.replication = Some(status);
            Ok(())
        };
        let (key, version) = (&task.key, Some(task.version));
        match self.catalog.change_detail(&task.bucket, key, version, change).await {
            Ok(_) => Ok(()),
            // It is gone.
            Err(
                CatalogError::NoSuchBucket(_)
                | CatalogError::NoSuchKey
                | CatalogError::NoSuchVersion
                | CatalogError::DeleteMarker { .. },
            ) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn replicate(&self, task: &Replicate, to: &Destination) -> Result<(), ReplicationError> {
        let source = match self.catalog.bucket(&task.bucket.0).await {
            Ok(row) if row.id == task.bucket.1 => row,
            // It is gone, and with it the version.
            Ok(_) | Err(CatalogError::NoSuchBucket(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let row = self.catalog.bucket(&to.bucket).await?;
        if row.owner != source.owner {
            return Err(ReplicationError::Refused("the destination is another account's now"));
        }
        if row.versioning != Versioning::Enabled {
            return Err(ReplicationError::Refused("the destination keeps no versions"));
        }
        if !self.may(task, &source, (&to.bucket, &row)).await? {
            return Err(ReplicationError::Refused("the destination's policy does not let it"));
        }
        let done = if task.marker {
            let at = (to.bucket.clone(), row.id);
            self.catalog.replicate_marker(&at, &task.key, task.version).await.map_err(Into::into)
        } else {
            self.replicate_version(task, to, &row).await
        };
        match done {
            Err(error) if error.is_taken() && self.is_there(task, &row).await? => {
                self.follow(task, to, &row).await
            }
            done => done,
        }
    }

    /// Whether the destination takes it: its owner may have thought better of it since the rules were made.
    async fn may(
        &self,
        task: &Replicate,
        source: &Bucket,
        to: (&BucketName, &Bucket),
    ) -> Result<bool, CatalogError> {
        let rules = self.configs.get::<Replication>(task.bucket.1).await?;
        let role = rules.as_ref().map_or("", |rules| rules.role.as_str());
        let actor = Actor::Replication { role, marker: task.marker };
        let deed = Deed { actor, source: &task.bucket.0, account: &source.owner };
        self.targets.take(&deed, to, task.key.as_str()).await
    }

    async fn replicate_version(
        &self,
        task: &Replicate,
        to: &Destination,
        row: &Bucket,
    ) -> Result<(), ReplicationError> {
        let found = self.catalog.locate_version(task.bucket.1, &task.key, Some(task.version)).await;
        let located = match found {
            Ok(located) => located,
            // Deleted before it could be replicated.
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let at = (to.bucket.clone(), row.id);
        let following = self.changes.of(&at, &row.owner, Origin::default).await?;
        let target =
            Target { sequel: following.replicated(&task.key), ..target(task, to, row, &located) };
        // Boxed: a PUT is far larger than the rest.
        let shared = Box::pin(self.recoder.writer.share_object(&located, None, target));
        let entry = shared.await?;
        match to.class.as_deref().filter(|class| *class != STANDARD) {
            Some(class) => {
                let version = ListedVersion { key: task.key.clone(), entry, latest: false };
                Ok(Box::pin(self.recoder.move_to(&at, &version, class)).await?)
            }
            None => Ok(()),
        }
    }

    /// Carries over what of a version can change after it was written: its tags and its access control list.
    async fn follow(
        &self,
        task: &Replicate,
        to: &Destination,
        row: &Bucket,
    ) -> Result<(), ReplicationError> {
        if task.marker {
            return Ok(());
        }
        let version = Some(task.version);
        let source = match self.catalog.locate_version(task.bucket.1, &task.key, version).await {
            Ok(located) => located.detail,
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let change = |_: &Entry, replica: &mut Detail| {
            if replica.replication == Some(ReplicationStatus::Replica) {
                replica.tags.clone_from(&source.tags);
                replica.acl.clone_from(&source.acl);
            }
            Ok(())
        };
        let at = (to.bucket.clone(), row.id);
        self.catalog.change_detail(&at, &task.key, version, change).await?;
        Ok(())
    }

    /// Whether the destination has the version already.
    async fn is_there(&self, task: &Replicate, row: &Bucket) -> Result<bool, CatalogError> {
        match self.catalog.locate_version(row.id, &task.key, Some(task.version)).await {
            Ok(_) | Err(CatalogError::DeleteMarker { .. }) => Ok(true),
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl ReplicationError {
    /// Whether another try may succeed.
    fn may_pass(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Move(RecodeError::Class(_)) => false,
            Self::Catalog(error) | Self::Store(PutError::Catalog(error)) => !matches!(
                error,
                CatalogError::NoSuchBucket(_)
                    | CatalogError::PreconditionFailed
                    | CatalogError::NotLockable
            ),
            Self::Store(_) | Self::Move(_) => true,
        }
    }

    /// Whether the place of the replica was taken.
    fn is_taken(&self) -> bool {
        matches!(
            self,
            Self::Catalog(CatalogError::PreconditionFailed)
                | Self::Store(PutError::Catalog(CatalogError::PreconditionFailed))
        )
    }
}

/// The replica: as its source is coded, so that the bytes can be shared.
fn target(task: &Replicate, to: &Destination, row: &Bucket, from: &Located) -> Target {
    let standard = to.class.as_deref() == Some(STANDARD);
    let lock = if row.lock.is_some() { from.detail.lock } else { Lock::default() };
    Target {
        bucket: (to.bucket.clone(), row.id),
        key: task.key.clone(),
        geometry: from.entry.geometry,
        class: from.entry.class.clone().filter(|_| !standard),
        owner: from.entry.owner.clone(),
        detail: Detail {
            lock,
            restore: None,
            replication: Some(ReplicationStatus::Replica),
            ..from.detail.clone()
        },
        customer: None,
        preconditions: Preconditions::default(),
        replica: Some(task.version),
        sequel: metadata::Sequel::default(),
    }
}
