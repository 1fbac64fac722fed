//! A third, and half, of all nodes destroyed at once.

use drystone_sim::Plan;
use drystone_sim::plan::Scenario;

use crate::{run, small};

fn hit(scenario: Scenario) -> Plan {
    Plan { scenario, on_day: Some(10), days: 24, nodes: 300, ..small() }
}

#[test]
fn a_third_of_all_nodes_is_destroyed_and_no_whole_segment_is_lost() {
    let report = run(hit(Scenario::Third));
    let hit = report.destroyed.expect("it happened");
    assert!(hit.whole * 2 > hit.segments, "{hit:?}");
    assert_eq!(hit.whole_lost, 0, "{hit:?}");
    assert!(hit.predicted < hit.segments as f64 / 100.0, "{hit:?}");
    assert!(hit.least < report.r, "it did hit: {hit:?}");
    assert!(report.nodes_at_end < 250, "{}", report.nodes_at_end);
    // After a week they are known to be lost, and what they had comes to others.
    assert!(report.moved_refill.written > 0 && report.handed_over > 100);
}

#[test]
fn half_of_all_nodes_is_destroyed_and_what_is_lost_is_told_beside_the_prediction() {
    let report = run(hit(Scenario::Half));
    let hit = report.destroyed.expect("it happened");
    assert!(hit.predicted > 0.0 && hit.predicted < hit.segments as f64 / 4.0, "{hit:?}");
    let lost = hit.whole_lost + hit.others_lost;
    assert!(lost * 2 < hit.segments, "{hit:?}");
    assert_eq!(lost > 0, hit.groups_lost > 0);
    assert!(report.segments_lost as u64 >= lost);
    assert!(report.prediction.half > report.prediction.third);
}

#[test]
fn the_checkers_see_what_is_lost_where_half_is_destroyed_and_there_is_too_little_parity() {
    let report = run(Plan { k: Some(48), days: 14, ..hit(Scenario::Half) });
    let hit = report.destroyed.as_ref().expect("it happened");
    assert!(hit.groups_lost > 0 && hit.predicted * 2.0 > hit.segments as f64, "{hit:?}");
    assert!(report.segments_lost as u64 >= hit.whole_lost + hit.others_lost);
    assert!(report.losses.iter().all(|loss| loss.shards < 48 && loss.gone > 0));
    assert!(report.least_shards < 48 && report.reads_ok < 0.99, "{report}");
}
