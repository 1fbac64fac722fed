use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use proptest::{collection, prop_assert};
use types::{GroupId, SegmentId, SessionId, Slot, StreamId};

use super::*;

const START: Timestamp = Timestamp(1_800_000_000_000);
/// Between two audits, at the default rate.
const STEP: Duration = Duration::from_secs(150);

fn shard(serial: u64) -> ShardId {
    let stream = StreamId { session: SessionId(1), serial };
    ShardId { group: GroupId(1), segment: SegmentId { stream, index: 0 }, slot: Slot(0) }
}

fn audit(outcome: Outcome, serial: u64) -> Observation {
    Observation { source: Source::Audit, outcome, shard: Some(shard(serial)) }
}

fn wrong(fault: Fault) -> Outcome {
    Outcome::Wrong(fault, "words".to_owned())
}

/// Audits at the default rate, `outcome` each; the ranks it came to, with the number of audits it took.
fn run(
    standing: &mut Standing,
    from: Timestamp,
    audits: u64,
    outcome: impl Fn(u64) -> Outcome,
) -> Vec<(u64, Rank)> {
    let rules = ScoreRules::default();
    let step = |number: u64| {
        let now = from.plus(STEP * u32::try_from(number).expect("few"));
        let rank = observe(standing, &rules, &audit(outcome(number), number), now)?;
        Some((number, rank))
    };
    (1..=audits).filter_map(step).collect()
}

#[test]
fn a_node_that_lost_a_hundredth_is_warned_and_suspended_within_two_days_and_never_disqualified() {
    let mut standing = Standing::default();
    let each_hundredth =
        |number| if number % 100 == 50 { wrong(Fault::Missing) } else { Outcome::Right };
    let ranks = run(&mut standing, START, 576 * 14, each_hundredth);
    let named: Vec<Rank> = ranks.iter().map(|(_, rank)| *rank).collect();
    assert_eq!(named[..2], [Rank::Warned, Rank::Suspended], "{ranks:?}");
    assert!(ranks[0].0 <= 60 && ranks[1].0 <= 2 * 576, "{ranks:?}");
    assert_eq!(standing.rank, Rank::Suspended, "{ranks:?}");
    assert!(standing.reason.contains('%') && standing.findings.len() == FINDINGS_MAX);
}

#[test]
fn a_node_that_lost_everything_is_suspended_at_once_and_disqualified_after_its_notice() {
    let mut standing = Standing::default();
    let ranks = run(&mut standing, START, 700, |_| wrong(Fault::Corrupt));
    let named: Vec<Rank> = ranks.iter().map(|(_, rank)| *rank).collect();
    assert_eq!(named, [Rank::Warned, Rank::Suspended, Rank::Disqualified]);
    assert!(ranks[1].0 <= 5, "{ranks:?}");
    let notice = STEP * u32::try_from(ranks[2].0 - ranks[1].0).expect("few");
    assert!(notice >= ScoreRules::default().notice, "{notice:?}");
    assert_eq!(standing.changes.len(), 3);
    assert!(standing.changes.iter().all(|change| !change.operator && !change.reason.is_empty()));
}

#[test]
fn one_bad_sector_is_a_warning_and_is_lived_down() {
    let mut standing = Standing::default();
    let once = |number| if number == 10 { wrong(Fault::Corrupt) } else { Outcome::Right };
    let ranks = run(&mut standing, START, 1200, once);
    let named: Vec<Rank> = ranks.iter().map(|(_, rank)| *rank).collect();
    assert_eq!(named, [Rank::Warned, Rank::Good], "{ranks:?}");
}

#[test]
fn a_suspension_for_rot_ends_when_clean_audits_have_outweighed_it() {
    let mut standing = Standing::default();
    run(&mut standing, START, 5, |_| wrong(Fault::Missing));
    assert_eq!(standing.rank, Rank::Suspended);
    let later = START.plus(STEP * 5);
    let ranks = run(&mut standing, later, 5000, |_| Outcome::Right);
    let named: Vec<Rank> = ranks.iter().map(|(_, rank)| *rank).collect();
    assert_eq!(named, [Rank::Warned, Rank::Good], "{ranks:?}");
}

#[test]
fn nothing_that_is_not_the_nodes_fault_changes_its_standing() {
    let mut standing = Standing::default();
    let rules = ScoreRules::default();
    for _ in 0..1000 {
        assert_eq!(observe(&mut standing, &rules, &audit(Outcome::Nothing, 1), START), None);
    }
    assert_eq!(standing, Standing::default());
    for serial in 0..1000 {
        let owned = audit(wrong(Fault::OwnedUp), serial);
        assert_eq!(observe(&mut standing, &rules, &owned, START), None);
    }
    assert_eq!((standing.rank, standing.owned_up), (Rank::Good, 1000));
    assert_eq!((standing.findings.len(), lost_share(&standing)), (1, 0));
}

