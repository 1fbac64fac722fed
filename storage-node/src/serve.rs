//! The node's answers, one line per verb; what each does is in [`handle`](crate::handle).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use protocol::message::{
    DropAnswer, FetchRequest, HelloRequest, InventoryAnswer, InventoryRequest, NodeFacts, Refusal,
    StatusAnswer, StatusRequest, StoreAnswer, StoreRequest,
};
use protocol::revision::VerifiedRevision;
use protocol::{FetchReply, NodeService, ShardBody};
use tokio::sync::{Semaphore, watch};
use types::KIB;

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
}

/// What was done since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) stored_bytes: AtomicU64,
    pub(crate) fetched_bytes: AtomicU64,
    pub(crate) dropped_shards: AtomicU64,
    pub(crate) busy: AtomicU64,
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
