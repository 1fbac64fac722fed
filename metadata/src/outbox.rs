//! The outbox: what is to be paid for, written in the transaction that causes it, so that neither is there without the other.
//!
//! ```text
//! commit · delete · part · recode ──┐ one row each, in the change's own transaction
//!                                   ├─▶ outbox ─▶ the gateway's settle: taken out and counted by billing in one transaction
//! reads, flushed once a second ─────┘
//! ```
//!
//! A row has a key that no other ever has: nothing is counted in place, so no two requests meet here. Its random id was drawn in the
//! transaction that wrote it; a transaction that is repeated draws anew and only one run of it commits, so a change is told exactly once. (An id
//! made of version or stream would not do: one stream can become the same part of an upload twice.) A row is taken out in the transaction
//! that counts it, in the engine that catalog and books share: so it is counted exactly once too.
//!
//! Invariant: over the whole life of a catalog, for each bucket and geometry, Σ stored − Σ released = Σ sizes of all versions + Σ lengths of
//! the parts of uploads under way or waiting for collect.

use kv::{KeyPrefix, Tx};
use serde::{Deserialize, Serialize};
use types::usage::{UsageEvent, UsageKind, WorkEvent};
use types::{AccountId, BucketId, GeometryName, ManifestId, Timestamp};

use crate::records::{Bucket, Entry};
use crate::schema::{OUTBOX, UPLOAD_BILLS};
use crate::{Catalog, CatalogError};

/// Rows are spread over this many prefixes, so that an engine of many machines does not append to one end.
const SPREAD: u8 = 16;
/// Events in one row at most: with names of full length about half of what a value may hold.
pub const EVENTS_PER_ROW: usize = 250;

/// Bytes of an event at most: an account of 64 bytes, an access key of 128, ids, numbers and times.
const EVENT_BYTES: usize = 256;
const _: () = assert!(EVENTS_PER_ROW * EVENT_BYTES < kv::VALUE_MAX);
/// Rows written in one transaction at most.
const ROWS_AT_ONCE: usize = 8;
const _: () = assert!(ROWS_AT_ONCE * EVENTS_PER_ROW * EVENT_BYTES < kv::TRANSACTION_MAX);

/// What one change, or one second of reads, has to tell.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Dispatch {
    /// What customers used.
    pub usage: Vec<UsageEvent>,
    /// What nodes did.
    pub work: Vec<WorkEvent>,
}

/// A row's place: its prefix, when it was written, its id.
pub type DispatchAt = (u8, Timestamp, [u8; 16]);

/// Who pays for the parts of an upload; kept beside it, because its parts go when it has long gone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UploadBill {
    /// The bucket's owner.
    pub account: AccountId,
    /// The bucket.
    pub bucket: BucketId,
    /// How the parts are coded.
    pub geometry: GeometryName,
}

impl Dispatch {
    /// Whether it tells nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty() && self.work.is_empty()
    }

    /// How many events it tells.
    #[must_use]
    pub fn len(&self) -> usize {
        self.usage.len() + self.work.len()
    }

    /// Adds what another tells.
    pub fn add(&mut self, other: &Self) {
        self.usage.extend_from_slice(&other.usage);
        self.work.extend_from_slice(&other.work);
    }

    /// The rows of one transaction, and the rest. As a rule that is one row and no rest.
    fn split(mut self) -> (Vec<Self>, Self) {
        if self.len() <= EVENTS_PER_ROW {
            return (vec![self], Self::default());
        }
        let mut rows = Vec::new();
        while !self.is_empty() && rows.len() < ROWS_AT_ONCE {
            let usage: Vec<_> = self.usage.drain(..self.usage.len().min(EVENTS_PER_ROW)).collect();
            let room = (EVENTS_PER_ROW - usage.len()).min(self.work.len());
            rows.push(Self { usage, work: self.work.drain(..room).collect() });
        }
        (rows, self)
    }
}

/// Bytes came to rest, or were released, on a bucket owner's account.
#[derive(Clone, Copy)]
pub(crate) struct Moved<'a> {
    pub(crate) account: &'a AccountId,
    pub(crate) bucket: BucketId,
    pub(crate) geometry: GeometryName,
    pub(crate) bytes: u64,
}

