//! How a cluster is to be, and its start.

use super::Cluster;

/// How a cluster is to be.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) nodes: usize,
    pub(super) disk: String,
    pub(super) gateway_args: Vec<String>,
    pub(super) node_args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

impl Options {
    /// Six nodes of 50 GB and no further flags.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default would hide the numbers")]
    pub fn new() -> Self {
        Self {
            nodes: 6,
            disk: "50GB".into(),
            gateway_args: Vec::new(),
            node_args: Vec::new(),
            env: Vec::new(),
        }
    }

    /// So many nodes.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// So much disk per node.
    #[must_use]
    pub fn disk(mut self, disk: &str) -> Self {
        self.disk = disk.into();
        self
    }

    /// A flag and its value for the gateway.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.gateway_args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A flag without a value for the gateway.
    #[must_use]
    pub fn switch(mut self, name: &str) -> Self {
        self.gateway_args.push(name.to_owned());
        self
    }

    /// A variable in the gateway's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A flag and its value for every `drystone-node run`.
    #[must_use]
    pub fn node_flag(mut self, name: &str, value: &str) -> Self {
        self.node_args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Upkeep that tests need not wait for: it looks five times a second, and deleted bytes are let go after a second.
    #[must_use]
    pub fn quick_upkeep(self) -> Self {
        self.flag("--upkeep-interval", "200ms")
            .flag("--reconcile-interval", "2s")
            .flag("--read-grace", "1s")
    }

    /// Starts `drystone up`: one process.
    pub async fn up(self) -> Cluster {
        let mut args = vec!["up".to_owned(), "--nodes".to_owned(), self.nodes.to_string()];
        args.extend(self.gateway_args.iter().cloned());
        let mut cluster = Cluster::new(self, args);
        cluster.gateway.start();
        cluster.ready().await;
        cluster
    }

    /// Starts `drystone gateway` and a process per node.
    pub async fn separate(self) -> Cluster {
        let mut args = vec!["gateway".to_owned()];
        args.extend(self.gateway_args.iter().cloned());
        let nodes = self.nodes;
        let mut cluster = Cluster::new(self, args);
        cluster.gateway.start();
        cluster.alive().await;
        for _ in 0..nodes {
            cluster.add_node();
        }
        cluster.online(nodes).await;
        cluster.ready().await;
        cluster
    }
}
