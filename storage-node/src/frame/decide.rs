//! The one rule of precedence: **of all rules that speak about a limit now, the strictest holds**, and the report names it.
//!
//! Pure: what is set and what is seen go in, what holds comes out.

use types::Timestamp;

use crate::frame::month::Calendar;
use crate::frame::report::{MachineReport, Permission, Why};
use crate::frame::settings::{FrameSettings, Pause, Values};
use crate::frame::zone::Zone;

/// BOINC: `ram_max_used_busy` and `ram_max_used_idle`, in hundredths of the machine's memory.
const MEMORY_IN_USE: u64 = 50;
const MEMORY_IDLE: u64 = 90;
/// Before the weekly hours end, the node says goodbye so much earlier: what is under way can be finished.
pub(crate) const CLOSING_MS: u64 = 30_000;

/// What is seen at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) now: Timestamp,
    pub(crate) zone: &'a Zone,
    pub(crate) machine: MachineReport,
    pub(crate) calendar: Calendar,
    /// Wire bytes that may still be promised today; `None`: the month has no limit.
    pub(crate) today_left: Option<u64>,
    /// Whether the node has the process to itself, so that memory and processor time are its own.
    pub(crate) own_process: bool,
}

/// A limit as it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub(crate) configured: Option<u64>,
    pub(crate) effective: Option<u64>,
    pub(crate) why: Why,
}

/// Everything that holds at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Decision {
    pub(crate) up: Held,
    pub(crate) down: Held,
    /// In hundredths of the processors that may be used.
    pub(crate) cpu: Held,
    pub(crate) cores: Held,
    pub(crate) memory: Held,
    pub(crate) network: Permission,
    pub(crate) compute: Permission,
}

/// Of all rules the strictest.
pub(crate) fn strictest(configured: Option<u64>, rules: &[(Option<u64>, Why)]) -> Held {
    let all = std::iter::once((configured, Why::Set)).chain(rules.iter().copied());
    let held = all.filter_map(|(value, why)| Some((value?, why))).min_by_key(|(value, _)| *value);
    let (effective, why) = held.map_or((None, Why::Default), |(value, why)| (Some(value), why));
    Held { configured, effective, why }
}

/// Applies every rule.
pub(crate) fn decide(settings: &FrameSettings, seen: &Seen<'_>) -> Decision {
    let (state, why) = if seen.machine.in_use {
        (&settings.in_use, Why::InUse)
    } else {
        (&settings.idle, Why::Idle)
    };
    let always = settings.always();
    let limit = |of: fn(&Values) -> Option<u64>, more: (Option<u64>, Why)| {
        strictest(of(&always), &[(of(state), why), more])
    };
    let none = (None, Why::Default);
    let share = if seen.machine.in_use { MEMORY_IN_USE } else { MEMORY_IDLE };
    let memory = seen.machine.memory / 100 * share;
    let memory = (seen.own_process && memory > 0).then_some(memory);
    Decision {
        up: limit(|values| values.up.map(|rate| rate.0), none),
        down: limit(|values| values.down.map(|rate| rate.0), none),
        cpu: limit(|values| values.cpu.map(|share| u64::from(share.0)), none),
        cores: limit(
            |values| values.cores.map(u64::from),
            (Some(seen.machine.cores), Why::Machine),
        ),
        memory: limit(|values| values.memory.map(|size| size.0), (memory, why)),
        network: network(settings, seen),
        compute: compute(settings, seen),
    }
}

/// What forbids something, and until when as far as that is known.
type Ban = (Why, Option<Timestamp>);

fn network(settings: &FrameSettings, seen: &Seen<'_>) -> Permission {
    let hours = settings.hours();
    // The end of the hours is announced: with a goodbye, what is under way is finished in time.
    let soon = Timestamp(seen.now.0 + CLOSING_MS);
    let open = hours.contains(&seen.zone.local(seen.now)) && hours.contains(&seen.zone.local(soon));
    let reopens = || {
        let closed = if hours.contains(&seen.zone.local(seen.now)) { soon } else { seen.now };
        hours.next_change(closed, seen.zone)
    };
    permission([
        paused(settings, seen.now),
        (!open).then(|| (Why::Hours, reopens())),
        (!settings.network_on_battery() && seen.machine.on_battery == Some(true))
            .then_some((Why::Battery, None)),
        (seen.today_left == Some(0)).then_some((Why::Month, Some(seen.calendar.day_ends))),
        None,
    ])
}

fn compute(settings: &FrameSettings, seen: &Seen<'_>) -> Permission {
    let hours = settings.compute_hours();
    let open = hours.contains(&seen.zone.local(seen.now));
    let allowed = |setting: Option<bool>| setting.unwrap_or(false);
    permission([
        (settings.compute == Some(false)).then_some((Why::Off, None)),
        paused(settings, seen.now),
        (!open).then(|| (Why::Hours, hours.next_change(seen.now, seen.zone))),
        (!allowed(settings.compute_on_battery) && seen.machine.on_battery == Some(true))
            .then_some((Why::Battery, None)),
        (!allowed(settings.compute_in_use) && seen.machine.in_use).then_some((Why::InUse, None)),
    ])
}

fn paused(settings: &FrameSettings, now: Timestamp) -> Option<Ban> {
    match settings.pause? {
        Pause::On => Some((Why::Pause, None)),
        Pause::Until(until) => (now < until).then_some((Why::Pause, Some(until))),
    }
}

