//! Tell how the node is.

use protocol::limits::ROT_MAX;
use protocol::message::{StatusAnswer, StatusRequest};

use crate::handle::milliseconds;
use crate::serve::{Node, SOFTWARE};

/// How long a node that takes no writes asks to be left alone: it must be restarted by its owner.
const BROKEN_MS: u32 = 60_000;

pub(crate) fn run(node: &Node, request: StatusRequest) -> StatusAnswer {
    let store = node.store.status();
    let (rot, rot_seen) = node.store.rot_after(request.rot_heard, ROT_MAX);
    StatusAnswer {
        capacity: store.quota,
        used: store.live_bytes,
        trash: store.trash_bytes,
        free: store.room,
        uptime_ms: u64::try_from(node.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        software: SOFTWARE.to_owned(),
        rot,
        rot_seen,
        busy_ms: store.broken.map(|_| BROKEN_MS).or(node.frame.busy().map(milliseconds)),
    }
}
