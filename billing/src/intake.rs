//! Usage comes in.
//!
//! Whoever counts is a [`Source`] and sends [`Batch`]es, numbered from 0 and one after the other. What a batch adds lies in
//! rows of its source alone: sources never meet in a row, so none is hot.
//!
//! Laws:
//! - *A batch counts once*, however often it is sent: its number says whether it was counted, and the number and the counts are
//!   written in one transaction.
//! - *Sources do not disturb each other*: the sums are the same in whatever order their batches come in.
//! - *A closed hour never changes*: what comes later is counted in the first open one, at what it is worth by then.

use std::collections::BTreeMap;
use std::fmt;

use kv::{KeyCodec, KvError, Tx, transact};
use serde::{Deserialize, Serialize};
use types::usage::{UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{AccountId, BucketId, NodeId, Root, Timestamp};

use crate::Billing;
use crate::calendar::{Day, Hour};
use crate::caps::Scope;
use crate::error::BillingError;
use crate::quantity::{OpenUsage, OpenWork, Usage};
use crate::schema::{CURSORS, OPEN_FROM, OPEN_USAGE, OPEN_WORK, SPENDING};
use crate::settle;

/// The most events of one batch. Each touches up to four rows of less than 400 bytes, so a batch of them stays below the
/// megabyte of a transaction only if most meet in the same rows, as a second of reads does; a batch that is too spread is refused
/// by the store and can be sent in halves.
pub const BATCH_MAX: usize = 2_000;

/// Who counts: a gateway's session, or whoever drains the catalog's outbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Source(pub u64);

impl Source {
    /// The catalog's outbox.
    pub const CATALOG: Self = Self(0);
    /// The books themselves, which add up byte-hours.
    pub(crate) const BOOKS: Self = Self(u64::MAX);
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "source {}", self.0)
    }
}

impl KeyCodec for Source {
    fn encode_to(&self, out: &mut Vec<u8>) {
        self.0.encode_to(out);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        u64::decode_from(input).map(Self)
    }
}

/// Events that are counted together or not at all: both sides of a read belong in one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Batch {
    /// Who counted.
    pub source: Source,
    /// Counts up from 0 for each source.
    pub number: u64,
    /// What customers used.
    pub usage: Vec<UsageEvent>,
    /// What nodes did.
    pub work: Vec<WorkEvent>,
}

/// Up to where a source was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Cursor {
    /// The number of its next batch.
    pub next: u64,
    /// BLAKE3 of its last one.
    pub last: [u8; 32],
}

/// What came of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// It was counted.
    Now,
    /// It had been counted before.
    Before,
}

impl Billing {
    /// Counts `batch`, in a transaction of its own.
    ///
    /// # Errors
    /// As [`Self::count_in`].
    pub async fn count(&self, batch: &Batch) -> Result<Counted, BillingError> {
        transact(&*self.kv, |tx: Tx| async move { self.count_in(&tx, batch).await }).await
    }

    /// Counts `batch` as part of the caller's transaction, which has the family [`crate::schema::FAMILY`].
    ///
    /// # Errors
    /// [`BillingError::Gap`] if the source's batch before this one did not come; [`BillingError::BatchChanged`];
    /// [`BillingError::BatchTooLarge`]; [`BillingError::Overflow`].
    pub async fn count_in(&self, tx: &Tx, batch: &Batch) -> Result<Counted, BillingError> {
        let len = batch.usage.len() + batch.work.len();
        if len > BATCH_MAX {
            return Err(BillingError::BatchTooLarge { len, max: BATCH_MAX });
        }
        let encode = |source| KvError::Encode { table: "cursor/1", source };
        let last = Root::of(&postcard::to_stdvec(batch).map_err(encode)?).0;
        let cursor = CURSORS.get_for_update(tx, &batch.source).await?.unwrap_or_default();
        let (source_id, number) = (batch.source, batch.number);
        if number > cursor.next {
            return Err(BillingError::Gap { source_id, expected: cursor.next, got: number });
        }
        if number < cursor.next {
            let is_last = number + 1 == cursor.next;
            return if is_last && last != cursor.last {
                Err(BillingError::BatchChanged { source_id, number })
            } else {
                Ok(Counted::Before)
            };
        }
        add(tx, batch).await?;
        CURSORS.put(tx, &batch.source, &Cursor { next: number + 1, last });
        Ok(Counted::Now)
    }

    /// The number that `source` has to give its next batch.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn next_batch(&self, source: Source) -> Result<u64, BillingError> {
        let cursor = CURSORS.get(&self.kv.snapshot().await?, &source).await?;
        Ok(cursor.unwrap_or_default().next)
    }
}

/// Everything a batch adds, by row.
#[derive(Default)]
struct Sums {
    usage: BTreeMap<(Hour, AccountId, BucketId), OpenUsage>,
    work: BTreeMap<(Hour, NodeId), OpenWork>,
    spending: BTreeMap<(AccountId, Scope, Day), Usage>,
}

