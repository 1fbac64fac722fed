//! Status: how a node is, and what it found rotten.

use serde::{Deserialize, Serialize};
use types::ShardId;

use super::Message;
use crate::limits;

/// Asks how the node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StatusRequest {
    /// Rot that the gateway has heard of already, as counted by [`StatusAnswer::rot_seen`]; the node may forget it.
    pub rot_heard: u64,
}

/// How the node is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Bytes it offers in all.
    pub capacity: u64,
    /// Bytes of live shards.
    pub used: u64,
    /// Bytes of dropped shards that still rest.
    pub trash: u64,
    /// Bytes it can still take.
    pub free: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Its program and version; at most [`limits::NAME_MAX`] bytes.
    pub software: String,
    /// Shards it found rotten itself and has not been told that we know; at most [`limits::ROT_MAX`].
    pub rot: Vec<ShardId>,
    /// The number to send back as [`StatusRequest::rot_heard`].
    pub rot_seen: u64,
    /// Whether it takes no new shards for now, and for how many milliseconds.
    pub busy_ms: Option<u32>,
}

impl Message for StatusRequest {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for StatusAnswer {
    fn check(&self) -> Result<(), &'static str> {
        if self.software.len() > limits::NAME_MAX || self.rot.len() > limits::ROT_MAX {
            Err("a status that is too long")
        } else {
            Ok(())
        }
    }
}
