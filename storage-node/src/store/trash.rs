//! The trash: dropped shards rest for a grace before their bytes count as dead, so that a mistaken drop can still be undone by storing nothing
//! but time.

use crate::error::Error;
use crate::store::Handle;
use crate::store::entry::Change;

/// Shards taken out at a time.
const BATCH: usize = 512;

impl Handle {
    /// Gives up every shard whose grace is over. Returns how many there were.
    pub(crate) async fn sweep(&self) -> Result<usize, Error> {
        let now = self.inner.clock.now();
        let grace = u64::try_from(self.inner.trash_grace.as_millis()).unwrap_or(u64::MAX);
        let Some(before) = now.0.checked_sub(grace).map(types::Timestamp) else { return Ok(0) };
        let mut swept = 0;
        loop {
            let due = self.inner.index.trash(before, BATCH).await?;
            if due.is_empty() {
                return Ok(swept);
            }
            let changes: Vec<_> =
                due.iter().map(|(shard, sequence)| (*shard, Change::Sweep(*sequence))).collect();
            let effects = self.inner.index.update(&changes, None).await?;
            self.inner.settle(&effects);
            swept += due.len();
        }
    }
}
