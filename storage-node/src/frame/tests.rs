//! The live frame, with a clock of its own.

use std::sync::atomic::{AtomicU64, Ordering};

use types::Clock;

use super::report::{LimitReport, PauseReport};
use super::shaper::Carrier;
use super::*;

/// 2026-11-28 12:00:00 UTC, a Saturday.
const NOON: u64 = 1_795_867_200_000;
const MB: u64 = 1_000_000;

struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    hand: Arc<Hand>,
    frame: Arc<Frame>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(assignments: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand(AtomicU64::new(NOON)));
        let clock: SharedClock = Arc::clone(&hand) as SharedClock;
        let frame = Frame::open(dir.path(), lent(assignments), false, clock).unwrap();
        Self { hand, frame, _dir: dir }
    }

    fn set(&self, assignments: &[(&str, &str)]) {
        self.frame.change(lent(assignments));
    }

    fn later(&self, milliseconds: u64) {
        self.hand.0.fetch_add(milliseconds, Ordering::Relaxed);
        self.frame.tick(false);
    }

    fn shut(&self) -> Option<Why> {
        self.frame.door().borrow().shut.map(|(why, _)| why)
    }

    fn live(&self, limit: Limit) -> LimitReport {
        self.frame.report().limit(limit).unwrap().clone()
    }
}

fn lent(assignments: &[(&str, &str)]) -> Lent {
    let mut frame = FrameSettings::default();
    for (key, value) in assignments {
        match *key {
            "pause" => frame.pause = Some((*value).to_owned().try_into().unwrap()),
            key => frame.set(key, value).unwrap(),
        }
    }
    frame.check().unwrap();
    Lent { frame, disk: ByteSize(1000 * MB), min_free: None, scrub_rate: ByteSize(4 * MIB) }
}

#[test]
fn without_limits_everything_is_accepted_and_sockets_are_free() {
    let world = World::new(&[]);
    let tickets: Vec<_> =
        (0..1000).map(|_| world.frame.admit(Way::Up, 32 * MIB, MIB).unwrap()).collect();
    assert!(world.frame.shaper().is_free());
    assert_eq!((world.frame.busy(), world.shut()), (None, None));
    drop(tickets);
    assert_eq!(world.frame.accepted(), 0);
}

#[test]
fn what_would_wait_longer_than_ten_seconds_is_turned_away_early_and_told_when_to_come_back() {
    let world = World::new(&[("up", "8Mbit")]);
    // However long, the first one is taken.
    let first = world.frame.admit(Way::Up, 9 * MB, 0).unwrap();
    let second = world.frame.admit(Way::Up, MB, 0).unwrap();
    let wait = world.frame.admit(Way::Up, MB, 0).err().expect("ten seconds are used up");
    assert_eq!(wait, Duration::from_secs(10));
    assert!(world.frame.admit(Way::Down, 100 * MB, 0).is_ok(), "the other way is free");
    world.frame.shaper().count(Way::Up, 5_000_000, Carrier::V6);
    assert!(world.frame.admit(Way::Up, MB, 0).is_ok());
    // Given up half-way: what was to come is not waited for.
    drop((first, second));
    assert!(world.frame.admit(Way::Up, 9 * MB, 0).is_ok());
    assert_eq!(world.frame.report().turned_away, 1);
}

#[test]
fn a_changed_limit_holds_at_once_and_the_report_names_its_rule() {
    let world = World::new(&[("up", "8Mbit")]);
    assert_eq!(world.live(Limit::Up).effective, Some(8 * MB));
    world.set(&[("up", "8Mbit"), ("in_use.up", "2Mbit"), ("idle.up", "2Mbit")]);
    let up = world.live(Limit::Up);
    assert_eq!((up.configured, up.effective), (Some(8 * MB), Some(2 * MB)));
    assert!(matches!(up.why, Why::InUse | Why::Idle));
    assert_eq!(world.frame.shaper().shape().up, Some(2 * MB));
    world.frame.trouble("no such limit".to_owned());
    assert_eq!(world.frame.report().trouble.as_deref(), Some("no such limit"));
    world.set(&[]);
    assert!(world.frame.shaper().is_free() && world.frame.report().trouble.is_none());
}

#[test]
fn a_short_pause_is_spent_connected_and_busy_and_a_long_one_apart() {
    let world = World::new(&[]);
    let until = |seconds: u64| format!("until {}", NOON / 1000 + seconds);
    world.set(&[("pause", &until(120))]);
    assert_eq!(world.shut(), None);
    assert_eq!(world.frame.busy(), Some(Duration::from_secs(120)));
    world.set(&[("pause", &until(7200))]);
    assert_eq!(world.shut(), Some(Why::Pause));
    // The last minutes of a long pause are still pause.
    world.later(7_100_000);
    assert_eq!(world.shut(), Some(Why::Pause));
    world.later(100_000);
    assert_eq!((world.shut(), world.frame.busy()), (None, None));
    world.set(&[("pause", "on")]);
    assert_eq!(world.shut(), Some(Why::Pause));
    assert_eq!(world.frame.report().pause, Some(PauseReport { until: None }));
}

