//! The node's answers, one line per verb; what each does is in [`handle`](crate::handle).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use protocol::message::{
    DropAnswer, FetchRequest, HelloRequest, InventoryAnswer, InventoryRequest, NodeFacts, Refusal,
    StatusAnswer, StatusRequest, StoreAnswer, StoreRequest,
};
use protocol::revision::VerifiedRevision;
use protocol::{FetchReply, NodeService, ShardBody};
use tokio::sync::{Semaphore, watch};
use types::{Clock, KIB, SystemClock, Timestamp};

use crate::config::Settings;
use crate::dial::LinkStatus;
use crate::frame::Frame;
use crate::handle;
use crate::store::Store;

/// The program's name and version as gateways and owners see it.
pub(crate) const SOFTWARE: &str = concat!("drystone-node ", env!("CARGO_PKG_VERSION"));

/// What the handlers use.
pub(crate) struct Node {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    /// Asked before anything is accepted.
    pub(crate) frame: Arc<Frame>,
    pub(crate) started: Instant,
    /// KiB of memory for shards on their way in.
    pub(crate) incoming: Arc<Semaphore>,
    /// KiB of memory for shards on their way out.
    pub(crate) outgoing: Arc<Semaphore>,
    pub(crate) counters: Counters,
    pub(crate) clock_gap: ClockGap,
}

/// What was done since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) stored_bytes: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) dropped_shards: AtomicU64,
    pub(crate) busy: AtomicU64,
}

/// By how much this machine's clock is ahead of the gateway's that said hello last.
#[derive(Default)]
pub(crate) struct ClockGap(Mutex<Option<i64>>);

impl ClockGap {
    /// Compares the gateway's time with ours.
    pub(crate) fn note(&self, ours: Timestamp, theirs: Timestamp) {
        let ahead = i128::from(ours.0) - i128::from(theirs.0);
        let ahead = i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }

    /// Milliseconds; negative if this machine's clock is behind, nothing before the first hello.
    pub(crate) fn ahead_ms(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Ordering::Relaxed);
    }
}

impl Node {
    pub(crate) fn new(store: Store, settings: Settings, frame: Arc<Frame>) -> Self {
        let permits = (settings.traffic_memory.0 / KIB).clamp(1, Semaphore::MAX_PERMITS as u64);
        let memory = || Arc::new(Semaphore::new(permits as usize));
        Self {
            store,
            settings,
            frame,
            started: Instant::now(),
            incoming: memory(),
            outgoing: memory(),
            counters: Counters::default(),
            clock_gap: ClockGap::default(),
        }
    }
}

/// The service of one link.
pub(crate) struct LinkService {
    node: Arc<Node>,
    status: watch::Sender<LinkStatus>,
}

impl LinkService {
    pub(crate) fn new(node: Arc<Node>, status: watch::Sender<LinkStatus>) -> Self {
        Self { node, status }
    }
}

#[async_trait]
impl NodeService for LinkService {
    async fn hello(&self, request: HelloRequest) -> Result<NodeFacts, Refusal> {
        let facts = handle::hello::run(&self.node, request).await?;
        self.status.send_modify(|status| {
            tracing::info!(gateway = %status.gateway, "linked");
            status.connected = true;
            status.since = SystemClock.now();
            status.trouble = None;
        });
        Ok(facts)
    }

    async fn store(&self, request: StoreRequest, body: ShardBody) -> Result<StoreAnswer, Refusal> {
        handle::store::run(&self.node, request, body).await
    }

    async fn fetch(&self, request: FetchRequest) -> Result<FetchReply, Refusal> {
        handle::fetch::run(&self.node, request).await
    }

    async fn drop_shards(&self, revision: VerifiedRevision) -> Result<DropAnswer, Refusal> {
        handle::drop::run(&self.node, &revision).await
    }

    async fn inventory(&self, request: InventoryRequest) -> Result<InventoryAnswer, Refusal> {
        handle::inventory::run(&self.node, request).await
    }

    async fn status(&self, request: StatusRequest) -> Result<StatusAnswer, Refusal> {
        Ok(handle::status::run(&self.node, request))
    }
}
