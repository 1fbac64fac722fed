//! What a node did that no honest one does. Only this costs reputation: a node that is slow, full or asleep is never blamed.

use std::fmt;

use types::{NodeId, ShardId};

use crate::message::Verb;

/// Shows which node broke which rule in which conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evidence {
    /// The guilty node, by the key of its connection.
    pub node: NodeId,
    /// What it was asked.
    pub verb: Verb,
    /// What it did.
    pub offence: Offence,
}

/// The ways to misbehave.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Offence {
    /// Bytes of a fetch that do not hash to the shard's root.
    #[error("bytes {offset}+{len} of shard {shard} do not hash to its root")]
    WrongBytes {
        /// The shard.
        shard: ShardId,
        /// Where the wrong step begins, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
    },
    /// The node holds the shard with a length that the root cannot have.
    #[error("shard {shard} is {claimed} bytes long by the node and {expected} by the catalog")]
    WrongShardLength {
        /// The shard.
        shard: ShardId,
        /// Bytes by the catalog.
        expected: u64,
        /// Bytes by the node.
        claimed: u64,
    },
    /// A receipt whose signature or inclusion proof does not hold, or that is not for what was asked.
    #[error("forged receipt: {0}")]
    ForgedReceipt(&'static str),
    /// A body that is not as long as declared, or was declared with another length than its content has.
    #[error("a body of {got} bytes where {declared} were due")]
    WrongLength {
        /// Bytes due.
        declared: u64,
        /// Bytes there, as far as they were counted.
        got: u64,
    },
    /// A message larger than its verb allows.
    #[error("a message of {len} bytes where at most {max} are allowed")]
    Oversized {
        /// Bytes by its prefix.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// A message that cannot be read, or that breaks a rule of its type.
    #[error("a malformed message: {0}")]
    Malformed(&'static str),
    /// A breach of HTTP/2 itself: frame, header, flow or flood limits.
    #[error("a breach of HTTP/2: {0}")]
    Http2(String),
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} misbehaved in {}: {}", self.node, self.verb, self.offence)
    }
}
