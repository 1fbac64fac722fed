//! The same seed gives the same history.

use drystone_sim::{Plan, World};

use crate::{run, small};

fn json(plan: Plan) -> String {
    serde_json::to_string(&run(plan)).expect("a report is JSON")
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_one_gives_another() {
    let plan = Plan { nodes: 120, liars: 0.1, rot_per_year: 5.0, ..small() };
    let (one, again) = (json(plan.clone()), json(plan.clone()));
    assert_eq!(one, again);
    let history = run(plan.clone()).history;
    assert!(one.contains(&history));
    assert_ne!(history, run(Plan { seed: 2, ..plan }).history);
}

#[test]
fn a_plan_that_cannot_be_is_refused_in_words() {
    let refused = |plan: Plan| World::new(plan).err().expect("refused");
    assert!(refused(Plan { w: Some(32), ..small() }).contains("w = 32"));
    assert!(refused(Plan { n: Some(129), ..small() }).contains("n = 129"));
    assert!(refused(Plan { nodes: 20, ..small() }).contains("20 nodes are too few"));
    assert!(refused(Plan { availability: 1.5, ..small() }).contains("--availability"));
    assert!(refused(Plan { liars: 1.5, ..small() }).contains("between 0 and 1"));
    assert!(refused(Plan { days: 0, ..small() }).contains("there must be days"));
}
