//! Stream: windows are fetched ahead of the client, further the faster it reads, and never further than the budget allows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use metadata::takedowns::Watch;
use metadata::{Catalog, Located, LocatedBody};
use tokio::task::JoinHandle;
use types::{KIB, MIB};

use super::gather::{Sources, gather};
use super::locate::{Window, Windows, cipher_of, stream_ranges};
use super::{Body, GetError, Reader, open};
use crate::compute;
use crate::keys::WrappingKeys;
use crate::metering::{Metering, Purpose};
use crate::nodes::Nodes;
use crate::put::CustomerKey;

/// Read-ahead of a request at its start, and of a slow client for ever.
const AHEAD_START: u64 = 2 * MIB;
/// Read-ahead of a request whose client keeps up.
const AHEAD_MAX: u64 = 32 * MIB;
/// The read-ahead grows on only while a doubling makes reading this many times as fast: where the processor or the line is the limit, more of it
/// would only take memory.
const GROWTH_WORTH: f64 = 1.1;
/// One window, at the start.
const WINDOW_START: u64 = MIB;
/// One window, at most.
const WINDOW_MAX: u64 = 4 * MIB;
/// Windows up to this size are opened where they arrive; larger ones on a computing thread.
const OPEN_HERE_MAX: usize = 256 * KIB as usize;
/// A running read is cut within this time after its object was taken down, once its client takes the next piece.
const TAKEDOWNS_SEEN_AFTER: Duration = Duration::from_secs(1);

/// The read-ahead that all requests together may hold beyond their start.
pub struct ReadAhead {
    left: AtomicU64,
}

impl ReadAhead {
    /// A budget of `bytes`.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        Self { left: AtomicU64::new(bytes) }
    }

    fn take(&self, bytes: u64) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes))
            .is_ok()
    }

    fn give(&self, bytes: u64) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Reader {
    /// A reader over its parts.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        keys: Arc<WrappingKeys>,
        nodes: Arc<Nodes>,
        budget: Arc<ReadAhead>,
        metering: Arc<Metering>,
    ) -> Self {
        Self { catalog, keys, nodes, budget, metering, purpose: Purpose::Customer }
    }

    /// The same for bytes that no client gets: they are moved.
    #[must_use]
    pub fn for_upkeep(&self) -> Self {
        Self { purpose: Purpose::Upkeep, ..self.clone() }
    }

    /// The same for bytes that leave on a customer's behalf.
    #[must_use]
    pub fn for_customers(&self) -> Self {
        Self { purpose: Purpose::Customer, ..self.clone() }
    }

    /// Where reads are counted.
    #[must_use]
    pub fn metering(&self) -> &Arc<Metering> {
        &self.metering
    }

    /// Opens a range of a located object. The first window has arrived when this returns, so that what is wrong from the start can
    /// still be answered with an error; what goes wrong later ends the stream early.
    ///
    /// # Errors
    /// [`GetError`].
    pub async fn open(
        &self,
        located: &Located,
        range: Range<u64>,
        customer: Option<&CustomerKey>,
    ) -> Result<Body, GetError> {
        // Here too, for whoever opens objects without the S3 door.
        located.check_not_taken_down().await?;
        match super::locate::body(located).await? {
            LocatedBody::Inline(inline) => {
                let cipher = cipher_of(located, inline.stream, &self.keys, customer).await?;
                let mut bytes = bytes::BytesMut::from(&inline.cipher[..]);
                let len = cipher.open_chunk(0, true, &mut bytes)?.len();
                bytes.truncate(len);
                let plain = bytes.freeze().slice(range.start as usize..range.end as usize);
                Ok(futures::stream::once(std::future::ready(Ok(plain))).boxed())
            }
            LocatedBody::Extents(extents) => {
                let ranges = stream_ranges(located, &extents, &range, &self.keys, customer).await?;
                let sources = Sources {
                    nodes: Arc::clone(&self.nodes),
                    catalog: self.catalog.clone(),
                    metering: Arc::clone(&self.metering),
                    purpose: self.purpose,
                };
                let windows = Windows::new(self.catalog.clone(), ranges);
                let mut reading = Reading::new(
                    sources,
                    windows,
                    Arc::clone(&self.budget),
                    self.catalog.watch(located),
                );
                let first = reading.next().await.transpose()?;
                let rest = futures::stream::unfold(reading, |mut reading| async move {
                    let next = reading.next().await?;
                    Some((next, reading))
                });
                Ok(futures::stream::iter(first.map(Ok)).chain(rest).boxed())
            }
        }
    }
}

