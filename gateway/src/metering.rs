//! Metering: what requests cost and what nodes served for them, counted in memory and told to the catalog's outbox once a second.
//!
//! ```text
//! front ── a request ──┐                          ┌─ who pays: egress, requests
//! get   ── bytes sent ─┼─▶ sheet of this thread ──┤                             ── once a second ─▶ outbox, one transaction
//! gather ─ bytes served┘                          └─ who did it: bytes verified
//! ```
//!
//! Threads have sheets of their own, so that counting never waits for another processor; a sheet is locked for as long as two additions
//! take. What is written to customers' objects is not counted here: the catalog tells it in the commit itself.
//!
//! Invariant: everything counted is told exactly once, unless the process dies: then what the last [`FLUSH`] counted is given away.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metadata::{Catalog, Dispatch};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;
use types::usage::{RequestClass, UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{AccountId, BucketId, NodeId, Timestamp};

/// How often what was counted is told: the most that a crash can lose.
pub const FLUSH: Duration = Duration::from_secs(1);

/// On whose bill something goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Payer {
    /// The account.
    pub account: AccountId,
    /// The bucket it is about.
    pub bucket: BucketId,
    /// The access key that asked, if it is the payer's.
    pub key: Option<String>,
}

/// What bytes of shards were served for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A customer's read: paid from egress.
    Customer,
    /// Repair, and moving objects from class to class or bucket to bucket: paid from storage.
    Upkeep,
    /// A proof that they are there.
    Audit,
}

/// The counts of this process.
pub struct Metering {
    /// One for each processor; threads share them evenly.
    sheets: Box<[Mutex<Sheet>]>,
    clock: SharedClock,
}

/// What was counted since the last telling.
#[derive(Default)]
struct Sheet {
    used: HashMap<Arc<Payer>, Used>,
    worked: HashMap<NodeId, Worked>,
}

/// What one payer used.
#[derive(Clone, Copy, Default)]
struct Used {
    egress: u64,
    requests: [u64; RequestClass::ALL.len()],
}

/// What one node served, in bytes.
#[derive(Clone, Copy, Default)]
struct Worked {
    customer: u64,
    upkeep: u64,
    audit: u64,
}

impl Metering {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { sheets: (0..processors).map(|_| Mutex::default()).collect(), clock }
    }

    /// Counts a request.
    pub fn request(&self, payer: &Arc<Payer>, class: RequestClass) {
        let mut sheet = self.sheet();
        let count = &mut used(&mut sheet, payer).requests[class as usize];
        *count = count.saturating_add(1);
    }

    /// Counts bytes that were handed to a client's connection.
    pub fn egress(&self, payer: &Arc<Payer>, bytes: u64) {
        let mut sheet = self.sheet();
        let sum = &mut used(&mut sheet, payer).egress;
        *sum = sum.saturating_add(bytes);
    }

    /// Counts bytes that a node served, or took in for repair, and that were verified.
    pub fn served(&self, node: NodeId, purpose: Purpose, bytes: u64) {
        let mut sheet = self.sheet();
        let worked = sheet.worked.entry(node).or_default();
        let sum = match purpose {
            Purpose::Customer => &mut worked.customer,
            Purpose::Upkeep => &mut worked.upkeep,
            Purpose::Audit => &mut worked.audit,
        };
        *sum = sum.saturating_add(bytes);
    }

    /// Takes everything that was counted since the last time.
    #[must_use]
    pub fn take(&self) -> Dispatch {
        let mut all = Sheet::default();
        for sheet in &self.sheets {
            all.add(std::mem::take(&mut *lock(sheet)));
        }
        all.events(self.clock.now())
    }

    /// Tells the catalog until stopped, and then the rest.
    pub async fn run(self: Arc<Self>, catalog: Catalog, stop: CancellationToken) {
        let mut left = Dispatch::default();
        loop {
            let stopping = tokio::select! {
                () = tokio::time::sleep(FLUSH) => false,
                () = stop.cancelled() => true,
            };
            // What could not be told waits, and what is counted meanwhile stays in the sheets, where it takes no more room.
            if left.is_empty() {
                left = self.take();
            }
            if let Err(error) = catalog.tell_all(&mut left).await {
                tracing::warn!(%error, events = left.len(), "what was read cannot be metered yet; it is kept and told later");
            } else if stopping {
                left = self.take();
                if let Err(error) = catalog.tell_all(&mut left).await {
                    tracing::error!(%error, events = left.len(), "what was read last is not metered");
                }
            }
            if stopping {
                return;
            }
        }
    }

    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        let at = THREAD.with(|thread| thread % self.sheets.len());
        lock(&self.sheets[at])
    }
}

