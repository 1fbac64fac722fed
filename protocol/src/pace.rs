//! The clock that runs while one end waits for the other: it finds the peer that drips.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::error::Loss;
use crate::limits::LinkSettings;

/// How long a peer may be waited for: a grace, and then as long as its bytes take at the minimum rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    grace: Duration,
    rate: u64,
}

impl Allowance {
    pub(crate) fn new(settings: &LinkSettings) -> Self {
        Self { grace: settings.answer_grace, rate: settings.answer_rate_min.max(1) }
    }

    pub(crate) fn grace(&self) -> Duration {
        self.grace
    }

    /// Fails once `waited` is more than `bytes` are worth.
    pub(crate) fn check(&self, bytes: u64, waited: Duration) -> Result<(), Loss> {
        if waited > self.of(bytes) { Err(Loss::TooSlow { bytes, waited }) } else { Ok(()) }
    }

    fn of(&self, bytes: u64) -> Duration {
        self.grace + Duration::from_secs_f64(bytes as f64 / self.rate as f64)
    }
}

/// Sums up the time spent waiting for a body, and ends the waiting when it is too much. Time in which nobody reads the body does
/// not count: a slow reader is not the sender's fault.
pub(crate) struct Pace {
    allowance: Allowance,
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
    /// Fires at or before the moment the allowance is used up; armed anew only when it fired, so frames cost no timer.
    alarm: Pin<Box<Sleep>>,
}

impl Pace {
    pub(crate) fn new(allowance: Allowance) -> Self {
        let alarm = Box::pin(sleep_until(Instant::now() + allowance.grace));
        Self { allowance, bytes: 0, waited: Duration::ZERO, since: None, alarm }
    }

    /// Bytes came.
    pub(crate) fn progress(&mut self, bytes: usize) -> Result<(), Loss> {
        self.bytes += bytes as u64;
        self.waited += self.since.take().map_or(Duration::ZERO, |since| since.elapsed());
        self.allowance.check(self.bytes, self.waited)
    }

    /// Nothing came yet: pending until that has lasted too long.
    pub(crate) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Loss> {
        let since = *self.since.get_or_insert_with(Instant::now);
        while self.alarm.as_mut().poll(cx).is_ready() {
            let waited = self.waited + since.elapsed();
            if let Err(loss) = self.allowance.check(self.bytes, waited) {
                return Poll::Ready(loss);
            }
            let left = self.allowance.of(self.bytes).saturating_sub(waited);
            // One tick beyond, so that the comparison above holds when it fires.
            self.alarm.as_mut().reset(Instant::now() + left + Duration::from_millis(1));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn allowance(seconds: u64, rate: u64) -> Allowance {
        Allowance { grace: Duration::from_secs(seconds), rate }
    }

    #[tokio::test(start_paused = true)]
    async fn a_drip_is_cut_after_the_grace_and_what_its_bytes_are_worth() {
        let mut pace = Pace::new(allowance(10, 100));
        let started = Instant::now();
        let loss = loop {
            let wait = poll_fn(|cx| pace.poll_wait(cx));
            match tokio::time::timeout(Duration::from_secs(1), wait).await {
                Ok(loss) => break loss,
                Err(_) => pace.progress(50).unwrap(),
            }
        };
        // 10 s of grace and 50 bytes worth half a second in every second: twice the grace.
        assert!(matches!(loss, Loss::TooSlow { .. }), "{loss:?}");
        assert!((19..=21).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_waits_does_not_count() {
        let mut pace = Pace::new(allowance(10, 100));
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            pace.progress(1).unwrap();
        }
        let loss = poll_fn(|cx| pace.poll_wait(cx)).await;
        assert!(matches!(loss, Loss::TooSlow { bytes: 100, .. }), "{loss:?}");
    }
}
