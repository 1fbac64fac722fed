//! The queues of replication, worked off: one loop for this gateway's own buckets, and one for each endpoint.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use metadata::queue::TaskAt;
use metadata::records::{Detail, ReplicationStatus};
use metadata::{Catalog, CatalogError, Entry, Task};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;
use types::{BucketId, ObjectKey};

use super::client::Client;
use super::{ReplicationError, local, remote};
use crate::changes::{Changes, REPLICATION_QUEUE, Replicate, replication_queue};
use crate::configs::Configs;
use crate::endpoints::Endpoints;
use crate::outbound::Connector;
use crate::put::recode::Recoder;
use crate::rules::replication::Destination;
use crate::s3::Consent;

/// Between two looks at a queue in which nothing was due.
const POLL: Duration = Duration::from_millis(500);
/// Tasks read at a time.
const PAGE: usize = 200;
/// Tasks under way at once, of each queue.
const AT_ONCE: usize = 8;
/// The first pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// How long a version is tried.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Between two looks for versions whose endpoint is no more.
const SWEEP: Duration = Duration::from_secs(3600);

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct ReplicationWorker {
    /// Buckets, versions, the queue.
    pub catalog: Catalog,
    /// The rules, and the role that they name.
    pub configs: Configs,
    /// What follows from a replica.
    pub changes: Changes,
    /// Reads versions, stores replicas, and moves them to their class.
    pub recoder: Recoder,
    /// What destinations allow.
    pub consent: Consent,
    /// Other endpoints.
    pub endpoints: Endpoints,
    /// The way to them.
    pub connector: Connector,
    /// The time.
    pub clock: SharedClock,
}

/// One queue, and what its tasks go to.
struct Lane {
    queue: String,
    /// The client of its endpoint; none of the local queue, and of an endpoint that is no more.
    client: Option<Client>,
}

