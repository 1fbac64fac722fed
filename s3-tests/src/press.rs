//! A gateway that presses a node as hard as its protocol allows: everything at once, always more. It is the protocol's own client end; what it
//! stores is content that is checked when it is fetched.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream;
use protocol::identity::{ClusterId, Grant, GrantedKey, Role, RootKey, SecretKey};
use protocol::invite::{Invite, Token};
use protocol::join::{JoinAnswer, JoinRequest, answer};
use protocol::limits::LinkSettings;
use protocol::message::{FetchRequest, HelloRequest, StoreRequest};
use protocol::tls::{GatewayTls, Purpose};
use protocol::version::Versions;
use protocol::{NodeClient, NodeError};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use types::{
    Clock, Epoch, GroupId, KIB, Root, SegmentId, SessionId, ShardId, Slot, StreamId, SystemClock,
};

use crate::bytes::Content;
use crate::cluster::binary;

/// Bytes of each shard.
const SHARD: u64 = 256 * KIB;
/// How long a node may take to come.
const PATIENCE: Duration = Duration::from_secs(90);
/// The longest wait after "busy": longer ones are cut short, as the press has no other node.
const BUSY_MAX: Duration = Duration::from_millis(300);

/// The gateway.
#[derive(Debug)]
pub struct Press {
    invite: Invite,
    links: mpsc::Receiver<NodeClient>,
    task: JoinHandle<()>,
}

/// What became of a press.
#[derive(Debug, Default)]
pub struct Pressed {
    /// Shards stored.
    pub stored: AtomicU64,
    /// Shards fetched whole and right.
    pub fetched: AtomicU64,
    /// Times that the node was busy.
    pub busy: AtomicU64,
    /// Times that it was full.
    pub full: AtomicU64,
    /// What should not happen.
    pub failures: Mutex<Vec<String>>,
}

