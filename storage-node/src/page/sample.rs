//! Fills the [`History`] while the node runs.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use types::{Clock, Timestamp};

use super::history::{History, Sample};
use crate::app::{NodeStatus, View};

/// How often the node is looked at: the resolution of "seconds with a link".
const LOOK: Duration = Duration::from_secs(5);
/// Looks between two writes of a sample that goes on: what a crash can lose is a minute.
const LOOKS_PER_WRITE: u32 = 12;

/// Looks until `stop`, and writes a last time then.
pub(crate) async fn run(
    view: View,
    history: Arc<History>,
    clock: impl Clock,
    stop: CancellationToken,
) {
    let mut sampler = Sampler::new(&history, &view.status(), clock.now());
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looks = 0;
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let ended = sampler.look(&history, &view.status(), clock.now());
        history.show(sampler.current);
        looks += 1;
        let due = stopping || looks % LOOKS_PER_WRITE == 0;
        for sample in ended.into_iter().chain(due.then_some(sampler.current)) {
            let history = Arc::clone(&history);
            let written = tokio::task::spawn_blocking(move || history.write(sample)).await;
            if let Ok(Err(error)) = written {
                tracing::debug!(%error, "a sample of the history cannot be written");
            }
        }
        if stopping {
            return;
        }
    }
}

/// Turns counters that run since the start into samples.
struct Sampler {
    current: Sample,
    seen: Counters,
    looked: Timestamp,
}

/// What was counted since the start.
#[derive(Clone, Copy)]
struct Counters {
    stored: u64,
    fetched: u64,
    dropped: u64,
}

impl Counters {
    fn of(status: &NodeStatus) -> Self {
        Self {
            stored: status.stored_bytes,
            fetched: status.fetched_bytes,
            dropped: status.dropped_shards,
        }
    }
}

impl Sampler {
    /// Goes on with the interval that an earlier run of the node may have begun.
    fn new(history: &History, status: &NodeStatus, now: Timestamp) -> Self {
        Self {
            current: begun(history, Sample::number_of(now)),
            seen: Counters::of(status),
            looked: now,
        }
    }

    /// Adds what happened since the last look; gives the sample that ended meanwhile, if one did.
    fn look(&mut self, history: &History, status: &NodeStatus, now: Timestamp) -> Option<Sample> {
        let number = Sample::number_of(now);
        let ended = (number != self.current.number).then_some(self.current);
        if ended.is_some() {
            self.current = begun(history, number);
        }
        let (counted, before) = (Counters::of(status), self.seen);
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let current = &mut self.current;
        current.stored = current.stored.saturating_add(since(counted.stored, before.stored));
        current.fetched = current.fetched.saturating_add(since(counted.fetched, before.fetched));
        let dropped = u32::try_from(since(counted.dropped, before.dropped)).unwrap_or(u32::MAX);
        current.dropped = current.dropped.saturating_add(dropped);
        current.live = status.store.live_bytes;
        current.allocated = status.store.allocated;
        if status.links.iter().any(|link| link.connected) {
            // A machine that slept was not linked meanwhile.
            let looked = now.since(self.looked).min(2 * LOOK);
            current.linked += u32::try_from(looked.as_secs()).unwrap_or_default();
        }
        self.seen = counted;
        self.looked = now;
        ended
    }
}

fn begun(history: &History, number: u64) -> Sample {
    history.read(number).unwrap_or(Sample { number, ..Sample::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::history::INTERVAL;
    use crate::testing;

    const START: u64 = 6_000_000 * INTERVAL;

    fn at(seconds: u64) -> Timestamp {
        Timestamp((START + seconds) * 1000)
    }

    fn counted(stored: u64, fetched: u64) -> NodeStatus {
        NodeStatus { stored_bytes: stored, fetched_bytes: fetched, ..testing::status(at(0)) }
    }

    #[test]
    fn what_happens_goes_to_the_interval_in_which_it_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        let mut sampler = Sampler::new(&history, &counted(1000, 0), at(0));
        assert_eq!(sampler.look(&history, &counted(1500, 7), at(5)), None);
        let ended = sampler.look(&history, &counted(1600, 7), at(INTERVAL)).unwrap();
        assert_eq!(
            (ended.number, ended.stored, ended.fetched, ended.linked),
            (6_000_000, 500, 7, 5)
        );
        let current = sampler.current;
        assert_eq!((current.number, current.stored, current.fetched), (6_000_001, 100, 0));
    }

    #[test]
    fn a_restart_within_an_interval_adds_to_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        let mut first = Sampler::new(&history, &counted(0, 0), at(0));
        first.look(&history, &counted(300, 0), at(10));
        history.write(first.current).unwrap();
        let mut second = Sampler::new(&history, &counted(0, 0), at(60));
        second.look(&history, &counted(20, 0), at(65));
        assert_eq!(second.current.stored, 320);
    }

    #[test]
    fn sleep_is_not_time_with_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let history = History::open(dir.path()).unwrap();
        let mut sampler = Sampler::new(&history, &counted(0, 0), at(0));
        sampler.look(&history, &counted(0, 0), at(8 * INTERVAL + 100));
        assert_eq!(sampler.current.linked, 10);
        let mut away = counted(0, 0);
        away.links[0].connected = false;
        sampler.look(&history, &away, at(8 * INTERVAL + 105));
        assert_eq!(sampler.current.linked, 10);
    }
}
