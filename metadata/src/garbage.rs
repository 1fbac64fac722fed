//! What nobody refers to any more, and how it goes away: in bounded steps, each of which may be the last before a crash.
//!
//! ```text
//! release (manifest) → references dropped → check (stream, after the read grace) → dying → drops (node, shard) → gone
//! ```
//!
//! A stream is freed in two phases, because no engine is asked to see phantoms. Collect marks it `Dying` and commits: whoever wants to refer
//! to it reads the row with `get_shared` and fails from then on. Every further step reads the row for update, finds it still `Dying` and
//! looks for references in its own, later snapshot; it frees a little if there is none, or unmarks. The check row goes with the last step, so a
//! crash between any two leaves it behind and the next collect goes on where this one stopped.

use std::collections::BTreeMap;

use kv::{KeyPrefix, Span, TRANSACTION_MAX, Tx};
use serde::{Deserialize, Serialize};
use types::geometry::GEOMETRIES;
use types::{ManifestId, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp};

use crate::holdings::Deltas;
use crate::outbox::Moved;
use crate::records::{SegmentRow, StreamRow, StreamState};
use crate::schema::{
    CHECKS, DEGRADED, DROPS, EXTENTS, GROUPS, PARTS, REFERENCES, RELEASES, SEGMENTS,
    SEGMENTS_OF_GROUP, STREAMS, UNFINISHED, UPLOAD_BILLS, WRAPS,
};
use crate::walk::Walk;
use crate::{Catalog, CatalogError};

/// What is left of a manifest that lost its version or upload, or never got a version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Release {
    /// A version was deleted or replaced: drop the references of its extents.
    Version {
        /// Pages of extents.
        pages: u32,
    },
    /// An upload was aborted: drop every part.
    Aborted,
    /// An upload was completed: drop the parts it did not choose (one may have been uploaded while it completed), and forget the part rows.
    Completed {
        /// The chosen part numbers, ascending.
        chosen: Vec<u32>,
    },
    /// A version with many extents is being written ahead of its commit, which takes this row away (see `crate::stage`).
    Staged {
        /// When the commit has not come by then, it never will: what is there is released as a `Version`.
        until: Timestamp,
        /// Pages of extents, once all are written.
        pages: u32,
    },
}

impl Release {
    /// The tag of [`Self::Staged`].
    pub(crate) const STAGED: u8 = 3;

    /// Keeps the releases of one manifest apart: a completed upload's object may be deleted before its part rows are forgotten.
    fn tag(&self) -> u8 {
        match self {
            Self::Version { .. } => 0,
            Self::Aborted => 1,
            Self::Completed { .. } => 2,
            Self::Staged { .. } => Self::STAGED,
        }
    }
}

/// Rows that one step of collect handles.
const STEP: usize = 200;
/// Pages of extents that are read to be forgotten: at most 100 kB each.
const PAGES_PER_STEP: usize = 8;
/// Check rows are spread over this many prefixes.
const CHECK_SPREAD: u8 = 16;

/// Segments freed in one transaction. Each turns into a drop for each slot, or two where a slot is changing hands.
const SEGMENTS_PER_STEP: usize = 32;
/// Bytes of a drop row, key and value, rounded up.
const DROP_BYTES: usize = 80;

const _: () = {
    let mut at = 0;
    while at < GEOMETRIES.len() {
        assert!(SEGMENTS_PER_STEP * GEOMETRIES[at].n * 2 * DROP_BYTES < TRANSACTION_MAX / 2);
        at += 1;
    }
};

/// Garbage is counted up to this many rows of a kind; more is just "many".
const GARBAGE_COUNTED: usize = 10_000;

/// A row of [`CHECKS`].
type CheckKey = (u8, Timestamp, StreamId);

/// How much garbage waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct GarbageLeft {
    /// Manifests to release.
    pub releases: usize,
    /// Streams to look at.
    pub checks: usize,
    /// Shards that nodes have still to drop.
    pub drops: usize,
}

impl Catalog {
    pub(crate) fn put_release(&self, tx: &Tx, manifest: ManifestId, release: &Release) {
        RELEASES.put(tx, &(manifest, release.tag()), release);
    }

