//! The owner's frame: what the node may take from the machine. Everything else asks here, so that there is one place to look.
//!
//! Enforced now: the disk quota and the minimum free space, both by the store before a byte is accepted.

pub mod report;

use serde::{Deserialize, Serialize};
use types::ByteSize;

/// The limits an owner sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Disk space lent: what all log files together may take.
    pub disk: ByteSize,
    /// What must stay free on the file system; `None`: 1 GiB or 1 % of it, whichever is less.
    pub min_free: Option<ByteSize>,
}
