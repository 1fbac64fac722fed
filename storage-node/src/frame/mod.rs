//! The owner's frame: what the node may take from the machine and its line. Everything else asks here, so that there is one place to look.
//!
//! One rule of precedence: *of all rules that speak about a limit now, the strictest holds* ([`decide`]). One place of enforcement:
//!
//! | limit | enforced by |
//! |---|---|
//! | rates, month | [`shaper`], on every socket, below TLS; [`Frame::admit`] ([`admission`]) says "busy" before a queue grows |
//! | the month's day, hours, pause, battery | [`Frame::admit`], and the [`Door`] that the dialler looks at |
//! | disk, free space | the store, whose limits are set from here ([`govern`]) |
//! | memory | [`Frame::admit`], and windows made to fit |
//! | processor share, processors | the shaper holds the links; affinity ([`govern`]) |
//!
//! Beside it the node judges itself by what its counters say ([`usage`]). [`report`] shows it all.
//!
//! Lock order: `state`, `admission`, `queues`, the shaper's. None is held across an await.

mod admission;
mod bucket;
mod decide;
mod govern;
mod hours;
mod idle;
mod month;
mod quantity;
pub mod report;
mod settings;
mod shaped;
mod shaper;
mod show;
mod usage;
mod zone;

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use protocol::limits::LinkSettings;
use tokio::sync::watch;
use types::clock::SharedClock;
use types::{ByteSize, KIB, MIB, Timestamp};

pub use self::hours::{Hours, HoursError};
pub use self::quantity::{BitRate, Percent, QuantityError, Span};
pub use self::settings::{Assignment, FrameSettings, Pause, Values};

pub(crate) use self::admission::Ticket;
pub(crate) use self::govern::Governor;
pub(crate) use self::shaped::ShapedDial;
pub(crate) use self::shaper::Way;

use self::admission::{Admission, Queue};
use self::decide::{Decision, Seen, decide};
use self::idle::{Probe, Watch};
use self::month::{Calendar, Ledger};
use self::report::{Limit, Permission, Why};
use self::shaper::{Shape, Shaper};
use self::usage::{Sample, Usage};
use self::zone::Zone;
use crate::error::Error;

/// The longest time for which the node asks to be left alone: the owner may change the frame meanwhile.
const RETRY_MAX: Duration = Duration::from_secs(300);
/// A pause, or a wait for midnight, that is shorter than this is spent connected and busy; a longer one is worth a goodbye.
const GOODBYE_AFTER: Duration = Duration::from_secs(300);
/// What an idle node takes of its memory limit; the rest is for shards on their way.
const IDLE_MEMORY: u64 = 64 * MIB;
/// One part in so many of a day's bytes is kept back: retransmissions and acknowledgements are charged by rule, and lie up to a fiftieth above it.
const TODAY_KEPT: u64 = 33;
/// Hundredths of the memory limit above which nothing new is taken.
const MEMORY_TIGHT: u64 = 90;
/// How often the month's count is written down while it has no limit.
const KEEP_INTERVAL: Duration = Duration::from_secs(60);
/// A window is at most a tenth of a second of its rate, and at least this, in bytes.
const WINDOW_MIN: u64 = 64 * KIB;

/// What the owner has settled, disk included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lent {
    pub(crate) frame: FrameSettings,
    pub(crate) disk: ByteSize,
    pub(crate) min_free: Option<ByteSize>,
    pub(crate) scrub_rate: ByteSize,
}

/// What the disk holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct DiskUse {
    /// Bytes of the data folder.
    pub(crate) used: u64,
    /// Bytes free on its file system.
    pub(crate) free: u64,
    /// Bytes that stay free by default.
    pub(crate) min_free: u64,
}

/// Whether links may stand, and how they are to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Door {
    /// Why not, and until when as far as that is known.
    pub(crate) shut: Option<(Why, Option<Timestamp>)>,
    /// Bytes of the windows that links are made with.
    pub(crate) window: u32,
    /// How often the machine has woken up: links from before are dead.
    pub(crate) wakes: u64,
}

