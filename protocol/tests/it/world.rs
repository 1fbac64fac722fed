//! Fixtures: an installation with a root, a gateway and a node that keeps its shards in memory.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use codec::{Outboard, ShardHasher};
use futures::StreamExt;
use protocol::identity::{
    ClusterId, Grant, GrantedKey, NodeIdentity, Role, RootKey, SecretKey, Trust,
};
use protocol::limits::LinkSettings;
use protocol::message::{
    DropAnswer, Dropped, FetchRequest, GroupFingerprint, HelloRequest, InventoryAnswer,
    InventoryEntry, InventoryRequest, LogPosition, NodeFacts, Refusal, StatusAnswer, StatusRequest,
    StoreAnswer, StoreRequest,
};
use protocol::receipt::{ReceiptEntry, ReceiptSigner};
use protocol::revision::VerifiedRevision;
use protocol::tls::{GatewayTls, NodeTls, Purpose};
use protocol::version::Versions;
use protocol::{FetchReply, LinkError, NodeClient, NodeService, Piece, ShardBody, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use types::clock::Clock;
use types::{Epoch, GroupId, Root, SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp};

/// The hour in which every test plays.
pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        NOW
    }
}

pub(crate) fn root() -> RootKey {
    SecretKey::from_seed(&[1; 32]).into()
}

pub(crate) fn grant(role: Role, key: &SecretKey) -> Grant {
    let (not_before, not_after) = (NOW, NOW.plus(Duration::from_secs(3600)));
    Grant { role, key: key.public(), serial: 7, not_before, not_after }
}

pub(crate) fn granted(role: Role) -> GrantedKey {
    let key = SecretKey::from_seed(&[2; 32]);
    let grant = root().grant(grant(role, &key));
    GrantedKey { key, grant }
}

pub(crate) fn node() -> NodeIdentity {
    SecretKey::from_seed(&[3; 32]).into()
}

pub(crate) fn trust() -> Arc<Trust> {
    Arc::new(Trust::new(root().public(), 0, Arc::new(Fixed)))
}

pub(crate) fn hello() -> HelloRequest {
    let cluster = ClusterId([4; 16]);
    HelloRequest { versions: Versions::ours(), cluster, time: NOW, epochs: Vec::new(), floor: None }
}

pub(crate) fn shard(index: u32) -> ShardId {
    let stream = StreamId { session: SessionId(1), serial: 2 };
    ShardId {
        group: GroupId(3 + u64::from(index / 100)),
        segment: SegmentId { stream, index },
        slot: Slot(0),
    }
}

pub(crate) const EPOCH: Epoch = Epoch(5);

pub(crate) fn store_request(index: u32, len: u64) -> StoreRequest {
    let label = Bytes::from_static(b"sealed");
    StoreRequest { shard: shard(index), epoch: EPOCH, len, label, overwrite: false }
}

pub(crate) fn fetch_request(index: u32, offset: u64, len: u64, step: u32) -> FetchRequest {
    FetchRequest { shard: shard(index), epoch: EPOCH, offset, len, step }
}

/// Bytes that no two shards share.
pub(crate) fn noise(seed: u32, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// The bytes in pieces of an odd size.
pub(crate) fn pieces(bytes: &Bytes) -> impl futures::Stream<Item = Bytes> + Send + 'static {
    const ODD: usize = 100_003;
    let bytes = bytes.clone();
    let starts = (0..bytes.len()).step_by(ODD);
    futures::stream::iter(
        starts.map(move |at| bytes.slice(at..bytes.len().min(at + ODD))).collect::<Vec<_>>(),
    )
}

/// How a test node departs from honesty or readiness.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Mood {
    #[default]
    Honest,
    FlipsABit,
    ForgesReceipts,
    ReceiptForAnotherPlace,
    FullBeforeReading,
    DiskFailsHalfWay,
}

#[derive(Clone)]
struct Held {
    bytes: Bytes,
    root: Root,
    outboard: Outboard,
}

