//! Everyday life: nights, weekends, holidays, departures; a region that goes dark.

use drystone_sim::Plan;
use drystone_sim::plan::Scenario;
use types::GeometryName;

use crate::{run, small};

#[test]
fn two_weeks_of_two_hundred_nodes_lose_nothing_and_nearly_every_read_succeeds() {
    let report = run(small());
    assert_eq!(report.segments_lost, 0);
    assert!(report.segments > 1900, "{} written", report.segments);
    assert!(report.reads_ok >= 0.9995, "{}", report.reads_ok);
    assert!((0.67..0.83).contains(&report.availability), "{}", report.availability);
    assert!(report.vanished > 0 && report.declared_lost > 0 && report.handed_over > 0);
    assert!(report.moved_unwritten.written > 0 && report.moved_refill.written > 0);
    assert!(
        report.moved_unwritten.read >= report.moved_unwritten.gathers * report.plan.segment_bytes
    );
    assert_eq!(report.honest_disqualified, 0);
}

#[test]
fn a_small_network_in_the_geometry_home_loses_nothing() {
    let plan = Plan { geometry: GeometryName::Home, w: None, r: None, ..small() };
    let report = run(plan);
    assert_eq!((report.segments_lost, report.n), (0, 24));
    assert!(report.segments > 0 && report.reads_ok > 0.97, "{}", report.reads_ok);
}

#[test]
fn the_biggest_region_goes_dark_for_two_days_and_nothing_is_lost() {
    let report = run(Plan { scenario: Scenario::Blackout, on_day: Some(8), ..small() });
    assert_eq!(report.segments_lost, 0);
    let hit = report.destroyed.expect("it happened");
    assert_eq!((hit.whole_lost, hit.others_lost, hit.day), (0, 0, 8));
    assert!(hit.segments > 1000 && hit.unreadable * 2 < hit.segments, "{hit:?}");
}