/// The live frame of a node. Loop: [`Governor`] calls [`Self::tick`] every second; handlers call [`Self::admit`] for each request; sockets ask
/// the shaper for each read and write.
pub(crate) struct Frame {
    shaper: Arc<Shaper>,
    clock: SharedClock,
    began: Instant,
    own_process: bool,
    state: Mutex<State>,
    admission: Mutex<Admission>,
    door: watch::Sender<Door>,
    /// Accepted requests: up, down.
    queues: Mutex<[Queue; 2]>,
    /// Bytes of memory set aside for accepted requests.
    memory: AtomicU64,
    turned_away: AtomicU64,
}

struct State {
    lent: Lent,
    zone: Zone,
    watch: Watch,
    ledger: Ledger,
    calendar: Calendar,
    decision: Decision,
    usage: Usage,
    disk: DiskUse,
    resident: u64,
    /// When the count is written down next, if it has no limit; since the start.
    keep_at: Duration,
    /// What the shaper had counted when the month was last added up.
    counted: u64,
    /// What was over a limit when the owner lowered it is no violation: bytes of the month, of today and of the disk.
    excused: [u64; 3],
    trouble: Option<String>,
}

impl Frame {
    /// Opens the month's count in `dir`.
    ///
    /// # Errors
    /// Those of [`Ledger::open`].
    pub(crate) fn open(
        dir: &Path,
        lent: Lent,
        own_process: bool,
        clock: SharedClock,
    ) -> Result<Arc<Self>, Error> {
        let (now, zone) = (clock.now(), Zone::of_machine());
        let calendar = Calendar::around(now, &zone, lent.frame.month_start());
        let ledger = Ledger::open(dir, &calendar)?;
        let watch = Watch::new(Probe::new(Path::new("/")));
        let machine = watch.report(now, lent.frame.idle_after());
        let seen = Seen { now, zone: &zone, machine, calendar, today_left: None, own_process };
        let decision = decide(&lent.frame, &seen);
        let admission = Admission {
            busy: None,
            up: None,
            down: None,
            today: None,
            day_ends: Duration::ZERO,
            memory: None,
        };
        let window = window(&lent.frame, &decision);
        let state = State {
            // What was written down ahead before a crash may be more than today's share.
            excused: [ledger.month.used, ledger.month.today_used(), u64::MAX],
            lent,
            zone,
            watch,
            ledger,
            calendar,
            decision,
            usage: Usage::default(),
            disk: DiskUse::default(),
            resident: 0,
            keep_at: KEEP_INTERVAL,
            counted: 0,
            trouble: None,
        };
        let frame = Self {
            shaper: Arc::new(Shaper::new()),
            clock,
            began: Instant::now(),
            own_process,
            state: Mutex::new(state),
            admission: Mutex::new(admission),
            door: watch::Sender::new(Door { shut: None, window, wakes: 0 }),
            queues: Mutex::default(),
            memory: AtomicU64::new(0),
            turned_away: AtomicU64::new(0),
        };
        frame.tick(true);
        Ok(Arc::new(frame))
    }

    pub(crate) fn shaper(&self) -> &Arc<Shaper> {
        &self.shaper
    }

    /// Tells of every change of the door.
    pub(crate) fn door(&self) -> watch::Receiver<Door> {
        self.door.subscribe()
    }

    /// How a link is to be made now: its windows follow the strictest rate.
    pub(crate) fn link_settings(&self, base: &LinkSettings) -> LinkSettings {
        let window = self.door.borrow().window;
        LinkSettings {
            stream_window: base.stream_window.min(window),
            connection_window: base.connection_window.min(window),
            ..base.clone()
        }
    }

    /// Other settings from now on, and no trouble any more.
    pub(crate) fn change(&self, lent: Lent) {
        let mut state = lock(&self.state);
        self.add_up(&mut state);
        state.trouble = None;
        if state.lent != lent {
            tracing::info!("the frame was changed");
            state.excused = [state.ledger.month.used, state.ledger.month.today_used(), u64::MAX];
            state.lent = lent;
        }
        drop(state);
        self.tick(true);
    }

    /// `node.toml` cannot be used: the frame from before holds on.
    pub(crate) fn trouble(&self, why: String) {
        lock(&self.state).trouble = Some(why);
    }

