use super::*;

/// 2014-01-15 10:30 UTC, the example of AWS's page.
const WRITTEN: Timestamp = Timestamp(1_389_781_800_000);
/// 2014-01-19 00:00 UTC.
const FOUR_MIDNIGHTS_ON: Timestamp = Timestamp(1_390_089_600_000);
const SHORT: Days = Days(Duration::from_secs(10));

fn rule(prefix: &str) -> Rule {
    Rule {
        id: "one".to_owned(),
        enabled: true,
        filter: Filter { prefix: Some(prefix.to_owned()), ..Filter::default() },
        ..Rule::default()
    }
}

fn of(rules: Vec<Rule>) -> Lifecycle {
    Lifecycle { rules, small_stay: false }
}

fn subject(key: &str) -> Subject<'_> {
    Subject { key, size: 1000, tags: &[] }
}

fn later(seconds: u64) -> Timestamp {
    WRITTEN.plus(Duration::from_secs(seconds))
}

#[test]
fn days_of_the_calendar_end_at_midnight_and_short_ones_at_once() {
    assert_eq!(Days(CALENDAR_DAY).after(WRITTEN, 3), FOUR_MIDNIGHTS_ON);
    assert_eq!(Days(CALENDAR_DAY).after(FOUR_MIDNIGHTS_ON, 0), FOUR_MIDNIGHTS_ON);
    assert_eq!(SHORT.after(WRITTEN, 3), later(30));
}

#[test]
fn a_filter_wants_all_its_conditions() {
    let tag = ("a".to_owned(), "b".to_owned());
    let filter = Filter {
        prefix: Some("p/".to_owned()),
        tags: vec![tag.clone()],
        larger_than: Some(10),
        smaller_than: Some(20),
    };
    let tags = [tag];
    let meets = |key, size, tags| filter.meets(Subject { key, size, tags });
    assert!(meets("p/x", 11, &tags));
    assert!(!meets("q/x", 11, &tags));
    assert!(!meets("p/x", 10, &tags));
    assert!(!meets("p/x", 20, &tags));
    assert!(!meets("p/x", 11, &[]));
}

#[test]
fn the_current_version_moves_and_then_goes() {
    let to = |days, class: &str| Transition { when: When::Days(days), class: class.to_owned() };
    let moving = Rule { transitions: vec![to(1, "COOL"), to(3, "COLD")], ..rule("a") };
    let ending = Rule { expiration: Some(Expiration::At(When::Days(5))), ..rule("a") };
    let config = of(vec![moving, ending]);
    for (seconds, fate) in [
        (9, Fate::Stays),
        (10, Fate::Moves("COOL")),
        (29, Fate::Moves("COOL")),
        (30, Fate::Moves("COLD")),
        (50, Fate::Goes),
    ] {
        let found = config.of_current(subject("a/b"), WRITTEN, later(seconds), SHORT);
        assert_eq!(found, fate, "{seconds}");
    }
    assert_eq!(config.of_current(subject("b"), WRITTEN, later(99), SHORT), Fate::Stays);
    let small = Lifecycle { small_stay: true, ..config };
    assert_eq!(small.of_current(subject("a"), WRITTEN, later(30), SHORT), Fate::Stays);
}

#[test]
fn a_rule_that_is_off_does_nothing() {
    let off = Rule {
        enabled: false,
        expiration: Some(Expiration::At(When::Date(Timestamp(0)))),
        ..rule("")
    };
    let config = of(vec![off]);
    assert_eq!(config.of_current(subject("a"), WRITTEN, later(0), SHORT), Fate::Stays);
    assert!(config.expiry(subject("a"), WRITTEN, SHORT).is_none());
}

#[test]
fn older_versions_go_after_their_days_unless_they_are_among_those_to_keep() {
    let when = Noncurrent { days: 2, keep: Some(3) };
    let config = of(vec![Rule { noncurrent_expiration: Some(when), ..rule("") }]);
    let fate =
        |newer, seconds| config.of_noncurrent(subject("a"), WRITTEN, newer, later(seconds), SHORT);
    assert_eq!(fate(3, 19), Fate::Stays);
    assert_eq!(fate(3, 20), Fate::Goes);
    assert_eq!(fate(2, 99), Fate::Stays);
}

#[test]
fn a_lone_delete_marker_goes_if_a_rule_about_keys_says_so() {
    let lone = Rule { expiration: Some(Expiration::LoneMarkers(true)), ..rule("a") };
    assert!(of(vec![lone.clone()]).ends_lone_marker("a", WRITTEN, later(0), SHORT));
    assert!(!of(vec![lone]).ends_lone_marker("b", WRITTEN, later(0), SHORT));
    let aged = Rule { expiration: Some(Expiration::At(When::Days(5))), ..rule("") };
    assert!(!of(vec![aged.clone()]).ends_lone_marker("a", WRITTEN, later(49), SHORT));
    assert!(of(vec![aged.clone()]).ends_lone_marker("a", WRITTEN, later(50), SHORT));
    let mut sized = aged;
    sized.filter.larger_than = Some(0);
    assert!(!of(vec![sized]).ends_lone_marker("a", WRITTEN, later(99), SHORT));
}

#[test]
fn the_first_rule_to_strike_is_named() {
    let ending = |id: &str, days| Rule {
        id: id.to_owned(),
        expiration: Some(Expiration::At(When::Days(days))),
        abort_uploads_after: Some(days),
        ..rule("")
    };
    let config = of(vec![ending("late", 7), ending("soon", 3)]);
    let calendar = Days(CALENDAR_DAY);
    let soon = Some((FOUR_MIDNIGHTS_ON, "soon"));
    assert_eq!(config.expiry(subject("a"), WRITTEN, calendar), soon);
    assert_eq!(config.abort("a", WRITTEN, calendar), soon);
}
