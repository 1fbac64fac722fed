//! One connected node: its line, and what was measured of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use protocol::NodeClient;
use protocol::message::StatusAnswer;
use serde::Serialize;
use types::{NodeId, Timestamp};

/// A fetch is hedged no earlier than this: below, the second request costs more than the wait.
const HEDGE_MIN: Duration = Duration::from_millis(40);
/// A fetch is hedged no later than this.
const HEDGE_MAX: Duration = Duration::from_secs(2);
/// Before anything was measured.
const HEDGE_FIRST: Duration = Duration::from_millis(400);
/// A node that was full is given shards again once it has room for two of the longest, in bytes.
const ROOM_AGAIN: u64 = 2 * types::SEGMENT_MAX / 4;
/// The longest fetch that counts as short, in bytes: two units.
const SHORT_MAX: u64 = 128 * types::KIB;

/// A connected node.
pub struct Member {
    client: NodeClient,
    name: String,
    software: String,
    since: Timestamp,
    capacity: AtomicU64,
    /// Of fetches up to [`SHORT_MAX`], where the way counts more than the bytes.
    short: Latency,
    /// Of longer ones.
    long: Latency,
    blamed: AtomicU64,
    /// Until when it asked not to be given new shards.
    closed_until: AtomicU64,
    /// Until when it counts as full.
    full_until: AtomicU64,
    /// Whether its owner wants it to leave.
    leaving: AtomicBool,
    /// Whether its inventory was compared with the catalog since it connected.
    compared: AtomicBool,
    /// Whether it is suspended or worse.
    distrusted: AtomicBool,
    status: Mutex<Option<StatusAnswer>>,
}

/// What the operator sees of a connected node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeStatus {
    /// Since when it is connected.
    pub connected_since: Timestamp,
    /// Bytes of live shards, as it last said.
    pub used: u64,
    /// Bytes of dropped shards that still rest.
    pub trash: u64,
    /// Bytes it offers.
    pub capacity: u64,
    /// Bytes it can still take.
    pub free: u64,
    /// Its program and version.
    pub software: String,
    /// Typical milliseconds until a fetch is answered.
    pub latency_ms: u64,
    /// How often it broke the rules since it connected.
    pub misbehaved: u64,
}

impl Member {
    pub(super) fn new(
        client: NodeClient,
        name: String,
        capacity: u64,
        software: String,
        now: Timestamp,
    ) -> Self {
        Self {
            client,
            name,
            software,
            since: now,
            capacity: AtomicU64::new(capacity),
            short: Latency::default(),
            long: Latency::default(),
            blamed: AtomicU64::new(0),
            closed_until: AtomicU64::new(0),
            full_until: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            compared: AtomicBool::new(false),
            distrusted: AtomicBool::new(false),
            status: Mutex::new(None),
        }
    }

