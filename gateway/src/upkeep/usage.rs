//! Usage: adds up the buckets that have a quota (see [`crate::quota`]).
//!
//! It rests twenty times as long as it worked, so that large buckets cost a twentieth of a processor at most; and begins at once when a quota is set.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metadata::{Catalog, CatalogError, ConfigKind, ListQuery};
use tokio_util::sync::CancellationToken;
use types::BucketId;

use crate::configs::Configs;
use crate::quota::{Quota, Quotas};

/// Versions read at a time.
const PAGE: usize = 1_000;
/// How many times as long as it worked it rests.
const REST: u32 = 20;

/// Adds up buckets.
pub struct UsageWorker {
    /// The catalog.
    pub catalog: Catalog,
    /// Where quotas are kept.
    pub configs: Configs,
    /// Where sums go.
    pub quotas: Arc<Quotas>,
    /// The shortest rest.
    pub interval: Duration,
}

impl UsageWorker {
    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let began = Instant::now();
            let worked = tokio::select! {
                () = stop.cancelled() => return,
                worked = self.round() => worked,
            };
            if let Err(error) = worked {
                tracing::warn!(%error, "buckets with quotas could not be added up; the next round tries again");
            }
            let rest = self.interval.max(began.elapsed().saturating_mul(REST));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                () = self.quotas.wait() => {}
            }
        }
    }

    async fn round(&self) -> Result<(), CatalogError> {
        let buckets = self.catalog.buckets_with(ConfigKind::Quota).await?;
        let ids: HashSet<BucketId> = buckets.iter().map(|(_, bucket)| bucket.id).collect();
        self.quotas.keep_only(&ids);
        for id in ids {
            if let Some(quota) = self.configs.get::<Quota>(id).await? {
                self.quotas.begin(id, *quota);
                self.quotas.finish(id, self.sum(id).await?);
            }
        }
        Ok(())
    }

    async fn sum(&self, bucket: BucketId) -> Result<u64, CatalogError> {
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        let (mut sum, mut after) = (0_u64, None);
        loop {
            let (page, last) = self.catalog.list_versions(bucket, &query, after).await?;
            let sizes = page.items.iter().map(|version| version.entry.size);
            sum = sizes.fold(sum, u64::saturating_add);
            match page.next {
                Some(next) => (query.after, after) = (Some(next), last),
                None => return Ok(sum),
            }
        }
    }
}