    pub(crate) fn lent(&self) -> Lent {
        lock(&self.state).lent.clone()
    }

    /// The machine has slept: every link is dead, whatever the sockets say.
    pub(crate) fn woke(&self) {
        self.door.send_modify(|door| door.wakes += 1);
    }

    /// Notes what the disk holds.
    pub(crate) fn note_disk(&self, disk: DiskUse) {
        let mut state = lock(&self.state);
        let quota = state.lent.disk.0;
        // Lowered below what is stored: nothing is given up, and it only shrinks.
        let [_, _, excused] = &mut state.excused;
        *excused = if *excused == u64::MAX { disk.used } else { disk.used.min(*excused) };
        let over = disk.used > quota.max(*excused);
        state.usage.note(Limit::Disk, over);
        state.disk = disk;
    }

    /// Adds up what moved since the last time, writes it down, and says how much may move until the next.
    pub(crate) fn count(&self) {
        self.add_up(&mut lock(&self.state));
    }

    /// Looks at the clock, the counters and, if `look`, at the machine; then applies every rule.
    pub(crate) fn tick(&self, look: bool) {
        let now = self.clock.now();
        let mut state = lock(&self.state);
        let State { lent, zone, watch, .. } = &mut *state;
        if look {
            watch.look(now, process_time(), lent.frame.other_load());
        }
        let calendar = Calendar::around(now, zone, lent.frame.month_start());
        if state.ledger.month.day_began < calendar.day_began {
            state.excused[1] = 0;
            if state.ledger.month.began < calendar.month_began {
                state.excused[0] = 0;
            }
        }
        state.calendar = calendar;
        self.add_up(&mut state);
        state.resident = state.watch.resident();
        let machine = state.watch.report(now, state.lent.frame.idle_after());
        let today = state.lent.frame.month.map(|limit| {
            let whole = state.ledger.month.today_limit(limit.0, &calendar);
            (whole.saturating_sub(state.ledger.month.today_used()), whole)
        });
        // The rest of a day is for keeping in touch, and for what the line carries beyond what is counted.
        let today_left =
            today.map(|(left, whole)| if left <= whole / TODAY_KEPT { 0 } else { left });
        let own_process = self.own_process;
        let seen = Seen { now, zone: &state.zone, machine, calendar, today_left, own_process };
        state.decision = decide(&state.lent.frame, &seen);
        self.judge_ourselves(&mut state);
        self.apply(&state, now, today);
    }

    fn add_up(&self, state: &mut State) {
        let moved = self.moved();
        let State { ledger, calendar, lent, keep_at, .. } = state;
        ledger.add(moved.saturating_sub(state.counted));
        state.counted = moved;
        ledger.month.turn(calendar);
        let kept = match lent.frame.month {
            Some(limit) => ledger.allowance(limit.0).map(|more| {
                // Requests are turned away before the day's end; this is the wall behind that.
                let today = ledger.month.today_limit(limit.0, calendar);
                let left = today.saturating_sub(ledger.month.today_used());
                self.shaper.allow_until(moved.saturating_add(more.min(left)));
            }),
            // Nothing depends on it now: a crash may lose the last minute.
            None if ledger.lag() > 0 && self.began.elapsed() >= *keep_at => {
                *keep_at = self.began.elapsed() + KEEP_INTERVAL;
                ledger.keep()
            }
            None => Ok(()),
        };
        if let Err(error) = kept {
            tracing::error!(%error, "the month's traffic cannot be written down");
        }
    }

    /// The node's own measure of itself.
    fn judge_ourselves(&self, state: &mut State) {
        let Decision { up, down, memory, .. } = state.decision;
        let (sent, received) = self.shaper.moved();
        state.usage.take(Sample {
            at: self.began.elapsed(),
            sent,
            received,
            cpu: process_time(),
            up: up.effective,
            down: down.effective,
            cpu_limit: cpu_limit(&state.decision),
        });
        let month = state.ledger.month;
        let State { lent, calendar, usage, excused, resident, .. } = state;
        let [excused_month, excused_today, _] = *excused;
        if let Some(limit) = lent.frame.month {
            usage.note(Limit::Month, month.used > limit.0.max(excused_month));
            let today = month.today_limit(limit.0, calendar);
            usage.note(Limit::Today, month.today_used() > today.max(excused_today));
        }
        let limit = memory.effective.filter(|_| self.own_process);
        usage.note(Limit::Memory, limit.is_some_and(|limit| *resident > limit));
    }

