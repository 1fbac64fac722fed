//! Small networks, lived through for two weeks each. What a year of two thousand nodes gives is in docs/SIMULATION.md.

mod churn;
mod destroyed;
mod determinism;
mod liar;
mod rot;

use drystone_sim::{Plan, Report, World};

/// Two hundred nodes for two weeks, with a quorum that three quarters of them can give.
fn small() -> Plan {
    Plan {
        nodes: 200,
        days: 14,
        segments: 2000,
        fill_days: 5,
        groups_max: 12,
        w: Some(56),
        r: Some(72),
        ..Plan::default()
    }
}

fn run(plan: Plan) -> Report {
    let report = World::new(plan).expect("a sound plan").run(|_, _| {});
    println!("{report}");
    report
}
