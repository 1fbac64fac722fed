//! Quotas: how many bytes a bucket may hold, and about how many it does.
//!
//! Nothing is counted in the catalog. [`crate::upkeep::usage`] adds up every bucket that has a quota now and then; between two sums each write
//! that begins is added, and nothing is taken off for what it replaces, for deletions and for writes that fail. So what is known here is too
//! much rather than too little, but for what was written through another gateway, and a request only looks at memory. After a start, or
//! after a quota was set, nothing is refused until the bucket was added up.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metadata::ConfigKind;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use types::BucketId;

use crate::configs::Kept;

/// What a bucket may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes of all its objects, older versions among them; parts of uploads under way do not count.
    pub bytes: u64,
}

impl Kept for Quota {
    const KIND: ConfigKind = ConfigKind::Quota;
}

/// A write would exceed its bucket's quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the bucket may hold {limit} bytes, and holds about {used}")]
pub struct QuotaExceeded {
    /// What it may hold.
    pub limit: u64,
    /// About what it does.
    pub used: u64,
}

/// What is known of the buckets that have a quota.
#[derive(Default)]
pub struct Quotas {
    buckets: Mutex<HashMap<BucketId, Measure>>,
    changed: Notify,
}

#[derive(Clone, Copy, Default)]
struct Measure {
    limit: u64,
    /// The last sum; `None` before the first.
    sum: Option<u64>,
    /// Bytes of writes that began before the sum that is being made, and may be missing in the one before.
    earlier: u64,
    /// Bytes of writes that began since then.
    since: u64,
}

impl Measure {
    fn used(&self) -> Option<u64> {
        Some(self.sum?.saturating_add(self.earlier).saturating_add(self.since))
    }
}

impl Quotas {
    /// Lets so many bytes into a bucket, and counts them.
    ///
    /// # Errors
    /// [`QuotaExceeded`].
    pub fn admit(&self, bucket: BucketId, bytes: u64) -> Result<(), QuotaExceeded> {
        let mut buckets = self.buckets();
        let Some(measure) = buckets.get_mut(&bucket) else { return Ok(()) };
        fits(measure, bytes)?;
        measure.since = measure.since.saturating_add(bytes);
        Ok(())
    }

    /// Whether so many bytes fit now. They are not counted.
    ///
    /// # Errors
    /// [`QuotaExceeded`].
    pub fn check(&self, bucket: BucketId, bytes: u64) -> Result<(), QuotaExceeded> {
        self.buckets().get(&bucket).map_or(Ok(()), |measure| fits(measure, bytes))
    }

    /// About how many bytes a bucket holds; nothing before it was added up.
    #[must_use]
    pub fn used(&self, bucket: BucketId) -> Option<u64> {
        self.buckets().get(&bucket).and_then(Measure::used)
    }

    /// A quota was set or taken away: the buckets are looked at at once.
    pub fn changed(&self, bucket: BucketId, quota: Option<Quota>) {
        match quota {
            Some(Quota { bytes }) => self.buckets().entry(bucket).or_default().limit = bytes,
            None => {
                self.buckets().remove(&bucket);
            }
        }
        self.changed.notify_one();
    }

    /// Waits until a quota is set or taken away.
    pub(crate) async fn wait(&self) {
        self.changed.notified().await;
    }

    /// A sum begins.
    pub(crate) fn begin(&self, bucket: BucketId, quota: Quota) {
        let mut buckets = self.buckets();
        let measure = buckets.entry(bucket).or_default();
        measure.limit = quota.bytes;
        measure.earlier = measure.earlier.saturating_add(std::mem::take(&mut measure.since));
    }

    /// A sum was made. What was written while it was being made may be in it and is counted beside it until the next.
    pub(crate) fn finish(&self, bucket: BucketId, sum: u64) {
        if let Some(measure) = self.buckets().get_mut(&bucket) {
            (measure.sum, measure.earlier) = (Some(sum), 0);
        }
    }

    /// Only these buckets have quotas.
    pub(crate) fn keep_only(&self, buckets: &HashSet<BucketId>) {
        self.buckets().retain(|bucket, _| buckets.contains(bucket));
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<BucketId, Measure>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fits(measure: &Measure, bytes: u64) -> Result<(), QuotaExceeded> {
    let limit = measure.limit;
    match measure.used() {
        Some(used) if used.saturating_add(bytes) > limit => Err(QuotaExceeded { limit, used }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKET: BucketId = BucketId([1; 16]);

    #[test]
    fn writes_count_until_a_sum_that_began_after_them() {
        let quotas = Quotas::default();
        let quota = Quota { bytes: 100 };
        assert_eq!(quotas.admit(BUCKET, 1_000), Ok(()), "no quota");
        quotas.changed(BUCKET, Some(quota));
        assert_eq!(quotas.admit(BUCKET, 1_000), Ok(()), "not added up yet");
        quotas.begin(BUCKET, quota);
        assert_eq!(quotas.admit(BUCKET, 10), Ok(()), "not added up yet");
        quotas.finish(BUCKET, 50);
        assert_eq!(quotas.used(BUCKET), Some(60));
        assert_eq!(quotas.admit(BUCKET, 40), Ok(()));
        let full = QuotaExceeded { limit: 100, used: 100 };
        assert_eq!(quotas.admit(BUCKET, 1), Err(full));
        assert_eq!(quotas.check(BUCKET, 0), Ok(()));
        quotas.begin(BUCKET, quota);
        assert_eq!(quotas.used(BUCKET), Some(100));
        quotas.finish(BUCKET, 30);
        assert_eq!(quotas.check(BUCKET, 70), Ok(()));
        assert_eq!(quotas.check(BUCKET, 71), Err(QuotaExceeded { limit: 100, used: 30 }));
        quotas.keep_only(&HashSet::new());
        assert_eq!(quotas.used(BUCKET), None);
    }
}
