//! Nodes that throw away what they acknowledge.

use drystone_sim::Plan;

use crate::{run, small};

#[test]
fn one_in_ten_lies_and_is_found_out_and_nothing_is_lost() {
    let report = run(Plan { liars: 0.1, rot_per_year: 0.0, ..small() });
    assert!(report.great_liars + report.small_liars > 5);
    assert_eq!((report.segments_lost, report.honest_disqualified), (0, 0));
    assert!(report.audits_failed > 0);
    assert!(report.great_liars_suspended * 2 >= report.great_liars as u64, "{report}");
    assert!(report.liars_disqualified > 0, "{report}");
    // What they threw away is elsewhere by then.
    assert!(report.moved_missing.written > 0);
}
