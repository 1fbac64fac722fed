//! Who is let in: a request that the frame has no room for is told so before anything of it is taken.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use types::KIB;

use crate::frame::shaper::{Carrier, Way, wire};
use crate::frame::{Frame, RETRY_MAX, lock};

/// The most seconds of accepted bytes that may wait for their turn in one direction; what would wait longer is answered "busy". Below the 15 s
/// that a gateway waits for the beginning of an answer.
const QUEUE_MAX_SECONDS: u64 = 10;
/// The shortest time for which the node asks to be left alone.
const RETRY_MIN: Duration = Duration::from_millis(200);
/// Of a day's bytes, the hundredths after which no new shards are taken: the rest is for those that only this node has.
const STORES_UNTIL: u64 = 80;

/// What new requests are judged by, made anew with each tick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admission {
    /// Nothing is taken, and for how long.
    pub(super) busy: Option<Duration>,
    pub(super) up: Option<u64>,
    pub(super) down: Option<u64>,
    /// Wire bytes left today, those of the day in all, and the shaper's count when that was so.
    pub(super) today: Option<(u64, u64, u64)>,
    pub(super) day_ends: Duration,
    /// Memory for requests; `None`: no limit beside the handlers' own.
    pub(super) memory: Option<u64>,
}

/// The accepted requests of one direction. What of them waits for its turn is known from the sockets alone: HTTP/2 takes bytes long before they
/// are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queue {
    /// What the shaper will have counted once the last of them has moved.
    end: u64,
    tickets: u64,
    /// Bytes of accepted requests that did not even begin to move.
    left: u64,
}

/// A request that was accepted. Dropped: what it had set aside is free again.
pub(crate) struct Ticket {
    frame: Arc<Frame>,
    way: Way,
    left: u64,
    memory: u64,
}

impl Frame {
    /// Accepts a request that moves `len` bytes and holds `memory` bytes at a time, or says how long to leave the node alone.
    pub(crate) fn admit(
        self: &Arc<Self>,
        way: Way,
        len: u64,
        memory: u64,
    ) -> Result<Ticket, Duration> {
        let admission = *lock(&self.admission);
        let mut queues = lock(&self.queues);
        if let Err(wait) = self.judge(&admission, &queues, way, len, memory) {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            return Err(wait.clamp(RETRY_MIN, RETRY_MAX));
        }
        let moved = self.shaper.moved_by(way);
        let queue = way.of(&mut queues);
        queue.end = queue.end.max(moved) + len;
        queue.tickets += 1;
        queue.left += len;
        drop(queues);
        self.memory.fetch_add(memory, Ordering::AcqRel);
        Ok(Ticket { frame: Arc::clone(self), way, left: len, memory })
    }

    /// For how long no new shard would be taken; `None`: it would.
    pub(crate) fn busy(&self) -> Option<Duration> {
        let admission = *lock(&self.admission);
        let judged = self.judge(&admission, &lock(&self.queues), Way::Down, 0, 0);
        judged.err().map(|wait| wait.clamp(RETRY_MIN, RETRY_MAX))
    }

    fn judge(
        &self,
        rules: &Admission,
        queues: &[Queue; 2],
        way: Way,
        len: u64,
        memory: u64,
    ) -> Result<(), Duration> {
        if let Some(wait) = rules.busy {
            return Err(wait);
        }
        if let Some(room) = rules.memory
            && self.memory.load(Ordering::Acquire) + memory > room
        {
            return Err(RETRY_MIN);
        }
        if rules.up.is_none() && rules.down.is_none() && rules.today.is_none() {
            return Ok(());
        }
        let rate = if way == Way::Up { rules.up } else { rules.down };
        let [up, down] = [Way::Up, Way::Down].map(|way| self.waiting(queues, way));
        let pending = if way == Way::Up { up } else { down };
        if let Some(rate) = rate
            && pending > 0
            && (pending + len) * 8 > rate * QUEUE_MAX_SECONDS
        {
            return Err(Duration::from_secs_f64((pending * 8) as f64 / rate.max(1) as f64));
        }
        if let Some((left, whole, counted)) = rules.today {
            // Proofs and headers move the sockets' count too, and would hide requests that are yet to come.
            let pending: u64 = queues.iter().map(|queue| queue.left).sum();
            let promised = promise(pending.max(up + down)) + promise(len);
            let gone = self.moved().saturating_sub(counted) + promised;
            let kept = if way == Way::Down { whole / 100 * (100 - STORES_UNTIL) } else { 0 };
            if left < gone.saturating_add(kept) {
                return Err(rules.day_ends);
            }
        }
        Ok(())
    }

    /// Bytes of accepted requests that have not passed the sockets.
    fn waiting(&self, queues: &[Queue; 2], way: Way) -> u64 {
        let [up, down] = queues;
        let queue = if way == Way::Up { up } else { down };
        // What a gateway gave up half-way is waited for by nobody, and would look as if it were: a lane at rest says so.
        if queue.tickets == 0 && self.shaper.is_at_rest(way) {
            return 0;
        }
        queue.end.saturating_sub(self.shaper.moved_by(way))
    }

    /// Requests that were accepted and are not done.
    pub(super) fn accepted(&self) -> u64 {
        lock(&self.queues).iter().map(|queue| queue.tickets).sum()
    }
}

impl Ticket {
    /// So many bytes of the request are on their way.
    pub(crate) fn progress(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.left -= bytes;
        self.way.of(&mut lock(&self.frame.queues)).left -= bytes;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut queues = lock(&self.frame.queues);
        let queue = self.way.of(&mut queues);
        queue.tickets -= 1;
        queue.left -= self.left;
        // Given up half-way: the rest will never come.
        queue.end = queue.end.saturating_sub(self.left);
        drop(queues);
        self.frame.memory.fetch_sub(self.memory, Ordering::AcqRel);
    }
}

/// Wire bytes that a request of so many bytes of shard may take: proofs, HTTP/2 and TLS are a hundredth and a little.
fn promise(len: u64) -> u64 {
    wire(len + len / 64 + 2 * KIB, Carrier::V6)
}