/// Allowed if nothing forbids it; else the ban that lasts longest is named.
fn permission(bans: [Option<Ban>; 5]) -> Permission {
    let longest = bans.into_iter().flatten().reduce(|longest, ban| {
        let longer = match (longest.1, ban.1) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(until), Some(later)) => later > until,
        };
        if longer { ban } else { longest }
    });
    match longest {
        None => Permission { allowed: true, why: Why::Default, until: None },
        Some((why, until)) => Permission { allowed: false, why, until },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A Saturday, 12:34:56.
    const NOW: Timestamp = Timestamp(1_795_869_296_000);

    fn seen(zone: &Zone) -> Seen<'_> {
        let machine = MachineReport {
            in_use: false,
            input_seconds_ago: None,
            other_load_percent: 0,
            on_battery: None,
            memory: 8_000_000_000,
            cores: 4,
        };
        let calendar = Calendar::around(NOW, zone, 1);
        Seen { now: NOW, zone, machine, calendar, today_left: None, own_process: true }
    }

    fn frame(assignments: &[(&str, &str)]) -> FrameSettings {
        let mut frame = FrameSettings::default();
        for (key, value) in assignments {
            frame.set(key, value).unwrap();
        }
        frame
    }

    #[test]
    fn without_any_setting_only_the_machine_and_boincs_memory_rule_limit() {
        let zone = Zone::utc();
        let decision = decide(&FrameSettings::default(), &seen(&zone));
        assert_eq!((decision.up.effective, decision.up.why), (None, Why::Default));
        assert_eq!((decision.cores.effective, decision.cores.why), (Some(4), Why::Machine));
        assert_eq!(
            (decision.memory.effective, decision.memory.why),
            (Some(7_200_000_000), Why::Idle)
        );
        assert!(decision.network.allowed && decision.compute.allowed);
        let shared = Seen { own_process: false, ..seen(&zone) };
        assert_eq!(decide(&FrameSettings::default(), &shared).memory.effective, None);
    }

    #[test]
    fn the_stricter_of_two_values_holds_and_is_named() {
        let zone = Zone::utc();
        let frame = frame(&[("up", "10Mbit"), ("in_use.up", "2Mbit"), ("idle.up", "50Mbit")]);
        let idle = decide(&frame, &seen(&zone)).up;
        let named = (idle.configured, idle.effective, idle.why);
        assert_eq!(named, (Some(10_000_000), Some(10_000_000), Why::Set));
        let machine = MachineReport { in_use: true, ..seen(&zone).machine };
        let in_use = decide(&frame, &Seen { machine, ..seen(&zone) }).up;
        assert_eq!((in_use.effective, in_use.why), (Some(2_000_000), Why::InUse));
    }

    #[test]
    fn computing_waits_for_idleness_mains_power_and_its_hours_as_with_boinc() {
        let zone = Zone::utc();
        let used = MachineReport { in_use: true, on_battery: Some(true), ..seen(&zone).machine };
        let used = Seen { machine: used, ..seen(&zone) };
        let plain = decide(&FrameSettings::default(), &used);
        assert!(!plain.compute.allowed && plain.network.allowed);
        let willing = frame(&[("compute_in_use", "true"), ("compute_on_battery", "true")]);
        assert!(decide(&willing, &used).compute.allowed);
        let careful = frame(&[("network_on_battery", "false"), ("compute_hours", "mon 8-9")]);
        let careful = decide(&careful, &used);
        assert_eq!(careful.network.why, Why::Battery);
        assert!(!careful.compute.allowed);
        let off = frame(&[("compute", "false")]);
        assert_eq!(decide(&off, &seen(&zone)).compute.why, Why::Off);
    }

    #[test]
    fn the_ban_that_lasts_longest_is_named() {
        let zone = Zone::utc();
        let mut frame = frame(&[("hours", "mon-fri")]);
        let monday = Timestamp(1_795_996_800_000);
        let hours = Permission { allowed: false, why: Why::Hours, until: Some(monday) };
        assert_eq!(decide(&frame, &seen(&zone)).network, hours);
        let spent = Seen { today_left: Some(0), ..seen(&zone) };
        assert_eq!(decide(&frame, &spent).network, hours);
        frame.pause = Some(Pause::Until(Timestamp(NOW.0 + 1000)));
        assert_eq!(decide(&frame, &seen(&zone)).network, hours);
        frame.pause = Some(Pause::On);
        assert_eq!(decide(&frame, &seen(&zone)).network.why, Why::Pause);
        frame.pause = Some(Pause::Until(NOW));
        frame.hours = None;
        assert!(decide(&frame, &seen(&zone)).network.allowed);
    }

    #[test]
    fn the_end_of_the_hours_is_announced_half_a_minute_before() {
        let zone = Zone::utc();
        let frame = frame(&[("hours", "sat 12-13, sun 7-8")]);
        let thirteen = 1_795_870_800_000;
        let at = |now| decide(&frame, &Seen { now: Timestamp(now), ..seen(&zone) }).network;
        assert!(at(thirteen - CLOSING_MS - 1).allowed);
        let closing = at(thirteen - CLOSING_MS);
        assert_eq!((closing.allowed, closing.why), (false, Why::Hours));
        assert_eq!(closing.until, Some(Timestamp(1_795_935_600_000)));
    }

    proptest! {
        #[test]
        fn no_rule_can_make_a_limit_looser(base in prop::option::of(1_u64..100), rules in prop::collection::vec(prop::option::of(1_u64..100), 0..5)) {
            let rules: Vec<_> = rules.into_iter().map(|value| (value, Why::Idle)).collect();
            let held = strictest(base, &rules);
            let least = rules.iter().filter_map(|rule| rule.0).chain(base).min();
            prop_assert_eq!(held.effective, least);
            for more in 0..rules.len() {
                let fewer = strictest(base, &rules[..more]);
                prop_assert!(fewer.effective.is_none_or(|before| held.effective.is_some_and(|now| now <= before)));
            }
        }
    }
}
