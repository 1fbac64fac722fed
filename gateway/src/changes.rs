//! The one hook for changes of objects: whoever changes one asks here beforehand what follows, and hands that to the catalog, which queues it
//! in the change's own transaction. So an event or a copy is owed if and only if the change was made.
//!
//! ```text
//! operation ─▶ Changes::of(bucket) ─▶ Following ─▶ Sequel ─▶ commit (object and tasks) ─▶ upkeep does the tasks
//! ```

use std::sync::Arc;

use metadata::records::{Detail, ReplicationStatus};
use metadata::{CatalogError, Changed, Deleted, Entry, Sequel, Task};
use serde::{Deserialize, Serialize};
use types::clock::SharedClock;
use types::{AccountId, BucketId, BucketName, ObjectKey, Timestamp, VersionId};

use crate::configs::Configs;
use crate::rules::notification::{Event, Notification, Notifications, Origin, Told};
use crate::rules::replication::{Destination, Replication};

/// Before the name of a webhook's queue.
pub const EVENT_QUEUES: &str = "event/";

/// The queue of a webhook's events.
#[must_use]
pub fn event_queue(webhook: &str) -> String {
    format!("{EVENT_QUEUES}{webhook}")
}

/// The queue of what is to be replicated into buckets of this gateway.
pub const REPLICATION_QUEUE: &str = "replicate";

/// The queue of what is to be replicated to an endpoint; without one, to this gateway itself.
#[must_use]
pub fn replication_queue(endpoint: Option<&str>) -> String {
    match endpoint {
        Some(name) => format!("{REPLICATION_QUEUE}/{name}"),
        None => REPLICATION_QUEUE.to_owned(),
    }
}

/// A version that is to be replicated, as it is queued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Replicate {
    /// The source's bucket.
    pub bucket: (BucketName, BucketId),
    /// The key.
    pub key: ObjectKey,
    /// The version.
    pub version: VersionId,
    /// Whether it is a delete marker.
    pub marker: bool,
    /// Whether something about it was changed after it was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// Where it is still to be. The first says in which queue this is.
    pub destinations: Vec<Destination>,
    /// When it was written.
    pub since: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether a destination has refused it for good.
    pub failed: bool,
}

impl Replicate {
    /// As a task that is due at once.
    #[must_use]
    pub fn queued(&self) -> Task {
        let work = serde_json::to_vec(self).unwrap_or_default();
        let first = self.destinations.first();
        let queue = replication_queue(first.and_then(|to| to.endpoint.as_deref()));
        Task { queue, due: self.since, work }
    }
}

/// Knows what follows. Cheap to clone.
#[derive(Clone)]
pub struct Changes {
    configs: Configs,
    clock: SharedClock,
    region: Arc<str>,
}

/// What follows changes in one bucket; the default is nothing.
#[derive(Default)]
pub struct Following(Option<Arc<Bucket>>);

struct Bucket {
    id: BucketId,
    name: BucketName,
    owner: AccountId,
    region: Arc<str>,
    origin: Origin,
    clock: SharedClock,
    notifications: Option<Arc<Notifications>>,
    replication: Option<Arc<Replication>>,
}

/// What is to be replicated.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Version,
    Changed,
    Marker,
}

/// A change as it was committed.
struct Done {
    time: Timestamp,
    version: Option<VersionId>,
    content: Option<(u64, metadata::Etag)>,
}

impl Changes {
    /// By these configurations.
    #[must_use]
    pub fn new(configs: Configs, clock: SharedClock, region: &str) -> Self {
        Self { configs, clock, region: region.into() }
    }

    /// What follows changes that `origin` makes in a bucket.
    ///
    /// # Errors
    /// If a configuration cannot be read.
    pub async fn of(
        &self,
        bucket: &(BucketName, BucketId),
        owner: &AccountId,
        origin: impl FnOnce() -> Origin,
    ) -> Result<Following, CatalogError> {
        let notifications = self.configs.get::<Notifications>(bucket.1).await?;
        let replication = self.configs.get::<Replication>(bucket.1).await?;
        if notifications.is_none() && replication.is_none() {
            return Ok(Following(None));
        }
        Ok(Following(Some(Arc::new(Bucket {
            id: bucket.1,
            name: bucket.0.clone(),
            owner: owner.clone(),
            region: Arc::clone(&self.region),
            origin: origin(),
            clock: Arc::clone(&self.clock),
            notifications,
            replication,
        }))))
    }
}