    /// The node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.client.node_id()
    }

    /// What its owner calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line to it.
    #[must_use]
    pub fn client(&self) -> &NodeClient {
        &self.client
    }

    /// Since when it is connected.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Notes how long a fetch of `len` bytes took.
    pub fn fetched_in(&self, took: Duration, len: u64) {
        self.latency_of(len).note(took);
    }

    /// Typical time of a fetch; unknown is fast, so that newcomers are tried.
    #[must_use]
    pub fn typical(&self) -> Duration {
        Duration::from_micros(self.mean())
    }

    fn mean(&self) -> u64 {
        match self.short.mean() {
            0 => self.long.mean(),
            mean => mean,
        }
    }

    fn latency_of(&self, len: u64) -> &Latency {
        if len <= SHORT_MAX { &self.short } else { &self.long }
    }

    /// When to ask somebody else as well for `len` bytes: about the 95th percentile of its fetches of such a length.
    #[must_use]
    pub fn hedge_after(&self, len: u64) -> Duration {
        match self.latency_of(len).p95() {
            0 => HEDGE_FIRST,
            micros => Duration::from_micros(micros).clamp(HEDGE_MIN, HEDGE_MAX),
        }
    }

    /// Gives it no new shards until `until`.
    pub fn close_until(&self, until: Timestamp) {
        self.closed_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// It refused a shard for want of room: gives it no new ones until it says that it has [`ROOM_AGAIN`], or until `until`.
    pub fn full_until(&self, until: Timestamp) {
        self.full_until.fetch_max(until.0, Ordering::Relaxed);
    }

    /// Whether it may be given new shards: it is not leaving, and has neither said that it is full nor asked for a pause.
    #[must_use]
    pub fn takes_shards(&self, now: Timestamp) -> bool {
        let closed = [&self.closed_until, &self.full_until];
        closed.iter().all(|until| until.load(Ordering::Relaxed) <= now.0) && !self.leaving()
    }

    /// Notes whether its owner wants it to leave.
    pub fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Ordering::Relaxed);
    }

    /// Whether its owner wants it to leave.
    #[must_use]
    pub fn leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether it has had its chance to say what it lost while it was away: until then, nothing that it lacks is held against it.
    #[must_use]
    pub fn compared(&self) -> bool {
        self.compared.load(Ordering::Relaxed)
    }

    /// Its inventory was compared with the catalog.
    pub fn set_compared(&self) {
        self.compared.store(true, Ordering::Relaxed);
    }

    /// Whether it is neither suspended nor disqualified.
    #[must_use]
    pub fn trusted(&self) -> bool {
        !self.distrusted.load(Ordering::Relaxed)
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.distrusted.store(!trusted, Ordering::Relaxed);
    }

    pub(super) fn blamed(&self) {
        self.blamed.fetch_add(1, Ordering::Relaxed);
    }

    /// How much of the rot it found itself the catalog has been told of.
    #[must_use]
    pub fn rot_heard(&self) -> u64 {
        self.status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map_or(0, |status| status.rot_seen)
    }

    /// Keeps what it said of itself.
    pub fn set_status(&self, status: StatusAnswer) {
        if status.free >= ROOM_AGAIN {
            self.full_until.store(0, Ordering::Relaxed);
        }
        self.capacity.store(status.capacity, Ordering::Relaxed);
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Everything known of it.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        let said = status.as_ref();
        NodeStatus {
            connected_since: self.since,
            used: said.map_or(0, |status| status.used),
            trash: said.map_or(0, |status| status.trash),
            capacity: self.capacity.load(Ordering::Relaxed),
            free: said.map_or_else(|| self.capacity.load(Ordering::Relaxed), |status| status.free),
            software: self.software.clone(),
            latency_ms: self.mean() / 1000,
            misbehaved: self.blamed.load(Ordering::Relaxed),
        }
    }
}

/// A running estimate of how long fetches take: mean and mean deviation, each an exponential average over about 16 samples (as TCP
/// estimates its round trip, RFC 6298). Lost updates between threads only make it a little older.
#[derive(Default)]
struct Latency {
    mean: AtomicU64,
    deviation: AtomicU64,
}

impl Latency {
    fn note(&self, took: Duration) {
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX / 32).min(u64::MAX / 32);
        let mean = self.mean.load(Ordering::Relaxed);
        if mean == 0 {
            self.mean.store(sample.max(1), Ordering::Relaxed);
            self.deviation.store(sample / 2, Ordering::Relaxed);
            return;
        }
        let deviation = self.deviation.load(Ordering::Relaxed);
        self.mean.store((mean * 15 + sample) / 16, Ordering::Relaxed);
        self.deviation.store((deviation * 15 + sample.abs_diff(mean)) / 16, Ordering::Relaxed);
    }

    fn mean(&self) -> u64 {
        self.mean.load(Ordering::Relaxed)
    }

    /// Mean and four deviations: the 95th percentile of anything but the most skewed distribution lies below.
    fn p95(&self) -> u64 {
        self.mean() + 4 * self.deviation.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steady_fetches_bring_the_estimate_to_their_time() {
        let latency = Latency::default();
        for _ in 0..200 {
            latency.note(Duration::from_millis(10));
        }
        assert!((9_000..=11_000).contains(&latency.mean()));
        assert!(latency.p95() < 12_000);
        latency.note(Duration::from_secs(1));
        assert!(latency.p95() > 100_000, "one slow fetch is felt");
    }
}