    /// Works off releases; how many there were. Call until it answers 0.
    ///
    /// # Errors
    /// Only the engine's. All releases of this round were tried nevertheless.
    pub async fn collect_releases(&self) -> Result<usize, CatalogError> {
        let (mut done, mut failed) = (0, None);
        for (manifest, release) in self.due_releases().await? {
            match self.work_off(manifest, &release).await {
                Ok(()) => done += 1,
                // One manifest that cannot be released must not keep the others.
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Some releases that may be worked off. No snapshot outlives this: the engine could not tidy up behind the work.
    async fn due_releases(&self) -> Result<Vec<(ManifestId, Release)>, CatalogError> {
        let (now, snap) = (self.now(), self.kv.snapshot().await?);
        let mut walk = Walk::new(&RELEASES, &snap, Span::all(), STEP);
        let mut due = Vec::new();
        while let Some(page) = walk.next().await? {
            // Those being staged must not hide the others behind them.
            let ripe = |release: &Release| !matches!(release, Release::Staged { until, .. } if now <= *until);
            let page = page.into_iter().map(|((manifest, _), release)| (manifest, release));
            due.extend(page.filter(|(_, release)| ripe(release)));
            if !due.is_empty() {
                break;
            }
        }
        Ok(due)
    }

    async fn work_off(&self, manifest: ManifestId, release: &Release) -> Result<(), CatalogError> {
        match release {
            Release::Version { pages } => self.release_version(manifest, *pages).await?,
            Release::Aborted => {
                self.release_parts(manifest, &[]).await?;
                self.forget_pages(manifest).await?;
            }
            Release::Completed { chosen } => self.release_parts(manifest, chosen).await?,
            Release::Staged { .. } => return self.unstage(manifest).await,
        }
        kv::transact(&*self.kv, |tx| async move {
            RELEASES.delete(&tx, &(manifest, release.tag()));
            if matches!(release, Release::Aborted | Release::Completed { .. }) {
                UPLOAD_BILLS.delete(&tx, &manifest);
            }
            Ok(())
        })
        .await
    }

    async fn release_version(&self, manifest: ManifestId, pages: u32) -> Result<(), CatalogError> {
        for page in 0..pages {
            kv::transact(&*self.kv, |tx| async move {
                let extents = EXTENTS.get_for_update(&tx, &(manifest, page)).await?;
                let extents = extents.unwrap_or_default();
                let parts = extents.iter().map(|extent| (extent.part, extent.stream));
                self.unrefer(&tx, manifest, parts).await?;
                EXTENTS.delete(&tx, &(manifest, page));
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Forgets part rows, and drops the references of all but the chosen ones, for which nobody pays any more. (The chosen ones are paid for
    /// as the version's.)
    async fn release_parts(
        &self,
        manifest: ManifestId,
        chosen: &[u32],
    ) -> Result<(), CatalogError> {
        loop {
            let done = kv::transact(&*self.kv, |tx| async move {
                let parts = PARTS.scan(&tx, KeyPrefix::of(&manifest), STEP).await?;
                let dropped = || {
                    let chosen = |number: &u32| chosen.binary_search(number).is_ok();
                    parts.iter().filter(move |((_, number), _)| !chosen(number))
                };
                let streams = dropped().map(|((_, number), part)| (*number, part.stream));
                self.unrefer(&tx, manifest, streams).await?;
                if let Some(bill) = self.upload_bill(&tx, manifest).await? {
                    let bytes = dropped().map(|(_, part)| part.len).sum();
                    self.tell_released(&tx, Moved::part(&bill, bytes));
                }
                for (at, _) in &parts {
                    PARTS.delete(&tx, at);
                }
                Ok::<_, CatalogError>(parts.len() < STEP)
            })
            .await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Forgets pages that a Complete wrote ahead and did not come to use.
    async fn forget_pages(&self, manifest: ManifestId) -> Result<(), CatalogError> {
        loop {
            let last = kv::transact(&*self.kv, |tx| async move {
                let pages = EXTENTS.scan(&tx, KeyPrefix::of(&manifest), PAGES_PER_STEP).await?;
                for (at, _) in &pages {
                    EXTENTS.delete(&tx, at);
                }
                Ok::<_, CatalogError>(pages.len() < PAGES_PER_STEP)
            })
            .await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Drops references of parts of a manifest to streams, a wrap with the manifest's last reference to its stream, and asks for the
    /// streams to be looked at.
    pub(crate) async fn unrefer(
        &self,
        tx: &Tx,
        manifest: ManifestId,
        parts: impl IntoIterator<Item = (u32, StreamId)>,
    ) -> Result<(), CatalogError> {
        let mut streams: BTreeMap<StreamId, Vec<u32>> = BTreeMap::new();
        for (part, stream) in parts {
            streams.entry(stream).or_default().push(part);
        }
        let due = self.now().plus(self.read_grace);
        for (stream, parts) in streams {
            // Whoever adds or drops a reference of this manifest to this stream claims the wrap, so that the scan sees all of them.
            WRAPS.get_for_update(tx, &(manifest, stream)).await?;
            for part in parts {
                REFERENCES.delete(tx, &(stream, manifest, part));
            }
            // Once for each stream, not for each part: a scan passes over all that was deleted before.
            if REFERENCES.scan(tx, KeyPrefix::of(&(stream, manifest)), 1).await?.is_empty() {
                WRAPS.delete(tx, &(manifest, stream));
            }
            CHECKS.put(tx, &(spread(stream), due, stream), &());
        }
        Ok(())
    }

    /// Gives up a stream whose upload failed. Its writer must be at an end: a later commit of its rows is refused.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn abandon_stream(&self, stream: StreamId) -> Result<bool, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            // A row that is on its way this moment conflicts with this read.
            let row = STREAMS.get_for_update(&tx, &stream).await?;
            let whole = row.as_ref().is_some_and(|row| row.state == StreamState::Whole);
            if let Some(row) = row.filter(|row| row.state == StreamState::Writing) {
                STREAMS.put(&tx, &stream, &StreamRow { state: StreamState::Dying, ..row });
                UNFINISHED.delete(&tx, &stream);
            }
            CHECKS.put(&tx, &(spread(stream), self.now(), stream), &());
            Ok(!whole)
        })
        .await
    }

    /// Looks at the streams that are due, and frees those nobody refers to; how many were looked at. Call until it answers 0.
    ///
    /// # Errors
    /// Only the engine's. All streams of this round were looked at nevertheless.
    pub async fn collect_checks(&self) -> Result<usize, CatalogError> {
        let (mut looked, mut failed) = (0, None);
        for check in self.due_checks().await? {
            match self.look_at(&check).await {
                Ok(()) => looked += 1,
                // One stream that cannot be freed must not keep the others.
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(looked), Err)
    }

    /// Some checks whose time has come.
    async fn due_checks(&self) -> Result<Vec<CheckKey>, CatalogError> {
        let not_due = Timestamp(self.now().0.saturating_add(1));
        let snap = self.kv.snapshot().await?;
        let mut due = Vec::new();
        for prefix in 0..CHECK_SPREAD {
            let span =
                Span::of(&KeyPrefix::of(&prefix)).before_prefix(&KeyPrefix::of(&(prefix, not_due)));
            due.extend(CHECKS.scan(&snap, span, STEP).await?.into_iter().map(|(key, ())| key));
        }
        Ok(due)
    }

    async fn look_at(&self, check: &CheckKey) -> Result<(), CatalogError> {
        if self.set_dying(check).await? {
            while !self.free_some(check).await? {}
        }
        Ok(())
    }

    /// Marks the stream of a check if nobody refers to it; whether it is to be freed. Otherwise the check is done with.
    async fn set_dying(&self, check: &CheckKey) -> Result<bool, CatalogError> {
        let stream = &check.2;
        kv::transact(&*self.kv, |tx| async move {
            // Who drops a reference writes a check: if it is this same row, that is a conflict and not lost.
            CHECKS.get_for_update(&tx, check).await?;
            match STREAMS.get_for_update(&tx, stream).await? {
                Some(row) if row.state == StreamState::Dying => return Ok(true),
                Some(row) if row.state == StreamState::Whole && !referred(&tx, *stream).await? => {
                    STREAMS.put(&tx, stream, &StreamRow { state: StreamState::Dying, ..row });
                    return Ok(true);
                }
                // Gone, in use, or its writer is still at work.
                _ => {}
            }
            CHECKS.delete(&tx, check);
            Ok(false)
        })
        .await
    }

    /// One step of freeing a stream that was marked: turns a few segments into drops; the last step takes the row and the check. Whether
    /// that was the last.
    async fn free_some(&self, check: &CheckKey) -> Result<bool, CatalogError> {
        let stream = &check.2;
        kv::transact(&*self.kv, |tx| async move {
            CHECKS.get_for_update(&tx, check).await?;
            let row = STREAMS.get_for_update(&tx, stream).await?;
            let Some(row) = row.filter(|row| row.state == StreamState::Dying) else {
                // Another collect was quicker.
                CHECKS.delete(&tx, check);
                return Ok(true);
            };
            if referred(&tx, *stream).await? {
                STREAMS.put(&tx, stream, &StreamRow { state: StreamState::Whole, ..row });
                CHECKS.delete(&tx, check);
                return Ok(true);
            }
            let segments = SEGMENTS.scan(&tx, KeyPrefix::of(stream), SEGMENTS_PER_STEP).await?;
            let mut held = Deltas::default();
            for (id, row) in &segments {
                held.went(row);
                self.drop_shards(&tx, *id, row).await?;
                SEGMENTS.delete(&tx, id);
                SEGMENTS_OF_GROUP.delete(&tx, &(row.group, *id));
                DEGRADED.delete(&tx, &(row.group, *id));
            }
            held.write(&tx);
            let last = segments.len() < SEGMENTS_PER_STEP;
            if last {
                STREAMS.delete(&tx, stream);
                UNFINISHED.delete(&tx, stream);
                CHECKS.delete(&tx, check);
            }
            Ok(last)
        })
        .await
    }

    async fn drop_shards(
        &self,
        tx: &Tx,
        segment: SegmentId,
        row: &SegmentRow,
    ) -> Result<(), CatalogError> {
        // Shared, because a slot that changes hands this moment is another node's to drop.
        let Some(group) = GROUPS.get_shared(tx, &row.group).await? else { return Ok(()) };
        let now = self.now();
        for (slot, holders) in (0u8..).map(Slot).zip(&group.slots) {
            for node in holders.node.into_iter().chain(holders.previous) {
                DROPS.put(tx, &(node, ShardId { group: row.group, segment, slot }), &now);
            }
        }
        Ok(())
    }

    /// Streams of `session` whose writer has neither committed their end nor given them up.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn unfinished_streams(
        &self,
        session: SessionId,
    ) -> Result<Vec<StreamId>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let streams = self.under(&snap, &UNFINISHED, &session).await?;
        Ok(streams.into_iter().map(|(id, ())| id).collect())
    }

    /// How much the catalog has left to collect and to have dropped (reads within their grace are counted too).
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn garbage_left(&self) -> Result<GarbageLeft, CatalogError> {
        let snap = self.kv.snapshot().await?;
        Ok(GarbageLeft {
            releases: RELEASES.scan(&snap, KeyPrefix::new(), GARBAGE_COUNTED).await?.len(),
            checks: CHECKS.scan(&snap, KeyPrefix::new(), GARBAGE_COUNTED).await?.len(),
            drops: DROPS.scan(&snap, KeyPrefix::new(), GARBAGE_COUNTED).await?.len(),
        })
    }
}

/// Whether anything refers to `stream`, in the transaction's snapshot.
async fn referred(tx: &Tx, stream: StreamId) -> Result<bool, CatalogError> {
    Ok(!REFERENCES.scan(tx, KeyPrefix::of(&stream), 1).await?.is_empty())
}

fn spread(stream: StreamId) -> u8 {
    (stream.serial % u64::from(CHECK_SPREAD)) as u8
}
