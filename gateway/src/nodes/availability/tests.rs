use std::time::Duration;

use proptest::collection;
use proptest::prelude::{any, prop_assert, proptest};

use super::*;

/// A Monday, 00:00 UTC: 2026-01-05.
const MONDAY: Timestamp = Timestamp(1_767_571_200_000);

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}

/// Weeks in which the node is awake as `awake` says of each hour, looked at every `step` minutes.
fn learned(weeks: u64, step: u64, awake: impl Fn(usize) -> bool) -> WeekHours {
    let mut row = WeekHours::default();
    resume(&mut row, MONDAY);
    let end = MONDAY.plus(hours(weeks * HOURS as u64));
    let mut now = MONDAY;
    while now < end {
        let online = awake(hour_of_week(now));
        now = now.plus(Duration::from_secs(step * 60));
        watch(&mut row, online, now);
    }
    row
}

#[test]
fn the_week_begins_on_monday() {
    assert_eq!(hour_of_week(MONDAY), 0);
    assert_eq!(hour_of_week(MONDAY.plus(hours(25))), 25);
    assert_eq!(hour_of_week(MONDAY.plus(hours(168))), 0);
    assert_eq!(hour_of_week(Timestamp(0)), 72);
}

#[test]
fn nights_are_learned_within_three_weeks() {
    let awake = |hour: usize| (8..23).contains(&(hour % 24));
    let chances = Chances::of(&learned(3, 10, awake));
    for hour in 0..HOURS {
        let chance = chances.at(hour);
        let right = if awake(hour) { chance > 0.85 } else { chance < 0.3 };
        assert!(right, "hour {hour}: {chance}");
    }
    assert!((chances.average() - 15.0 / 24.0).abs() < 0.05, "{}", chances.average());
}

#[test]
fn a_node_that_never_sleeps_is_known_as_such_after_two_days_also_in_hours_it_was_not_watched() {
    let mut row = WeekHours::default();
    resume(&mut row, MONDAY);
    watch(&mut row, true, MONDAY.plus(hours(48)));
    let chances = Chances::of(&row);
    assert!(chances.at(10) > 0.95 && chances.at(100) > 0.93, "{}", chances.at(100));
    assert!((Chances::of(&WeekHours::default()).at(5) - PRIOR).abs() < 1e-9);
}

#[test]
fn a_changed_habit_replaces_the_old_one_in_two_months() {
    let mut row = learned(20, 30, |_| true);
    let start = row.until;
    for week in 0..8 {
        watch(&mut row, false, start.plus(hours((week + 1) * HOURS as u64)));
    }
    let chances = Chances::of(&row);
    assert!(chances.at(0) < 0.3, "{}", chances.at(0));
}

#[test]
fn a_gateway_that_was_away_holds_it_against_nobody() {
    let mut row = learned(2, 60, |_| true);
    let before = Chances::of(&row).average();
    let back = row.until.plus(hours(500));
    resume(&mut row, back);
    watch(&mut row, true, back.plus(hours(1)));
    assert!(Chances::of(&row).average() >= before - 1e-6);
}

#[test]
fn a_row_stays_below_two_kilobytes_for_ever() {
    let row = learned(200, 60, |_| true);
    assert!(row.hours.iter().all(|hour| hour.online <= hour.watched && hour.watched < 1 << 15));
    let bytes = postcard::to_stdvec(&row).expect("encodes");
    assert!(bytes.len() < 2000, "{}", bytes.len());
}

/// FIELD.md C.3, from an independent calculation.
#[test]
fn equal_chances_give_the_binomial_tail() {
    for (k, n, chance, tail) in [
        (10, 30, 0.5, 2.1e-2),
        (10, 30, 0.75, 2.8e-7),
        (16, 48, 0.8, 3.7e-13),
        (29, 80, 0.75, 5.5e-14),
        (32, 96, 0.6, 3.8e-8),
        (3, 10, 0.95, 1.6e-9),
    ] {
        let found = fewer_than(k, vec![chance; n]);
        assert!((found / tail - 1.0).abs() < 0.04, "{k}/{n} at {chance}: {found:e}");
    }
    assert_eq!(fewer_than(0, [0.5]), 0.0);
    assert_eq!(fewer_than(3, [1.0, 1.0]), 1.0);
}

#[test]
fn those_who_are_lost_are_the_best() {
    let (good, bad) = (Chances::always(0.99), Chances::always(0.5));
    let members: Vec<&Chances> = std::iter::repeat_n(&good, 8).chain([&bad; 16]).collect();
    let worst = unreadable_at(&members, 10, 20, 7);
    let expected = fewer_than(10, [[0.5; 16].as_slice(), &[0.99; 4]].concat());
    assert!((worst - expected).abs() < 1e-12);
}

#[test]
fn people_who_sleep_at_once_are_worse_than_people_who_take_turns() {
    let night = |from: usize| {
        Chances::by_hour(|hour| if (hour % 24 + 24 - from) % 24 < 8 { 0.1 } else { 0.95 })
    };
    let same: Vec<Chances> = (0..24).map(|_| night(23)).collect();
    let spread: Vec<Chances> = (0..24).map(night).collect();
    let refs = |members: &[Chances]| worst_hour(&members.iter().collect::<Vec<_>>(), 10, 20);
    let ((hour, together), (_, turns)) = (refs(&same), refs(&spread));
    assert!((23..31).contains(&(hour % 24 + if hour % 24 < 7 { 24 } else { 0 })), "{hour}");
    assert!(together > 0.9 && turns < 0.2, "{together} {turns}");
}

proptest! {
    #[test]
    fn the_tail_is_what_counting_every_case_gives(chances in collection::vec(0.0_f64..=1.0, 0..10), k in 0_usize..11) {
        let mut tail = 0.0;
        for case in 0_u32..1 << chances.len() {
            if (case.count_ones() as usize) < k {
                let each = chances.iter().enumerate();
                tail += each.map(|(at, p)| if case >> at & 1 == 1 { *p } else { 1.0 - p }).product::<f64>();
            }
        }
        prop_assert!((fewer_than(k, chances.clone()) - tail).abs() < 1e-9);
    }

    #[test]
    fn time_that_is_noted_in_pieces_is_noted_once(cuts in collection::vec(1_u64..5_000_000, 1..50), online in any::<bool>()) {
        let (mut pieces, mut now) = (WeekHours::default(), MONDAY);
        resume(&mut pieces, MONDAY);
        for cut in &cuts {
            now = now.plus(Duration::from_millis(*cut));
            watch(&mut pieces, online, now);
        }
        let mut whole = WeekHours::default();
        resume(&mut whole, MONDAY);
        watch(&mut whole, online, now);
        prop_assert!(pieces.until == whole.until);
        for (piece, whole) in pieces.hours.iter().zip(&whole.hours) {
            // Each piece may round up to a second.
            prop_assert!(piece.watched.abs_diff(whole.watched) <= cuts.len() as u32 + 1);
            prop_assert!(piece.online <= piece.watched);
        }
    }
}
