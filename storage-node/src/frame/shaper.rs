//! How fast bytes may move: one bucket for each direction, shared by the links to all gateways, and counters of what moved.
//!
//! The limits are meant at the network interface, where the owner measures: every byte is charged with the headers of the segments that will
//! carry it, and with the acknowledgement that it causes in the other direction. The charge is pessimistic, so that the truth is below it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::frame::bucket::Bucket;

/// What carries the bytes, and so how large the headers of one segment are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Carrier {
    /// TCP over IPv4.
    V4,
    /// TCP over IPv6, or something that nobody knows.
    V6,
}

impl Carrier {
    /// Bytes of headers of one segment: Ethernet 14, IP 20 or 40, TCP with timestamps 32.
    const fn headers(self) -> u64 {
        match self {
            Self::V4 => 66,
            Self::V6 => 86,
        }
    }
}

/// Bytes that a segment carries at least under load: a little less than IPv6 does at the usual MTU of 1500.
const SEGMENT: u64 = 1400;
/// Of a limit, the share that the buckets fill at, in hundredths. What is left takes in retransmissions, and what lies in the kernel's buffers
/// when a window of measurement begins.
const FILL: u64 = 96;
/// Of a lane, the hundredths that acknowledgements of the other way may take.
const ACKS_MAX: u64 = 60;
/// A bucket holds the bytes of so many milliseconds: longer than a timer is late, short against any window of measurement.
const BURST_MS: u64 = 50;
/// The least burst: two full segments.
const BURST_MIN: u64 = 2 * (SEGMENT + Carrier::V6.headers());
/// Payload bytes that are waited for at a time: fewer would be many timers and small segments, more would be bursts.
const QUANTUM: u64 = 4096;
/// The longest sleep before the limits are looked at again: they may have changed.
const RECHECK: Duration = Duration::from_millis(250);
/// How long to wait for the processor's share, or for the month's counter to be written down.
const HELD: Duration = Duration::from_millis(20);

/// The direction of a byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From this machine.
    Up,
    /// To this machine.
    Down,
}

impl Way {
    /// Of two things, the one for this way.
    pub(crate) fn of<T>(self, [up, down]: &mut [T; 2]) -> &mut T {
        match self {
            Self::Up => up,
            Self::Down => down,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// What the shaper enforces.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Shape {
    /// Bits per second sent.
    pub(crate) up: Option<u64>,
    /// Bits per second received.
    pub(crate) down: Option<u64>,
    /// Whether bytes are counted against a month.
    pub(crate) counted: bool,
    /// Whether the processor's share is limited.
    pub(crate) held: bool,
}

impl Shape {
    fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// Bytes for a socket's buffers: a tenth of a second at the limit, as the kernel doubles it. They begin a window of measurement full and
    /// may be empty at its end, or the other way round.
    pub(crate) fn buffers(&self) -> Buffers {
        let of = |rate: Option<u64>| rate.map(|rate| (rate / 80).clamp(BUFFER_MIN, BUFFER_MAX));
        Buffers { send: of(self.up), receive: of(self.down) }
    }
}

/// The least socket buffer, in bytes.
const BUFFER_MIN: u64 = 16 << 10;
/// The largest socket buffer that is asked for, in bytes.
const BUFFER_MAX: u64 = 4 << 20;

/// Bytes of a socket's buffers; `None`: as the kernel likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) send: Option<u64>,
    pub(crate) receive: Option<u64>,
}

/// The limits and counters of all links of a node.
pub(crate) struct Shaper {
    began: Instant,
    /// Raised with every change of the shape: links look at it before they read or write.
    epoch: AtomicU32,
    /// Whether there is anything to enforce.
    free: std::sync::atomic::AtomicBool,
    lanes: Mutex<Lanes>,
    sent: AtomicU64,
    received: AtomicU64,
    /// Told when the month's allowance is nearly used up.
    pub(crate) short: Notify,
}

struct Lanes {
    shape: Shape,
    up: Option<Lane>,
    down: Option<Lane>,
    /// Wire bytes, counted since the start, up to which the month's use is written down.
    ceiling: u64,
    /// Wire bytes that were granted and are moving at this moment.
    moving: u64,
    /// The processor's share is used up for now.
    held: bool,
}

impl Shaper {
    pub(crate) fn new() -> Self {
        let lanes = Lanes {
            shape: Shape::default(),
            up: None,
            down: None,
            ceiling: 0,
            moving: 0,
            held: false,
        };
        Self {
            began: Instant::now(),
            epoch: AtomicU32::new(1),
            free: true.into(),
            lanes: Mutex::new(lanes),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            short: Notify::new(),
        }
    }

