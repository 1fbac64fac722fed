//! Delivers buckets' access logs: every few minutes, what the log book holds becomes objects in the target buckets.
//!
//! A best effort, as on AWS: lines live in memory until then, so a crash loses those of the last minutes, and so does a target that takes
//! nothing for so long that the log book is full.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Catalog, CatalogError};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;

use super::deliver::Delivery;
use crate::configs::Configs;
use crate::logbook::{LogBook, Page};
use crate::put::PutError;
use crate::rules::logging::{Logged, Logging};
use crate::s3::{Actor, Deed, Targets};

/// Deliveries in a day.
const DELIVERIES_A_DAY: u32 = 288;
/// Between two deliveries at least, however short a day is.
const DELIVERY_MIN: Duration = Duration::from_millis(500);
/// How long a stopping gateway takes for the last delivery.
const LAST_DELIVERY: Duration = Duration::from_secs(3);
/// The longest pause after deliveries that failed for want of nodes; the first is twice [`DELIVERY_MIN`], each further one twice as long.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why a page could not be delivered.
#[derive(Debug, thiserror::Error)]
enum DeliveryError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] PutError),
    /// The target is another's, or its name and the prefix make no key: it never takes anything.
    #[error("{0}")]
    Never(&'static str),
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct LogWorker {
    /// Buckets.
    pub catalog: Catalog,
    /// Where logs go.
    pub configs: Configs,
    /// What waits.
    pub book: Arc<LogBook>,
    /// Writes the objects.
    pub delivery: Delivery,
    /// What targets take.
    pub targets: Targets,
    /// The time.
    pub clock: SharedClock,
    /// The name of the region.
    pub region: String,
    /// How long a day is.
    pub day: Duration,
}

impl LogWorker {
    /// Delivers until stopped, and once more then.
    pub async fn run(self, stop: CancellationToken) {
        let pause = (self.day / DELIVERIES_A_DAY).max(DELIVERY_MIN);
        let mut failures = 0_u32;
        while !stop.is_cancelled() {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Much waits anyway after a failure: that is no reason to hurry.
                () = self.book.many(), if failures == 0 => {}
                () = tokio::time::sleep(after(failures)), if failures > 0 => {}
                () = stop.cancelled() => break,
            }
            // What was taken out of the book is delivered or given back, also when the gateway stops meanwhile.
            failures = if self.deliver_all(&stop).await { 0 } else { failures.saturating_add(1) };
        }
        let never = CancellationToken::new();
        let last = tokio::time::timeout(LAST_DELIVERY, self.deliver_all(&never));
        if last.await.is_err() {
            tracing::warn!("some lines of access logs were not delivered before the stop");
        }
    }

    /// Delivers what is in the book; whether there were nodes enough. Once stopped it begins with no further page.
    async fn deliver_all(&self, stop: &CancellationToken) -> bool {
        let mut fine = true;
        let (pages, dropped) = self.book.take();
        if dropped > 0 {
            tracing::warn!(dropped, "lines of access logs did not fit into memory");
            metrics::counter!("drystone_access_log_dropped_total").increment(dropped);
        }
        for page in pages {
            if stop.is_cancelled() {
                self.book.give_back(page);
                continue;
            }
            let delivered = tokio::select! {
                delivered = self.deliver(&page) => delivered,
                () = stopped_for_long(stop) => {
                    self.book.give_back(page);
                    continue;
                }
            };
            match delivered {
                Ok(()) => {}
                Err(DeliveryError::Store(PutError::TooFewNodes { stored, needed })) => {
                    tracing::warn!(bucket = %page.bucket, stored, needed, "an access log waits for nodes");
                    self.book.give_back(page);
                    fine = false;
                }
                Err(error) => {
                    tracing::warn!(bucket = %page.bucket, %error, "an access log could not be delivered");
                }
            }
        }
        fine
    }

    async fn deliver(&self, page: &Page) -> Result<(), DeliveryError> {
        // Turned off meanwhile: what is left goes nowhere.
        let Some(logging) = self.configs.get::<Logging>(page.id).await? else { return Ok(()) };
        let row = self.catalog.bucket(&logging.target).await?;
        if row.owner != logging.owner {
            return Err(DeliveryError::Never("the target belongs to another account now"));
        }
        let of = Logged { owner: &page.owner, region: &self.region, bucket: &page.bucket };
        let unique = types::entropy::random_bytes();
        let name = logging.object_key(of, self.clock.now(), page.day, unique);
        let key =
            name.parse().map_err(|_| DeliveryError::Never("the prefix is too long for a key"))?;
        let target = (&logging.target, &row);
        let deed = Deed { actor: Actor::Logging, source: &page.bucket, account: &page.owner };
        if !self.targets.take(&deed, target, &name).await? {
            return Err(DeliveryError::Never("the target does not let logs be delivered any more"));
        }
        self.delivery.put(target, key, page.text.clone(), ("text/plain", None)).await?;
        Ok(())
    }
}

/// The pause after so many failed deliveries.
fn after(failures: u32) -> Duration {
    DELIVERY_MIN.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX)
}

/// A page that is under way when the gateway stops has this long to get through.
async fn stopped_for_long(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(LAST_DELIVERY).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_nodes_deliveries_become_ever_rarer() {
        assert_eq!(after(1), DELIVERY_MIN * 2);
        assert_eq!(after(3), DELIVERY_MIN * 8);
        assert_eq!(after(u32::MAX), PAUSE_MAX);
    }
}
