//! A whole Drystone of real processes in a folder of its own, on ports of its own.
//!
//! Two forms: [`Options::up`] is one process with everything in it, as most people will run it; [`Options::separate`] is a gateway and
//! one process per node, each of which can be killed, frozen and brought back. What they print is kept and shown if the test fails.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Client;
use crate::process::Process;

/// The access key of every test's operator.
pub const ACCESS: &str = "DRYSTONETESTACCESS01";
/// The secret key of every test's operator.
pub const SECRET: &str = "drystone/test+secret/0123456789abcdefghi";
/// How long a start may take before a test gives up. That it takes less than three seconds is a test of its own.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);
/// Ports that the kernel does not give to outgoing connections, so that a restarted gateway finds its own free.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// How a cluster is to be.
#[derive(Clone, Debug)]
pub struct Options {
    nodes: usize,
    disk: String,
    gateway_args: Vec<String>,
    node_args: Vec<String>,
}

/// The running processes.
#[derive(Debug)]
pub struct Cluster {
    // Processes go first when this is dropped, then the folder.
    /// `drystone up` or `drystone gateway`.
    pub gateway: Process,
    /// `drystone-node run`, one each; none under `up`.
    pub nodes: Vec<Process>,
    options: Options,
    ports: [Port; 3],
    dir: TempDir,
}

/// What the gateway says of one node (`drystone admin nodes --json`).
#[derive(Clone, Debug)]
pub struct NodeState(pub Value);

impl Options {
    /// Six nodes of 50 GB and no further flags.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a default would hide the numbers")]
    pub fn new() -> Self {
        Self { nodes: 6, disk: "50GB".into(), gateway_args: Vec::new(), node_args: Vec::new() }
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

    /// A flag and its value for every `drystone-node run`.
    #[must_use]
    pub fn node_flag(mut self, name: &str, value: &str) -> Self {
        self.node_args.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Upkeep that tests need not wait for: it looks five times a second, and deleted bytes are let go after a second.
    #[must_use]
    pub fn quick_upkeep(self) -> Self {
        self.flag("--upkeep-interval", "200ms").flag("--read-grace", "1s")
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

impl Cluster {
    fn new(options: Options, mut args: Vec<String>) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("drystone-test-")
            .tempdir()
            .expect("a temporary folder");
        let logs = dir.path().join("logs");
        fs::create_dir(&logs).expect("a folder for logs");
        let ports = [Port::take(), Port::take(), Port::take()];
        let data = dir.path().join("gateway");
        args.extend(["--data".to_owned(), data.display().to_string()]);
        for (flag, port) in ["--s3-addr", "--admin-addr", "--node-addr"].into_iter().zip(&ports) {
            args.extend([flag.to_owned(), port.address().to_string()]);
        }
        let gateway = Process::new("gateway", &binary("drystone"), args, keys(), &logs);
        Self { gateway, nodes: Vec::new(), options, ports, dir }
    }

    /// Where S3 is.
    #[must_use]
    pub fn s3(&self) -> SocketAddr {
        self.ports[0].address()
    }

    /// Where the admin API is.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.ports[1].address()
    }

    /// Where nodes dial.
    #[must_use]
    pub fn node_address(&self) -> SocketAddr {
        self.ports[2].address()
    }

    /// `http://host:port` of S3.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.s3())
    }

    /// The operator as a customer, with connections of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.s3(), ACCESS, SECRET)
    }

    /// The folder of everything.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The gateway's folder; under `up` those of the nodes lie in it.
    #[must_use]
    pub fn gateway_dir(&self) -> PathBuf {
        self.dir.path().join("gateway")
    }

