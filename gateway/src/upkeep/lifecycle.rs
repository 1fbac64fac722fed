//! Lifecycle: does what the rules of each bucket say. It walks all versions of a bucket that has rules, once in each part of a day.
//!
//! Everything is decided on a row that was read a moment ago and done under the condition that this very version is still there; so whatever a
//! client writes meanwhile is safe, and several gateways may walk at once. Object lock is looked at by the catalog, in the same transaction:
//! what is protected stays until a later walk.
//!
//! Price: one listing of the bucket for each walk, in pages; tags are read only of keys about which a rule asks them.

use std::time::Duration;

use metadata::delete::{DELETES_AT_ONCE, Delete};
use metadata::list_versions::ListedVersion;
use metadata::uploads::UploadAt;
use metadata::{Bucket, Catalog, CatalogError, ConfigKind, ListQuery, Preconditions};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;
use types::{BucketId, BucketName, Timestamp, VersionId};

use crate::changes::{Changes, Following};
use crate::configs::Configs;
use crate::put::recode::Recoder;
use crate::rules::lifecycle::{Days, Fate, Lifecycle, Subject};
use crate::rules::notification::Origin;

/// Walks in a day.
const WALKS_A_DAY: u32 = 8;
/// Between two walks at least, however short a day is.
const WALK_MIN: Duration = Duration::from_millis(500);
/// Versions read at a time.
const PAGE: usize = 1_000;

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct LifecycleWorker {
    /// Buckets and versions.
    pub catalog: Catalog,
    /// The rules.
    pub configs: Configs,
    /// The time.
    pub clock: SharedClock,
    /// How long a day is.
    pub day: Duration,
    /// What follows its deletions.
    pub changes: Changes,
    /// Moves versions to another class.
    pub recoder: Recoder,
}

/// One walk through one bucket.
struct Walk<'a> {
    worker: &'a LifecycleWorker,
    bucket: (BucketName, BucketId),
    rules: &'a Lifecycle,
    following: Following,
    now: Timestamp,
    /// The version met before the present one, of the same key or another.
    last: Option<Seen>,
    /// Deletions that wait for a full transaction.
    due: Vec<Delete>,
    ended: usize,
}

/// A version, and how many of its key lie between it and the current one, itself among them.
struct Seen {
    version: ListedVersion,
    older: u32,
}

/// [`Fate`], free of the rules it was read from.
enum Decided {
    Stays,
    Goes,
    Moves(String),
}

impl LifecycleWorker {
    /// Walks until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let pause = (self.day / WALKS_A_DAY).max(WALK_MIN);
        let walks = async {
            loop {
                tokio::time::sleep(pause).await;
                // Boxed: it holds everything that moving a version takes.
                Box::pin(self.walk_all()).await;
            }
        };
        tokio::select! {
            () = walks => {}
            () = stop.cancelled() => {}
        }
    }

    async fn walk_all(&self) {
        let buckets = match self.catalog.buckets_with(ConfigKind::Lifecycle).await {
            Ok(buckets) => buckets,
            Err(error) => {
                return tracing::warn!(%error, "buckets with lifecycle rules cannot be listed");
            }
        };
        for (name, bucket) in buckets {
            if let Err(error) = self.walk(&name, &bucket).await {
                tracing::warn!(bucket = %name, %error, "a lifecycle walk ended early; the next begins anew");
            }
        }
    }

    async fn walk(&self, name: &BucketName, bucket: &Bucket) -> Result<(), CatalogError> {
        let Some(rules) = self.configs.get::<Lifecycle>(bucket.id).await? else { return Ok(()) };
        let at = (name.clone(), bucket.id);
        let mut walk = Walk {
            worker: self,
            bucket: at.clone(),
            rules: &rules,
            following: self.changes.of(&at, &bucket.owner, Origin::default).await?,
            now: self.clock.now(),
            last: None,
            due: Vec::new(),
            ended: 0,
        };
        walk.versions().await?;
        let ended = walk.ended;
        let aborted = self.abort_uploads(bucket.id, &rules).await?;
        if ended + aborted > 0 {
            tracing::info!(bucket = %name, versions = ended, uploads = aborted, "lifecycle rules ended versions and uploads");
            metrics::counter!("drystone_lifecycle_ended_total").increment((ended + aborted) as u64);
        }
        Ok(())
    }

    /// Aborts uploads that nobody completed; how many.
    async fn abort_uploads(&self, id: BucketId, rules: &Lifecycle) -> Result<usize, CatalogError> {
        if !rules.aborts_uploads() {
            return Ok(0);
        }
        let (now, days) = (self.clock.now(), Days(self.day));
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        let (mut after, mut aborted) = (None, 0);
        loop {
            let (page, last) = self.catalog.list_uploads(id, &query, after).await?;
            for (key, upload, row) in page.items {
                let due = rules.abort(key.as_str(), row.initiated, days);
                if due.is_none_or(|(due, _)| due > now) {
                    continue;
                }
                let at: UploadAt = (id, key, upload);
                match self.catalog.abort_upload(&at).await {
                    Ok(()) => aborted += 1,
                    Err(CatalogError::NoSuchUpload) => {}
                    Err(error) => return Err(error),
                }
            }
            match page.next {
                Some(next) => (query.after, after) = (Some(next), last),
                None => return Ok(aborted),
            }
        }
    }
}

