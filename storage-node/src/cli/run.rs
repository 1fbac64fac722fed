//! `drystone-node run --data DIR`

use std::path::Path;

use kv::rocks::RocksShared;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{ByteSize, MIB};

use super::Data;
use super::notify::Manager;
use crate::app::{Node, NodeHandle};
use crate::config::{NodeConfig, Overrides};
use crate::error::Error;
use crate::leave::Spokesman;
use crate::page::{History, Page};

/// Memory for the index's caches and write buffers: what an idle node can spare.
const INDEX_MEMORY: usize = 12 * MIB as usize;
/// Where the page is, unless that is taken.
const PAGE_PORT: u16 = 9180;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    overrides: Overrides,
    /// Port of the node's own page on 127.0.0.1; if it is taken, the next free one is used. 0: any.
    #[arg(long, env = "DRYSTONE_PAGE_PORT", value_name = "PORT", default_value_t = PAGE_PORT)]
    page_port: u16,
    /// Serve no page.
    #[arg(long, env = "DRYSTONE_NO_PAGE")]
    no_page: bool,
}

impl Run {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let mut config = NodeConfig::load(&self.data.dir, self.overrides)?;
        config.own_process = true;
        // Before anything takes time: a signal during start-up must end it too.
        let mut terminate = signal(SignalKind::terminate()).map_err(Error::io("watch signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::io("watch signals"))?;
        let shared = RocksShared::new(INDEX_MEMORY)?;
        let disk = config.settings.disk;
        let spokesman = Spokesman::new(&config)?;
        let starting = Node::start(config, &shared, CancellationToken::new());
        let node = tokio::select! {
            node = starting => node?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let store = node.status().store;
        println!("node {}", node.id());
        println!("disk lent {disk}, used {}", ByteSize(store.allocated));
        let (aside, stop_aside) = (TaskTracker::new(), CancellationToken::new());
        if !self.no_page {
            show_page(&node, &self.data.dir, self.page_port, &aside, &stop_aside).await;
        }
        aside.spawn(spokesman.watch(node.view(), stop_aside.clone()));
        let manager = Manager::of_environment();
        manager.ready(&node.status());
        tokio::select! {
            () = manager.keep_telling(node.view(), stop_aside.clone()) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        manager.stopping();
        stop_aside.cancel();
        aside.close();
        tokio::select! {
            _ = async { tokio::join!(node.stop(), aside.wait()) } => Ok(()),
            _ = interrupt.recv() => Err(Error::Closed),
        }
    }
}

/// Opens the page and says where it is. A node without its page is still a node.
async fn show_page(
    node: &NodeHandle,
    dir: &Path,
    port: u16,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let history = match History::open(dir) {
        Ok(history) => history,
        Err(error) => {
            return tracing::warn!(%error, "there is no page: its history cannot be opened");
        }
    };
    match Page::open(port).await {
        Ok(page) => {
            println!("page http://{}/", page.address());
            tasks.spawn(page.serve(node.view(), history, stop.clone()));
        }
        Err(error) => tracing::warn!(%error, port, "there is no page: its port cannot be opened"),
    }
}
