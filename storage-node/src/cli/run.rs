//! `drystone-node run --data DIR`

use kv::rocks::RocksShared;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use types::{ByteSize, MIB};

use super::Data;
use crate::app::Node;
use crate::config::{NodeConfig, Overrides};
use crate::error::Error;

/// Memory for the index's caches and write buffers: what an idle node can spare.
const INDEX_MEMORY: usize = 12 * MIB as usize;

#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    data: Data,
    #[command(flatten)]
    overrides: Overrides,
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
        let starting = Node::start(config, &shared, CancellationToken::new());
        let node = tokio::select! {
            node = starting => node?,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let store = node.status().store;
        println!("node {}", node.id());
        println!("disk lent {disk}, used {}", ByteSize(store.allocated));
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        tokio::select! {
            () = node.stop() => Ok(()),
            _ = interrupt.recv() => Err(Error::Closed),
        }
    }
}