impl ReplicationWorker {
    /// Replicates until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut lanes = vec![Lane { queue: REPLICATION_QUEUE.to_owned(), client: None }];
        lanes.extend(self.endpoints.names().filter_map(|name| {
            let endpoint = self.endpoints.get(name)?.clone();
            let client = Client::new(endpoint, self.connector.clone(), Arc::clone(&self.clock));
            Some(Lane { queue: replication_queue(Some(name)), client: Some(client) })
        }));
        let loops = join_all(lanes.iter().map(|lane| self.serve(lane)));
        tokio::select! {
            _ = futures::future::join(loops, self.sweep(&lanes)) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Works a queue off, some keys at a time: one that takes long keeps no others waiting.
    async fn serve(&self, lane: &Lane) {
        let mut waiting: VecDeque<Group> = VecDeque::new();
        let mut running = FuturesUnordered::new();
        let mut busy: HashSet<Place> = HashSet::new();
        loop {
            if waiting.is_empty() && running.len() < AT_ONCE {
                match self.due(lane).await {
                    Ok(due) => waiting.extend(by_key(due)),
                    Err(error) => {
                        tracing::warn!(queue = lane.queue, %error, "a queue of replication cannot be read");
                        tokio::time::sleep(PAUSE_MIN).await;
                    }
                }
                // What is under way is still in its queue, and what follows it waits for it.
                waiting.retain(|group| !busy.contains(&group.place));
            }
            while running.len() < AT_ONCE
                && let Some(group) = waiting.pop_front()
            {
                busy.insert(group.place.clone());
                running.push(self.work_off(lane, group));
            }
            if running.is_empty() {
                tokio::time::sleep(POLL).await;
                continue;
            }
            tokio::select! {
                Some(done) = running.next() => {
                    busy.remove(&done);
                }
                () = tokio::time::sleep(POLL), if running.len() < AT_ONCE => {}
            }
        }
    }

    /// Looks after what waits for endpoints that the operator took away: they may come back, and after a day it is given up.
    async fn sweep(&self, lanes: &[Lane]) {
        loop {
            if let Err(error) = self.sweep_once(lanes).await {
                tracing::warn!(%error, "queues of replication cannot be read");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn sweep_once(&self, lanes: &[Lane]) -> Result<(), CatalogError> {
        let ours = |queue: &String| {
            queue.starts_with(&replication_queue(Some("")))
                && !lanes.iter().any(|lane| lane.queue == *queue)
        };
        for queue in self.catalog.queues().await?.into_iter().filter(ours) {
            let lane = Lane { queue, client: None };
            loop {
                let due = self.due(&lane).await?;
                if due.is_empty() {
                    break;
                }
                for (at, task) in due {
                    self.work(&lane, &at, task).await?;
                }
            }
        }
        Ok(())
    }

    /// A page of what is due.
    async fn due(&self, lane: &Lane) -> Result<Vec<(TaskAt, Replicate)>, CatalogError> {
        let now = self.clock.now();
        let mut tasks = self.catalog.queued(&lane.queue, PAGE).await?;
        tasks.retain(|(at, _)| at.1 <= now);
        self.readable(tasks).await
    }

    /// Does the tasks of one key, in order.
    async fn work_off(&self, lane: &Lane, group: Group) -> Place {
        for (at, task) in group.tasks {
            if let Err(error) = self.work(lane, &at, task).await {
                tracing::warn!(%error, "a step of replication could not be noted");
            }
        }
        group.place
    }

    async fn readable(
        &self,
        tasks: Vec<(TaskAt, Vec<u8>)>,
    ) -> Result<Vec<(TaskAt, Replicate)>, CatalogError> {
        let mut read = Vec::with_capacity(tasks.len());
        for (at, work) in tasks {
            match serde_json::from_slice(&work) {
                Ok(task) => read.push((at, task)),
                Err(_) => {
                    tracing::error!("a task of replication cannot be read");
                    self.catalog.unqueue(&[at]).await?;
                }
            }
        }
        Ok(read)
    }

    async fn work(
        &self,
        lane: &Lane,
        at: &TaskAt,
        mut task: Replicate,
    ) -> Result<(), CatalogError> {
        let old = self.clock.now().since(task.since) > AGE_MAX;
        // What belongs to another queue goes there next; what failed here comes after that.
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        for destination in std::mem::take(&mut task.destinations) {
            let (source, target) = (&task.bucket.0, &destination.bucket);
            let endpoint = destination.endpoint.as_deref();
            if replication_queue(endpoint) != lane.queue {
                left.push(destination);
                continue;
            }
            match self.replicate(lane, &task, &destination).await {
                Ok(()) => metrics::counter!("drystone_replicated_total").increment(1),
                Err(error) if error.may_pass() && !old => {
                    let error = &error as &dyn std::error::Error;
                    if task.attempts == 0 {
                        tracing::info!(bucket = %source, endpoint, %target, error, "a version waits for replication");
                    } else {
                        tracing::debug!(bucket = %source, endpoint, %target, error, "a version waits for replication");
                    }
                    failed.push(destination);
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(bucket = %source, endpoint, %target, error, "a version was not replicated");
                    metrics::counter!("drystone_replication_failed_total").increment(1);
                    task.failed = true;
                }
            }
        }
        if left.is_empty() && failed.is_empty() {
            let status =
                if task.failed { ReplicationStatus::Failed } else { ReplicationStatus::Completed };
            self.note(&task, status).await?;
            return self.catalog.unqueue(std::slice::from_ref(at)).await;
        }
        let mut due = self.clock.now();
        if !failed.is_empty() {
            task.attempts = task.attempts.saturating_add(1);
            let all = left.len().saturating_add(failed.len());
            due = due.plus(pause(task.attempts, all));
        }
        left.append(&mut failed);
        task.destinations = left;
        self.catalog.requeue(at, Task { due, ..task.queued() }).await
    }

    async fn replicate(
        &self,
        lane: &Lane,
        task: &Replicate,
        to: &Destination,
    ) -> Result<(), ReplicationError> {
        let source = match self.catalog.bucket(&task.bucket.0).await {
            Ok(row) if row.id == task.bucket.1 => row,
            // It is gone, and with it the version.
            Ok(_) | Err(CatalogError::NoSuchBucket(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let Some(endpoint) = &to.endpoint else {
            return local::replicate(self, task, &source, to).await;
        };
        let client = lane.client.as_ref().filter(|client| client.serves(&source.owner));
        let client = client.ok_or_else(|| ReplicationError::Away(endpoint.clone()))?;
        // Boxed: it holds a read and an upload.
        Box::pin(remote::replicate(self, client, task, to)).await
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
}

/// The pause after so many tries that failed, when so many destinations are left: none, until each of them was tried.
fn pause(attempts: u32, left: usize) -> Duration {
    let rounds = attempts / u32::try_from(left).unwrap_or(u32::MAX).max(1);
    match rounds {
        0 => Duration::ZERO,
        rounds => PAUSE_MIN.saturating_mul(1 << rounds.min(16)).min(PAUSE_MAX),
    }
}

/// A key and its bucket.
type Place = (BucketId, ObjectKey);

/// Tasks of one key, which stay in order: an endpoint that does not know what a replica is must see the newest version last.
struct Group {
    place: Place,
    tasks: Vec<(TaskAt, Replicate)>,
}

fn by_key(tasks: Vec<(TaskAt, Replicate)>) -> Vec<Group> {
    let mut places: HashMap<Place, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (at, task) in tasks {
        let place = (task.bucket.1, task.key.clone());
        let number = *places.entry(place.clone()).or_insert(groups.len());
        match groups.get_mut(number) {
            Some(group) => group.tasks.push((at, task)),
            None => groups.push(Group { place, tasks: vec![(at, task)] }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use types::{Timestamp, VersionId};

    use super::*;

    #[test]
    fn tasks_of_one_key_stay_together_and_in_order() {
        let task = |key: &str, due| {
            let at = ("q".to_owned(), Timestamp(due), [0; 8]);
            let task = Replicate {
                bucket: ("aaa".parse().expect("a name"), BucketId([1; 16])),
                key: key.parse().expect("a key"),
                version: VersionId::at(Timestamp(due)),
                marker: false,
                changed: false,
                destinations: Vec::new(),
                since: Timestamp(due),
                attempts: 0,
                failed: false,
            };
            (at, task)
        };
        let groups = by_key(vec![task("a", 1), task("b", 2), task("a", 3)]);
        let dues: Vec<Vec<u64>> =
            groups.iter().map(|group| group.tasks.iter().map(|(at, _)| at.1.0).collect()).collect();
        assert_eq!(dues, [vec![1, 3], vec![2]]);
    }

    #[test]
    fn pauses_grow_up_to_ten_minutes() {
        assert_eq!(pause(1, 1), Duration::from_secs(2));
        assert_eq!(pause(3, 1), Duration::from_secs(8));
        assert_eq!(pause(u32::MAX, 1), PAUSE_MAX);
        // The second of two endpoints is tried at once, then both wait.
        assert_eq!(pause(1, 2), Duration::ZERO);
        assert_eq!(pause(2, 2), Duration::from_secs(2));
    }
}