impl Sheet {
    fn add(&mut self, other: Self) {
        if self.used.is_empty() && self.worked.is_empty() {
            *self = other;
            return;
        }
        for (payer, more) in other.used {
            self.used.entry(payer).or_default().add(more);
        }
        for (node, more) in other.worked {
            let sum = self.worked.entry(node).or_default();
            sum.customer = sum.customer.saturating_add(more.customer);
            sum.upkeep = sum.upkeep.saturating_add(more.upkeep);
            sum.audit = sum.audit.saturating_add(more.audit);
        }
    }

    fn events(self, at: Timestamp) -> Dispatch {
        let mut dispatch = Dispatch::default();
        for (payer, used) in self.used {
            let counts = RequestClass::ALL.into_iter().zip(used.requests);
            let requests = counts.map(|(class, count)| UsageKind::Requests { class, count });
            let kinds = requests.chain([UsageKind::Egress { bytes: used.egress }]);
            dispatch.usage.extend(kinds.filter(is_something).map(|kind| UsageEvent {
                at,
                account: payer.account.clone(),
                bucket: payer.bucket,
                key: payer.key.clone(),
                kind,
            }));
        }
        for (node, Worked { customer, upkeep, audit }) in self.worked {
            let served = (customer > 0).then_some(WorkKind::Served { bytes: customer });
            let repair = (upkeep > 0).then_some(WorkKind::Repair { bytes: upkeep });
            let audit = (audit > 0).then_some(WorkKind::Audit { bytes: audit });
            let kinds = [served, repair, audit].into_iter().flatten();
            dispatch.work.extend(kinds.map(|kind| WorkEvent { at, node, kind }));
        }
        dispatch
    }
}

impl Used {
    fn add(&mut self, more: Self) {
        self.egress = self.egress.saturating_add(more.egress);
        for (sum, more) in self.requests.iter_mut().zip(more.requests) {
            *sum = sum.saturating_add(more);
        }
    }
}

fn is_something(kind: &UsageKind) -> bool {
    !matches!(kind, UsageKind::Egress { bytes: 0 } | UsageKind::Requests { count: 0, .. })
}

/// The payer's line.
fn used<'a>(sheet: &'a mut Sheet, payer: &Arc<Payer>) -> &'a mut Used {
    sheet.used.entry(Arc::clone(payer)).or_default()
}

fn lock(sheet: &Mutex<Sheet>) -> MutexGuard<'_, Sheet> {
    // Every change under this lock is one addition.
    sheet.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use types::SystemClock;

    use super::*;

    fn payer(account: &str, key: Option<&str>) -> Arc<Payer> {
        Arc::new(Payer {
            account: account.parse().expect("an id"),
            bucket: BucketId([1; 16]),
            key: key.map(str::to_owned),
        })
    }

    fn kinds(dispatch: &Dispatch, account: &str) -> Vec<UsageKind> {
        let of = dispatch.usage.iter().filter(|event| event.account.as_str() == account);
        of.map(|event| event.kind.clone()).collect()
    }

    #[test]
    fn what_threads_count_is_told_once_and_by_payer() {
        let metering = Metering::new(Arc::new(SystemClock));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // The same payer, written down anew by each request.
                    let (ann, bob) = (payer("ann", Some("A")), payer("bob", None));
                    for _ in 0..100 {
                        metering.request(&ann, RequestClass::Read);
                        metering.egress(&ann, 10);
                        metering.egress(&bob, 0);
                        metering.served(NodeId([7; 32]), Purpose::Customer, 3);
                        metering.served(NodeId([7; 32]), Purpose::Upkeep, 2);
                        metering.served(NodeId([8; 32]), Purpose::Audit, 1);
                    }
                });
            }
        });
        let told = metering.take();
        let read = UsageKind::Requests { class: RequestClass::Read, count: 400 };
        assert_eq!(kinds(&told, "ann"), [read, UsageKind::Egress { bytes: 4_000 }]);
        assert!(told.usage.iter().all(|event| event.key.as_deref() == Some("A")));
        assert_eq!(kinds(&told, "bob"), [], "nothing is told of nothing");
        let mut work: Vec<_> =
            told.work.iter().map(|event| (event.node.0[0], &event.kind)).collect();
        work.sort_by_key(|(node, kind)| (*node, matches!(kind, WorkKind::Repair { .. })));
        assert_eq!(
            work,
            [
                (7, &WorkKind::Served { bytes: 1_200 }),
                (7, &WorkKind::Repair { bytes: 800 }),
                (8, &WorkKind::Audit { bytes: 400 })
            ]
        );
        assert!(metering.take().is_empty(), "and not again");
    }
}