#[test]
fn outside_its_hours_a_node_is_away_to_the_second() {
    // Hours are local; these begin and end with every zone's.
    let world = World::new(&[]);
    let zone = Zone::of_machine();
    let local = zone.local(Timestamp(NOON));
    let day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"][local.weekday];
    world.set(&[("hours", &format!("{day} {}-{}", local.hour, local.hour + 1))]);
    assert_eq!(world.shut(), None);
    let left = 3_600_000 - local.into_hour as u64 * 1000;
    world.later(left - 30_000);
    assert_eq!(world.shut(), Some(Why::Hours), "half a minute early");
    world.later(3_600_000);
    assert_eq!(world.shut(), Some(Why::Hours));
    let week = 7 * 86_400_000;
    world.later(week - left + 30_000 - 3_600_000);
    assert_eq!(world.shut(), None, "a week later");
}

#[test]
fn a_days_bytes_are_kept_for_reads_at_its_end_and_come_back_at_midnight() {
    let world = World::new(&[("month", "3000MB")]);
    let today = world.live(Limit::Today).effective.unwrap();
    let shaper = world.frame.shaper();
    let use_up = |share: u64| {
        shaper.count(Way::Up, usize::try_from(today / 100 * share).unwrap(), Carrier::V6);
        world.later(1000);
    };
    use_up(50);
    assert!(world.frame.admit(Way::Down, MB / 10, 0).is_ok());
    use_up(25);
    assert!(world.frame.admit(Way::Down, MB, 0).is_err(), "no new shards beyond 80 %");
    let read = world.frame.admit(Way::Up, MB, 0).expect("reads go on");
    use_up(16);
    assert_eq!(world.shut(), None, "what was accepted may still move");
    drop(read);
    world.later(1000);
    assert_eq!(world.shut(), Some(Why::Month));
    assert!(world.frame.admit(Way::Up, 1, 0).is_err());
    world.later(86_400_000);
    assert_eq!(world.shut(), None);
    let month = world.frame.report().month;
    assert!(month.used > today / 2 && month.today_used == 0);
    assert_eq!(world.frame.report().violations, 0);
}

#[test]
fn a_months_limit_that_was_lowered_below_its_use_is_no_violation_and_stops_everything() {
    let world = World::new(&[]);
    world.frame.shaper().count(Way::Up, 2_000_000_000, Carrier::V6);
    world.later(1000);
    world.set(&[("month", "1GB")]);
    world.later(1000);
    assert_eq!(world.frame.report().violations, 0);
    assert_eq!(world.shut(), Some(Why::Month));
    assert!(world.frame.shaper().grant(Way::Up, 1000, Carrier::V6).is_err());
}

#[test]
fn memory_for_requests_is_what_the_limit_leaves_beside_an_idle_node() {
    let world = World::new(&[("memory", "192MiB")]);
    let tickets: Vec<_> = (0..64).map(|_| world.frame.admit(Way::Up, MIB, MIB).unwrap()).collect();
    assert!(world.frame.admit(Way::Up, MIB, MIB).is_err());
    drop(tickets);
    assert!(world.frame.admit(Way::Up, MIB, MIB).is_ok());
}

#[test]
fn links_are_made_with_windows_of_a_tenth_of_a_second() {
    let base = LinkSettings::default();
    let window = |assignments: &[(&str, &str)]| {
        let settings = World::new(assignments).frame.link_settings(&base);
        (settings.stream_window, settings.connection_window)
    };
    assert_eq!(window(&[]), (base.stream_window, base.connection_window));
    assert_eq!(window(&[("down", "20Mbit")]), (250_000, 250_000));
    assert_eq!(window(&[("idle.down", "1Mbit")]), (65_536, 65_536));
    assert_eq!(window(&[("up", "1Mbit")]), (base.stream_window, base.connection_window));
}

#[test]
fn a_disk_limit_that_was_lowered_is_no_violation_until_more_is_taken() {
    let world = World::new(&[]);
    let disk = |used: u64| world.frame.note_disk(DiskUse { used, free: 1, min_free: 1 });
    disk(1100 * MB);
    disk(1050 * MB);
    assert_eq!(world.frame.report().violations, 0);
    disk(1060 * MB);
    assert_eq!(world.live(Limit::Disk).violations, 1);
}
