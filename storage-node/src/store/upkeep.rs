//! What a store does by itself: it gives up trash, empties logs and looks for rot, until it is closed.

use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::store::{Handle, Store};

/// How often a scrub begins at most, however little there is to read.
const SCRUB_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// How long the first scrub waits: a machine that has just started has other things to read.
const SCRUB_DELAY: Duration = Duration::from_secs(600);

impl Store {
    pub(super) fn spawn_upkeep(&self, interval: Duration) {
        let (weak, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        let inner = Arc::clone(&self.0.inner);
        self.0.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.upkeep.notified() => {}
                    () = tokio::time::sleep(interval) => {}
                }
                let Some(handle) = weak.upgrade() else { return };
                let tidied = tokio::select! {
                    () = stop.cancelled() => return,
                    tidied = tidy(handle) => tidied,
                };
                if let Err(error) = tidied {
                    tracing::warn!(%error, "upkeep of the store was cut short");
                }
            }
        });
    }

    pub(super) fn spawn_scrub(&self, rate: u64) {
        let (weak, stop) = (Arc::downgrade(&self.0), self.0.stop.clone());
        self.0.tasks.spawn(async move {
            let mut pause = SCRUB_DELAY;
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = SCRUB_PAUSE;
                let Some(handle) = weak.upgrade() else { return };
                tokio::select! {
                    () = stop.cancelled() => return,
                    seen = handle.scrub(Some(rate)) => match seen {
                        Ok(seen) => tracing::info!(?seen, "the store was scrubbed"),
                        Err(error) => tracing::warn!(%error, "a scrub was cut short"),
                    },
                }
            }
        });
    }
}

/// Gives up trash whose grace is over, and empties logs that are mostly dead.
pub(super) async fn tidy(handle: Arc<Handle>) -> Result<(), Error> {
    handle.sweep().await?;
    handle.compact().await?;
    Ok(())
}
