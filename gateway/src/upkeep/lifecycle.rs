//! Lifecycle: does what the rules of each bucket say. It walks all versions of a bucket that has rules, once in each part of a day.
//!
//! Everything is decided on a row that was read a moment ago. A deletion is done under the condition that all for which it was decided is still
//! so: the very version, its time to the millisecond, its place among the versions of its key, and its tags where a rule asks for them
//! ([`metadata::Seen`]). So whatever a client does meanwhile counts, and several gateways may walk at once. Object lock is looked at by the
//! catalog, in the same transaction: what is protected stays until a later walk. A move goes by the tags it found a moment before.
//!
//! Price: one listing of the bucket for each walk, in pages; tags are read only of keys about which a rule asks them.

use std::time::Duration;

use metadata::delete::{DELETES_AT_ONCE, Delete};
use metadata::list_versions::ListedVersion;
use metadata::uploads::UploadAt;
use metadata::{Bucket, Catalog, CatalogError, ConfigKind, ListQuery, Preconditions, Rank, Seen};
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
/// Deletions of one key that are held; beyond them, some of that key's may be left to the next walk.
const OF_KEY_MAX: usize = 1_000;

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
    last: Option<Met>,
    /// Deletions of the present key, the newest first.
    of_key: Vec<Delete>,
    /// Deletions that wait for a full transaction.
    due: Vec<Delete>,
    ended: usize,
}

/// A version, and how many of its key lie between it and the current one, itself among them.
struct Met {
    version: ListedVersion,
    older: u32,
}

/// [`Fate`], free of the rules it was read from; with the tags for which a version goes, if they mattered.
enum Decided {
    Stays,
    Goes(Option<Tags>),
    Moves(String),
}

type Tags = Vec<(String, String)>;

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
            of_key: Vec::new(),
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
            Decided::Goes(tags) => {
                let rank = newer.as_ref().map_or(Rank::Current, |newer| Rank::Older {
                    since: newer.version.entry.modified,
                    newer: newer.older,
                });
                self.end(&version, rank, tags).await?;
            }
            Decided::Moves(class) => self.move_to(&version, &class).await,
        }
        let older = newer.map_or(0, |newer| newer.older + 1);
        self.last = Some(Met { version, older });
        Ok(())
    }

    /// All versions of a key were met, `last` being the oldest.
    async fn leave(&mut self, last: &Met) -> Result<(), CatalogError> {
        let ListedVersion { key, entry, latest } = &last.version;
        let lone = *latest && entry.is_delete_marker();
        let days = Days(self.worker.day);
        if lone && self.rules.ends_lone_marker(key.as_str(), entry.modified, self.now, days) {
            self.end(&last.version, Rank::Alone, None).await?;
        }
        self.end_of_key().await
    }

    async fn decide(
        &self,
        version: &ListedVersion,
        newer: Option<&Met>,
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
            Fate::Goes => Decided::Goes(ask.then_some(tags)),
            Fate::Moves(class) if !marker && entry.class.as_deref() != Some(class) => {
                Decided::Moves(class.to_owned())
            }
            Fate::Moves(_) | Fate::Stays => Decided::Stays,
        })
    }

    async fn tags(&self, version: &ListedVersion) -> Result<Tags, CatalogError> {
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

    /// Deletes what was seen, as long as it is so: the current version, which leaves a delete marker where versions are kept, or one of the
    /// others.
    async fn end(
        &mut self,
        version: &ListedVersion,
        rank: Rank,
        tags: Option<Tags>,
    ) -> Result<(), CatalogError> {
        let ListedVersion { key, entry, .. } = version;
        let seen = Seen { manifest: entry.manifest, modified: entry.modified, tags, rank };
        let preconditions = Preconditions { seen: Some(seen), ..Preconditions::default() };
        let one_version = rank != Rank::Current;
        let sequel = self.following.expired(key, one_version);
        let version = one_version.then_some(entry.version);
        self.of_key.push(Delete { version, preconditions, sequel, ..Delete::of(key.clone()) });
        if self.of_key.len() < OF_KEY_MAX { Ok(()) } else { self.end_of_key().await }
    }

    /// The oldest goes first: of each, what replaced it is then still there.
    async fn end_of_key(&mut self) -> Result<(), CatalogError> {
        while let Some(delete) = self.of_key.pop() {
            self.due.push(delete);
            if self.due.len() == DELETES_AT_ONCE {
                self.delete_due().await?;
            }
        }
        Ok(())
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