async fn add(tx: &Tx, batch: &Batch) -> Result<(), BillingError> {
    let times = batch.usage.iter().map(|event| event.at);
    let Some(earliest) = times.chain(batch.work.iter().map(|event| event.at)).min() else {
        return Ok(());
    };
    let open = first_open(tx, earliest).await?;
    let mut sums = Sums::default();
    for event in &batch.usage {
        sums.usage(event, open).ok_or(BillingError::Overflow("usage"))?;
    }
    for event in &batch.work {
        sums.work(event, open).ok_or(BillingError::Overflow("work"))?;
    }
    sums.write(tx, batch.source).await
}

/// The first hour that takes events. The books begin with the first event of all.
async fn first_open(tx: &Tx, earliest: Timestamp) -> Result<Hour, BillingError> {
    if let Some(open) = OPEN_FROM.get_shared(tx, &()).await? {
        return Ok(open);
    }
    let open = Hour::of(earliest);
    OPEN_FROM.put(tx, &(), &open);
    settle::begin(tx, open.day());
    Ok(open)
}

impl Sums {
    fn usage(&mut self, event: &UsageEvent, open: Hour) -> Option<()> {
        let hour = Hour::of(event.at).max(open);
        let key = (hour, event.account.clone(), event.bucket);
        let row = self.usage.entry(key).or_default();
        let mut flat = Usage::default();
        match event.kind {
            UsageKind::Stored { bytes, geometry } => {
                let steps = &mut row.steps[geometry as usize];
                *steps = steps.step(event.at, bytes.into())?;
            }
            UsageKind::Released { bytes, geometry } => {
                let steps = &mut row.steps[geometry as usize];
                *steps = steps.step(event.at, -i128::from(bytes))?;
            }
            UsageKind::Egress { bytes } => flat.egress = bytes,
            UsageKind::Requests { class, count } => flat.requests[class as usize] = count,
            UsageKind::Fuel { units } => flat.fuel = units,
        }
        if flat.is_zero() {
            return Some(());
        }
        row.flat = row.flat.plus(&flat)?;
        let key = event.key.clone().map(Scope::Key);
        for scope in
            [Some(Scope::Account), Some(Scope::Bucket(event.bucket)), key].into_iter().flatten()
        {
            let sum = self.spending.entry((event.account.clone(), scope, hour.day())).or_default();
            *sum = sum.plus(&flat)?;
        }
        Some(())
    }

    fn work(&mut self, event: &WorkEvent, open: Hour) -> Option<()> {
        let row = self.work.entry((Hour::of(event.at).max(open), event.node)).or_default();
        let flat = &mut row.flat;
        match event.kind {
            WorkKind::Held { bytes } => row.steps = row.steps.step(event.at, bytes.into())?,
            WorkKind::Dropped { bytes } => {
                row.steps = row.steps.step(event.at, -i128::from(bytes))?;
            }
            WorkKind::Unproven { byte_millis } => {
                flat.unproven = flat.unproven.checked_add(byte_millis.into())?;
            }
            WorkKind::Served { bytes } => flat.served = flat.served.checked_add(bytes)?,
            WorkKind::Repair { bytes } => flat.repair = flat.repair.checked_add(bytes)?,
            WorkKind::Audit { bytes } => flat.audit = flat.audit.checked_add(bytes)?,
            WorkKind::Fuel { units } => flat.fuel = flat.fuel.checked_add(units)?,
        }
        Some(())
    }

    async fn write(self, tx: &Tx, source: Source) -> Result<(), BillingError> {
        for ((hour, account, bucket), new) in self.usage {
            let key = (hour, account, bucket, source);
            let mut row = OPEN_USAGE.get(tx, &key).await?.unwrap_or_default();
            let full = BillingError::Overflow("usage");
            row.flat = row.flat.plus(&new.flat).ok_or(full)?;
            for (steps, new) in row.steps.iter_mut().zip(new.steps) {
                *steps = steps.plus(new).ok_or(BillingError::Overflow("usage"))?;
            }
            OPEN_USAGE.put(tx, &key, &row);
        }
        for ((hour, node), new) in self.work {
            let key = (hour, node, source);
            let row = OPEN_WORK.get(tx, &key).await?.unwrap_or_default();
            let sum = row.flat.plus(&new.flat).zip(row.steps.plus(new.steps));
            let (flat, steps) = sum.ok_or(BillingError::Overflow("work"))?;
            OPEN_WORK.put(tx, &key, &OpenWork { steps, flat });
        }
        for ((account, scope, day), new) in self.spending {
            add_spending(tx, (account, scope, day, source), &new).await?;
        }
        Ok(())
    }
}

/// Adds to what is compared with limits and caps.
pub(crate) async fn add_spending(
    tx: &Tx,
    key: (AccountId, Scope, Day, Source),
    more: &Usage,
) -> Result<(), BillingError> {
    let row = SPENDING.get(tx, &key).await?.unwrap_or_default();
    let sum = row.plus(more).ok_or(BillingError::Overflow("usage"))?;
    SPENDING.put(tx, &key, &sum);
    Ok(())
}