/// One GET at work.
///
/// Loop: windows are asked for until `ahead` bytes are on their way or waiting; each is gathered and opened by a task of its own. When the
/// client is ready before the next window is, the read-ahead may be too short and doubles, as long as that helps and the common budget lasts.
struct Reading {
    sources: Sources,
    windows: Windows,
    exhausted: bool,
    /// Windows under way, in order, with their sizes.
    tasks: VecDeque<(u64, Fetching)>,
    under_way: u64,
    /// Plaintext that is ready.
    ready: VecDeque<Bytes>,
    ahead: u64,
    window: u64,
    budget: Arc<ReadAhead>,
    pace: Pace,
    begun: bool,
    failed: bool,
    /// The takedowns, and when it looked at them last.
    watch: Watch,
    watched: Instant,
}

/// Whether the last growth of the read-ahead was worth it.
struct Pace {
    /// When it grew last, and the bytes that arrived since.
    since: Instant,
    bytes: u64,
    /// Bytes a second before that.
    before: f64,
}

/// A window's task; dropping it ends the task, and with it the fetches.
struct Fetching(JoinHandle<Result<Vec<Bytes>, GetError>>);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.budget.give(self.ahead - AHEAD_START);
    }
}

impl Reading {
    fn new(sources: Sources, windows: Windows, budget: Arc<ReadAhead>, watch: Watch) -> Self {
        Self {
            sources,
            windows,
            exhausted: false,
            tasks: VecDeque::new(),
            under_way: 0,
            ready: VecDeque::new(),
            ahead: AHEAD_START,
            window: WINDOW_START,
            budget,
            pace: Pace { since: Instant::now(), bytes: 0, before: 0.0 },
            begun: false,
            failed: false,
            watch,
            watched: Instant::now(),
        }
    }

    /// The next piece of plaintext. Nothing follows an error.
    async fn next(&mut self) -> Option<Result<Bytes, GetError>> {
        loop {
            if self.failed {
                return None;
            }
            if let Err(error) = self.check_takedowns().await {
                return Some(Err(self.fail(error)));
            }
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            match self.refill().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(self.fail(error))),
            }
        }
    }

    /// That the object was not taken down since the read began. Looked up anew now and then.
    async fn check_takedowns(&mut self) -> Result<(), GetError> {
        if self.watched.elapsed() >= TAKEDOWNS_SEEN_AFTER {
            self.watch.check().await?;
            self.watched = Instant::now();
        }
        Ok(())
    }

    /// Ends the read; what was fetched ahead of the client is forgotten.
    fn fail(&mut self, error: GetError) -> GetError {
        self.failed = true;
        self.tasks.clear();
        self.ready.clear();
        error
    }

    /// Waits for the next window; whether there was one.
    async fn refill(&mut self) -> Result<bool, GetError> {
        self.ask_ahead().await?;
        let Some((size, mut task)) = self.tasks.pop_front() else { return Ok(false) };
        // The first window is always waited for; only later waits tell that the client is faster than the read-ahead.
        if self.begun && !task.0.is_finished() {
            self.grow();
        }
        self.begun = true;
        let opened = (&mut task.0).await;
        self.under_way -= size;
        self.pace.bytes += size;
        match opened {
            Ok(opened) => self.ready.extend(opened?),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => return Ok(false),
        }
        self.ask_ahead().await?;
        Ok(true)
    }

    async fn ask_ahead(&mut self) -> Result<(), GetError> {
        while !self.exhausted && (self.under_way < self.ahead) {
            let Some(window) = self.windows.next(self.window).await? else {
                self.exhausted = true;
                return Ok(());
            };
            let size = window.chunks.len() as u64 * seal::CHUNK as u64;
            self.under_way += size;
            let sources = self.sources.clone();
            self.tasks.push_back((size, Fetching(tokio::spawn(fetch_and_open(sources, window)))));
        }
        Ok(())
    }

    /// Doubles the read-ahead if there is more to read, the last time made reading faster, and the budget has it.
    fn grow(&mut self) {
        if self.exhausted || self.ahead >= AHEAD_MAX || self.pace.bytes < self.ahead {
            return;
        }
        let rate = self.pace.bytes as f64 / self.pace.since.elapsed().as_secs_f64().max(1e-6);
        if rate > self.pace.before * GROWTH_WORTH && self.budget.take(self.ahead) {
            self.ahead *= 2;
            self.window = (self.ahead / 8).clamp(WINDOW_START, WINDOW_MAX);
            self.pace.before = rate;
        }
        (self.pace.since, self.pace.bytes) = (Instant::now(), 0);
    }
}

async fn fetch_and_open(sources: Sources, window: Window) -> Result<Vec<Bytes>, GetError> {
    let mut gathered = gather(&sources, &window).await?;
    if !gathered.needs_rebuild() && window.take <= OPEN_HERE_MAX {
        return open::open(&window, gathered);
    }
    compute::run(move || {
        gathered.rebuild()?;
        open::open(&window, gathered)
    })
    .await
}
