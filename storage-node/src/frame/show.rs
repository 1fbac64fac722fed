//! The frame as people see it.

use std::sync::atomic::Ordering;

use crate::frame::decide::{self, Held};
use crate::frame::hours::Hours;
use crate::frame::report::{
    FrameReport, HoursReport, Limit, LimitReport, MonthReport, PauseReport, Why,
};
use crate::frame::settings::Pause;
use crate::frame::{Frame, State, lock};

impl Frame {
    /// All of it, for people.
    pub(crate) fn report(&self) -> FrameReport {
        let now = self.clock.now();
        let state = lock(&self.state);
        let State { lent, zone, watch, ledger, calendar, decision, usage, .. } = &*state;
        let hours = |hours: Hours| HoursReport {
            open: hours.contains(&zone.local(now)),
            changes: hours.next_change(now, zone),
            hours: hours.to_string(),
        };
        let pause = lent.frame.pause.and_then(|pause| match pause {
            Pause::On => Some(PauseReport { until: None }),
            Pause::Until(until) => (now < until).then_some(PauseReport { until: Some(until) }),
        });
        let month_limit = lent.frame.month.map(|limit| limit.0);
        let moved = self.moved().saturating_sub(state.counted);
        FrameReport {
            at: now,
            limits: Limit::ALL.into_iter().map(|limit| self.limit(&state, limit)).collect(),
            network: decision.network,
            compute: decision.compute,
            network_hours: hours(lent.frame.hours()),
            compute_hours: hours(lent.frame.compute_hours()),
            month: MonthReport {
                limit: month_limit,
                used: ledger.month.used + moved,
                today_limit: month_limit.map(|limit| ledger.month.today_limit(limit, calendar)),
                today_used: ledger.month.today_used() + moved,
                began: calendar.month_began,
                ends: calendar.month_ends,
            },
            pause,
            machine: watch.report(now, lent.frame.idle_after()),
            turned_away: self.turned_away.load(Ordering::Relaxed),
            violations: usage.all_violations(),
            trouble: state.trouble.clone(),
        }
    }

    fn limit(&self, state: &State, limit: Limit) -> LimitReport {
        let State { lent, ledger, calendar, decision, usage, disk, .. } = state;
        let set = |value: Option<u64>| decide::strictest(value, &[]);
        let (up, down) = usage.rates();
        let month = lent.frame.month.map(|limit| limit.0);
        let (held, live) = match limit {
            Limit::Disk => (set(Some(lent.disk.0)), disk.used),
            Limit::MinFree => {
                let min_free = lent.min_free.map(|size| size.0);
                let effective = min_free.unwrap_or(disk.min_free);
                (Held { effective: Some(effective), ..set(min_free) }, disk.free)
            }
            Limit::Up => (decision.up, up),
            Limit::Down => (decision.down, down),
            Limit::Month => (set(month), ledger.month.used),
            Limit::Today => {
                let today = month.map(|limit| ledger.month.today_limit(limit, calendar));
                let why = if today.is_some() { Why::Month } else { Why::Default };
                (Held { configured: None, effective: today, why }, ledger.month.today_used())
            }
            Limit::Memory => (decision.memory, state.resident),
            Limit::Cpu => {
                let cores = decision.cores.effective.unwrap_or(1).max(1);
                (decision.cpu, usage.cpu() / (10_000 * cores))
            }
            Limit::Cores => (decision.cores, usage.cpu().div_ceil(1_000_000)),
            Limit::Scrub => {
                let rate = Some(lent.scrub_rate.0).filter(|rate| *rate > 0);
                let off = Held { configured: Some(0), effective: Some(0), why: Why::Off };
                (rate.map_or(off, |rate| set(Some(rate))), 0)
            }
        };
        LimitReport {
            limit,
            unit: limit.unit(),
            configured: held.configured,
            effective: held.effective,
            why: held.why,
            live,
            violations: usage.violations(limit),
        }
    }
}