    /// Tells sockets, handlers and the dialler what holds.
    fn apply(&self, state: &State, now: Timestamp, today: Option<(u64, u64)>) {
        let Decision { up, down, memory, network, .. } = state.decision;
        self.shaper.set(Shape {
            up: up.effective,
            down: down.effective,
            counted: state.lent.frame.month.is_some(),
            held: cpu_limit(&state.decision).is_some(),
        });
        let memory_room = memory.effective.map(|limit| {
            let tight = self.own_process && state.resident > limit / 100 * MEMORY_TIGHT;
            if tight { 0 } else { limit.saturating_sub(IDLE_MEMORY) / 2 }
        });
        let busy =
            (!network.allowed).then(|| network.until.map_or(RETRY_MAX, |until| until.since(now)));
        *lock(&self.admission) = Admission {
            busy,
            up: up.effective,
            down: down.effective,
            today: today.map(|(left, whole)| (left, whole, state.counted)),
            day_ends: state.calendar.day_ends.since(now),
            memory: memory_room,
        };
        let window = window(&state.lent.frame, &state.decision);
        self.door.send_if_modified(|door| {
            let before = *door;
            door.window = window;
            door.shut = self.shut(&network, now, before.shut.is_some());
            *door != before
        });
    }

    /// Whether to say goodbye: not for a short time, unless that is what the owner forbade; and not before what was accepted has moved, if it
    /// is the month's bytes that are at their end.
    fn shut(
        &self,
        network: &Permission,
        now: Timestamp,
        already: bool,
    ) -> Option<(Why, Option<Timestamp>)> {
        let short = network.until.is_some_and(|until| until.since(now) <= GOODBYE_AFTER);
        let linger = match network.why {
            Why::Pause => short && !already,
            Why::Month => !already && (short || self.accepted() > 0),
            _ => false,
        };
        (!network.allowed && !linger).then_some((network.why, network.until))
    }

    /// Holds the links while the process has had its share of the processors; called many times a second.
    fn hold(&self, held: bool) {
        self.shaper.hold(held);
    }

    /// The share of the processors that the process may have, in microseconds per second.
    fn cpu_limit(&self) -> Option<u64> {
        cpu_limit(&lock(&self.state).decision)
    }

    /// The processors that the process may use at a time.
    fn cores(&self) -> usize {
        let cores = lock(&self.state).decision.cores.effective;
        cores.and_then(|cores| usize::try_from(cores).ok()).unwrap_or(usize::MAX)
    }

    fn moved(&self) -> u64 {
        let (sent, received) = self.shaper.moved();
        sent + received
    }

    /// Writes the month's exact count down.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        self.add_up(&mut state);
        if let Err(error) = state.ledger.keep() {
            tracing::error!(%error, "the month's traffic cannot be written down");
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Frame").field(&self.report()).finish()
    }
}

/// Microseconds of processor time per second that the process may take; `None`: as it likes.
fn cpu_limit(decision: &Decision) -> Option<u64> {
    let share = decision.cpu.effective?;
    Some(decision.cores.effective.unwrap_or(1) * share * 10_000)
}

/// Bytes of a link's windows: at most a tenth of a second of the strictest rate, and a sixteenth of the memory.
fn window(settings: &FrameSettings, decision: &Decision) -> u32 {
    let by_rate = settings.lowest(|values| values.down).map_or(u64::MAX, |rate| rate.0 / 80);
    let by_memory = decision.memory.configured.map_or(u64::MAX, |memory| memory / 16);
    let window = by_rate.min(by_memory).max(WINDOW_MIN);
    u32::try_from(window).unwrap_or(protocol::limits::CONNECTION_WINDOW)
}

/// Processor time of this process so far.
fn process_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What each lock guards is whole at every step that could panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
