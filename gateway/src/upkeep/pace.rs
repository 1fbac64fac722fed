//! Pace: bounds the bytes a second that repair moves, so that customers and volunteers' lines feel little of it.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A queue for bytes: whoever takes some waits until those before have gone by. No credit is saved up while nobody takes any.
pub struct Pacer {
    /// Bytes a second; none: any number.
    rate: Option<NonZeroU64>,
    /// When the next bytes may go.
    next: Mutex<Instant>,
}

impl Pacer {
    /// For so many bytes a second; 0: any number.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate: NonZeroU64::new(rate), next: Mutex::new(Instant::now()) }
    }

    /// Bytes a second, if they are bounded.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        self.rate.map(NonZeroU64::get)
    }

    /// Waits until `bytes` may be moved. Cancel-safe: whoever stops waiting leaves its place in the queue empty.
    pub async fn take(&self, bytes: u64) {
        if let Some(begin) = self.reserve(bytes, Instant::now()) {
            tokio::time::sleep_until(begin).await;
        }
    }

    /// When `bytes` that were asked for `now` may be moved; nothing, if there is no bound.
    fn reserve(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let took = Duration::from_secs_f64(bytes as f64 / self.rate?.get() as f64);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*next).max(now);
        *next = begin + took;
        Some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_by_at_the_rate_and_idle_time_is_not_saved_up() {
        let pacer = Pacer::new(1000);
        let begin = Instant::now() + Duration::from_secs(100);
        let waits: Vec<Duration> =
            (0..5).filter_map(|_| Some(pacer.reserve(500, begin)? - begin)).collect();
        // The first goes at once; each of the others waits for those before it.
        assert_eq!(waits, [0, 500, 1000, 1500, 2000].map(Duration::from_millis));
        assert_eq!(Pacer::new(0).reserve(u64::MAX, begin), None);
    }
}
