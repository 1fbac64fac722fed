//! Queues: work that a change leaves to a worker, written in the change's own transaction, so that neither is there without the other.
//!
//! A queue is a name; its tasks are bytes that only the gateway understands, in order of the time at which they are due. A task is done at
//! least once: a worker takes it away after it did it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kv::{KeyPrefix, Span, Tx};
use types::Timestamp;

use crate::schema::QUEUES;
use crate::{Catalog, CatalogError};

/// Tasks taken away in one transaction.
const STEP: usize = 500;

/// A task to be queued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Task {
    /// Where.
    pub queue: String,
    /// When it is to be done; tasks come in this order.
    pub due: Timestamp,
    /// What.
    pub work: Vec<u8>,
}

/// A queued task's place: its queue, when it is due, and what tells it from others of the same moment.
pub type TaskAt = (String, Timestamp, [u8; 8]);

/// What a change leaves to do, decided in its transaction from what it did. The default is nothing.
pub struct Sequel<T>(Option<Arc<Decide<T>>>);

type Decide<T> = dyn Fn(&T) -> Vec<Task> + Send + Sync;

impl<T> Sequel<T> {
    /// What `decide` says; it may be asked several times.
    pub fn new(decide: impl Fn(&T) -> Vec<Task> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(decide)))
    }

    /// Queues what `done` leaves to do.
    pub(crate) fn write(&self, tx: &Tx, done: &T) {
        for task in self.0.iter().flat_map(|decide| decide(done)) {
            put(tx, task);
        }
    }
}

impl<T> Default for Sequel<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Clone for Sequel<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Sequel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Sequel" } else { "nothing" })
    }
}

fn put(tx: &Tx, task: Task) {
    // Of one moment, in the order in which they come; the rest tells several gateways apart.
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut nth = [0; 8];
    nth[..4].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    nth[4..].copy_from_slice(&types::entropy::random_bytes::<4>());
    QUEUES.put(tx, &(task.queue, task.due, nth), &task.work);
}

impl Catalog {
    /// Queues a task that no other change brings along.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn queue(&self, task: Task) -> Result<(), CatalogError> {
        let task = &task;
        kv::transact(&*self.kv, |tx| async move {
            put(&tx, task.clone());
            Ok(())
        })
        .await
    }

    /// The first tasks of a queue.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn queued(
        &self,
        queue: &str,
        limit: usize,
    ) -> Result<Vec<(TaskAt, Vec<u8>)>, CatalogError> {
        let of = KeyPrefix::of(&queue.to_owned());
        Ok(QUEUES.scan(&self.kv.snapshot().await?, of, limit).await?)
    }

    /// The names of all queues that hold a task.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn queues(&self) -> Result<Vec<String>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let (mut names, mut span) = (Vec::new(), Span::all());
        while let Some(((name, ..), _)) = QUEUES.scan(&snap, span, 1).await?.pop() {
            // Behind every task that this queue can hold.
            let last = (name.clone(), Timestamp(u64::MAX), [u8::MAX; 8]);
            span = Span::all().after_key(&last);
            names.push(name);
        }
        Ok(names)
    }

    /// Takes tasks away that were done.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn unqueue(&self, done: &[TaskAt]) -> Result<(), CatalogError> {
        for step in done.chunks(STEP) {
            kv::transact(&*self.kv, |tx| async move {
                for at in step {
                    QUEUES.delete(&tx, at);
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Takes a task away and queues another in its place.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn requeue(&self, at: &TaskAt, task: Task) -> Result<(), CatalogError> {
        let task = &task;
        kv::transact(&*self.kv, |tx| async move {
            // A worker of another gateway may have done it meanwhile.
            if QUEUES.get_for_update(&tx, at).await?.is_some() {
                QUEUES.delete(&tx, at);
                put(&tx, task.clone());
            }
            Ok(())
        })
        .await
    }
}
