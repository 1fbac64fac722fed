//! Group commit: the queue of transactions that want to commit, and the one thread that commits them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rocksdb::{ColumnFamily, DB, FlushOptions, WriteBatch, WriteOptions};
use tokio::sync::oneshot;

use super::options::{Durability, Owned};
use super::rewrite::Rewriter;
use crate::engine::{CommitOrder, Leases};
use crate::error::KvError;
use crate::resolver::Resolver;
use crate::scan::Family;

/// A batch takes no further transaction once it holds this many bytes: about what a disk writes in the time of one fsync.
const BATCH_MAX: usize = 4 << 20;

type Answer = oneshot::Sender<Result<(), KvError>>;

/// Transactions that wait for the committer. As long as each waits for its answer, there are no more than tasks.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: VecDeque<(CommitOrder, Answer)>,
    closed: bool,
}

/// What the committer finds in the queue.
enum Taken {
    Batch(Vec<(CommitOrder, Answer)>),
    Nothing,
    Closed,
}

impl Queue {
    /// Hands `order` over. From here on it is decided, whether or not somebody awaits the answer.
    pub(super) fn submit(
        &self,
        order: CommitOrder,
    ) -> Result<oneshot::Receiver<Result<(), KvError>>, KvError> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return Err(KvError::Closed);
        }
        state.waiting.push_back((order, answer));
        self.changed.notify_one();
        Ok(answered)
    }

    /// Takes no more; what waits is still committed.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Waits for something to do, at most for `patience`.
    fn take(&self, patience: Option<Duration>) -> Taken {
        let idle = |state: &mut QueueState| state.waiting.is_empty() && !state.closed;
        let state = self.lock();
        let mut state = match patience {
            None => self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = self.changed.wait_timeout_while(state, patience, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        if state.waiting.is_empty() {
            return if state.closed { Taken::Closed } else { Taken::Nothing };
        }
        let mut room = BATCH_MAX;
        let fitting = state.waiting.iter().take_while(|(order, _)| {
            let fits = room > 0;
            room = room.saturating_sub(order.bytes);
            fits
        });
        let count = fitting.count();
        Taken::Batch(state.waiting.drain(..count).collect())
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The queue is whole between any two statements under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that commits. Each turn: take what waits, judge, write and sync once, answer, forget what is out of the window.
pub(super) struct Committer {
    db: Arc<DB>,
    queue: Arc<Queue>,
    leases: Arc<Leases>,
    resolver: Resolver,
    durability: Durability,
    flush: Option<TimedFlush>,
    rewriter: Option<Rewriter>,
    /// Set by the first failed write; nothing is written after it.
    poison: Option<KvError>,
}

/// Write buffers, and with them the write-ahead log, may not keep for long what was deleted.
struct TimedFlush {
    families: Vec<Family>,
    every: Duration,
    last: Instant,
}

impl Committer {
    pub(super) fn new(
        db: &Arc<DB>,
        queue: &Arc<Queue>,
        leases: &Arc<Leases>,
        options: &Owned,
    ) -> Self {
        let timed =
            |every| TimedFlush { families: options.families(), every, last: Instant::now() };
        Self {
            db: Arc::clone(db),
            queue: Arc::clone(queue),
            leases: Arc::clone(leases),
            resolver: Resolver::default(),
            durability: options.durability,
            flush: options.flush_every().map(timed),
            rewriter: options.rewritten().map(|(families, every)| Rewriter::new(families, every)),
            poison: None,
        }
    }

    pub(super) fn spawn(self) -> Result<JoinHandle<()>, KvError> {
        std::thread::Builder::new()
            .name("kv-commit".to_owned())
            .spawn(move || self.run())
            .map_err(|source| KvError::engine("start its committer", source))
    }

    fn run(mut self) {
        let _guard = CloseAtExit(Arc::clone(&self.queue));
        loop {
            let flush = self.flush.as_ref().map(TimedFlush::due_in);
            let rewrite = self.rewriter.as_ref().map(Rewriter::due_in);
            let patience = flush.into_iter().chain(rewrite).min();
            match self.queue.take(patience) {
                Taken::Batch(batch) => self.commit(batch),
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            self.flush_due();
            if let Some(rewriter) = &mut self.rewriter {
                rewriter.begin_if_due(&self.db);
            }
        }
        if let Some(rewriter) = self.rewriter.take() {
            rewriter.stop(&self.db);
        }
        if let Err(error) = self.db.flush_wal(true) {
            tracing::error!(%error, "the write-ahead log could not be synced at close");
        }
    }

    fn commit(&mut self, waiting: Vec<(CommitOrder, Answer)>) {
        let now = Instant::now();
        let mut batch = WriteBatch::default();
        let (mut outcomes, mut newest) = (Vec::with_capacity(waiting.len()), None);
        for (order, answer) in waiting {
            let judged = self.add(&mut batch, order, now).map(|number| newest = Some(number));
            outcomes.push((answer, judged));
        }
        let written = match newest {
            Some(newest) => self.write(batch).inspect(|()| self.leases.applied(newest)),
            None => Ok(()),
        };
        // The refused wait for the write too: what they lost against is then in their next snapshot.
        for (answer, judged) in outcomes {
            // Whoever stopped waiting does not want to know; the commit stands.
            let _ = answer.send(judged.and_then(|()| written.clone()));
        }
        self.resolver.forget(self.leases.oldest(), now);
    }

    /// Judges one transaction; if it passes, adds its writes to the batch.
    fn add(
        &mut self,
        batch: &mut WriteBatch,
        mut order: CommitOrder,
        now: Instant,
    ) -> Result<u64, KvError> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        let columns = order
            .writes
            .keys()
            .map(|family| column(&self.db, *family))
            .collect::<Result<Vec<_>, _>>()?;
        let number = self.resolver.admit(&mut order, now)?;
        for (column, writes) in columns.into_iter().zip(order.writes.values()) {
            for (key, value) in writes {
                match value {
                    Some(value) => batch.put_cf(column, key, value),
                    None => batch.delete_cf(column, key),
                }
            }
        }
        Ok(number)
    }

    fn write(&mut self, batch: WriteBatch) -> Result<(), KvError> {
        let mut options = WriteOptions::default();
        options.set_sync(self.durability == Durability::Fsync);
        self.db.write_opt(batch, &options).map_err(|error| {
            tracing::error!(%error, "a commit could not be written; the store takes no more writes");
            let failed = KvError::engine("write a commit", error.clone());
            self.poison = Some(KvError::Poisoned(Arc::new(error)));
            failed
        })
    }

    /// Writes out the write buffers when their time has come, in the background. A log whose rows are all in files then is deleted by RocksDB.
    fn flush_due(&mut self) {
        let Some(flush) = self.flush.as_mut().filter(|flush| flush.due_in().is_zero()) else {
            return;
        };
        flush.last = Instant::now();
        let mut options = FlushOptions::default();
        options.set_wait(false);
        for family in &flush.families {
            let flushed =
                column(&self.db, *family).map(|column| self.db.flush_cf_opt(column, &options));
            if let Ok(Err(error)) = flushed {
                tracing::warn!(%error, family = family.0, "a write buffer could not be written out");
            }
        }
    }
}

impl TimedFlush {
    fn due_in(&self) -> Duration {
        self.every.saturating_sub(self.last.elapsed())
    }
}

/// Nobody waits for ever, even if the committer panics: the orders it leaves behind are dropped, and so are their answers.
struct CloseAtExit(Arc<Queue>);

impl Drop for CloseAtExit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        drop(left);
    }
}

pub(super) fn column(db: &DB, family: Family) -> Result<&ColumnFamily, KvError> {
    db.cf_handle(family.0).ok_or(KvError::UnknownFamily(family.0))
}
