//! Hello: both ends say who they are, and agree on a version.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use types::{Epoch, GroupId, Timestamp};

use super::Message;
use crate::identity::{ClusterId, SignedFloor};
use crate::limits;
use crate::version::Versions;

/// What an owner calls a node: 1 to [`limits::NAME_MAX`] bytes, no control characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// A text that is no node name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a node's name is 1 to 64 bytes without control characters")]
pub struct NodeNameError;

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        let fine =
            (1..=limits::NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fine { Ok(Self(text)) } else { Err(NodeNameError) }
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first request: who calls, and what the node should know. Its form is the same in every version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloRequest {
    /// What the gateway speaks.
    pub versions: Versions,
    /// Of which installation it is.
    pub cluster: ClusterId,
    /// Its time, so that a node can tell its owner that one of the two clocks is wrong.
    pub time: Timestamp,
    /// Groups of this node whose epoch moved lately; at most [`limits::EPOCHS_MAX`].
    pub epochs: Vec<GroupEpoch>,
    /// The root's newest floor of serials, if there is one.
    pub floor: Option<SignedFloor>,
}

/// The epoch of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupEpoch {
    /// The group.
    pub group: GroupId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeFacts {
    /// What its owner calls it.
    pub name: NodeName,
    /// Its program and version, such as `drystone-node 0.1.0`; at most [`limits::NAME_MAX`] bytes.
    pub software: String,
    /// Bytes it offers in all.
    pub capacity: u64,
}

/// The node's answer to hello.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version that both will speak.
    pub version: u16,
    /// The node.
    pub facts: NodeFacts,
}

impl Message for HelloRequest {
    fn check(&self) -> Result<(), &'static str> {
        if self.epochs.len() > limits::EPOCHS_MAX { Err("too many epochs") } else { Ok(()) }
    }
}

impl Message for HelloAnswer {
    fn check(&self) -> Result<(), &'static str> {
        if self.facts.software.len() > limits::NAME_MAX {
            Err("the software's name is too long")
        } else {
            Ok(())
        }
    }
}
