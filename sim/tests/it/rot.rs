//! Disks that rot and crash.

use drystone_sim::Plan;

use crate::{run, small};

#[test]
fn rot_is_met_and_repaired_and_nobody_honest_is_thrown_out_for_it() {
    // Most disks lose a hundredth in two weeks, and one in six loses everything.
    let report = run(Plan { rot_per_year: 20.0, liars: 0.0, ..small() });
    assert!(report.rotted > 50, "{}", report.rotted);
    assert_eq!((report.segments_lost, report.honest_disqualified), (0, 0));
    assert!(report.audits_failed > 0 && report.moved_missing.written > 0);
}

#[test]
fn without_audits_nobody_is_suspended() {
    let report = run(Plan { audits_per_day: 0, liars: 0.0, rot_per_year: 0.0, ..small() });
    assert_eq!((report.audits, report.audits_failed, report.rotted), (0, 0, 0));
    assert_eq!((report.honest_suspended, report.moved_missing.gathers), (0, 0));
}
