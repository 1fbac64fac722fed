//! Nodes and their invites.

use serde::{Deserialize, Serialize};
use types::{NodeId, Timestamp};

/// A volunteer's machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What its owner calls it.
    pub name: String,
    /// Bytes it offered when it joined, or last said.
    pub capacity: u64,
    /// When it joined.
    pub joined: Timestamp,
    /// When it was last connected, to the minute.
    pub last_seen: Timestamp,
    /// Whether it counts.
    pub state: NodeState,
}

/// Whether a node counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeState {
    /// A member, online or asleep.
    Active,
    /// Declared lost: its slots go to others. If it comes back it starts empty.
    Lost {
        /// Since when.
        at: Timestamp,
    },
}

/// A one-time invite, stored under the hash of its token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// When it was made.
    pub created: Timestamp,
    /// When it stops being good.
    pub expires: Timestamp,
    /// Who used it.
    pub used_by: Option<NodeId>,
    /// Whether the operator took it back.
    pub revoked: bool,
}
