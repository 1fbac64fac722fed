//! One verb, one file; what they share is how the store's errors are told to a gateway.

pub(crate) mod drop;
pub(crate) mod fetch;
pub(crate) mod hello;
pub(crate) mod inventory;
pub(crate) mod status;
pub(crate) mod store;

use std::sync::Arc;
use std::time::Duration;

use protocol::message::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::{Epoch, GroupId, KIB};

use crate::error::Error;
use crate::frame::{Ticket, Way};
use crate::serve::{Counters, Node};

/// How long a gateway should wait when memory for shards is short: about what it takes to write what is under way.
const RETRY_BUSY_MS: u32 = 200;
/// How long a gateway should wait for a node that is closing: until it has had time to start again.
const RETRY_CLOSING_MS: u32 = 5_000;

/// A store's error as an answer to a gateway.
pub(crate) fn refusal(error: &Error) -> Refusal {
    match error {
        Error::Full { .. } => Refusal::Full,
        Error::NotFound(_) => Refusal::NotFound,
        // Who says that its disk lost a shard is not blamed for it; it comes with the next status as well, and the gateway repairs it.
        Error::Rot(_) => Refusal::failed(error),
        Error::Length { .. } | Error::TooLarge { .. } | Error::Range { .. } => {
            Refusal::denied(error)
        }
        Error::Closed => Refusal::Busy { retry_after_ms: RETRY_CLOSING_MS },
        Error::Newer { .. }
        | Error::Locked(_)
        | Error::Damaged(_)
        | Error::Io { .. }
        | Error::Index(_)
        | Error::Broken(_)
        | Error::Config(_)
        | Error::Identity { .. }
        | Error::IdentityLost(_)
        | Error::Unreachable(_)
        | Error::Refused(_)
        | Error::Link(_)
        | Error::NotRunning(_)
        | Error::Unwell(_)
        | Error::Service(_) => {
            tracing::error!(%error, "a request failed");
            Refusal::failed(error)
        }
    }
}

/// Refuses a gateway whose idea of the group is older than the node's.
async fn check_epoch(node: &Node, group: GroupId, epoch: Epoch) -> Result<(), Refusal> {
    match node.store.epoch(group).await.map_err(|error| refusal(&error))? {
        Some(newer) if newer > epoch => Err(Refusal::Stale { epoch: newer }),
        _ => Ok(()),
    }
}

/// Asks the owner's frame for a request that moves `len` bytes and holds `memory` bytes.
fn accept(node: &Node, way: Way, len: u64, memory: u64) -> Result<Ticket, Refusal> {
    node.frame.admit(way, len, memory).map_err(|wait| {
        Counters::add(&node.counters.busy, 1);
        Refusal::Busy { retry_after_ms: milliseconds(wait) }
    })
}

fn milliseconds(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}

/// Sets memory aside for a shard on its way, or says that there is none now.
fn admit(
    node: &Node,
    memory: &Arc<Semaphore>,
    bytes: u64,
) -> Result<OwnedSemaphorePermit, Refusal> {
    let permits = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
    Arc::clone(memory).try_acquire_many_owned(permits).map_err(|_| {
        Counters::add(&node.counters.busy, 1);
        Refusal::Busy { retry_after_ms: RETRY_BUSY_MS }
    })
}
