//! Settle: what the outbox tells becomes the books' usage, hours are closed and days are settled, by the accounting clock.
//!
//! ```text
//! held-delta ─ tally ─┐
//! commits, reads ─────┴─▶ outbox ─ move ─▶ open hours ─ close ─▶ hours ─ settle ─▶ charges, 5 % and 95 %, earnings
//!                                  one transaction                       steps of one transaction each
//! ```
//!
//! Every step may be the last before a crash: the next start goes on there, because each writes down how far it came with what it did. Doing
//! it twice does nothing.
//!
//! Catalog and books share an engine, so a row leaves the outbox in the very transaction that counts it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use billing::calendar::{Day, Hour};
use billing::intake::{Batch, Counted, Source};
use billing::node::NodeProfile;
use billing::settle::{DaySummary, Preview};
use billing::{Billing, BillingError};
use kv::KvError;
use metadata::records::Standing;
use metadata::{AccountingClock, Catalog, CatalogError, Dispatch, DispatchAt};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;
use types::{AccountId, NodeId, Timestamp};

use crate::prices;

/// How often the outbox is emptied.
const ROUND: Duration = Duration::from_secs(1);
/// An hour is closed no earlier than this after its end by the wall clock: a transaction that began in it may still commit, and what was
/// read in its last moment is told a second later.
const SETTLED_LAG: Duration = Duration::from_secs(7);
const _: () = assert!(
    SETTLED_LAG.as_secs() > kv::TRANSACTION_TIME.as_secs() + crate::metering::FLUSH.as_secs()
);
/// Rows read from the outbox at a time.
const ROWS: usize = 512;
/// Events counted in one transaction.
const EVENTS: usize = 1_000;
const _: () = assert!(EVENTS + metadata::outbox::EVENTS_PER_ROW <= billing::intake::BATCH_MAX);

/// Why nothing could be settled. The next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The books.
    #[error(transparent)]
    Billing(#[from] BillingError),
    /// The engine below both.
    #[error(transparent)]
    Engine(#[from] KvError),
    /// Another gateway took the outbox's rows at the same moment.
    #[error("another gateway settles at the same time")]
    Outrun,
}

/// How far settlement is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Events counted since the start.
    pub events: u64,
    /// Up to when everything is counted, by the wall clock.
    pub counted_until: Option<Timestamp>,
    /// The time by the accounting clock, then.
    pub accounting_time: Option<Timestamp>,
    /// The first hour that still takes events; nothing before the first.
    pub open_hour: Option<Hour>,
    /// The day that is next to be settled; nothing before the first event.
    pub next_day: Option<Day>,
    /// Days settled since the start.
    pub days: u64,
    /// What went wrong in the last round.
    pub error: Option<String>,
}

