//! List or fingerprint what is here.

use protocol::message::{InventoryAnswer, InventoryRequest, Refusal};

use crate::handle::refusal;
use crate::serve::Node;

pub(crate) async fn run(
    node: &Node,
    request: InventoryRequest,
) -> Result<InventoryAnswer, Refusal> {
    let answer = match request {
        InventoryRequest::List { group, after, limit } => node
            .store
            .list(group, after, limit as usize)
            .await
            .map(|(entries, more)| InventoryAnswer::List { entries, more }),
        InventoryRequest::Fingerprint { from, to, limit } => node
            .store
            .fingerprints(from, to, limit as usize)
            .await
            .map(|(groups, more)| InventoryAnswer::Fingerprint { groups, more }),
    };
    answer.map_err(|error| refusal(&error))
}
