//! Abandon: what becomes of a stream whose upload failed. Nodes drop unfinished shards by themselves; finished ones are ordered
//! dropped; rows that were committed on the way are left to collect. What a crash leaves behind, reconcile finds once the session has ended.

use std::collections::HashMap;

use metadata::{Catalog, CatalogError};
use types::{NodeId, ShardId, StreamId};

/// Abandons its stream when dropped, unless disarmed. A request that is cancelled anywhere thus leaves nothing behind.
///
/// It must be disarmed *before* a commit whose outcome could be "done, but nobody heard": dropping the shards of a committed object loses
/// it. See [`Abandon::conclude`].
pub(crate) struct Abandon {
    catalog: Catalog,
    stream: StreamId,
    /// Every shard that was offered to a node.
    offered: Vec<(NodeId, ShardId)>,
    armed: bool,
}

impl Abandon {
    pub(crate) fn new(catalog: Catalog, stream: StreamId) -> Self {
        Self { catalog, stream, offered: Vec::new(), armed: true }
    }

    /// Remembers a shard that a node may now have.
    pub(crate) fn offered(&mut self, node: NodeId, shard: ShardId) {
        self.offered.push((node, shard));
    }

    /// Decides by the outcome of the commit: done keeps the stream, a refusal abandons it, and an engine's failure, which may
    /// hide a success, leaves it to reconcile.
    pub(crate) fn conclude<T>(mut self, committed: &Result<T, CatalogError>) {
        self.armed = matches!(committed, Err(refused) if !matches!(refused, CatalogError::Kv(_)));
    }

    async fn run(
        catalog: Catalog,
        stream: StreamId,
        offered: Vec<(NodeId, ShardId)>,
    ) -> Result<(), CatalogError> {
        if !catalog.abandon_stream(stream).await? {
            // Its commit happened after all: whether anybody refers to it is for collect to decide.
            return Ok(());
        }
        let mut by_node: HashMap<NodeId, Vec<ShardId>> = HashMap::new();
        for (node, shard) in offered {
            by_node.entry(node).or_default().push(shard);
        }
        for (node, shards) in by_node {
            catalog.order_drops(node, &shards).await?;
        }
        Ok(())
    }
}

impl Drop for Abandon {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (catalog, stream, offered) =
            (self.catalog.clone(), self.stream, std::mem::take(&mut self.offered));
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = Self::run(catalog, stream, offered).await {
                tracing::warn!(%stream, %error, "an abandoned stream could not be noted; reconcile will find it");
            }
        });
    }
}
