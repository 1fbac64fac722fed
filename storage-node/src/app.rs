//! The only file that knows everything: opens the store, wires the service, keeps the links, and stops it all in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kv::rocks::RocksShared;
use protocol::dial::Dial;
use protocol::identity::{NodeIdentity, Trust};
use protocol::limits::LinkSettings;
use protocol::standing::Report;
use protocol::tls::NodeTls;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{Clock, NodeId, SystemClock};

use crate::advice::{DiskSpace, Finding, advise};
use crate::config::{NodeConfig, Settings};
use crate::crashsafe;
use crate::dial::{Dialer, LinkStatus};
use crate::error::Error;
use crate::frame::report::FrameReport;
use crate::frame::{Frame, Governor, ShapedDial};
use crate::identity;
use crate::leave::Departure;
use crate::local;
use crate::serve::Node as Parts;
use crate::serve::SOFTWARE;
use crate::store::{Store, StoreStatus};

/// How long requests under way may take to finish once the node stops; then they are cut. With the store's own closing it stays below the
/// five seconds that service managers and owners wait.
const DRAIN: Duration = Duration::from_secs(3);
/// The store's folder in the data folder.
pub(crate) const STORE: &str = "store";
/// The file with the floor of grant serials, which must not be forgotten.
const FLOOR_FILE: &str = "floor";
/// How often a raised floor is looked for.
const FLOOR_INTERVAL: Duration = Duration::from_secs(30);

/// A node.
#[derive(Clone, Copy, Debug)]
pub struct Node;

/// A running node. Dropping the handle lets it run on until its shutdown token is cancelled.
#[derive(Debug)]
pub struct NodeHandle {
    id: NodeId,
    view: View,
    stop: CancellationToken,
    tasks: TaskTracker,
    store: Store,
}

/// What a node shows of itself.
#[derive(Clone)]
pub(crate) struct View {
    id: NodeId,
    dir: PathBuf,
    parts: Arc<Parts>,
    links: Vec<watch::Receiver<LinkStatus>>,
    beside: Arc<Beside>,
}

/// What is shown beside what the node's own parts know.
#[derive(Default)]
struct Beside {
    page: OnceLock<SocketAddr>,
    leaving: Mutex<Option<Departure>>,
    standing: Mutex<Option<Report>>,
}

/// How a node is: its effective frame and its live use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: NodeId,
    /// What its owner calls it.
    pub name: String,
    /// Program and version.
    pub software: String,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// What the owner allows, and what is used of it.
    pub frame: FrameReport,
    /// Room on the file system of the data folder, if it can be measured.
    pub disk: Option<DiskSpace>,
    /// How the store is.
    pub store: StoreStatus,
    /// How the link to each gateway is.
    pub links: Vec<LinkStatus>,
    /// By how many milliseconds this machine's clock was ahead of the gateway's that said hello last; negative if it was behind.
    pub clock_ahead_ms: Option<i64>,
    /// Where the node's page is, if it has one.
    pub page: Option<SocketAddr>,
    /// How far the node has come on its way out; nothing, if it stays.
    pub leaving: Option<Departure>,
    /// What the network thinks of the node, as a gateway last said.
    pub standing: Option<Report>,
    /// Bytes of shards taken since the start.
    pub stored_bytes: u64,
    /// Bytes of shards asked for since the start.
    pub fetched_bytes: u64,
    /// Shards dropped since the start.
    pub dropped_shards: u64,
    /// Requests turned away since the start because memory for traffic was used up, or a limit of the frame was reached.
    pub busy: u64,
    /// What the owner should do next, worst first; the first says how the node is.
    pub advice: Vec<Finding>,
}

impl Node {
    /// Opens the data folder and starts to dial. Returns once the store is ready; links come later ([`NodeHandle::connected`]).
    ///
    /// Cancelling `shutdown` begins the stop; [`NodeHandle::stop`] also waits for it.
    ///
    /// # Errors
    /// Those of [`Store::open`], and of a key that cannot be read.
    pub async fn start(
        config: NodeConfig,
        shared: &RocksShared,
        shutdown: CancellationToken,
    ) -> Result<NodeHandle, Error> {
        Self::run(config, shared, shutdown, None, LinkSettings::default()).await
    }

