//! Give a range of a shard. An audit is the same request.

use std::io;

use futures::StreamExt;
use futures::stream::try_unfold;
use protocol::message::{FetchRequest, Refusal};
use protocol::{FetchReply, Piece};
use types::KIB;

use crate::handle::{admit, check_epoch, refusal};
use crate::serve::{Counters, Node};

/// What one shard on its way out holds in memory at least: one read.
const MEMORY_MIN: u64 = 256 * KIB;

pub(crate) async fn run(node: &Node, request: FetchRequest) -> Result<FetchReply, Refusal> {
    check_epoch(node, request.shard.group, request.epoch).await?;
    let shard = node.store.get(request.shard).await.map_err(|error| refusal(&error))?;
    request.steps(shard.len()).map_err(|error| Refusal::denied(&error))?;
    let memory = request.len.min(MEMORY_MIN.max(u64::from(request.step)));
    let memory = admit(node, &node.outgoing, memory)?;
    let slices = shard
        .slices(request.offset, request.len, u64::from(request.step))
        .await
        .map_err(|error| refusal(&error))?;
    Counters::add(&node.counters.fetched_bytes, request.len);
    let pieces = try_unfold((slices, memory), |(mut slices, memory)| async move {
        match slices.next().await {
            Ok(Some((proof, bytes))) => Ok(Some((Piece { proof, bytes }, (slices, memory)))),
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    Ok(FetchReply { shard_len: shard.len(), pieces: pieces.boxed() })
}
