//! Fixtures that the tests of several modules share.

use types::{GIB, NodeId, Timestamp};

use crate::advice::DiskSpace;
use crate::app::NodeStatus;
use crate::dial::LinkStatus;
use crate::frame::report::{
    FrameReport, HoursReport, Limit, LimitReport, MachineReport, MonthReport, Permission, Why,
};
use crate::store::StoreStatus;

/// A node that is well at `now`: linked for an hour, with a tenth of its 50 GB in use.
pub(crate) fn status(now: Timestamp) -> NodeStatus {
    NodeStatus {
        id: NodeId([7; 32]),
        name: "attic".to_owned(),
        software: "drystone-node 0.1.0".to_owned(),
        uptime_seconds: 3600,
        frame: frame(now),
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
        standing: None,
        stored_bytes: 2_000_000,
        fetched_bytes: 3_000_000,
        dropped_shards: 4,
        busy: 0,
        advice: Vec::new(),
    }
}

/// A frame of 50 GB that nobody has narrowed otherwise.
fn frame(now: Timestamp) -> FrameReport {
    let limit = |limit: Limit| {
        let (effective, live) = match limit {
            Limit::Disk => (Some(50_000_000_000), 5_000_000_000),
            Limit::MinFree => (Some(GIB), 500 * GIB),
            _ => (None, 0),
        };
        let why = if effective.is_some() { Why::Set } else { Why::Default };
        let unit = limit.unit();
        LimitReport { limit, unit, configured: effective, effective, why, live, violations: 0 }
    };
    let free = Permission { allowed: true, why: Why::Default, until: None };
    let always = HoursReport { hours: String::new(), open: true, changes: None };
    FrameReport {
        at: now,
        limits: Limit::ALL.into_iter().map(limit).collect(),
        network: free,
        compute: free,
        network_hours: always.clone(),
        compute_hours: always,
        month: MonthReport {
            limit: None,
            used: 0,
            today_limit: None,
            today_used: 0,
            began: Timestamp(now.0 - 1_000_000),
            ends: Timestamp(now.0 + 1_000_000),
        },
        pause: None,
        machine: MachineReport {
            in_use: false,
            input_seconds_ago: None,
            other_load_percent: 0,
            on_battery: None,
            memory: 8 * GIB,
            cores: 4,
        },
        turned_away: 0,
        violations: 0,
        trouble: None,
    }
}