    /// As [`Self::start`], with another way to reach gateways: for simulations and slow lines.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(
        config: NodeConfig,
        shared: &RocksShared,
        shutdown: CancellationToken,
        dial: Arc<dyn Dial>,
        link: LinkSettings,
    ) -> Result<NodeHandle, Error> {
        Self::run(config, shared, shutdown, Some(dial), link).await
    }

    async fn run(
        config: NodeConfig,
        shared: &RocksShared,
        shutdown: CancellationToken,
        dial: Option<Arc<dyn Dial>>,
        link: LinkSettings,
    ) -> Result<NodeHandle, Error> {
        let (dir, settings) = (config.dir.clone(), config.settings.clone());
        let identity = identity::load(&dir)?;
        let floor = read_floor(&dir)?;
        let trust = Arc::new(Trust::new(settings.root, floor, Arc::new(SystemClock)));
        let tls = NodeTls::new(&identity, Arc::clone(&trust))?;
        let options = settings.store_options(&identity);
        let store = Store::open(&dir.join(STORE), options, shared).await?;
        let frame = Frame::open(&dir, settings.lent(), config.own_process, Arc::new(SystemClock))?;
        // Before anything is served: it tells the store its limits.
        let governor = Governor::new(Arc::clone(&frame), store.clone(), config);
        let parts = Arc::new(Parts::new(store.clone(), settings.clone(), Arc::clone(&frame)));
        let (stop, tasks) = (shutdown, TaskTracker::new());
        tasks.spawn(governor.run(stop.clone()));
        let mut links = Vec::new();
        for gateway in settings.gateways {
            let (status, seen) = watch::channel(LinkStatus {
                gateway: gateway.clone(),
                connected: false,
                since: SystemClock.now(),
                trouble: None,
            });
            links.push(seen);
            let dialer = Dialer {
                gateway,
                dial: ShapedDial::new(Arc::clone(frame.shaper()), dial.clone()),
                frame: Arc::clone(&frame),
                tls: tls.clone(),
                trust: Arc::clone(&trust),
                settings: link.clone(),
                node: Arc::clone(&parts),
                status,
                stop: stop.clone(),
            };
            tasks.spawn(dialer.run());
        }
        tasks.spawn(keep_floor(dir.clone(), trust, floor, stop.clone()));
        let view =
            View { id: identity.id(), dir: dir.clone(), parts, links, beside: Arc::default() };
        match local::listen(&dir) {
            Ok(door) => drop(tasks.spawn(door.answer(view.clone(), stop.clone()))),
            Err(error) => tracing::warn!(%error, "`drystone-node status` will not work"),
        }
        tasks.close();
        tracing::info!(id = %identity.id(), data = %dir.display(), "the node runs");
        Ok(NodeHandle { id: identity.id(), view, stop, tasks, store })
    }

    /// The identity in the data folder `dir`.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn identity(dir: &Path) -> Result<NodeIdentity, Error> {
        identity::load(dir)
    }
}

impl NodeHandle {
    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Resolves once a gateway has said hello on a link that stands; never, if the node is stopped before.
    pub async fn connected(&self) {
        let links = self.view.links.iter().cloned().map(|mut link| {
            Box::pin(async move {
                if link.wait_for(|status| status.connected).await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        if links.len() == 0 {
            std::future::pending::<()>().await;
        }
        futures::future::select_all(links).await;
    }

    /// How the node is.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.view.status()
    }

    /// What the node shows of itself, for who goes on showing it.
    pub(crate) fn view(&self) -> View {
        self.view.clone()
    }

    /// The node's store, for tools and tests in the same process.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Stops taking requests, finishes those under way for at most three seconds, makes everything durable and closes the store.
    pub async fn stop(&self) {
        self.stop.cancel();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("requests under way were cut");
        }
        self.store.close().await;
        tracing::info!(id = %self.id, "the node has stopped");
    }
}

impl View {
    pub(crate) fn status(&self) -> NodeStatus {
        use std::sync::atomic::Ordering::Relaxed;
        let Parts { store, settings, started, counters, clock_gap, frame, .. } = &*self.parts;
        let Settings { name, .. } = settings;
        let mut status = NodeStatus {
            id: self.id,
            name: name.to_string(),
            software: SOFTWARE.to_owned(),
            uptime_seconds: started.elapsed().as_secs(),
            frame: frame.report(),
            disk: DiskSpace::measure(&self.dir).ok(),
            store: store.status(),
            links: self.links.iter().map(|link| link.borrow().clone()).collect(),
            clock_ahead_ms: clock_gap.ahead_ms(),
            page: self.beside.page.get().copied(),
            leaving: *locked(&self.beside.leaving),
            standing: locked(&self.beside.standing).clone(),
            stored_bytes: counters.stored_bytes.load(Relaxed),
            fetched_bytes: counters.fetched_bytes.load(Relaxed),
            dropped_shards: counters.dropped_shards.load(Relaxed),
            busy: counters.busy.load(Relaxed),
            advice: Vec::new(),
        };
        status.advice = advise(&status, SystemClock.now());
        status
    }

    /// The data folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Notes where the page is; the first time counts.
    pub(crate) fn page_is_at(&self, address: SocketAddr) {
        let _ = self.beside.page.set(address);
    }

    /// Notes how far the node has come on its way out; nothing, if it stays.
    pub(crate) fn leaves(&self, departure: Option<Departure>) {
        *locked(&self.beside.leaving) = departure;
    }

    /// Notes what the network thinks of the node.
    pub(crate) fn stands(&self, report: Report) {
        *locked(&self.beside.standing) = Some(report);
    }

    /// Another way to gateways than links, within the owner's frame.
    pub(crate) fn dialer(&self) -> Arc<dyn Dial> {
        Arc::new(ShapedDial::new(Arc::clone(self.parts.frame.shaper()), None))
    }

    /// Whether the owner's frame lets the node on the line now.
    pub(crate) fn may_call(&self) -> bool {
        self.parts.frame.report().network.allowed
    }
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("View").field(&self.status()).finish()
    }
}

/// The highest floor of serials that this node has heard of.
pub(crate) fn read_floor(dir: &Path) -> Result<u64, Error> {
    let path = dir.join(FLOOR_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| Error::Damaged(format!("{} does not hold a number", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
    }
}

/// Writes the floor down whenever a hello has raised it, and once more at the end.
async fn keep_floor(
    dir: std::path::PathBuf,
    trust: Arc<Trust>,
    mut kept: u64,
    stop: CancellationToken,
) {
    loop {
        let stopping = tokio::select! {
            () = stop.cancelled() => true,
            () = tokio::time::sleep(FLOOR_INTERVAL) => false,
        };
        let floor = trust.floor();
        if floor > kept {
            match crashsafe::replace(&dir.join(FLOOR_FILE), format!("{floor}\n").as_bytes()) {
                Ok(()) => kept = floor,
                Err(error) => tracing::error!(%error, "the floor of serials cannot be kept"),
            }
        }
        if stopping {
            return;
        }
    }
}