    /// The folder of a node process.
    #[must_use]
    pub fn node_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("node-{index}"))
    }

    /// The log files of a node process, oldest first.
    #[must_use]
    pub fn node_logs(&self, index: usize) -> Vec<PathBuf> {
        let mut logs: Vec<_> = files(&self.node_dir(index))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
            // RocksDB calls its write-ahead log so, too, but has six digits for it.
            .filter(|path| path.file_stem().is_some_and(|stem| stem.len() == 8))
            .collect();
        logs.sort();
        logs
    }

    /// Waits until S3 is served.
    pub async fn ready(&mut self) {
        self.wait_for("/readyz").await;
    }

    /// Waits until the gateway answers at all.
    pub async fn alive(&mut self) {
        self.wait_for("/livez").await;
    }

    async fn wait_for(&mut self, path: &str) {
        let client = self.client().for_service(self.admin_address(), "drystone");
        let begin = Instant::now();
        loop {
            assert!(
                self.gateway.running(),
                "the gateway ended while it should start:\n{}",
                self.gateway.log()
            );
            match client.get(path).anonymous().try_send().await {
                Ok(answer) if answer.status == 200 => return,
                _ if begin.elapsed() < START_LIMIT => sleep(POLL).await,
                Ok(answer) => {
                    let answer = answer.read().await;
                    panic!(
                        "{path} still answers {} after {START_LIMIT:?}: {}",
                        answer.status, answer.text
                    );
                }
                Err(error) => panic!("{path}: {error}"),
            }
        }
    }

    /// Starts the gateway again, as [`Process::start`], and waits until it serves and all running nodes are back.
    pub async fn restart_gateway(&mut self) {
        self.gateway.start();
        self.alive().await;
        let running =
            self.nodes.iter_mut().map(Process::running).filter(|&running| running).count();
        self.online(running).await;
        self.ready().await;
    }

    /// Runs `drystone admin` with these arguments against this cluster.
    #[must_use]
    pub fn admin(&self, args: &[&str]) -> Output {
        Command::new(binary("drystone"))
            .arg("admin")
            .args(args)
            .args(["--endpoint", &format!("http://{}", self.admin_address())])
            .envs(keys())
            .output()
            .expect("the drystone binary starts")
    }

    /// What `drystone admin` prints, when it must succeed.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn admin_text(&self, args: &[&str]) -> String {
        let output = self.admin(args);
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "drystone admin {args:?}: {}\n{out}{err}", output.status);
        out.into_owned()
    }

    /// A new invite: the last word of the last line.
    #[must_use]
    pub fn invite(&self) -> String {
        let text = self.admin_text(&["invite"]);
        let last = text.lines().last().and_then(|line| line.split_whitespace().last());
        last.expect("the invite is the last word of the last line").to_owned()
    }

    /// All nodes the gateway knows.
    #[must_use]
    pub fn node_states(&self) -> Vec<NodeState> {
        let text = self.admin_text(&["nodes", "--json"]);
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let list = value.as_array().or_else(|| value["nodes"].as_array());
        list.unwrap_or_else(|| panic!("no list of nodes: {text}"))
            .iter()
            .cloned()
            .map(NodeState)
            .collect()
    }

    /// What the gateway says of the node with this name.
    #[must_use]
    pub fn node_state(&self, name: &str) -> NodeState {
        let states = self.node_states();
        let found = states.iter().find(|state| state.name() == name);
        found.unwrap_or_else(|| panic!("the gateway does not know {name}: {states:?}")).clone()
    }

    /// Bytes of live shards on all nodes, by their own account.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.node_states().iter().map(NodeState::used).sum()
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

    /// Waits until no shard is on its way or awaits repair, so that all slots of everything written are filled.
    pub async fn whole(&self, limit: Duration) {
        self.eventually("no missing slot", limit, || {
            let missing = self.metric("drystone_slots_missing");
            if missing == 0.0 { Ok(()) } else { Err(format!("{missing} slots are missing")) }
        })
        .await;
    }

    /// The sum of a metric over its labels, as `/metrics` shows it now; 0 if it is not there.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok()).flatten()
        });
        values.sum()
    }

    /// All of `/metrics`. Asked over a plain socket, so that a closure without `await` can.
    #[must_use]
    pub fn metrics(&self) -> String {
        use std::io::{Read as _, Write as _};
        let mut socket =
            std::net::TcpStream::connect(self.admin_address()).expect("the admin port is open");
        let request = format!(
            "GET /metrics HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.admin_address()
        );
        socket.write_all(request.as_bytes()).expect("a request can be sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer comes");
        answer
    }

    /// Waits until `check` is content.
    ///
    /// # Panics
    /// With its last complaint, if that takes longer than `limit`.
    pub async fn eventually<T>(
        &self,
        what: &str,
        limit: Duration,
        mut check: impl FnMut() -> Result<T, String>,
    ) -> T {
        let begin = Instant::now();
        loop {
            match check() {
                Ok(value) => return value,
                Err(_) if begin.elapsed() < limit => sleep(POLL * 2).await,
                Err(why) => panic!("{what}: not within {limit:?}: {why}"),
            }
        }
    }

    /// Joins and starts one more node, named `node-<index>`, and gives its index. It is online a little later.
    pub fn add_node(&mut self) -> usize {
        let disk = self.options.disk.clone();
        self.add_node_with(&disk)
    }

    /// As [`Self::add_node`], with so much disk.
    pub fn add_node_with(&mut self, disk: &str) -> usize {
        let index = self.nodes.len();
        let data = self.node_dir(index).display().to_string();
        let name = format!("node-{index}");
        let joined = Command::new(binary("drystone-node"))
            .args(["join", &self.invite(), "--data", &data, "--disk", disk, "--name", &name])
            .output()
            .expect("the drystone-node binary starts");
        let said = [joined.stdout, joined.stderr].concat();
        assert!(
            joined.status.success(),
            "join: {}\n{}",
            joined.status,
            String::from_utf8_lossy(&said)
        );
        let mut args = vec!["run".to_owned(), "--data".to_owned(), data];
        args.extend(self.options.node_args.iter().cloned());
        let logs = self.dir.path().join("logs");
        let mut node = Process::new(&name, &binary("drystone-node"), args, Vec::new(), &logs);
        node.start();
        self.nodes.push(node);
        index
    }

    /// SIGTERM to the gateway, and its exit.
    pub async fn terminate_gateway(&mut self, limit: Duration) -> ExitStatus {
        self.gateway.terminate();
        self.gateway.ended(limit).await
    }
}

