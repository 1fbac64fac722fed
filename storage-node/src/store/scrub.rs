//! The scrubber reads everything, slowly, and finds rot before an audit does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use codec::hash::Outboard;
use types::ShardId;

use crate::error::Error;
use crate::store::entry::{Change, PutRef};
use crate::store::log::Log;
use crate::store::recover::matches_root;
use crate::store::walk;
use crate::store::{Handle, Inner};

/// Index rows read at a time.
const PAGE: usize = 256;

/// What a scrub saw.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scrubbed {
    /// Shards read.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them are damaged.
    pub rotten: u64,
}

impl Handle {
    /// Reads every shard that is not dropped once, `rate` bytes a second at most.
    pub(crate) async fn scrub(&self, rate: Option<u64>) -> Result<Scrubbed, Error> {
        let mut seen = Scrubbed::default();
        let mut after = None;
        loop {
            let rows = self.inner.index.page(after, PAGE).await?;
            let Some((last, _)) = rows.last() else { return Ok(seen) };
            after = Some(*last);
            for (shard, entry) in rows {
                let Some(put) = entry.put.filter(|_| entry.dropped.is_none()) else { continue };
                let began = Instant::now();
                if !self.check(shard, put, entry.rot).await? {
                    seen.rotten += 1;
                }
                seen.shards += 1;
                seen.bytes += put.len;
                if let Some(rate) = rate {
                    let pause = Duration::from_secs_f64(put.span() as f64 / rate.max(1) as f64);
                    tokio::time::sleep(pause.max(self.rest_after(began.elapsed()))).await;
                }
            }
        }
    }

    /// How long to leave the disk alone after it was kept busy for so long: a slow disk is read less, not longer.
    fn rest_after(&self, busy: Duration) -> Duration {
        let share = u32::from(self.inner.scrub_share.load(Ordering::Relaxed)).clamp(1, 100);
        busy.saturating_mul(100 - share) / share
    }

    /// Whether the shard's record is whole; notes it if that is news. A disk that failed for a while may leave sound shards under suspicion.
    async fn check(&self, shard: ShardId, put: PutRef, rot: bool) -> Result<bool, Error> {
        // A log that is gone was compacted meanwhile, and its shards were checked while they were copied.
        let Some(log) = self.inner.logs.get(put.place.file) else { return Ok(true) };
        let inner = Arc::clone(&self.inner);
        let whole = tokio::task::spawn_blocking(move || is_whole(&inner, &log, &put))
            .await
            .map_err(|_| Error::Closed)?;
        if whole == rot {
            tracing::warn!(%shard, whole, "a shard is not in the state it was thought to be in");
            let change = if whole { Change::Heal(put.place) } else { Change::Rot(put.place) };
            let effects = self.inner.index.update(&[(shard, change)], None).await?;
            self.inner.settle(&effects);
        }
        Ok(whole)
    }
}

fn is_whole(inner: &Inner, log: &Log, put: &PutRef) -> bool {
    let ends = walk::read_put(log, inner.logs.key(), put.place, usize::from(put.label_len));
    let Ok(Some((_, trailer))) = ends else { return false };
    let outboard = Outboard::from_bytes(&trailer.outboard);
    outboard.is_ok_and(|outboard| outboard.root() == put.root) && matches_root(log, put)
}
