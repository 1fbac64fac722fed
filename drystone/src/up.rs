//! `drystone up`: gateway, metadata and nodes in one process. The nodes join by invite and dial over the real wire, as strangers' would.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::gateway::app::App;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kv::rocks::RocksShared;
use protocol::dial::Address;
use protocol::message::NodeName;
use serde_json::json;
use storage_node::{Node, NodeConfig, NodeHandle, Overrides, join};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::{ByteSize, Geometry, MIB};

use crate::error::CliError;
use crate::gateway::{Prepared, banner, facts, prepare, reachable, serve, start};
use crate::log::LogLevel;
use crate::output::Output;
use crate::settings::Settings;
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  drystone up --data ~/drystone
  drystone up --data ~/drystone --nodes 8 --disk 200GB --s3-addr 0.0.0.0:9000
  drystone up --data /tmp/try --json

Ctrl-C or SIGTERM finishes the requests in flight and stops; a second one stops at once.";

/// Nodes, unless there are some already or --nodes says otherwise: what the geometry `local` needs.
const NODES: usize = 6;
/// The folder of the nodes in the data folder.
const NODES_DIR: &str = "nodes";
/// Of the free space, what new nodes lend together unless --disk says otherwise: the rest is left to the catalog and to others.
const LENT_PERCENT: u64 = 80;
/// No node lends less than this many bytes.
const LENT_MIN: u64 = 256 * MIB;
/// How long to wait until enough nodes have connected.
const CONNECT: Duration = Duration::from_secs(30);
/// Once enough have, how long to wait for the others.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Runs a whole installation.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    #[command(flatten)]
    settings: Settings,
    /// How many nodes to run [default: those in the data folder, else 6]
    #[arg(long, env = "DRYSTONE_NODES", value_name = "N")]
    nodes: Option<NonZeroUsize>,
    /// Disk space that each node lends, such as 50GB [default: 80 % of what is free, shared among new nodes]
    #[arg(long, env = "DRYSTONE_DISK", value_name = "SIZE")]
    disk: Option<ByteSize>,
    #[command(flatten)]
    log: LogLevel,
}

impl Up {
    pub(crate) async fn run(self, output: Output) -> Result<(), CliError> {
        let mut signals = Signals::watch()?;
        let Prepared { config, shared } = prepare(&self.settings, &self.log)?;
        let data = &self.settings.data;
        let geometry = config.geometry.geometry();
        let count = self.nodes.map_or_else(|| stored_nodes(data).max(NODES), NonZeroUsize::get);
        let running = async {
            let app = start(config, data, &shared).await?;
            let nodes = start_nodes(&app, data, count, self.disk, &shared).await?;
            let connected = connected(&nodes, geometry.w.min(count)).await?;
            Ok::<_, CliError>((app, nodes, connected))
        };
        let (app, nodes, connected) = tokio::select! {
            running = running => running?,
            () = signals.asked_to_stop() => return Ok(()),
        };
        announce(output, &app, data, geometry, (connected, count));
        let ended = serve(&app, &mut signals).await;
        signals
            .or_cut(async {
                // The gateway first: requests in flight need their nodes to the end.
                app.stop().await;
                stop_nodes(nodes).await;
            })
            .await;
        ended
    }
}

fn announce(
    output: Output,
    app: &App,
    data: &Path,
    geometry: Geometry,
    (connected, count): (usize, usize),
) {
    let mut all = facts(app, data);
    all["nodes"] = json!(connected);
    output.announce(&all, || {
        let (access_key, secret_key) = app.root_keys();
        let warning = if count < geometry.w {
            format!("Note: geometry {} stores nothing with fewer than {} nodes.\n\n", geometry.name, geometry.w)
        } else {
            String::new()
        };
        format!(
            "Drystone is up: {connected} of {count} nodes, geometry {} (any {} of {} shards give an object back).\n\n{}\n{warning}\
             Try it:\n  AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={} aws --endpoint-url {}://{} s3 mb s3://hello\n\n\
             Ctrl-C stops it.",
            geometry.name,
            geometry.k,
            geometry.n,
            banner(app, data),
            secret_key.as_str(),
            app.s3_scheme(),
            reachable(app.s3_addr()),
        )
    });
}