impl NodeState {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// Whether it is connected.
    #[must_use]
    pub fn online(&self) -> bool {
        self.0["online"].as_bool().unwrap_or_else(|| panic!("no word on being online: {}", self.0))
    }

    /// Bytes of live shards, by its own account.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0["used"].as_u64().unwrap_or_default()
    }

    /// Shards that were found rotten on it and are not replaced yet, or were so before.
    #[must_use]
    pub fn rotten(&self) -> u64 {
        self.0["rotten"].as_u64().unwrap_or_default()
    }

    /// How often it was caught.
    #[must_use]
    pub fn misbehaved(&self) -> u64 {
        self.0["misbehaved"].as_u64().unwrap_or_default()
    }
}

/// The keys as both programs' environment.
#[must_use]
pub fn keys() -> Vec<(String, String)> {
    [("DRYSTONE_ROOT_ACCESS_KEY", ACCESS), ("DRYSTONE_ROOT_SECRET_KEY", SECRET)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// One of the binaries under test: in `DRYSTONE_BIN_DIR`, else beside the test that runs.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let dir = std::env::var_os("DRYSTONE_BIN_DIR").map_or_else(
        || {
            // target/release/deps/it-… → target/release
            let me = std::env::current_exe().expect("a program knows where it is");
            me.parent()
                .and_then(Path::parent)
                .expect("tests lie in a folder of the target folder")
                .to_owned()
        },
        PathBuf::from,
    );
    let path = dir.join(name);
    assert!(path.exists(), "{} is not there; run `make build`", path.display());
    path
}

/// All files below a folder.
#[must_use]
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        // A running process may remove what was just listed.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// A port that no other test takes for as long as this lives.
#[derive(Debug)]
pub struct Port {
    port: u16,
    _lock: File,
}

impl Port {
    /// A free one.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn take() -> Self {
        let locks = std::env::temp_dir().join("drystone-test-ports");
        fs::create_dir_all(&locks).expect("a folder for locks");
        // Tests that start together begin to look at different places.
        let begin = PORTS.start + (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
        for port in (begin..PORTS.end).chain(PORTS.start..begin) {
            let Ok(lock) =
                File::options().create(true).append(true).open(locks.join(port.to_string()))
            else {
                continue;
            };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no port between {} and {} is free", PORTS.start, PORTS.end);
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into()
    }
}
