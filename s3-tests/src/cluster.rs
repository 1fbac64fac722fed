//! A whole Drystone of real processes in a folder of its own, on ports of its own.
//!
//! Two forms: [`Options::up`] is one process with everything in it, as most people will run it; [`Options::separate`] is a gateway and
//! one process per node, each of which can be killed, frozen and brought back. What they print is kept and shown if the test fails.

mod operator;
mod options;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::time::sleep;

use crate::client::Client;
use crate::port::Port;
use crate::process::Process;

pub use operator::NodeState;
pub use options::Options;

/// The access key of every test's operator.
pub const ACCESS: &str = "DRYSTONETESTACCESS01";
/// The secret key of every test's operator.
pub const SECRET: &str = "drystone/test+secret/0123456789abcdefghi";
/// How long a start may take before a test gives up. That it takes less than three seconds is a test of its own.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(50);

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
        let env = [keys(), options.env.clone()].concat();
        let gateway = Process::new("gateway", &binary("drystone"), args, env, &logs);
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
        if running > 0 {
            self.online(running).await;
        }
        self.ready().await;
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
