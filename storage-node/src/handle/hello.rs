//! A gateway says hello.

use std::time::Duration;

use protocol::message::{HelloRequest, NodeFacts, Refusal};
use types::{Clock, SystemClock};

use crate::handle::refusal;
use crate::serve::{Node, SOFTWARE};

/// Clocks further apart than this are worth a word to the owner: certificates are judged by them.
const CLOCKS_APART: Duration = Duration::from_secs(60);

pub(crate) async fn run(node: &Node, request: HelloRequest) -> Result<NodeFacts, Refusal> {
    if request.cluster != node.settings.cluster {
        return Err(Refusal::denied(&format_args!(
            "this node belongs to installation {}, not to {}",
            node.settings.cluster, request.cluster
        )));
    }
    let now = SystemClock.now();
    node.clock_gap.note(now, request.time);
    let apart = now.since(request.time).max(request.time.since(now));
    if apart > CLOCKS_APART {
        tracing::warn!(
            ?apart,
            "this machine's clock and the gateway's differ; one of them is wrong"
        );
    }
    let epochs: Vec<_> = request.epochs.iter().map(|of| (of.group, of.epoch)).collect();
    node.store.raise_epochs(&epochs).await.map_err(|error| refusal(&error))?;
    Ok(NodeFacts {
        name: node.settings.name.clone(),
        software: SOFTWARE.to_owned(),
        capacity: node.frame.lent().disk.0,
    })
}