/// A node in memory.
pub(crate) struct Memory {
    mood: Mood,
    signer: ReceiptSigner,
    shards: Mutex<BTreeMap<ShardId, Held>>,
    pub(crate) started: Notify,
    pub(crate) interrupted: Notify,
}

impl Memory {
    pub(crate) fn new(mood: Mood) -> Arc<Self> {
        let key = if mood == Mood::ForgesReceipts {
            SecretKey::from_seed(&[99; 32])
        } else {
            node().key().clone()
        };
        let (shards, started, interrupted) = (Mutex::default(), Notify::new(), Notify::new());
        Arc::new(Self { mood, signer: ReceiptSigner::new(key), shards, started, interrupted })
    }

    fn check_epoch(epoch: Epoch) -> Result<(), Refusal> {
        if epoch < EPOCH { Err(Refusal::Stale { epoch: EPOCH }) } else { Ok(()) }
    }

    fn entries(&self) -> Vec<InventoryEntry> {
        let shards = self.shards.lock().unwrap();
        let entry = |(shard, held): (&ShardId, &Held)| InventoryEntry {
            shard: *shard,
            len: held.bytes.len() as u64,
            root: held.root,
        };
        shards.iter().map(entry).collect()
    }
}

#[async_trait]
impl NodeService for Memory {
    async fn hello(&self, request: HelloRequest) -> Result<NodeFacts, Refusal> {
        assert_eq!(request.cluster, hello().cluster);
        let name = "attic".parse().unwrap();
        Ok(NodeFacts { name, software: "test 1".to_owned(), capacity: 1 << 40 })
    }

