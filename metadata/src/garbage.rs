//! What nobody refers to any more, and how it goes away: in bounded steps, each of which may be the last before a crash.
//!
//! ```text
//! release (manifest) → references dropped → check (stream, after the read grace) → dying → drops (node, shard) → gone
//! ```
//!
//! A stream is freed in two phases, because no engine is asked to see phantoms: collect marks it `Dying` and commits (a copy that
//! wants to refer to it reads the row with `get_shared` and fails from then on), looks for references in a fresh snapshot, then frees or unmarks.

use kv::{KeyPrefix, Tx};
use serde::{Deserialize, Serialize};
use types::{ManifestId, NodeId, SessionId, ShardId, Slot, StreamId};

use crate::records::{StreamRow, StreamState};
use crate::schema::{
    CHECKS, DEGRADED, DROPS, EXTENTS, GROUPS, PARTS, REFERENCES, RELEASES, SEGMENTS, SEGMENTS_OF_GROUP, STREAMS, WRAPS,
};
use crate::{Catalog, CatalogError};

/// What is left of a manifest that lost its version or upload.
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
}

impl Release {
    /// Keeps the releases of one manifest apart: a completed upload's object may be deleted before its part rows are forgotten.
    fn tag(&self) -> u8 {
        match self {
            Self::Version { .. } => 0,
            Self::Aborted => 1,
            Self::Completed { .. } => 2,
        }
    }
}

/// Rows that one step of collect handles.
const STEP: usize = 200;
/// Check rows are spread over this many prefixes.
const CHECK_SPREAD: u8 = 16;

impl Catalog {
    pub(crate) fn put_release(&self, tx: &Tx, manifest: ManifestId, release: &Release) -> Result<(), CatalogError> {
        RELEASES.put(tx, &(manifest, release.tag()), release);
        Ok(())
    }

    /// Works off releases; how many there were. Call until it answers 0.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn collect_releases(&self) -> Result<usize, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let releases = RELEASES.scan(&snap, KeyPrefix::new(), STEP).await?;
        for ((manifest, _), release) in &releases {
            match release {
                Release::Version { pages } => self.release_version(*manifest, *pages).await?,
                Release::Aborted => self.release_parts(*manifest, &[]).await?,
                Release::Completed { chosen } => self.release_parts(*manifest, chosen).await?,
            }
            kv::transact(&*self.kv, |tx| async move {
                RELEASES.delete(&tx, &(*manifest, release.tag()));
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(releases.len())
    }

    async fn release_version(&self, manifest: ManifestId, pages: u32) -> Result<(), CatalogError> {
        for page in 0..pages {
            kv::transact(&*self.kv, |tx| async move {
                for extent in EXTENTS.get_for_update(&tx, &(manifest, page)).await?.unwrap_or_default() {
                    self.unrefer(&tx, manifest, extent.part, extent.stream).await?;
                }
                EXTENTS.delete(&tx, &(manifest, page));
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Forgets part rows, and drops the references of all but the chosen ones.
    async fn release_parts(&self, manifest: ManifestId, chosen: &[u32]) -> Result<(), CatalogError> {
        loop {
            let done = kv::transact(&*self.kv, |tx| async move {
                let parts = PARTS.scan(&tx, KeyPrefix::of(&manifest), STEP).await?;
                for ((_, number), part) in &parts {
                    if chosen.binary_search(number).is_err() {
                        self.unrefer(&tx, manifest, *number, part.stream).await?;
                    }
                    PARTS.delete(&tx, &(manifest, *number));
                }
                Ok::<_, CatalogError>(parts.len() < STEP)
            })
            .await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Drops one reference, the wrap with it if it was the manifest's last to that stream, and asks for the stream to be looked at.
    pub(crate) async fn unrefer(
        &self,
        tx: &Tx,
        manifest: ManifestId,
        part: u32,
        stream: StreamId,
    ) -> Result<(), CatalogError> {
        WRAPS.get_for_update(tx, &(manifest, stream)).await?;
        REFERENCES.delete(tx, &(stream, manifest, part));
        if REFERENCES.scan(tx, KeyPrefix::of(&(stream, manifest)), 1).await?.is_empty() {
            WRAPS.delete(tx, &(manifest, stream));
        }
        self.check_later(tx, stream)
    }

    /// Asks for a stream to be looked at once every read that may use it is over.
    fn check_later(&self, tx: &Tx, stream: StreamId) -> Result<(), CatalogError> {
        let due = self.now().plus(self.read_grace);
        CHECKS.put(tx, &(spread(stream), due, stream), &());
        Ok(())
    }

    /// Gives up a stream whose upload failed after rows of it were committed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn abandon_stream(&self, stream: StreamId) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            if STREAMS.get_for_update(&tx, &stream).await?.is_some() {
                CHECKS.put(&tx, &(spread(stream), self.now(), stream), &());
            }
            Ok(())
        })
        .await
    }

    /// Looks at the streams that are due, and frees those nobody refers to; how many were looked at.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn collect_checks(&self) -> Result<usize, CatalogError> {
        let now = self.now();
        let snap = self.kv.snapshot().await?;
        let mut looked = 0;
        for prefix in 0..CHECK_SPREAD {
            for (key, ()) in CHECKS.scan(&snap, KeyPrefix::of(&prefix), STEP).await? {
                if key.1 > now {
                    break;
                }
                self.free_if_unreferenced(key.2).await?;
                kv::transact(&*self.kv, |tx| async move {
                    CHECKS.delete(&tx, &key);
                    Ok::<_, CatalogError>(())
                })
                .await?;
                looked += 1;
            }
        }
        Ok(looked)
    }

    async fn free_if_unreferenced(&self, stream: StreamId) -> Result<(), CatalogError> {
        let Some(row) = self.set_dying(stream).await? else { return Ok(()) };
        let fresh = self.kv.snapshot().await?;
        if REFERENCES.scan(&fresh, KeyPrefix::of(&stream), 1).await?.is_empty() {
            self.free(stream).await
        } else {
            let alive = &StreamRow { state: StreamState::Whole, ..row };
            kv::transact(&*self.kv, |tx| async move {
                STREAMS.put(&tx, &stream, alive);
                Ok(())
            })
            .await
        }
    }

    /// Marks a stream; its row, or `None` if there is nothing to free (gone, or its writer may still be at work).
    async fn set_dying(&self, stream: StreamId) -> Result<Option<StreamRow>, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let Some(row) = STREAMS.get_for_update(&tx, &stream).await? else { return Ok(None) };
            STREAMS.put(&tx, &stream, &StreamRow { state: StreamState::Dying, ..row.clone() });
            Ok(Some(row))
        })
        .await
    }

