//! Collect: what nobody refers to is freed in the catalog, then dropped by the nodes, whenever they come.

use protocol::message::Dropped;
use protocol::revision::{Action, Revision};
use types::ShardId;

use super::{Upkeep, UpkeepError};
use crate::nodes::Member;

/// Shards in one drop.
const DROPS_AT_ONCE: usize = 1000;

const _: () = assert!(DROPS_AT_ONCE <= protocol::limits::DROPS_MAX);

impl Upkeep {
    /// Works off all releases, and all streams whose read grace is over.
    pub(super) async fn collect(&self) -> Result<(), UpkeepError> {
        let released = self.release().await;
        // A release that fails every time must not keep streams from being freed.
        while self.catalog.collect_checks().await? > 0 {}
        released
    }

    async fn release(&self) -> Result<(), UpkeepError> {
        while self.catalog.collect_releases().await? > 0 {}
        Ok(())
    }

    /// Sends every connected node the drops it still has to do.
    pub(super) async fn send_drops(&self) -> Result<(), UpkeepError> {
        for member in self.nodes.members() {
            if let Err(error) = self.send_drops_to(&member).await {
                tracing::info!(node = %member.id(), %error, "drops could not be sent; they wait");
            }
        }
        Ok(())
    }

    async fn send_drops_to(&self, member: &Member) -> Result<(), UpkeepError> {
        loop {
            let shards = self.catalog.drops_of(member.id(), DROPS_AT_ONCE).await?;
            if shards.is_empty() {
                return Ok(());
            }
            let found = self.drop_on(member, shards.clone()).await?;
            tracing::debug!(node = %member.id(), ordered = shards.len(), found, "shards dropped");
            metrics::counter!("drystone_shards_dropped_total").increment(found as u64);
            self.catalog.drops_done(member.id(), &shards).await?;
            if shards.len() < DROPS_AT_ONCE {
                return Ok(());
            }
        }
    }

    /// Has a node drop shards; how many it had.
    async fn drop_on(&self, member: &Member, shards: Vec<ShardId>) -> Result<usize, UpkeepError> {
        let now = self.clock.now();
        // Revisions of one gateway are numbered by time: later ones always win.
        let revision = Revision { number: now.0, created: now, action: Action::Drop(shards) };
        let answer = member.client().drop_shards(&revision.sign(&self.revision)?).await?;
        Ok(answer.outcomes.iter().filter(|outcome| **outcome == Dropped::Dropped).count())
    }
}
