//! Let shards go. That the revision's signature and grant hold is proven by its type.

use protocol::message::{DropAnswer, Dropped, Refusal};
use protocol::revision::VerifiedRevision;

use crate::handle::refusal;
use crate::serve::{Counters, Node};

pub(crate) async fn run(node: &Node, revision: &VerifiedRevision) -> Result<DropAnswer, Refusal> {
    let (number, digest) = (revision.revision().number, revision.signed().digest());
    let removed = node
        .store
        .remove(number, digest, revision.drops().to_vec())
        .await
        .map_err(|error| refusal(&error))?;
    let dropped = removed.outcomes.iter().filter(|outcome| **outcome == Dropped::Dropped).count();
    Counters::add(&node.counters.dropped_shards, dropped as u64);
    Ok(DropAnswer {
        outcomes: removed.outcomes,
        position: removed.place.into(),
        receipt: removed.receipt,
    })
}