    /// Frees a dying stream: each step turns a few segments into drops, the last one takes the row.
    async fn free(&self, stream: StreamId) -> Result<(), CatalogError> {
        let now = self.now();
        loop {
            let done = kv::transact(&*self.kv, |tx| async move {
                let segments = SEGMENTS.scan(&tx, KeyPrefix::of(&stream), SEGMENTS_PER_STEP).await?;
                for (id, row) in &segments {
                    if let Some(group) = GROUPS.get(&tx, &row.group).await? {
                        for (slot, holders) in (0u8..).map(Slot).zip(&group.slots) {
                            for node in holders.node.into_iter().chain(holders.previous) {
                                DROPS.put(&tx, &(node, ShardId { group: row.group, segment: *id, slot }), &now);
                            }
                        }
                    }
                    SEGMENTS.delete(&tx, id);
                    SEGMENTS_OF_GROUP.delete(&tx, &(row.group, *id));
                    DEGRADED.delete(&tx, &(row.group, *id));
                }
                let done = segments.len() < SEGMENTS_PER_STEP;
                if done {
                    STREAMS.delete(&tx, &stream);
                }
                Ok::<_, CatalogError>(done)
            })
            .await?;
            if done {
                return Ok(());
            }
        }
    }

    /// Streams that `session` left unfinished, to be abandoned once the session has ended.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn unfinished_streams(&self, session: SessionId) -> Result<Vec<StreamId>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let streams = self.under(&snap, &STREAMS, &session).await?;
        Ok(streams.into_iter().filter(|(_, row)| row.state == StreamState::Writing).map(|(id, _)| id).collect())
    }

    /// Up to `limit` shards that `node` has still to drop.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn drops_of(&self, node: NodeId, limit: usize) -> Result<Vec<ShardId>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        Ok(DROPS.scan(&snap, KeyPrefix::of(&node), limit).await?.into_iter().map(|((_, shard), _)| shard).collect())
    }

    /// Asks `node` to drop shards that the catalog does not want there.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn order_drops(&self, node: NodeId, shards: &[ShardId]) -> Result<(), CatalogError> {
        let now = self.now();
        for step in shards.chunks(STEP) {
            kv::transact(&*self.kv, |tx| async move {
                for shard in step {
                    DROPS.put(&tx, &(node, *shard), &now);
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Forgets drops that `node` has confirmed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn drops_done(&self, node: NodeId, shards: &[ShardId]) -> Result<(), CatalogError> {
        for step in shards.chunks(STEP) {
            kv::transact(&*self.kv, |tx| async move {
                for shard in step {
                    DROPS.delete(&tx, &(node, *shard));
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Whether the catalog has nothing left to collect or to have dropped (reads within their grace apart).
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

/// Each segment frees n drops of about 80 bytes; this many keep the widest geometry's transaction small.
const SEGMENTS_PER_STEP: usize = 32;

/// Garbage is counted up to this many rows of a kind; more is just "many".
const GARBAGE_COUNTED: usize = 10_000;

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

fn spread(stream: StreamId) -> u8 {
    (stream.serial % u64::from(CHECK_SPREAD)) as u8
}