    /// Enforces another shape from now on.
    pub(crate) fn set(&self, shape: Shape) {
        let now = self.now();
        let mut lanes = self.lock();
        if lanes.shape == shape {
            return;
        }
        lanes.up = refit(lanes.up, shape.up, now);
        lanes.down = refit(lanes.down, shape.down, now);
        lanes.shape = shape;
        lanes.held &= shape.held;
        self.free.store(shape.is_free(), Ordering::Release);
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// Sets how many wire bytes may move in all since the start (as [`Self::moved`] counts them), where they are counted.
    pub(crate) fn allow_until(&self, ceiling: u64) {
        self.lock().ceiling = ceiling;
    }

    /// Holds every link, or lets go.
    pub(crate) fn hold(&self, held: bool) {
        let mut lanes = self.lock();
        lanes.held = held && lanes.shape.held;
    }

    pub(crate) fn shape(&self) -> Shape {
        self.lock().shape
    }

    /// Wire bytes sent and received since the start, as charged.
    pub(crate) fn moved(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// As [`Self::moved`], of one way.
    pub(crate) fn moved_by(&self, way: Way) -> u64 {
        let (sent, received) = self.moved();
        if way == Way::Up { sent } else { received }
    }

    /// Whether nothing waits for its turn in this direction.
    pub(crate) fn is_at_rest(&self, way: Way) -> bool {
        let now = self.now();
        let mut lanes = self.lock();
        lanes.lane(way).is_none_or(|lane| lane.all.is_full(now))
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn is_free(&self) -> bool {
        self.free.load(Ordering::Acquire)
    }

    /// Counts bytes that moved without a limit.
    pub(crate) fn count(&self, way: Way, payload: usize, carrier: Carrier) {
        let payload = payload as u64;
        let (own, other) = match way {
            Way::Up => (&self.sent, &self.received),
            Way::Down => (&self.received, &self.sent),
        };
        own.fetch_add(payload + overhead(payload, carrier), Ordering::Relaxed);
        other.fetch_add(acks(payload, carrier), Ordering::Relaxed);
    }

    /// Sets bytes aside for at most `want` bytes of payload, or says how long to wait before asking again.
    pub(crate) fn grant(&self, way: Way, want: usize, carrier: Carrier) -> Result<usize, Duration> {
        let now = self.now();
        let mut lanes = self.lock();
        let (sent, received) = self.moved();
        let allowance = lanes.ceiling.saturating_sub(sent + received + lanes.moving);
        let granted = lanes.grant(way, want as u64, carrier, allowance, now);
        drop(lanes);
        match granted {
            Ok(bytes) => Ok(usize::try_from(bytes).unwrap_or(want)),
            Err(Short::Rate(wait)) => Err(wait.min(RECHECK)),
            Err(Short::Held) => Err(HELD),
            Err(Short::Month) => {
                self.short.notify_one();
                Err(HELD)
            }
        }
    }

    /// Gives back what was granted and not used, and counts the rest.
    pub(crate) fn settle(&self, way: Way, granted: usize, used: usize, carrier: Carrier) {
        // Counted first: at no moment is a byte neither moving nor moved.
        if used > 0 {
            self.count(way, used, carrier);
        }
        let (granted, used) = (granted as u64, used as u64);
        let mut lanes = self.lock();
        lanes.moving = lanes.moving.saturating_sub(wire(granted, carrier));
        if granted != used {
            lanes.refund(way, granted, used, carrier);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A direction with a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lane {
    /// Everything that goes this way.
    all: Bucket,
    /// What acknowledgements of the other way may take of it, so that neither way starves the other: [`ACKS_MAX`].
    acks: Bucket,
}

/// Why nothing moves now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Short {
    Rate(Duration),
    Held,
    Month,
}

impl Lanes {
    fn grant(
        &mut self,
        way: Way,
        want: u64,
        carrier: Carrier,
        allowance: u64,
        now: u64,
    ) -> Result<u64, Short> {
        if self.held {
            return Err(Short::Held);
        }
        if let Some(other) = self.lane(way.other()) {
            let wait = other.acks.wait_for(1, now);
            if !wait.is_zero() {
                return Err(Short::Rate(wait));
            }
        }
        let mut bytes = want;
        if let Some(lane) = self.lane(way) {
            let quantum = bytes.min(QUANTUM);
            let wait = lane.all.wait_for(quantum + overhead(quantum, carrier), now);
            if !wait.is_zero() {
                return Err(Short::Rate(wait));
            }
            bytes = bytes.min(carried(lane.all.level(now), carrier));
        }
        if self.shape.counted && allowance < wire(bytes, carrier) {
            return Err(Short::Month);
        }
        self.charge(way, bytes, carrier, now);
        Ok(bytes)
    }

    fn charge(&mut self, way: Way, bytes: u64, carrier: Carrier, now: u64) {
        let (headers, acks) = (overhead(bytes, carrier), acks(bytes, carrier));
        self.moving += wire(bytes, carrier);
        if let Some(lane) = self.lane(way) {
            lane.all.spend(bytes + headers, now);
        }
        if let Some(lane) = self.lane(way.other()) {
            lane.all.spend(acks, now);
            lane.acks.spend(acks, now);
        }
    }

    fn refund(&mut self, way: Way, granted: u64, used: u64, carrier: Carrier) {
        // Nothing moved, so nothing was acknowledged either.
        let of = |what: fn(u64, Carrier) -> u64| {
            what(granted, carrier) - if used == 0 { 0 } else { what(used, carrier) }
        };
        let (headers, acks) = (of(overhead), of(acks));
        let bytes = granted - used;
        if let Some(lane) = self.lane(way) {
            lane.all.refund(bytes + headers);
        }
        if let Some(lane) = self.lane(way.other()) {
            lane.all.refund(acks);
            lane.acks.refund(acks);
        }
    }

    fn lane(&mut self, way: Way) -> Option<&mut Lane> {
        match way {
            Way::Up => self.up.as_mut(),
            Way::Down => self.down.as_mut(),
        }
    }
}

/// A lane for `rate` bits per second.
fn refit(lane: Option<Lane>, rate: Option<u64>, now: u64) -> Option<Lane> {
    let bytes = rate? / 8 * FILL / 100;
    let burst = (bytes * BURST_MS / 1000).max(BURST_MIN);
    let Some(mut lane) = lane else {
        let (all, acks) =
            (Bucket::new(bytes, burst, now), Bucket::new(bytes * ACKS_MAX / 100, burst, now));
        return Some(Lane { all, acks });
    };
    lane.all.change(bytes, burst, now);
    lane.acks.change(bytes * ACKS_MAX / 100, burst, now);
    Some(lane)
}

/// Bytes of headers around so many bytes of payload.
fn overhead(payload: u64, carrier: Carrier) -> u64 {
    (payload * carrier.headers()).div_ceil(SEGMENT).max(carrier.headers())
}

/// Bytes of the acknowledgements that so many bytes of payload cause: one for two segments (RFC 9293, 3.8.6.3). Many ride on data; after a loss there
/// is one for each for a while.
fn acks(payload: u64, carrier: Carrier) -> u64 {
    overhead(payload, carrier).div_ceil(2)
}

/// Wire bytes of so many bytes of payload, both directions together.
pub(crate) fn wire(payload: u64, carrier: Carrier) -> u64 {
    payload + overhead(payload, carrier) + acks(payload, carrier)
}

/// The payload that so many wire bytes carry: at least one byte, as an overdraft is made good later.
fn carried(wire: u64, carrier: Carrier) -> u64 {
    let headers = carrier.headers();
    let by_share = (u128::from(wire) * u128::from(SEGMENT) / u128::from(SEGMENT + headers)) as u64;
    by_share.min(wire.saturating_sub(headers)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    fn lanes(up: Option<u64>, down: Option<u64>) -> Lanes {
        let shape = Shape { up, down, counted: false, held: false };
        let (up, down) = (refit(None, up, 0), refit(None, down, 0));
        Lanes { shape, up, down, ceiling: 0, moving: 0, held: false }
    }

    /// Moves as much as it may for ten seconds and gives the wire bytes up and down in each.
    fn saturate(lanes: &mut Lanes, ways: &[Way], piece: u64) -> Vec<(u64, u64)> {
        let mut seconds = vec![(0, 0); 10];
        let mut now = 0;
        while now < 10 * SECOND {
            for way in ways {
                while let Ok(bytes) = lanes.grant(*way, piece, Carrier::V4, 0, now) {
                    let second = &mut seconds[(now / SECOND) as usize];
                    let (own, other) = match way {
                        Way::Up => (&mut second.0, &mut second.1),
                        Way::Down => (&mut second.1, &mut second.0),
                    };
                    *own += bytes + overhead(bytes, Carrier::V4);
                    *other += acks(bytes, Carrier::V4);
                }
            }
            now += SECOND / 1000;
        }
        seconds
    }

    #[test]
    fn a_saturated_lane_is_near_its_limit_and_below_it_headers_included() {
        for rate in [1_000_000, 20_000_000, 1_000_000_000] {
            for piece in [1000, 4096, 16_384] {
                let mut lanes = lanes(Some(rate), Some(rate));
                let seconds = saturate(&mut lanes, &[Way::Up, Way::Down], piece);
                for window in seconds.windows(5) {
                    let up: u64 = window.iter().map(|second| second.0).sum();
                    let share = (up * 8) as f64 / (5 * rate) as f64;
                    assert!(share < 1.0, "{rate} {piece}: {share}");
                }
                let all: u64 = seconds.iter().map(|second| second.0 + second.1).sum();
                let share = (all * 8) as f64 / (20 * rate) as f64;
                assert!(share > 0.9, "{rate} {piece}: {share}");
            }
        }
    }

    #[test]
    fn a_direction_without_a_limit_is_held_by_what_its_acknowledgements_take_of_the_other() {
        let mut lanes = lanes(Some(1_000_000), None);
        let mut moved = 0;
        for ms in 0..5000 {
            moved += lanes.grant(Way::Down, 4096, Carrier::V6, 0, ms * SECOND / 1000).unwrap_or(0);
        }
        let acknowledged = acks(moved, Carrier::V6) * 8 / 5;
        assert!(acknowledged < 600_000, "{acknowledged} bit/s of acknowledgements");
        assert!(moved > 4_000_000, "{moved}");
    }

    proptest! {
        #[test]
        fn what_is_given_back_leaves_no_trace(grants in prop::collection::vec((1_u64..20_000, any::<bool>()), 1..50)) {
            let mut lanes = lanes(Some(8_000_000_000), Some(8_000_000_000));
            let levels = |lanes: &mut Lanes| {
                (lanes.up.unwrap().all.level(SECOND), lanes.down.unwrap().all.level(SECOND))
            };
            let before = levels(&mut lanes);
            for (want, up) in grants {
                let way = if up { Way::Up } else { Way::Down };
                let granted = lanes.grant(way, want, Carrier::V6, 0, SECOND).unwrap();
                lanes.refund(way, granted, 0, Carrier::V6);
            }
            prop_assert_eq!(levels(&mut lanes), before);
        }
    }

    #[test]
    fn nothing_moves_that_the_month_has_not_written_down() {
        let shaper = Shaper::new();
        assert!(shaper.is_free());
        shaper.set(Shape { counted: true, ..Shape::default() });
        assert!(!shaper.is_free());
        assert!(shaper.grant(Way::Up, 1000, Carrier::V6).is_err());
        shaper.allow_until(5000);
        assert_eq!(shaper.grant(Way::Up, 1000, Carrier::V6), Ok(1000));
        shaper.settle(Way::Up, 1000, 400, Carrier::V6);
        assert_eq!(shaper.moved(), (486, 43));
        assert!(shaper.grant(Way::Down, 5000, Carrier::V6).is_err());
    }
}
