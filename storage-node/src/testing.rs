//! Fixtures that the tests of several modules share.

use types::{ByteSize, GIB, NodeId, Timestamp};

use crate::advice::DiskSpace;
use crate::app::NodeStatus;
use crate::dial::LinkStatus;
use crate::frame::Frame;
use crate::store::StoreStatus;

/// A node that is well at `now`: linked for an hour, with a tenth of its 50 GB in use.
pub(crate) fn status(now: Timestamp) -> NodeStatus {
    NodeStatus {
        id: NodeId([7; 32]),
        name: "attic".to_owned(),
        software: "drystone-node 0.1.0".to_owned(),
        uptime_seconds: 3600,
        frame: Frame { disk: ByteSize(50_000_000_000), min_free: None },
        disk: Some(DiskSpace { total: 1000 * GIB, free: 500 * GIB }),
        store: StoreStatus {
            quota: 50_000_000_000,
            allocated: 5_000_000_000,
            room: 44_000_000_000,
            live_shards: 1234,
            live_bytes: 4_500_000_000,
            trash_bytes: 100_000_000,
            rotten: 0,
            broken: None,
        },
        links: vec![LinkStatus {
            gateway: "gw.example:9100".parse().expect("an address"),
            connected: true,
            since: Timestamp(now.0 - 3_600_000),
            trouble: None,
        }],
        clock_ahead_ms: Some(12),
        page: None,
        leaving: None,
        stored_bytes: 2_000_000,
        fetched_bytes: 3_000_000,
        dropped_shards: 4,
        busy: 0,
        advice: Vec::new(),
    }
}
