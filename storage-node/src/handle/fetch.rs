//! Give a range of a shard. An audit is the same request.

use std::io;

use futures::StreamExt;
use futures::stream::try_unfold;
use protocol::message::{FetchRequest, Refusal};
use protocol::{FetchReply, Piece};
use types::KIB;

use crate::frame::Way;
use crate::handle::{accept, admit, check_epoch, refusal};
use crate::serve::{Counters, Node};

/// What one shard on its way out holds in memory at least: one read.
const MEMORY_MIN: u64 = 256 * KIB;

pub(crate) async fn run(node: &Node, request: FetchRequest) -> Result<FetchReply, Refusal> {
    let memory = request.len.min(MEMORY_MIN.max(u64::from(request.step)));
    let ticket = accept(node, Way::Up, request.len, memory)?;
    check_epoch(node, request.shard.group, request.epoch).await?;
    let shard = node.store.get(request.shard).await.map_err(|error| refusal(&error))?;
    request.steps(shard.len()).map_err(|error| Refusal::denied(&error))?;
    let memory = admit(node, &node.outgoing, memory)?;
    let slices = shard
        .slices(request.offset, request.len, u64::from(request.step))
        .await
        .map_err(|error| refusal(&error))?;
    Counters::add(&node.counters.fetched_bytes, request.len);
    let state = (slices, memory, ticket);
    let pieces = try_unfold(state, |(mut slices, memory, mut ticket)| async move {
        match slices.next().await {
            Ok(Some((proof, bytes))) => {
                ticket.progress(bytes.len() as u64);
                Ok(Some((Piece { proof, bytes }, (slices, memory, ticket))))
            }
            Ok(None) => Ok(None),
            Err(error) => Err(io::Error::other(error)),
        }
    });
    Ok(FetchReply { shard_len: shard.len(), pieces: pieces.boxed() })
}
