//! The catalog: every question the gateway asks about buckets, objects, streams, groups, nodes and sessions, and every change to
//! them, each one transaction (or a chain of small ones that says so).
//!
//! What must always hold is in [`invariants`]; [`fsck`] checks it on live data.
//!
//! ```text
//! bucket ─ object (key) ─▶ manifest ─▶ extents ─▶ stream ─▶ segments ─▶ group ─▶ slots ─▶ nodes
//!                             └▶ wraps (manifest, stream)      ▲
//!                                references (stream, manifest) ┘
//! ```

pub mod accounting;
pub mod accounts;
pub mod append;
pub mod buckets;
pub mod commit;
pub mod configs;
pub mod delete;
pub mod details;
pub mod drops;
pub mod error;
pub mod fsck;
pub mod garbage;
pub mod groups;
pub mod holdings;
pub mod invariants;
pub mod kms;
pub mod list_versions;
pub mod listing;
pub mod locate;
pub mod migrate;
pub mod nodes;
pub mod outbox;
pub mod queue;
pub mod recode;
pub mod records;
pub mod rename;
mod rows;
pub mod schema;
pub mod sessions;
mod stage;
pub mod streams;
pub mod takedowns;
pub mod uploads;
pub mod versions;
mod walk;

use std::sync::Arc;

use kv::{KeyCodec, KeyPrefix, Kv, Snap, Table};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::Timestamp;
use types::clock::SharedClock;

pub use accounting::AccountingClock;
pub use append::Append;
pub use buckets::NewBucket;
pub use commit::{Condition, NewBody, NewObject, Preconditions, StreamCommit};
pub use delete::{Delete, Deleted, Rank, Seen};
pub use details::Changed;
pub use error::CatalogError;
pub use listing::{ListPage, ListQuery};
pub use locate::{Located, LocatedBody};
pub use nodes::Guest;
pub use outbox::{Dispatch, DispatchAt};
pub use queue::{Sequel, Task};
pub use records::{
    Acl, Body, Bucket, ConfigKind, Detail, Entry, Etag, Extent, PlacementGroup, SegmentRow,
};
pub use rename::Rename;

/// Extents in one page of a manifest at most, so that a row stays well below the engine's value limit.
pub const EXTENTS_PER_PAGE: usize = 500;

/// The catalog over one engine. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    kv: Arc<dyn Kv>,
    clock: SharedClock,
    /// How long a GET may run on after a delete; collect waits that long.
    read_grace: std::time::Duration,
}

impl Catalog {
    /// The catalog kept in `kv`, which must have been opened with [`schema::families`].
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, clock: SharedClock, read_grace: std::time::Duration) -> Self {
        Self { kv, clock, read_grace }
    }

    /// The engine below, for checkpoints.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Kv> {
        &self.kv
    }

    /// This installation's identity, made at the first call.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn cluster_id(&self) -> Result<[u8; 16], CatalogError> {
        let fresh = types::entropy::random_bytes();
        kv::transact(&*self.kv, |tx| async move {
            if let Some(id) = schema::CLUSTER.get_for_update(&tx, &()).await? {
                return Ok(id);
            }
            schema::CLUSTER.put(&tx, &(), &fresh);
            Ok(fresh)
        })
        .await
    }

    /// Whether the engine answers: reads one row.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn ready(&self) -> Result<(), CatalogError> {
        let snap = self.kv.snapshot().await?;
        schema::CLUSTER.get(&snap, &()).await?;
        Ok(())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Every row of a small table.
    async fn all<K, V>(&self, table: &Table<K, V>) -> Result<Vec<(K, V)>, CatalogError>
    where
        K: KeyCodec,
        V: Serialize + DeserializeOwned,
    {
        Ok(table.scan(&self.kv.snapshot().await?, KeyPrefix::new(), usize::MAX).await?)
    }

    /// Every row whose key begins with `prefix`.
    async fn under<K, V>(
        &self,
        snap: &Snap,
        table: &Table<K, V>,
        prefix: &impl KeyCodec,
    ) -> Result<Vec<(K, V)>, CatalogError>
    where
        K: KeyCodec,
        V: Serialize + DeserializeOwned,
    {
        Ok(table.scan(snap, KeyPrefix::of(prefix), usize::MAX).await?)
    }
}