impl<'a> Moved<'a> {
    /// A version's bytes.
    pub(crate) fn version(bucket: &'a Bucket, entry: &Entry) -> Self {
        let (bytes, geometry) = (entry.size, entry.geometry);
        Self { account: &bucket.owner, bucket: bucket.id, geometry, bytes }
    }

    /// The same with another number of bytes.
    pub(crate) fn of(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    /// A part's bytes.
    pub(crate) fn part(bill: &'a UploadBill, bytes: u64) -> Self {
        Self { account: &bill.account, bucket: bill.bucket, geometry: bill.geometry, bytes }
    }
}

impl Catalog {
    /// Tells that bytes came to rest. Nothing of none.
    pub(crate) fn tell_stored(&self, tx: &Tx, moved: Moved<'_>) {
        let Moved { bytes, geometry, .. } = moved;
        self.tell(tx, moved, UsageKind::Stored { bytes, geometry });
    }

    /// Tells that bytes were released. Nothing of none.
    pub(crate) fn tell_released(&self, tx: &Tx, moved: Moved<'_>) {
        let Moved { bytes, geometry, .. } = moved;
        self.tell(tx, moved, UsageKind::Released { bytes, geometry });
    }

    fn tell(&self, tx: &Tx, moved: Moved<'_>, kind: UsageKind) {
        if moved.bytes == 0 {
            return;
        }
        let (at, account) = (self.now(), moved.account.clone());
        let event = UsageEvent { at, account, bucket: moved.bucket, key: None, kind };
        put(tx, at, &Dispatch { usage: vec![event], work: Vec::new() });
    }

    /// Who pays for an upload's parts.
    pub(crate) async fn upload_bill(
        &self,
        tx: &Tx,
        upload: ManifestId,
    ) -> Result<Option<UploadBill>, CatalogError> {
        Ok(UPLOAD_BILLS.get(tx, &upload).await?)
    }

    /// Tells what no other change brings along: reads, and what nodes did for them. In one transaction, unless it is too much for one. What was
    /// told is taken out of `left`, so that after an error the rest can be told later; the call must not be cancelled.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn tell_all(&self, left: &mut Dispatch) -> Result<(), CatalogError> {
        while !left.is_empty() {
            let at = self.now();
            let (rows, rest) = std::mem::take(left).split();
            let rows = &rows;
            let told = kv::transact(&*self.kv, |tx| async move {
                for row in rows {
                    put(&tx, at, row);
                }
                Ok::<_, CatalogError>(())
            })
            .await;
            *left = rest;
            if let Err(error) = told {
                rows.iter().for_each(|row| left.add(row));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Some rows, those of each prefix in order of time: at most about `limit` of them.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn outbox(&self, limit: usize) -> Result<Vec<(DispatchAt, Dispatch)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let each = limit.div_ceil(usize::from(SPREAD)).max(1);
        let mut rows = Vec::new();
        for prefix in 0..SPREAD {
            rows.extend(OUTBOX.scan(&snap, KeyPrefix::of(&prefix), each).await?);
        }
        Ok(rows)
    }

    /// Takes rows out of the outbox as part of the caller's transaction, which must be of this catalog's engine: those that are still there.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn take_told(
        &self,
        tx: &Tx,
        rows: &[DispatchAt],
    ) -> Result<Vec<(DispatchAt, Dispatch)>, CatalogError> {
        let mut taken = Vec::with_capacity(rows.len());
        for at in rows {
            if let Some(dispatch) = OUTBOX.get_for_update(tx, at).await? {
                OUTBOX.delete(tx, at);
                taken.push((*at, dispatch));
            }
        }
        Ok(taken)
    }
}

/// Writes one row.
pub(crate) fn put(tx: &Tx, at: Timestamp, dispatch: &Dispatch) {
    let id: [u8; 16] = types::entropy::random_bytes();
    OUTBOX.put(tx, &(id[0] % SPREAD, at, id), dispatch);
}
