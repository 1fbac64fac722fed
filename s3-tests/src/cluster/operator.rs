//! What the operator sees and says: `drystone admin`, and the gateway's metrics.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::{Cluster, START_LIMIT, binary, keys};

/// What the gateway says of one node (`drystone admin nodes --json`).
#[derive(Clone, Debug)]
pub struct NodeState(pub Value);

impl Cluster {
    /// Runs `drystone` with these arguments against this cluster's admin API.
    #[must_use]
    pub fn operate(&self, args: &[&str]) -> Output {
        Command::new(binary("drystone"))
            .args(args)
            .args(["--endpoint", &format!("http://{}", self.admin_address())])
            .envs(keys())
            .output()
            .expect("the drystone binary starts")
    }

    /// What `drystone admin` with these arguments prints.
    ///
    /// # Panics
    /// If it does not succeed.
    #[must_use]
    pub fn admin(&self, args: &[&str]) -> String {
        let output = self.operate(&[&["admin"][..], args].concat());
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "drystone admin {args:?}: {}\n{out}{err}", output.status);
        out.into_owned()
    }

    /// What `drystone admin` with these arguments and `--json` prints.
    ///
    /// # Panics
    /// If it does not succeed, or prints no JSON.
    #[must_use]
    pub fn admin_json(&self, args: &[&str]) -> Value {
        let text = self.admin(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// A new invite: the last word of the last line.
    #[must_use]
    pub fn invite(&self) -> String {
        let text = self.admin(&["invite"]);
        let last = text.lines().last().and_then(|line| line.split_whitespace().last());
        last.expect("the invite is the last word of the last line").to_owned()
    }

    /// All nodes the gateway knows.
    #[must_use]
    pub fn node_states(&self) -> Vec<NodeState> {
        let list = self.admin_json(&["nodes"]);
        list.as_array().expect("a list of nodes").iter().cloned().map(NodeState).collect()
    }

    /// What the gateway says of the node with this name.
    #[must_use]
    pub fn node_state(&self, name: &str) -> NodeState {
        let states = self.node_states();
        let found = states.iter().find(|state| state.name() == name);
        found.unwrap_or_else(|| panic!("the gateway does not know {name}: {states:?}")).clone()
    }

    /// What the node with its data in `dir` says of itself (`drystone-node status --json`); nothing, if it does not run.
    #[must_use]
    pub fn node_status(&self, dir: &Path) -> Option<Value> {
        let mut command = Command::new(binary("drystone-node"));
        let output = command.args(["status", "--json", "--data"]).arg(dir).output();
        let output = output.expect("the drystone-node binary starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let parsed =
            || serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        output.status.success().then(parsed)
    }

    /// Bytes of live shards on one node process; 0 if it does not run.
    #[must_use]
    pub fn used_by(&self, index: usize) -> u64 {
        self.live_bytes(&self.node_dir(index))
    }

    /// Bytes of live shards on all nodes that run, as they are now.
    #[must_use]
    pub fn used(&self) -> u64 {
        let within = fs::read_dir(self.gateway_dir().join("nodes")).into_iter().flatten().flatten();
        let within = within.map(|dir| self.live_bytes(&dir.path()));
        let beside = (0..self.nodes.len()).map(|index| self.used_by(index));
        within.chain(beside).sum()
    }

    fn live_bytes(&self, dir: &Path) -> u64 {
        let status = self.node_status(dir);
        status
            .map_or(0, |status| status["store"]["live_bytes"].as_u64().expect("a number of bytes"))
    }

    /// How often the gateway has caught the node with this name since it started.
    #[must_use]
    pub fn blamed(&self, name: &str) -> u64 {
        let node = format!("node=\"{}\"", self.node_state(name).id());
        let counted = self.series("drystone_node_misbehaved_total");
        counted
            .iter()
            .filter(|(series, _)| series.contains(&node))
            .map(|(_, value)| *value as u64)
            .sum()
    }

    /// Waits until so many nodes are online.
    pub async fn online(&self, count: usize) {
        self.eventually("nodes online", START_LIMIT, || {
            let states = self.node_states();
            let online = states.iter().filter(|state| state.online()).count();
            if online == count { Ok(()) } else { Err(format!("{online} of {count}: {states:?}")) }
        })
        .await;
    }

    /// Waits until every shard of everything written is in its place: no straggler, nothing to repair.
    pub async fn whole(&self, limit: Duration) {
        self.eventually("every shard in its place", limit, || {
            let state = self.admin_json(&["durability"]);
            let healthy = state["healthy"] == true && state["groups"]["filling"] == 0;
            if healthy { Ok(()) } else { Err(state.to_string()) }
        })
        .await;
    }

    /// The series of a metric, each with its labels, as `/metrics` shows them now.
    #[must_use]
    pub fn series(&self, name: &str) -> Vec<(String, f64)> {
        let text = self.metrics();
        let series = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let named = series.split('{').next() == Some(name);
            named.then(|| value.parse().ok().map(|value| (series.to_owned(), value))).flatten()
        });
        series.collect()
    }

    /// All of `/metrics`. Asked over a plain socket, so that what has no `await` can ask.
    #[must_use]
    pub fn metrics(&self) -> String {
        use std::io::{Read as _, Write as _};
        let address = self.admin_address();
        let mut socket = std::net::TcpStream::connect(address).expect("the admin port is open");
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).expect("a request can be sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer comes");
        answer
    }
}

impl NodeState {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// Whether it is connected.
    #[must_use]
    pub fn online(&self) -> bool {
        self.0["state"] == "online"
    }
}
