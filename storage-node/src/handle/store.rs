//! Take a shard.

use protocol::ShardBody;
use protocol::message::{Refusal, StoreAnswer, StoreRequest};
use types::KIB;

use crate::error::Error;
use crate::frame::Way;
use crate::handle::{accept, admit, check_epoch, refusal};
use crate::serve::{Counters, Node};
use crate::store::NewShard;

/// What one shard on its way in holds in memory at most: two write batches. What the link has ready is bounded by its window.
const MEMORY_MAX: u64 = 512 * KIB;

pub(crate) async fn run(
    node: &Node,
    request: StoreRequest,
    mut body: ShardBody,
) -> Result<StoreAnswer, Refusal> {
    let memory = request.len.min(MEMORY_MAX);
    let mut ticket = accept(node, Way::Down, request.len, memory)?;
    check_epoch(node, request.shard.group, request.epoch).await?;
    if !request.overwrite {
        match node.store.get(request.shard).await {
            Ok(_) => return Err(Refusal::Exists),
            Err(Error::NotFound(_) | Error::Rot(_)) => {}
            Err(error) => return Err(refusal(&error)),
        }
    }
    let _memory = admit(node, &node.incoming, memory)?;
    let StoreRequest { shard, epoch, len, label, .. } = request;
    let new = NewShard { shard, epoch, len, label };
    let mut put = node.store.put(new).await.map_err(|error| refusal(&error))?;
    while let Some(bytes) = body.next().await {
        // A gateway that gave up does not hear this; dropping the put gives up its bytes.
        let bytes = bytes.map_err(|error| Refusal::failed(&error))?;
        ticket.progress(bytes.len() as u64);
        put.write(bytes).await.map_err(|error| refusal(&error))?;
    }
    let stored = put.finish().await.map_err(|error| refusal(&error))?;
    Counters::add(&node.counters.stored_bytes, stored.len);
    Ok(StoreAnswer {
        root: stored.root,
        len: stored.len,
        position: stored.place.into(),
        receipt: stored.receipt,
    })
}