/// How many nodes the data folder has: 1, 2, … without a gap.
fn stored_nodes(data: &Path) -> usize {
    (1..).take_while(|number| NodeConfig::exists(&node_dir(data, *number))).count()
}

fn node_dir(data: &Path, number: usize) -> PathBuf {
    data.join(NODES_DIR).join(number.to_string())
}

/// Starts nodes 1…`count`, all at once; those that are new join first.
async fn start_nodes(
    app: &App,
    data: &Path,
    count: usize,
    disk: Option<ByteSize>,
    shared: &RocksShared,
) -> Result<Vec<NodeHandle>, CliError> {
    let share = ByteSize((free_space(data)? / 100 * LENT_PERCENT / count as u64).max(LENT_MIN));
    let gateway: Address = reachable(app.node_addr()).into();
    let mut starting = JoinSet::new();
    for number in 1..=count {
        let new =
            Start { number, dir: node_dir(data, number), disk, share, gateway: gateway.clone() };
        let invite = if NodeConfig::exists(&new.dir) {
            None
        } else {
            Some(app.invite().await.map_err(|error| CliError::Gateway(error.into()))?)
        };
        let shared = shared.clone();
        starting.spawn(async move {
            new.start(invite, &shared).await.map_err(|source| CliError::Node { number, source })
        });
    }
    starting.join_all().await.into_iter().collect()
}

/// One node to start.
struct Start {
    number: usize,
    dir: PathBuf,
    disk: Option<ByteSize>,
    /// What it lends if it is new and --disk was not given.
    share: ByteSize,
    gateway: Address,
}

type NodeError = Box<dyn std::error::Error + Send + Sync>;

impl Start {
    async fn start(
        self,
        invite: Option<String>,
        shared: &RocksShared,
    ) -> Result<NodeHandle, NodeError> {
        if let Some(invite) = invite {
            let name: NodeName = format!("up-{}", self.number).parse()?;
            join(&invite.parse()?, &self.dir, name, self.disk.unwrap_or(self.share)).await?;
        }
        // The gateway may listen elsewhere than when the node joined.
        let overrides =
            Overrides { disk: self.disk, gateways: vec![self.gateway], ..Overrides::default() };
        let config = NodeConfig::load(&self.dir, overrides)?;
        Ok(Node::start(config, shared, CancellationToken::new()).await?)
    }
}

/// Waits until `needed` nodes have connected, and a moment longer for the others; how many have.
async fn connected(nodes: &[NodeHandle], needed: usize) -> Result<usize, CliError> {
    let mut arriving: FuturesUnordered<_> = nodes.iter().map(NodeHandle::connected).collect();
    let mut connected = 0;
    while connected < nodes.len() {
        let patience = if connected < needed { CONNECT } else { STRAGGLERS };
        match timeout(patience, arriving.next()).await {
            Ok(Some(())) => connected += 1,
            Ok(None) | Err(_) => break,
        }
    }
    if connected < needed {
        return Err(CliError::NotConnected { connected, needed, seconds: CONNECT.as_secs() });
    }
    Ok(connected)
}

async fn stop_nodes(nodes: Vec<NodeHandle>) {
    let mut stopping = JoinSet::new();
    for node in nodes {
        stopping.spawn(async move { node.stop().await });
    }
    stopping.join_all().await;
}

/// Bytes that this user may still write on the file system of `dir`.
fn free_space(dir: &Path) -> Result<u64, CliError> {
    let found = rustix::fs::statvfs(dir).map_err(|error| CliError::io(dir)(error.into()))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