impl Following {
    /// Once a new version of `key` is written, which has this detail. Whether it is to be replicated is noted in the detail.
    #[must_use]
    pub fn created(&self, key: &ObjectKey, event: Event, detail: &mut Detail) -> Sequel<Entry> {
        let Some(bucket) = &self.0 else { return Sequel::default() };
        let rules = bucket.replication.as_ref();
        let to = rules.map_or(Vec::new(), |rules| rules.of_version(key.as_str(), detail));
        let told = bucket.wants(event, key);
        if to.is_empty() && !told {
            return Sequel::default();
        }
        if !to.is_empty() {
            detail.replication = Some(ReplicationStatus::Pending);
        }
        let (bucket, key) = (Arc::clone(bucket), key.clone());
        Sequel::new(move |entry: &Entry| {
            let content = Some((entry.size, entry.etag));
            let (time, version) = (entry.modified, Some(entry.version));
            let mut tasks = bucket.tell(event, &key, &Done { time, version, content });
            tasks.extend(bucket.replicate(&key, (entry.version, time), Kind::Version, &to));
            tasks
        })
    }

    /// Once bytes were added to the end of `key`, which keeps no versions and so is not replicated. It is told as a PUT.
    #[must_use]
    pub fn grown(&self, key: &ObjectKey) -> Sequel<Entry> {
        self.created(key, Event::CreatedPut, &mut Detail::default())
    }

    /// Once the object `from` has become `to`: told as a copy that was made, and the source as deleted, in this order.
    #[must_use]
    pub fn renamed(&self, from: &ObjectKey, to: &ObjectKey) -> Sequel<Entry> {
        let (gone, made) = (Event::RemovedDelete, Event::CreatedCopy);
        let told = |bucket: &&Arc<Bucket>| bucket.wants(made, to) || bucket.wants(gone, from);
        let Some(bucket) = self.0.as_ref().filter(told).cloned() else { return Sequel::default() };
        let (from, to) = (from.clone(), to.clone());
        Sequel::new(move |entry: &Entry| {
            let (time, version) = (bucket.now_after(Some(entry)), Some(entry.version));
            let content = Some((entry.size, entry.etag));
            let mut tasks = bucket.tell(made, &to, &Done { time, version, content });
            tasks.extend(bucket.tell(gone, &from, &Done { time, version, content: None }));
            tasks
        })
    }

    /// Once a replica of `key` is written: it is told, and not replicated on.
    #[must_use]
    pub fn replicated(&self, key: &ObjectKey) -> Sequel<Entry> {
        let mut replica =
            Detail { replication: Some(ReplicationStatus::Replica), ..Detail::default() };
        self.created(key, Event::CreatedPut, &mut replica)
    }

    /// Once something about a version of `key` was written. What replicas of it there are or will be follow.
    #[must_use]
    pub fn written(&self, key: &ObjectKey, event: Event) -> Sequel<Changed> {
        let bucket = self.0.as_ref();
        let bucket =
            bucket.filter(|bucket| bucket.replication.is_some() || bucket.wants(event, key));
        let Some(bucket) = bucket.cloned() else { return Sequel::default() };
        let key = key.clone();
        Sequel::new(move |Changed { entry, detail }: &Changed| {
            let time = bucket.now_after(Some(entry));
            let content = Some((entry.size, entry.etag));
            let done = Done { time, version: Some(entry.version), content };
            let mut tasks = bucket.tell(event, &key, &done);
            let rules = bucket.replication.as_ref().filter(|_| detail.replication.is_some());
            let to = rules.map_or(Vec::new(), |rules| rules.of_version(key.as_str(), detail));
            tasks.extend(bucket.replicate(&key, (entry.version, time), Kind::Changed, &to));
            tasks
        })
    }

