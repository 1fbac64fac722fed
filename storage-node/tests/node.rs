//! A node over the real wire: in this process, and as the program that owners run.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use drystone_storage_node::report::{Limit, Why};
use drystone_storage_node::{
    BitRate, Error, Node, NodeConfig, NodeHandle, Overrides, Pause, ask_status, join,
};
use kv::rocks::RocksShared;
use protocol::identity::{ClusterId, Grant, GrantedKey, Role, RootKey, SecretKey};
use protocol::invite::{Invite, Token};
use protocol::join::{JoinAnswer, answer};
use protocol::limits::LinkSettings;
use protocol::message::{
    Dropped, FetchRequest, HelloRequest, InventoryAnswer, InventoryRequest, StatusRequest,
    StoreRequest,
};
use protocol::revision::{Action, Revision, SignedRevision};
use protocol::tls::{GatewayTls, Purpose};
use protocol::version::Versions;
use protocol::{NodeClient, NodeError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use types::{
    ByteSize, Clock, Epoch, GroupId, MIB, Root, SegmentId, SessionId, ShardId, Slot, StreamId,
    SystemClock,
};

/// Longer than anything here takes, shorter than anybody's patience.
const SOON: Duration = Duration::from_secs(20);

/// As much of a gateway as a node can see.
struct Gateway {
    invite: Invite,
    revisions: GrantedKey,
    links: mpsc::Receiver<NodeClient>,
}

impl Gateway {
    async fn start() -> Self {
        let root = RootKey::generate();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let invite =
            Invite { gateways: vec![address.into()], root: root.public(), token: Token::random() };
        let tls = GatewayTls::new(&granted(&root, Role::Link)).unwrap();
        let (arrived, links) = mpsc::channel(8);
        let (token, cluster) = (invite.token.clone(), ClusterId::random());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, arrived, token) = (tls.clone(), arrived.clone(), token.clone());
                tokio::spawn(async move {
                    let Ok(arrival) = tls.accept(stream).await else { return };
                    if arrival.purpose == Purpose::Join {
                        let welcome =
                            JoinAnswer::Welcome { cluster, gateways: vec![address.into()] };
                        let no = JoinAnswer::Refused { why: "the invite is unknown".to_owned() };
                        let decide = |request: protocol::join::JoinRequest| async move {
                            if request.token == token { welcome } else { no }
                        };
                        answer(arrival.io, decide).await.unwrap();
                        return;
                    }
                    let hello = HelloRequest {
                        versions: Versions::ours(),
                        cluster,
                        time: SystemClock.now(),
                        epochs: Vec::new(),
                        floor: None,
                    };
                    let settings = LinkSettings::default();
                    let client = NodeClient::open(arrival.io, arrival.key, &hello, &settings).await;
                    if let Ok(client) = client {
                        let _ = arrived.send(client).await;
                    }
                });
            }
        });
        Self { invite, revisions: granted(&root, Role::Revision), links }
    }

    /// The next node that dials in.
    async fn link(&mut self) -> NodeClient {
        tokio::time::timeout(SOON, self.links.recv()).await.expect("a node dials").unwrap()
    }

    fn drop_of(&self, number: u64, shards: &[ShardId]) -> SignedRevision {
        let action = Action::Drop(shards.to_vec());
        let revision = Revision { number, created: SystemClock.now(), action };
        revision.sign(&self.revisions).unwrap()
    }
}

fn granted(root: &RootKey, role: Role) -> GrantedKey {
    let key = SecretKey::generate();
    let now = SystemClock.now();
    let grant = Grant {
        role,
        key: key.public(),
        serial: 1,
        not_before: now,
        not_after: now.plus(Duration::from_secs(3600)),
    };
    GrantedKey { key, grant: root.grant(grant) }
}

fn shard(n: u8) -> ShardId {
    let stream = StreamId { session: SessionId(1), serial: u64::from(n) };
    let segment = SegmentId { stream, index: 0 };
    ShardId { group: GroupId(1), segment, slot: Slot(n) }
}

fn content(len: usize, seed: u8) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes.into()
}

fn request(n: u8, len: usize) -> StoreRequest {
    StoreRequest {
        shard: shard(n),
        epoch: Epoch(1),
        len: len as u64,
        label: Bytes::from_static(b"label"),
        overwrite: false,
    }
}

fn pieces(bytes: &Bytes) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(100_000);
    futures::stream::iter(starts.map(move |at| bytes.slice(at..bytes.len().min(at + 100_000))))
}

async fn fetch(client: &NodeClient, n: u8, len: usize, root: &Root) -> Result<Bytes, NodeError> {
    let request = FetchRequest {
        shard: shard(n),
        epoch: Epoch(1),
        offset: 0,
        len: len as u64,
        step: 256 << 10,
    };
    let mut slices = client.fetch(&request, root, len as u64).await?;
    let mut all = BytesMut::new();
    while let Some(slice) = slices.next().await {
        all.extend_from_slice(slice?.bytes());
    }
    Ok(all.freeze())
}