impl Walk<'_> {
    /// Goes through all versions, key by key and from new to old.
    async fn versions(&mut self) -> Result<(), CatalogError> {
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        let mut after: Option<VersionId> = None;
        loop {
            let (page, last) =
                self.worker.catalog.list_versions(self.bucket.1, &query, after).await?;
            for version in page.items {
                self.meet(version).await?;
            }
            match page.next {
                Some(next) => (query.after, after) = (Some(next), last),
                None => break,
            }
        }
        if let Some(last) = self.last.take() {
            self.leave(&last).await?;
        }
        self.delete_due().await
    }

    /// Decides about one version.
    async fn meet(&mut self, version: ListedVersion) -> Result<(), CatalogError> {
        let newer = match self.last.take() {
            Some(last) if last.version.key == version.key && !version.latest => Some(last),
            Some(last) => {
                self.leave(&last).await?;
                None
            }
            None => None,
        };
        match self.decide(&version, newer.as_ref()).await? {
            Decided::Stays => {}
            Decided::Goes => self.end(&version, !version.latest).await?,
            Decided::Moves(class) => self.move_to(&version, &class).await,
        }
        let older = newer.map_or(0, |newer| newer.older + 1);
        self.last = Some(Seen { version, older });
        Ok(())
    }

    /// All versions of a key were met, `last` being the oldest.
    async fn leave(&mut self, last: &Seen) -> Result<(), CatalogError> {
        let ListedVersion { key, entry, latest } = &last.version;
        let lone = *latest && entry.is_delete_marker();
        let days = Days(self.worker.day);
        if lone && self.rules.ends_lone_marker(key.as_str(), entry.modified, self.now, days) {
            self.end(&last.version, true).await?;
        }
        Ok(())
    }

    async fn decide(
        &self,
        version: &ListedVersion,
        newer: Option<&Seen>,
    ) -> Result<Decided, CatalogError> {
        let (entry, key, days) = (&version.entry, version.key.as_str(), Days(self.worker.day));
        let marker = entry.is_delete_marker();
        if marker && version.latest {
            return Ok(Decided::Stays);
        }
        let ask = !marker && self.rules.needs_tags(key);
        let tags = if ask { self.tags(version).await? } else { Vec::new() };
        let subject = Subject { key, size: entry.size, tags: &tags };
        let fate = match newer {
            Some(newer) => {
                let since = newer.version.entry.modified;
                self.rules.of_noncurrent(subject, since, newer.older, self.now, days)
            }
            None => self.rules.of_current(subject, entry.modified, self.now, days),
        };
        Ok(match fate {
            Fate::Goes => Decided::Goes,
            Fate::Moves(class) if !marker && entry.class.as_deref() != Some(class) => {
                Decided::Moves(class.to_owned())
            }
            Fate::Moves(_) | Fate::Stays => Decided::Stays,
        })
    }

    async fn tags(&self, version: &ListedVersion) -> Result<Vec<(String, String)>, CatalogError> {
        let id = Some(version.entry.version);
        match self.worker.catalog.locate_version(self.bucket.1, &version.key, id).await {
            Ok(located) => Ok(located.detail.tags),
            Err(
                CatalogError::NoSuchKey
                | CatalogError::NoSuchVersion
                | CatalogError::DeleteMarker { .. },
            ) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Deletes what was seen: the key, which leaves a delete marker where versions are kept, or this one version.
    async fn end(&mut self, seen: &ListedVersion, one_version: bool) -> Result<(), CatalogError> {
        // An append keeps the manifest and changes the time.
        let preconditions = Preconditions {
            manifest: Some(seen.entry.manifest),
            modified: Some(seen.entry.modified),
            ..Preconditions::default()
        };
        let version = one_version.then_some(seen.entry.version);
        let sequel = self.following.expired(&seen.key, one_version);
        let delete = Delete::of(seen.key.clone());
        self.due.push(Delete { version, preconditions, sequel, ..delete });
        if self.due.len() < DELETES_AT_ONCE {
            return Ok(());
        }
        self.delete_due().await
    }

    async fn delete_due(&mut self) -> Result<(), CatalogError> {
        if self.due.is_empty() {
            return Ok(());
        }
        let due = std::mem::take(&mut self.due);
        let results = self.worker.catalog.delete_objects(&self.bucket, &due).await?;
        // Whatever was refused is locked, or another version by now.
        self.ended += results.iter().filter(|result| result.is_ok()).count();
        Ok(())
    }

    async fn move_to(&self, version: &ListedVersion, class: &str) {
        match self.worker.recoder.move_to(&self.bucket, version, class).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(
                bucket = %self.bucket.0,
                class,
                error = &error as &dyn std::error::Error,
                "a version could not be moved to another storage class; the next walk tries again"
            ),
        }
    }
}