/// Settles. Cheap to clone: all clones are the same settlement.
#[derive(Clone)]
pub struct Settlement {
    catalog: Catalog,
    billing: Billing,
    clock: SharedClock,
    accounting: AccountingClock,
    progress: Arc<Mutex<Progress>>,
    /// Held by the round that runs.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Settlement {
    /// A settlement of this catalog's usage in these books, which share its engine.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        billing: Billing,
        clock: SharedClock,
        accounting: AccountingClock,
    ) -> Self {
        let (progress, turn) = (Arc::default(), Arc::default());
        Self { catalog, billing, clock, accounting, progress, turn }
    }

    /// Makes sure that there is a tariff: without one no day can be settled.
    ///
    /// # Errors
    /// [`SettleError`].
    pub async fn begin(&self) -> Result<(), SettleError> {
        if self.billing.tariffs().await?.is_empty() {
            let since = Day::default();
            self.billing.set_tariff(since, &prices::first_tariff(), self.now()).await?;
        }
        Ok(())
    }

    /// The books.
    #[must_use]
    pub fn billing(&self) -> &Billing {
        &self.billing
    }

    /// The time by the accounting clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.accounting.at(self.clock.now())
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.noted().clone()
    }

    /// Settles until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut hour = None;
        loop {
            let due = Some(Hour::of(self.now()));
            let rounds = async {
                // Slots, owners and ranks change without a delta: nobody waits longer than an hour for that to be seen.
                if hour != due {
                    self.catalog.tally_groups().await?;
                    self.enrol_all().await?;
                }
                self.round().await
            };
            let settled = tokio::select! {
                settled = rounds => settled,
                () = stop.cancelled() => return,
            };
            match settled {
                Ok(_) => hour = due,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "settlement waits; the next round tries again");
                    self.noted().error = Some(error.to_string());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Counts what there is, closes the hours that are over, and settles the days that are; which ones.
    ///
    /// # Errors
    /// [`SettleError`]; what was done stays.
    pub async fn round(&self) -> Result<Vec<(Day, DaySummary)>, SettleError> {
        let _turn = self.turn.lock().await;
        let seen = Timestamp(self.clock.now().0.saturating_sub(SETTLED_LAG.as_millis() as u64));
        while self.catalog.tally_held().await? {}
        while self.count_some().await? {}
        let over = self.accounting.at(seen);
        let open_hour = self.billing.close_hours(over).await?;
        let days = self.billing.settle(self.now()).await?;
        if !days.is_empty() {
            self.billing.release_held(self.now()).await?;
        }
        for (day, summary) in &days {
            let charged = summary.division.charged;
            tracing::info!(target: "audit", %day, %charged, nodes = summary.nodes, "a day was settled");
        }
        let next_day = self.billing.next_day().await?;
        metrics::counter!("drystone_settled_days_total").increment(days.len() as u64);
        let mut noted = self.noted();
        noted.days += days.len() as u64;
        noted.counted_until = Some(seen);
        noted.accounting_time = Some(over);
        (noted.open_hour, noted.next_day, noted.error) = (open_hour, next_day, None);
        drop(noted);
        Ok(days)
    }

    /// Tells the books what the catalog knows of a node as a payee: whose it is, and whether it is vetted.
    ///
    /// # Errors
    /// [`SettleError`]; [`CatalogError::Missing`] if it never joined.
    pub async fn enrol(&self, id: NodeId) -> Result<NodeProfile, SettleError> {
        // Held while the catalog is read, so that nothing older is told after what is newer.
        let _turn = self.turn.lock().await;
        let node = self.catalog.node(id).await?.ok_or(CatalogError::Missing("node"))?;
        let vetted = self.catalog.standing(id).await?.and_then(|standing| standing.vetted);
        self.tell_books(id, node.owner.as_ref(), vetted).await?;
        Ok(self.billing.node(id).await?)
    }

    /// The same of every node.
    async fn enrol_all(&self) -> Result<(), SettleError> {
        let _turn = self.turn.lock().await;
        let standings: BTreeMap<NodeId, Standing> =
            self.catalog.standings().await?.into_iter().collect();
        for (id, node) in self.catalog.nodes().await? {
            let vetted = standings.get(&id).and_then(|standing| standing.vetted);
            self.tell_books(id, node.owner.as_ref(), vetted).await?;
        }
        Ok(())
    }

    async fn tell_books(
        &self,
        id: NodeId,
        owner: Option<&AccountId>,
        vetted: Option<Timestamp>,
    ) -> Result<(), SettleError> {
        let known = match self.billing.node(id).await {
            Ok(profile) => Some(profile),
            Err(BillingError::NoSuchNode(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if known.as_ref().is_none_or(|profile| profile.owner.as_ref() != owner) {
            self.billing.enrol(id, owner, self.now()).await?;
        }
        // Since when, the books remember themselves: the accounting clock may have been another then.
        let before = known.and_then(|profile| profile.vetted);
        if before.is_some() != vetted.is_some() {
            self.billing.vet(id, vetted.map(|at| self.accounting.at(at))).await?;
        }
        Ok(())
    }

    /// What settling the next day would come to, once all that is told by now is counted.
    ///
    /// # Errors
    /// [`SettleError`].
    pub async fn preview(&self) -> Result<Option<Preview>, SettleError> {
        Ok(self.billing.preview().await?)
    }

    /// Counts some of what the outbox tells; whether there may be more.
    async fn count_some(&self) -> Result<bool, SettleError> {
        let rows = self.catalog.outbox(ROWS).await?;
        let mut events = 0;
        let some: Vec<DispatchAt> = rows
            .iter()
            .take_while(|(_, dispatch)| {
                events += dispatch.len();
                events <= EVENTS.max(dispatch.len())
            })
            .map(|(at, _)| *at)
            .collect();
        if some.is_empty() {
            return Ok(false);
        }
        self.count(&some).await?;
        Ok(true)
    }

    /// Counts rows: together, or in halves if they are too spread for one transaction.
    async fn count(&self, rows: &[DispatchAt]) -> Result<(), SettleError> {
        let mut parts = vec![rows];
        while let Some(part) = parts.pop() {
            match self.count_at_once(part).await {
                Ok(events) => {
                    metrics::counter!("drystone_metered_events_total").increment(events);
                    self.noted().events += events;
                }
                Err(error) if part.len() > 1 && is_too_large(&error) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn count_at_once(&self, rows: &[DispatchAt]) -> Result<u64, SettleError> {
        let engine = self.catalog.engine();
        kv::transact(&**engine, |tx| async move {
            let taken = self.catalog.take_told(&tx, rows).await?;
            let number = self.billing.next_batch(Source::CATALOG).await?;
            let batch = self.batch(number, taken);
            let events = (batch.usage.len() + batch.work.len()) as u64;
            if events == 0 {
                return Ok(0);
            }
            match self.billing.count_in(&tx, &batch).await? {
                Counted::Now => Ok(events),
                Counted::Before => Err(SettleError::Outrun),
            }
        })
        .await
    }

    /// Rows as one batch, by the accounting clock.
    fn batch(&self, number: u64, rows: Vec<(DispatchAt, Dispatch)>) -> Batch {
        let mut all = Dispatch::default();
        for (_, row) in &rows {
            all.add(row);
        }
        let Dispatch { mut usage, mut work } = all;
        for at in usage.iter_mut().map(|event| &mut event.at) {
            *at = self.accounting.at(*at);
        }
        for at in work.iter_mut().map(|event| &mut event.at) {
            *at = self.accounting.at(*at);
        }
        Batch { source: Source::CATALOG, number, usage, work }
    }

    fn noted(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether fewer rows might fit.
fn is_too_large(error: &SettleError) -> bool {
    let cause = match error {
        SettleError::Engine(error) | SettleError::Billing(BillingError::Store(error)) => error,
        SettleError::Catalog(CatalogError::Kv(error)) => error,
        SettleError::Catalog(_) | SettleError::Billing(_) | SettleError::Outrun => return false,
    };
    matches!(cause, KvError::TransactionTooLarge)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use billing::Money;
    use kv::memory::Memory;
    use types::usage::{UsageEvent, UsageKind};
    use types::{BucketId, Clock};

    use super::*;

    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Ordering::SeqCst))
        }
    }

    fn sent(at: Timestamp, bytes: u64) -> UsageEvent {
        UsageEvent {
            at,
            account: "alice".parse().expect("an id"),
            bucket: BucketId([1; 16]),
            key: None,
            kind: UsageKind::Egress { bytes },
        }
    }

    #[tokio::test]
    async fn what_is_told_is_counted_once_and_settled_once_its_day_is_over() {
        let hand = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        let clock: SharedClock = Arc::clone(&hand) as _;
        let engine: Arc<dyn kv::Kv> = Arc::new(Memory::new());
        let grace = Duration::from_secs(1);
        let catalog = Catalog::new(Arc::clone(&engine), Arc::clone(&clock), grace);
        let books = Billing::new(engine, billing::Rules::default());
        let wall = AccountingClock::WALL;
        let settlement = Settlement::new(catalog.clone(), books, clock, wall);
        settlement.begin().await.expect("a tariff");

        // More than one transaction counts.
        let usage = (0..3_000).map(|_| sent(hand.now(), 10_000_000)).collect();
        let mut told = Dispatch { usage, work: Vec::new() };
        catalog.tell_all(&mut told).await.expect("told");
        for _ in 0..2 {
            assert_eq!(settlement.round().await.expect("counted"), []);
            assert_eq!(settlement.progress().events, 3_000);
        }
        assert_eq!(catalog.outbox(usize::MAX).await.expect("read"), []);

        hand.0.fetch_add(2 * 24 * 3_600_000, Ordering::SeqCst);
        let days = settlement.round().await.expect("settled");
        let charged: Vec<Money> = days.iter().map(|(_, day)| day.division.charged).collect();
        // Thirty gigabytes at 6,000 micro-units.
        assert_eq!(charged[0], Money::from_micros(180_000));
        assert!(settlement.round().await.expect("nothing is left").is_empty());
        let progress = settlement.progress();
        assert_eq!((progress.days, progress.error), (days.len() as u64, None));
        assert!(settlement.billing().check().await.expect("read").is_sound());
    }
}