    async fn store(
        &self,
        request: StoreRequest,
        mut body: ShardBody,
    ) -> Result<StoreAnswer, Refusal> {
        Self::check_epoch(request.epoch)?;
        if self.mood == Mood::FullBeforeReading {
            return Err(Refusal::Full);
        }
        let (mut bytes, mut hasher) = (BytesMut::new(), ShardHasher::new());
        while let Some(chunk) = body.next().await {
            let Ok(chunk) = chunk else {
                self.interrupted.notify_one();
                return Err(Refusal::denied(&"interrupted"));
            };
            self.started.notify_one();
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        assert_eq!(bytes.len() as u64, request.len);
        let (root, outboard) = hasher.finish();
        self.shards
            .lock()
            .unwrap()
            .insert(request.shard, Held { bytes: bytes.freeze(), root, outboard });
        let mut position = LogPosition { file: 1, offset: 4096 };
        let entry = ReceiptEntry::Stored { shard: request.shard, root, len: request.len, position };
        let receipt = self.signer.sign(&[entry]).remove(0);
        if self.mood == Mood::ReceiptForAnotherPlace {
            position.offset += 1;
        }
        Ok(StoreAnswer { root, len: request.len, position, receipt })
    }

    async fn fetch(&self, request: FetchRequest) -> Result<FetchReply, Refusal> {
        Self::check_epoch(request.epoch)?;
        let held =
            self.shards.lock().unwrap().get(&request.shard).cloned().ok_or(Refusal::NotFound)?;
        let shard_len = held.bytes.len() as u64;
        let steps = request.steps(shard_len).map_err(|range| Refusal::denied(&range))?;
        let mood = self.mood;
        let pieces = steps.enumerate().map(move |(index, step)| {
            let range = step.range();
            let proof = held.outboard.prove(shard_len, range.clone()).expect("steps are provable");
            let mut bytes = held.bytes.slice(range.start as usize..range.end as usize);
            match mood {
                Mood::FlipsABit if index == 1 => {
                    let mut changed = bytes.to_vec();
                    changed[77] ^= 1;
                    bytes = changed.into();
                }
                Mood::DiskFailsHalfWay if index == 1 => {
                    return Err(io::Error::other("the disk failed"));
                }
                _ => {}
            }
            Ok(Piece { proof, bytes })
        });
        Ok(FetchReply { shard_len, pieces: futures::stream::iter(pieces).boxed() })
    }

    async fn drop_shards(&self, revision: VerifiedRevision) -> Result<DropAnswer, Refusal> {
        let mut shards = self.shards.lock().unwrap();
        let mut outcome = |shard| {
            if shards.remove(shard).is_some() { Dropped::Dropped } else { Dropped::Unknown }
        };
        let outcomes: Vec<_> = revision.drops().iter().map(&mut outcome).collect();
        let position = LogPosition { file: 1, offset: 8192 };
        let revision = revision.signed().digest();
        let entry = ReceiptEntry::Dropped { revision, outcomes: outcomes.clone(), position };
        let receipt = self.signer.sign(&[entry]).remove(0);
        Ok(DropAnswer { outcomes, position, receipt })
    }

    async fn inventory(&self, request: InventoryRequest) -> Result<InventoryAnswer, Refusal> {
        Ok(match request {
            InventoryRequest::List { group, after, limit } => {
                let wanted = |entry: &InventoryEntry| {
                    group.is_none_or(|group| entry.shard.group == group)
                        && after.is_none_or(|id| entry.shard > id)
                };
                let mut entries: Vec<_> = self.entries().into_iter().filter(wanted).collect();
                let more = entries.len() > limit as usize;
                entries.truncate(limit as usize);
                InventoryAnswer::List { entries, more }
            }
            InventoryRequest::Fingerprint { from, to, limit } => {
                let mut groups = BTreeMap::new();
                for entry in self.entries() {
                    let group = entry.shard.group;
                    if group >= from && to.is_none_or(|to| group < to) {
                        groups
                            .entry(group)
                            .or_insert_with(|| GroupFingerprint::empty(group))
                            .add(&entry);
                    }
                }
                let more = groups.len() > limit as usize;
                let groups = groups.into_values().take(limit as usize).collect();
                InventoryAnswer::Fingerprint { groups, more }
            }
        })
    }

    async fn status(&self, _request: StatusRequest) -> Result<StatusAnswer, Refusal> {
        let used = self.entries().iter().map(|entry| entry.len).sum();
        let (capacity, trash, free) = (1 << 40, 0, (1 << 40) - used);
        let software = "test 1".to_owned();
        let (uptime_ms, rot, rot_seen, busy_ms) = (1, vec![shard(9)], 1, None);
        Ok(StatusAnswer {
            capacity,
            used,
            trash,
            free,
            uptime_ms,
            software,
            rot,
            rot_seen,
            busy_ms,
        })
    }
}

/// A gateway's client and the node's end that serves it, over TCP and TLS.
pub(crate) struct Linked {
    pub(crate) client: NodeClient,
    pub(crate) serving: JoinHandle<Result<(), LinkError>>,
    pub(crate) node: Arc<Memory>,
    pub(crate) trust: Arc<Trust>,
}

pub(crate) async fn linked(mood: Mood) -> Linked {
    linked_with(mood, &hello()).await
}

pub(crate) async fn linked_with(mood: Mood, hello: &HelloRequest) -> Linked {
    let settings = LinkSettings::default();
    let (node_io, gateway_io) = tcp().await;
    let (memory, trust) = (Memory::new(mood), trust());
    let serving = tokio::spawn({
        let (service, trust, settings) = (memory.clone(), trust.clone(), settings.clone());
        async move {
            let tls = NodeTls::new(&node(), trust.clone()).unwrap();
            let io = tls.connect(node_io, Purpose::Link).await?;
            serve(io, service, trust, &settings, std::future::pending()).await
        }
    });
    let arrival = GatewayTls::new(&granted(Role::Link)).unwrap().accept(gateway_io).await.unwrap();
    assert_eq!((arrival.node, arrival.purpose), (node().id(), Purpose::Link));
    let client = NodeClient::open(arrival.io, arrival.key, hello, &settings).await.unwrap();
    Linked { client, serving, node: memory, trust }
}

/// The two ends of a TCP connection over loopback.
pub(crate) async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap().0);
    dialled.set_nodelay(true).unwrap();
    accepted.set_nodelay(true).unwrap();
    (dialled, accepted)
}
