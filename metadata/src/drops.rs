//! Drops: shards that a node still has to delete. They wait for it, however long it sleeps.

use kv::KeyPrefix;
use types::{NodeId, ShardId};

use crate::schema::DROPS;
use crate::{Catalog, CatalogError};

/// Drops written or forgotten in one transaction.
const STEP: usize = 1000;

impl Catalog {
    /// Up to `limit` shards that `node` has still to drop.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn drops_of(&self, node: NodeId, limit: usize) -> Result<Vec<ShardId>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let drops = DROPS.scan(&snap, KeyPrefix::of(&node), limit).await?;
        Ok(drops.into_iter().map(|((_, shard), _)| shard).collect())
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
}