    /// Once `key`, or with `named` a version of it, was deleted by a client.
    #[must_use]
    pub fn deleted(&self, key: &ObjectKey, named: bool) -> Sequel<Deleted> {
        let rules = self.0.as_ref().and_then(|bucket| bucket.replication.as_ref());
        let to = rules.filter(|_| !named).map(|rules| rules.of_marker(key.as_str()));
        let events = (Event::RemovedDelete, Event::RemovedDeleteMarkerCreated);
        self.gone(key, named, events, to.unwrap_or_default())
    }

    /// The same, by a lifecycle rule. Its delete markers are not replicated, as on AWS.
    #[must_use]
    pub fn expired(&self, key: &ObjectKey, named: bool) -> Sequel<Deleted> {
        let marker = Event::LifecycleExpirationDeleteMarkerCreated;
        self.gone(key, named, (Event::LifecycleExpirationDelete, marker), Vec::new())
    }

    fn gone(
        &self,
        key: &ObjectKey,
        named: bool,
        (gone, marker): (Event, Event),
        to: Vec<Destination>,
    ) -> Sequel<Deleted> {
        let bucket = self.0.as_ref().filter(|bucket| {
            !to.is_empty() || bucket.wants(gone, key) || bucket.wants(marker, key)
        });
        let Some(bucket) = bucket.cloned() else { return Sequel::default() };
        let key = key.clone();
        Sequel::new(move |deleted: &Deleted| {
            let made = deleted.marker && !named;
            if !made && deleted.gone.is_none() {
                return Vec::new();
            }
            let version = deleted.version;
            let time = version.and_then(VersionId::time).filter(|_| made);
            let time = time.unwrap_or_else(|| bucket.now_after(deleted.gone.as_ref()));
            let event = if made { marker } else { gone };
            let mut tasks = bucket.tell(event, &key, &Done { time, version, content: None });
            if let (true, Some(version)) = (made, version) {
                tasks.extend(bucket.replicate(&key, (version, time), Kind::Marker, &to));
            }
            tasks
        })
    }
}

impl Bucket {
    /// Whether anybody wants an event of a key told.
    fn wants(&self, event: Event, key: &ObjectKey) -> bool {
        let wishes = self.notifications.as_ref();
        wishes.is_some_and(|wishes| wishes.of(event, key.as_str()).next().is_some())
    }

    /// The tasks of an event: one for each destination that wants it.
    fn tell(&self, event: Event, key: &ObjectKey, done: &Done) -> Vec<Task> {
        let told = Told {
            event,
            time: done.time,
            bucket: &self.name,
            owner: &self.owner,
            region: &self.region,
            origin: &self.origin,
            key: key.as_str(),
            version: done.version,
            content: done.content,
        };
        let wishes = self.notifications.iter().flat_map(|all| all.of(event, key.as_str()));
        let task = |wish: &Notification| Task {
            queue: event_queue(&wish.webhook),
            due: done.time,
            work: told.message(&wish.id),
        };
        wishes.map(task).collect()
    }

    /// The task of a version that is to be elsewhere too; none of the version `null`, which has no place in time.
    fn replicate(
        &self,
        key: &ObjectKey,
        (version, since): (VersionId, Timestamp),
        kind: Kind,
        to: &[Destination],
    ) -> Option<Task> {
        if to.is_empty() || version == VersionId::NULL {
            return None;
        }
        let replicate = Replicate {
            bucket: (self.name.clone(), self.id),
            key: key.clone(),
            version,
            marker: kind == Kind::Marker,
            changed: kind == Kind::Changed,
            destinations: to.to_vec(),
            since,
            attempts: 0,
            failed: false,
        };
        Some(replicate.queued())
    }

    /// Now, but later than what is there or was there of the key.
    fn now_after(&self, entry: Option<&Entry>) -> Timestamp {
        let floor = entry.map_or(0, |entry| entry.modified.0.saturating_add(1));
        Timestamp(self.clock.now().0.max(floor))
    }
}
