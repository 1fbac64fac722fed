//! Store, fetch and drop: a shard's way to a node, back, and away.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Epoch, Root, ShardId};

use super::{Message, wire_bytes};
use crate::limits;
use crate::receipt::Receipt;
use crate::revision::SignedRevision;
use crate::steps::{BadRange, Steps};

/// Asks a node to take a shard; exactly `len` bytes of it follow the message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreRequest {
    /// Which.
    pub shard: ShardId,
    /// The group's epoch as the gateway knows it.
    pub epoch: Epoch,
    /// Bytes; 1 to [`limits::SHARD_MAX`].
    pub len: u64,
    /// Sealed, opaque to the node; at most [`limits::LABEL_MAX`] bytes.
    #[serde(with = "wire_bytes")]
    pub label: Bytes,
    /// Whether a shard that already lies under this id may be replaced.
    pub overwrite: bool,
}

/// Where a record begins in a node's logs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The log file's number.
    pub file: u32,
    /// Bytes from its start.
    pub offset: u64,
}

/// The shard is on the node's disk and fsynced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreAnswer {
    /// What the node hashed. The caller compares it with what it computed itself.
    pub root: Root,
    /// Bytes taken.
    pub len: u64,
    /// Where.
    pub position: LogPosition,
    /// The node's signature over all this.
    pub receipt: Receipt,
}

/// Asks for a range of a shard, to be proven and sent in steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchRequest {
    /// Which.
    pub shard: ShardId,
    /// The group's epoch as the gateway knows it.
    pub epoch: Epoch,
    /// First byte; a multiple of [`limits::HASH_GROUP`].
    pub offset: u64,
    /// Bytes, at least 1; the end is a multiple of [`limits::HASH_GROUP`] or the shard's end.
    pub len: u64,
    /// Bytes per step but the last; a multiple of [`limits::HASH_GROUP`], at most [`limits::STEP_MAX`].
    pub step: u32,
}

impl FetchRequest {
    /// The steps in which a shard of `shard_len` bytes answers this request.
    ///
    /// # Errors
    /// If the range is not aligned as its fields say, or not within the shard.
    pub fn steps(&self, shard_len: u64) -> Result<Steps, BadRange> {
        Steps::new(shard_len, self.offset, self.len, u64::from(self.step))
    }
}

/// Comes before the steps of a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchAnswer {
    /// Bytes of the whole shard as the node has it.
    pub shard_len: u64,
}

/// What became of one shard of a drop. The order is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Dropped {
    /// It was there and is no longer served.
    Dropped,
    /// It was not there.
    Unknown,
}

/// The node's answer to a drop: recorded and fsynced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DropAnswer {
    /// For each shard of the revision, in its order.
    pub outcomes: Vec<Dropped>,
    /// Where the record lies.
    pub position: LogPosition,
    /// The node's signature over all this.
    pub receipt: Receipt,
}

impl Message for StoreRequest {
    fn check(&self) -> Result<(), &'static str> {
        if self.len == 0 || self.len > limits::SHARD_MAX {
            Err("no shard has such a length")
        } else if self.label.len() > limits::LABEL_MAX {
            Err("the label is too long")
        } else {
            Ok(())
        }
    }
}

impl Message for StoreAnswer {
    fn check(&self) -> Result<(), &'static str> {
        self.receipt.check()
    }
}

impl Message for FetchRequest {
    fn check(&self) -> Result<(), &'static str> {
        // The rest depends on the shard's length, which the node looks up first.
        if self.len == 0 || u64::from(self.step) > limits::STEP_MAX {
            Err("no such range")
        } else {
            Ok(())
        }
    }
}

impl Message for FetchAnswer {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for SignedRevision {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for DropAnswer {
    fn check(&self) -> Result<(), &'static str> {
        self.receipt.check()
    }
}
