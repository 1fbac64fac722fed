//! Live use, and the node's own check of itself: what the counters at the sockets say against the limits, apart from the buckets that enforce
//! them. Pure: samples go in.

use std::collections::VecDeque;
use std::time::Duration;

use crate::frame::report::Limit;

/// The window in which rates are judged.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// The window in which processor time is judged.
const CPU_WINDOW: Duration = Duration::from_secs(60);
/// How much of a limit is within the precision of measurement, in thousandths.
const TOLERANCE: u128 = 1020;

/// What was used until a moment, and the limits that hold then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sample {
    /// On a clock that only goes forward.
    pub(crate) at: Duration,
    /// Wire bytes.
    pub(crate) sent: u64,
    /// Wire bytes.
    pub(crate) received: u64,
    /// Processor time of the process.
    pub(crate) cpu: Duration,
    /// Bits per second.
    pub(crate) up: Option<u64>,
    /// Bits per second.
    pub(crate) down: Option<u64>,
    /// Microseconds of processor time per second.
    pub(crate) cpu_limit: Option<u64>,
}

/// The samples of the last minute, and how often a limit was overstepped.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    samples: VecDeque<Sample>,
    /// Whether each limit is overstepped now, and how often that has begun.
    over: [(bool, u64); Limit::ALL.len()],
}

impl Usage {
    /// Takes a sample and judges the windows that end with it.
    pub(crate) fn take(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        let outdated = |second: &Sample| sample.at.saturating_sub(second.at) >= CPU_WINDOW;
        while self.samples.get(1).is_some_and(outdated) {
            self.samples.pop_front();
        }
        let up = self.exceeds(RATE_WINDOW, |s| (s.sent * 8, s.up));
        let down = self.exceeds(RATE_WINDOW, |s| (s.received * 8, s.down));
        let micros = |s: &Sample| u64::try_from(s.cpu.as_micros()).unwrap_or(u64::MAX);
        let cpu = self.exceeds(CPU_WINDOW, |s| (micros(s), s.cpu_limit));
        self.note(Limit::Up, up);
        self.note(Limit::Down, down);
        self.note(Limit::Cpu, cpu);
    }

    /// Says whether a limit is overstepped now; counted when that begins.
    pub(crate) fn note(&mut self, limit: Limit, over: bool) {
        let Some((was_over, count)) = self.over.get_mut(limit as usize) else { return };
        if over && !*was_over {
            *count += 1;
            tracing::error!(%limit, "a limit of the frame was overstepped: this is a defect");
        }
        *was_over = over;
    }

    /// How often a limit was overstepped.
    pub(crate) fn violations(&self, limit: Limit) -> u64 {
        self.over.get(limit as usize).map_or(0, |(_, count)| *count)
    }

    /// How often any was.
    pub(crate) fn all_violations(&self) -> u64 {
        self.over.iter().map(|(_, count)| count).sum()
    }

    /// Bits per second sent and received in the last window.
    pub(crate) fn rates(&self) -> (u64, u64) {
        let (sent, span) = self.growth(RATE_WINDOW, |s| s.sent * 8);
        let (received, _) = self.growth(RATE_WINDOW, |s| s.received * 8);
        (per_second(sent, span), per_second(received, span))
    }

    /// Processor time per second in the last window, in microseconds.
    pub(crate) fn cpu(&self) -> u64 {
        let micros = |s: &Sample| u64::try_from(s.cpu.as_micros()).unwrap_or(u64::MAX);
        let (used, span) = self.growth(RATE_WINDOW, micros);
        per_second(used, span)
    }

    /// The window's first sample: the youngest that is at least so old, or else the oldest.
    fn first(&self, window: Duration) -> Option<usize> {
        let last = self.samples.back()?;
        let old_enough = |s: &Sample| last.at.saturating_sub(s.at) >= window;
        Some(self.samples.iter().rposition(old_enough).unwrap_or(0))
    }

    fn growth(&self, window: Duration, of: impl Fn(&Sample) -> u64) -> (u64, Duration) {
        let first = self.first(window).and_then(|index| self.samples.get(index));
        let (Some(first), Some(last)) = (first, self.samples.back()) else {
            return (0, Duration::ZERO);
        };
        (of(last).saturating_sub(of(first)), last.at.saturating_sub(first.at))
    }

    /// Whether more was used in the last whole window than its limit allows. A window in which the limit changed is not judged.
    fn exceeds(&self, window: Duration, of: impl Fn(&Sample) -> (u64, Option<u64>)) -> bool {
        let (used, span) = self.growth(window, |sample| of(sample).0);
        let Some((first, limit)) =
            self.first(window).zip(self.samples.back().and_then(|s| of(s).1))
        else {
            return false;
        };
        let same = self.samples.range(first..).all(|sample| of(sample).1 == Some(limit));
        let allowed = u128::from(limit) * span.as_micros() / 1_000_000 * TOLERANCE / 1000;
        span >= window && same && u128::from(used) > allowed
    }
}

fn per_second(used: u64, span: Duration) -> u64 {
    let micros = span.as_micros();
    if micros == 0 {
        return 0;
    }
    u64::try_from(u128::from(used) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: u64, sent: u64, up: Option<u64>) -> Sample {
        let at = Duration::from_secs(second);
        Sample { at, sent, up, cpu: at / 4, cpu_limit: Some(200_000), ..Sample::default() }
    }

    #[test]
    fn a_rate_that_is_kept_is_no_violation_and_one_that_is_not_is_counted_once() {
        let mut usage = Usage::default();
        for second in 0..10 {
            usage.take(sample(second, second * 1000, Some(8000)));
        }
        assert_eq!(usage.violations(Limit::Up), 0);
        assert_eq!(usage.rates(), (8000, 0));
        for second in 10..20 {
            usage.take(sample(second, second * 1000 + 500, Some(8000)));
        }
        assert_eq!(usage.violations(Limit::Up), 1, "500 bytes too many in one window");
        assert_eq!(usage.all_violations(), 1);
    }

    #[test]
    fn a_window_in_which_the_limit_changed_is_not_judged() {
        let mut usage = Usage::default();
        for second in 0..10 {
            usage.take(sample(second, second * 1000, None));
        }
        for second in 10..14 {
            usage.take(sample(second, 9000 + (second - 9) * 100, Some(800)));
        }
        assert_eq!(usage.violations(Limit::Up), 0);
    }

    #[test]
    fn processor_time_is_judged_over_a_minute() {
        let mut usage = Usage::default();
        for second in 0..60 {
            usage.take(sample(second, 0, None));
        }
        assert_eq!((usage.violations(Limit::Cpu), usage.cpu()), (0, 250_000));
        usage.take(sample(60, 0, None));
        assert_eq!(usage.violations(Limit::Cpu), 1);
    }
}