impl Press {
    /// Listens.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn listen(address: SocketAddr) -> Self {
        let root = RootKey::generate();
        let listener = TcpListener::bind(address).await.expect("the press's address is free");
        let address = listener.local_addr().expect("a listener knows its address");
        let invite =
            Invite { gateways: vec![address.into()], root: root.public(), token: Token::random() };
        let tls = GatewayTls::new(&granted(&root)).expect("a certificate");
        let (arrived, links) = mpsc::channel(64);
        let (token, cluster) = (invite.token.clone(), ClusterId::random());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (tls, arrived, token) = (tls.clone(), arrived.clone(), token.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let Ok(arrival) = tls.accept(stream).await else { return };
                    if arrival.purpose == Purpose::Join {
                        let gateways = vec![address.into()];
                        let decide = |request: JoinRequest| async move {
                            if request.token == token {
                                JoinAnswer::Welcome { cluster, gateways }
                            } else {
                                JoinAnswer::Refused { why: "the invite is unknown".to_owned() }
                            }
                        };
                        let _ = answer(arrival.io, decide).await;
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
                    if let Ok(client) =
                        NodeClient::open(arrival.io, arrival.key, &hello, &settings).await
                    {
                        let _ = arrived.send(client).await;
                    }
                });
            }
        });
        Self { invite, links, task }
    }

    /// Joins a node to it with its data in `dir`.
    ///
    /// # Panics
    /// If that fails.
    pub async fn join(&self, dir: &Path, disk: &str) {
        let mut command = Command::new(binary("drystone-node"));
        command.args([
            "join",
            &self.invite.to_string(),
            "--disk",
            disk,
            "--name",
            "home",
            "--data",
        ]);
        command.arg(dir);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("no panic").expect("the drystone-node binary starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The next link of the node that still stands.
    ///
    /// # Panics
    /// If none comes in a minute and a half.
    pub async fn link(&mut self) -> NodeClient {
        let standing = async {
            loop {
                let link = self.links.recv().await.expect("the press runs");
                // A link that nobody asked for may have come and gone since.
                if !link.is_closed() {
                    return link;
                }
            }
        };
        timeout(PATIENCE, standing).await.expect("the node dials")
    }
}

impl Drop for Press {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn granted(root: &RootKey) -> GrantedKey {
    let key = SecretKey::generate();
    let now = SystemClock.now();
    let grant = Grant {
        role: Role::Link,
        key: key.public(),
        serial: 1,
        not_before: now,
        not_after: now.plus(Duration::from_secs(24 * 3600)),
    };
    GrantedKey { key, grant: root.grant(grant) }
}

/// Stores and fetches with so many hands each until the time is up; `first` numbers the shards, so that presses do not meet.
pub async fn press(client: &NodeClient, hands: u64, time: Duration, first: u64) -> Arc<Pressed> {
    let pressed = Arc::new(Pressed::default());
    let stored: Arc<Mutex<Vec<(u64, Root)>>> = Arc::default();
    let next = Arc::new(AtomicU64::new(first));
    let mut tasks = tokio::task::JoinSet::new();
    for hand in 0..hands {
        let storing = Hand {
            client: client.clone(),
            pressed: Arc::clone(&pressed),
            stored: Arc::clone(&stored),
            next: Arc::clone(&next),
        };
        let fetching = storing.clone();
        tasks.spawn(async move { storing.store().await });
        tasks.spawn(async move { fetching.fetch(hand).await });
    }
    sleep(time).await;
    tasks.shutdown().await;
    pressed
}

/// One pair of hands.
#[derive(Clone)]
struct Hand {
    client: NodeClient,
    pressed: Arc<Pressed>,
    stored: Arc<Mutex<Vec<(u64, Root)>>>,
    next: Arc<AtomicU64>,
}

impl Hand {
    async fn store(self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            match store(&self.client, number).await {
                Ok(root) => {
                    self.pressed.stored.fetch_add(1, Ordering::Relaxed);
                    self.stored.lock().expect("no holder panics").push((number, root));
                }
                Err(error) => self.pressed.failed("store", &error).await,
            }
        }
    }

    async fn fetch(self, hand: u64) {
        for turn in hand.. {
            let found = {
                let stored = self.stored.lock().expect("no holder panics");
                stored.get((turn as usize * 7) % stored.len().max(1)).copied()
            };
            let Some((number, root)) = found else {
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            match fetch(&self.client, number, &root).await {
                Ok(()) => drop(self.pressed.fetched.fetch_add(1, Ordering::Relaxed)),
                Err(error) => self.pressed.failed("fetch", &error).await,
            }
        }
    }
}

impl Pressed {
    async fn failed(&self, what: &str, error: &NodeError) {
        let wait = match error {
            NodeError::Busy { retry_after } => {
                self.busy.fetch_add(1, Ordering::Relaxed);
                (*retry_after).min(BUSY_MAX)
            }
            NodeError::Full => {
                self.full.fetch_add(1, Ordering::Relaxed);
                BUSY_MAX
            }
            error => {
                let mut failures = self.failures.lock().expect("no holder panics");
                failures.push(format!("{what}: {error}: {error:?}"));
                BUSY_MAX
            }
        };
        sleep(wait).await;
    }

    /// # Panics
    /// If anything happened but success, "busy" and "full".
    pub fn assert_no_failure(&self) {
        let failures = self.failures.lock().expect("no holder panics");
        assert!(failures.is_empty(), "{} failures, the first: {}", failures.len(), failures[0]);
    }
}

async fn store(client: &NodeClient, number: u64) -> Result<Root, NodeError> {
    let request = StoreRequest {
        shard: shard(number),
        epoch: Epoch(1),
        len: SHARD,
        label: Bytes::from_static(b"press"),
        overwrite: false,
    };
    let pieces = stream::iter([content(number)]);
    client.store(&request, pieces).await.map(|answer| answer.root)
}

async fn fetch(client: &NodeClient, number: u64, root: &Root) -> Result<(), NodeError> {
    let request = FetchRequest {
        shard: shard(number),
        epoch: Epoch(1),
        offset: 0,
        len: SHARD,
        step: 64 << 10,
    };
    let mut slices = client.fetch(&request, root, SHARD).await?;
    let mut all = BytesMut::new();
    while let Some(slice) = slices.next().await {
        all.extend_from_slice(slice?.bytes());
    }
    assert!(all == content(number), "shard {number} came back otherwise");
    Ok(())
}

fn content(number: u64) -> Bytes {
    let mut bytes = vec![0; SHARD as usize];
    Content::new(number, SHARD).fill(0, &mut bytes);
    bytes.into()
}

fn shard(number: u64) -> ShardId {
    let stream = StreamId { session: SessionId(1), serial: number };
    ShardId { group: GroupId(1), segment: SegmentId { stream, index: 0 }, slot: Slot(0) }
}