async fn joined(gateway: &Gateway, dir: &Path) -> NodeConfig {
    let name = "attic".parse().unwrap();
    let (mut config, _) = join(&gateway.invite, dir, name, ByteSize(512 * MIB)).await.unwrap();
    config.settings.min_free = Some(ByteSize(0));
    config.save().unwrap();
    config
}

async fn started(config: NodeConfig) -> NodeHandle {
    let shared = RocksShared::new(8 << 20).unwrap();
    Node::start(config, &shared, CancellationToken::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_stores_fetches_drops_and_lists_over_the_real_wire() {
    let mut gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = joined(&gateway, dir.path()).await;
    let node = started(config).await;
    tokio::time::timeout(SOON, node.connected()).await.unwrap();
    let client = gateway.link().await;
    assert_eq!(client.node_id(), node.id());
    assert_eq!(client.hello().facts.capacity, 512 * MIB);

    let large = content(5_000_000, 1);
    let stored = client.store(&request(1, large.len()), pieces(&large)).await.unwrap();
    assert_eq!(stored.root, Root::of(&large));
    assert_eq!(fetch(&client, 1, large.len(), &stored.root).await.unwrap(), large);

    let again = client.store(&request(1, large.len()), pieces(&large)).await;
    assert!(matches!(again, Err(NodeError::Exists)), "{again:?}");
    let stale = StoreRequest { epoch: Epoch(0), ..request(2, 10) };
    let stale = client.store(&stale, pieces(&content(10, 2))).await;
    assert!(matches!(stale, Err(NodeError::Stale { epoch: Epoch(1) })), "{stale:?}");
    let cut = client.store(&request(3, 300_000), pieces(&content(150_000, 3))).await;
    assert!(matches!(cut, Err(NodeError::Aborted)), "{cut:?}");
    let huge = StoreRequest { len: 20 * MIB, ..request(4, 0) };
    let huge = client.store(&huge, pieces(&content(20 << 20, 4))).await;
    assert!(matches!(huge, Err(NodeError::Denied { .. })), "{huge:?}");
    let missing = fetch(&client, 9, 10, &stored.root).await;
    assert!(matches!(missing, Err(NodeError::NotFound)), "{missing:?}");

    client.store(&request(5, 77), pieces(&content(77, 5))).await.unwrap();
    let list = InventoryRequest::List { group: None, after: None, limit: 10 };
    let InventoryAnswer::List { entries, more } = client.inventory(&list).await.unwrap() else {
        panic!("another kind of inventory")
    };
    let listed: Vec<_> = entries.iter().map(|entry| (entry.shard, entry.len)).collect();
    assert_eq!((listed, more), (vec![(shard(1), 5_000_000), (shard(5), 77)], false));
    let prints = InventoryRequest::Fingerprint { from: GroupId(0), to: None, limit: 10 };
    let InventoryAnswer::Fingerprint { groups, .. } = client.inventory(&prints).await.unwrap()
    else {
        panic!("another kind of inventory")
    };
    assert_eq!((groups.len(), groups[0].count), (1, 2));

    let dropped = client.drop_shards(&gateway.drop_of(1, &[shard(1), shard(9)])).await.unwrap();
    assert_eq!(dropped.outcomes, [Dropped::Dropped, Dropped::Unknown]);
    let gone = fetch(&client, 1, large.len(), &stored.root).await;
    assert!(matches!(gone, Err(NodeError::NotFound)), "{gone:?}");
    let status = client.status(&StatusRequest::default()).await.unwrap();
    assert_eq!((status.used, status.trash), (77, 5_000_000));

    let local = ask_status(dir.path()).unwrap();
    assert_eq!((local.id, local.store.live_shards), (node.id(), 1));
    assert!(local.links[0].connected);
    node.stop().await;
    client.closed().await;
    assert!(matches!(ask_status(dir.path()), Err(Error::NotRunning(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_the_root_did_not_allow_drops_nothing() {
    let mut gateway = Gateway::start().await;
    let stranger = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = started(joined(&gateway, dir.path()).await).await;
    let client = gateway.link().await;
    client.store(&request(1, 10), pieces(&content(10, 1))).await.unwrap();
    let refused = client.drop_shards(&stranger.drop_of(1, &[shard(1)])).await;
    assert!(matches!(refused, Err(NodeError::Denied { .. })), "{refused:?}");
    assert_eq!(node.status().store.live_shards, 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_link_is_dialled_again() {
    let mut gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let node = started(joined(&gateway, dir.path()).await).await;
    for _ in 0..2 {
        gateway.link().await.close();
    }
    let client = gateway.link().await;
    client.store(&request(1, 10), pieces(&content(10, 1))).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_too_little_memory_for_traffic_says_that_it_is_busy() {
    let mut gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = joined(&gateway, dir.path()).await;
    // Room for one shard on its way in.
    config.settings.traffic_memory = ByteSize(MIB / 2);
    let node = started(config).await;
    let client = gateway.link().await;
    let (busy, sender, first) = 'first: loop {
        let (sender, slow) = mpsc::channel(1);
        sender.send(content(1_000_000, 1)).await.unwrap();
        let other = client.clone();
        let first =
            tokio::spawn(async move { other.store_from(&request(1, 1_500_000), slow).await });
        // Whichever arrives first has the room; if that was the second one, once more.
        while !first.is_finished() {
            match client.store(&request(2, 1_500_000), pieces(&content(1_500_000, 2))).await {
                Ok(_) => {
                    client.drop_shards(&gateway.drop_of(1, &[shard(2)])).await.unwrap();
                }
                Err(error) => break 'first (error, sender, first),
            }
        }
    };
    assert!(matches!(busy, NodeError::Busy { .. }), "{busy:?}");
    sender.send(content(500_000, 3)).await.unwrap();
    drop(sender);
    first.await.unwrap().unwrap();
    client.store(&request(2, 1_500_000), pieces(&content(1_500_000, 2))).await.unwrap();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_frame_holds_within_five_seconds_and_a_paused_node_leaves_and_returns() {
    let mut gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = joined(&gateway, dir.path()).await;
    let node = started(config.clone()).await;
    let client = gateway.link().await;
    let five_seconds = Duration::from_secs(5);
    config.settings.frame.up = Some(BitRate(8_000_000));
    config.save().unwrap();
    let saved = Instant::now();
    let up = loop {
        let status = node.status();
        let up = status.frame.limit(Limit::Up).unwrap().clone();
        if up.effective.is_some() {
            break up;
        }
        assert!(saved.elapsed() < five_seconds, "{status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((up.configured, up.effective, up.why), (Some(8_000_000), Some(8_000_000), Why::Set));
    assert!(!client.is_closed(), "the link stands");
    client.store(&request(1, 100_000), pieces(&content(100_000, 1))).await.unwrap();

    config.settings.frame.pause = Some(Pause::On);
    config.save().unwrap();
    tokio::time::timeout(five_seconds, client.closed()).await.expect("a goodbye");
    let status = node.status();
    assert_eq!((status.frame.network.allowed, status.frame.network.why), (false, Why::Pause));
    config.settings.frame.pause = None;
    config.save().unwrap();
    let client = gateway.link().await;
    client.status(&StatusRequest::default()).await.unwrap();
    assert_eq!(node.status().frame.violations, 0);
    node.stop().await;
}

#[tokio::test]
async fn a_used_up_invite_is_refused_in_words_and_a_second_join_too() {
    let gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let wrong = Invite { token: Token::random(), ..gateway.invite.clone() };
    let name = || "attic".parse().unwrap();
    let refused = join(&wrong, dir.path(), name(), ByteSize(512 * MIB)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the gateway refused: the invite is unknown");
    assert!(!NodeConfig::exists(dir.path()));
    joined(&gateway, dir.path()).await;
    let twice = join(&gateway.invite, dir.path(), name(), ByteSize(512 * MIB)).await.unwrap_err();
    assert!(twice.to_string().contains("there is a node"), "{twice}");
    let loaded = NodeConfig::load(dir.path(), Overrides::default()).unwrap();
    assert_eq!(loaded.settings.root, gateway.invite.root);
}

fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drystone-node"));
    command.args(args).arg("--data").arg(dir);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(mut child: Child) -> (ExitStatus, Duration) {
    let began = Instant::now();
    (child.wait().unwrap(), began.elapsed())
}

fn terminate(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_joins_runs_survives_a_kill_and_stops_cleanly() {
    let mut gateway = Gateway::start().await;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let word = gateway.invite.to_string();
    let output = |command: Command| {
        tokio::task::spawn_blocking(move || {
            let mut command = command;
            command.output().unwrap()
        })
    };

    let joined = output(program(&data, &["join", &word, "--disk", "512MiB", "--name", "cellar"]));
    let joined = joined.await.unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    let idle = output(program(&data, &["status"])).await.unwrap();
    assert_eq!(idle.status.code(), Some(3));

    let run = || program(&data, &["run", "--min-free", "0"]).spawn().unwrap();
    let mut first = run();
    let client = gateway.link().await;
    let bytes = content(3_000_000, 1);
    let stored = client.store(&request(1, bytes.len()), pieces(&bytes)).await.unwrap();
    let second = output(program(&data, &["run"])).await.unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another process"));
    first.kill().unwrap();
    first.wait().unwrap();

    let again = run();
    let client = gateway.link().await;
    assert_eq!(fetch(&client, 1, bytes.len(), &stored.root).await.unwrap(), bytes);
    let status = output(program(&data, &["status", "--json"])).await.unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!((&status["name"], &status["store"]["live_shards"]), (&"cellar".into(), &1.into()));
    let table = output(program(&data, &["status"])).await.unwrap();
    assert!(String::from_utf8_lossy(&table.stdout).contains("linked"));
    terminate(&again);
    let (status, took) = tokio::task::spawn_blocking(move || ended(again)).await.unwrap();
    assert!(status.success());
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_program_says_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let words = |args: &[&str]| {
        let output = program(dir.path(), args).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = words(&["run"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("drystone-node join"), "{said}");
    let (code, said) = words(&["join", "nonsense"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("not an invite"), "{said}");
    let mut version = Command::new(env!("CARGO_BIN_EXE_drystone-node"));
    let version = version.arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("drystone-node 0."));
}