#[test]
fn a_slow_node_gets_no_new_shards_until_it_is_faster_and_is_never_disqualified() {
    let mut standing = Standing::default();
    let slow =
        |number: u64| if number.is_multiple_of(2) { wrong(Fault::Late) } else { Outcome::Right };
    run(&mut standing, START, 576 * 3, slow);
    assert_eq!(standing.rank, Rank::Suspended);
    assert!(standing.reason.contains("too late"), "{}", standing.reason);
    let ranks = run(&mut standing, START.plus(STEP * 2000), 400, |_| Outcome::Right);
    assert_eq!(ranks.last().map(|(_, rank)| *rank), Some(Rank::Good), "{ranks:?}");
}

#[test]
fn a_forged_receipt_suspends_at_once() {
    let mut standing = Standing::default();
    let breach = Observation { source: Source::Write, outcome: wrong(Fault::Breach), shard: None };
    observe(&mut standing, &ScoreRules::default(), &breach, START);
    assert_eq!(standing.rank, Rank::Suspended);
}

#[test]
fn a_hundred_readers_of_one_rotten_shard_are_one_fault() {
    let mut standing = Standing::default();
    let rules = ScoreRules::default();
    for _ in 0..100 {
        observe(&mut standing, &rules, &audit(wrong(Fault::Corrupt), 7), START);
    }
    assert_eq!((standing.failed, standing.findings.len()), (ONE, 1));
    let later = START.plus(rules.same_shard);
    observe(&mut standing, &rules, &audit(wrong(Fault::Corrupt), 7), later);
    assert!(standing.failed > ONE);
}

#[test]
fn what_the_operator_says_holds_until_the_operator_says_otherwise() {
    let mut standing = Standing::default();
    hold(&mut standing, Rank::Suspended, "a complaint", START);
    let ranks = run(&mut standing, START, 5000, |_| Outcome::Right);
    assert_eq!((ranks, standing.rank), (Vec::new(), Rank::Suspended));
    reinstate(&mut standing, "settled", START);
    assert_eq!((standing.rank, standing.held), (Rank::Good, false));
    run(&mut standing, START, 700, |_| wrong(Fault::Corrupt));
    assert_eq!(standing.rank, Rank::Disqualified);
    reinstate(&mut standing, "the audits were wrong", START);
    assert_eq!(review(&mut standing, &ScoreRules::default(), START), None);
    assert_eq!((standing.rank, lost_share(&standing)), (Rank::Good, 0));
    let last = standing.changes.last().expect("a change");
    assert_eq!((last.operator, last.reason.as_str()), (true, "the audits were wrong"));
    assert!(!standing.findings.is_empty(), "the evidence stays");
}

#[test]
fn words_are_cut_where_a_letter_ends() {
    assert_eq!(cut("short"), "short");
    assert_eq!(cut(&"ß".repeat(101)), "ß".repeat(100));
    assert_eq!(cut(&format!("x{}", "ß".repeat(100))).len(), 199);
}

proptest! {
    #[test]
    fn whatever_happens_rows_stay_small_and_only_proof_disqualifies(
        seen in collection::vec((outcomes(), 0_u64..20, 0_u64..3), 0..400),
    ) {
        let (mut standing, rules, mut now) = (Standing::default(), ScoreRules::default(), START);
        for (outcome, serial, days) in seen {
            now = now.plus(Duration::from_secs(days * 24 * 3600));
            let before = standing.rank;
            observe(&mut standing, &rules, &audit(outcome, serial), now);
            prop_assert!(standing.findings.len() <= FINDINGS_MAX);
            prop_assert!(standing.changes.len() <= CHANGES_MAX);
            prop_assert!(lost_share(&standing) <= 1_000_000 && late_share(&standing) <= 1_000_000);
            if standing.rank == Rank::Disqualified && before != Rank::Disqualified {
                prop_assert!(before == Rank::Suspended);
                prop_assert!(standing.failed > 9 * ONE);
            }
        }
    }
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Right),
        Just(Outcome::Nothing),
        Just(wrong(Fault::Missing)),
        Just(wrong(Fault::Corrupt)),
        Just(wrong(Fault::Late)),
        Just(wrong(Fault::OwnedUp)),
        Just(wrong(Fault::Breach)),
    ]
}
