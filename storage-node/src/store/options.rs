//! How a store behaves.

use std::sync::Arc;
use std::time::Duration;

use protocol::receipt::ReceiptSigner;
use types::clock::SharedClock;
use types::{MIB, SystemClock};

/// How a store behaves. Every field is a default that an owner may change.
#[derive(Clone)]
pub struct StoreOptions {
    /// Bytes that all logs together may take on disk.
    pub quota: u64,
    /// Bytes to leave free on the file system; `None`: 1 GiB or 1 % of it, whichever is less.
    pub min_free: Option<u64>,
    /// Bytes of one log; `None`: a 64th of the quota, between 16 MiB and 1 GiB.
    pub log_size: Option<u64>,
    /// How long dropped shards rest before their space is used again.
    pub trash_grace: Duration,
    /// How often trash and logs are looked through.
    pub upkeep_interval: Duration,
    /// Bytes per second the scrubber reads; `None`: no scrubbing.
    pub scrub_rate: Option<u64>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Signs for what is durable.
    pub signer: ReceiptSigner,
}

impl StoreOptions {
    /// The defaults for a store of `quota` bytes.
    #[must_use]
    pub fn new(quota: u64, signer: ReceiptSigner) -> Self {
        Self {
            quota,
            min_free: None,
            log_size: None,
            trash_grace: Duration::from_secs(24 * 3600),
            upkeep_interval: Duration::from_secs(60),
            scrub_rate: Some(4 * MIB),
            clock: Arc::new(SystemClock),
            signer,
        }
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions")
            .field("quota", &self.quota)
            .field("min_free", &self.min_free)
            .field("log_size", &self.log_size)
            .field("trash_grace", &self.trash_grace)
            .field("upkeep_interval", &self.upkeep_interval)
            .field("scrub_rate", &self.scrub_rate)
            .finish_non_exhaustive()
    }
}
