//! Gateways' leased licences to store.

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// A session. Every commit of a stream checks it with `get_shared`, so a gateway that lost its lease can commit nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Which gateway.
    pub gateway: String,
    /// When it began.
    pub started: Timestamp,
    /// Whether it may commit.
    pub state: SessionState,
    /// Raised by each renewal (the fencing number).
    pub fencing: u64,
}

/// Whether a session may commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SessionState {
    /// Until this time, unless renewed.
    Leased {
        /// When the lease runs out.
        until: Timestamp,
    },
    /// Never again: what it wrote and the catalog does not know is garbage.
    Ended {
        /// Since when.
        at: Timestamp,
    },
}
