//! A node that joins like any other and then does what no honest node does.
//!
//! It speaks bare HTTP/2 over the protocol's own TLS, because the protocol's server could not be made to send most of this.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use codec::hash::{Outboard, ShardHasher};
use futures::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use protocol::dial::{Dial, TcpDial};
use protocol::identity::{NodeIdentity, Trust};
use protocol::invite::Invite;
use protocol::join::{self, JoinAnswer, JoinRequest};
use protocol::message::{
    DropAnswer, Dropped, FetchAnswer, FetchRequest, HelloAnswer, InventoryAnswer, InventoryEntry,
    InventoryRequest, LogPosition, NodeFacts, NodeName, Refusal, StatusAnswer, StoreAnswer,
    StoreRequest, Verb,
};
use protocol::receipt::{ReceiptEntry, ReceiptSigner};
use protocol::revision::{Action, Revision, SignedRevision};
use protocol::tls::{NodeTls, Purpose};
use protocol::version::Versions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use types::{GIB, Root, ShardId, SystemClock};

/// What it offers, in bytes.
const CAPACITY: u64 = 50 * GIB;
/// Pause before it dials again.
const REDIAL: Duration = Duration::from_millis(200);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What it does. Whatever a mode does not name is done honestly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mode {
    /// Nothing bad.
    Honest,
    /// One bit of every fetched range is wrong.
    WrongBytes,
    /// Every fetch is answered with another shard's bytes and their valid proofs.
    OtherShard,
    /// A fetch's answer never ends.
    EndlessBody,
    /// A fetch's answer ends too early.
    ShortBody,
    /// A fetch's answer comes byte by byte.
    DripFeed,
    /// Requests are taken and never answered.
    Silent,
    /// Answers come with a megabyte of headers.
    HugeHeaders,
    /// Answers announce a message of 4 GiB.
    HugeMessage,
    /// Answers are noise.
    Noise,
    /// Receipts are signed with another key.
    ForgedReceipt,
    /// Stores are acknowledged with another root.
    WrongRoot,
    /// Stores are acknowledged and forgotten.
    Forgetful,
    /// After the handshake nothing comes but PING frames, without end.
    PingFlood,
    /// After the handshake nothing comes but SETTINGS frames, without end.
    SettingsFlood,
}

impl Mode {
    /// Every bad one.
    pub const BAD: [Self; 14] = [
        Self::WrongBytes,
        Self::OtherShard,
        Self::EndlessBody,
        Self::ShortBody,
        Self::DripFeed,
        Self::Silent,
        Self::HugeHeaders,
        Self::HugeMessage,
        Self::Noise,
        Self::ForgedReceipt,
        Self::WrongRoot,
        Self::Forgetful,
        Self::PingFlood,
        Self::SettingsFlood,
    ];
}

/// The node, connected until it is dropped.
#[derive(Debug)]
pub struct HostileNode {
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    identity: NodeIdentity,
    name: String,
    mode: watch::Sender<Mode>,
    cut: AtomicU64,
    shards: Mutex<HashMap<ShardId, Arc<Shard>>>,
    asked: Mutex<HashMap<String, u64>>,
}

#[derive(Debug)]
struct Shard {
    bytes: Bytes,
    outboard: Outboard,
    root: Root,
}

impl HostileNode {
    /// Joins by a real invite and connects, honest for now.
    ///
    /// # Panics
    /// If it is not let in.
    pub async fn join(invite: &str, name: &str) -> Self {
        let invite: Invite = invite.parse().expect("an invite");
        let identity = NodeIdentity::generate();
        let trust = Arc::new(Trust::new(invite.root, 0, Arc::new(SystemClock)));
        let tls = NodeTls::new(&identity, trust).expect("a certificate");
        let address = invite.gateways[0].clone();
        let io = TcpDial.dial(&address).await.expect("the gateway listens");
        let io = tls.connect(io, Purpose::Join).await.expect("the gateway is genuine");
        let request = JoinRequest {
            versions: Versions::ours(),
            token: invite.token,
            name: name.parse::<NodeName>().expect("a name"),
            capacity: CAPACITY,
        };
        let answer = join::ask(io, &request).await.expect("an answer");
        assert!(matches!(answer, JoinAnswer::Welcome { .. }), "{answer:?}");
        let state = Arc::new(State {
            identity,
            name: name.to_owned(),
            mode: watch::Sender::new(Mode::Honest),
            cut: AtomicU64::new(0),
            shards: Mutex::default(),
            asked: Mutex::default(),
        });
        let task = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                loop {
                    if let Ok(io) = TcpDial.dial(&address).await
                        && let Ok(io) = tls.connect(io, Purpose::Link).await
                    {
                        serve(io, &state).await;
                    }
                    sleep(REDIAL).await;
                }
            }
        });
        Self { state, task }
    }

    /// From now on it does this.
    pub fn set(&self, mode: Mode) {
        self.state.mode.send_replace(mode);
    }

    /// How often the gateway hung up on its floods.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.state.cut.load(Ordering::Relaxed)
    }

    /// How often it was asked for this since it joined.
    #[must_use]
    pub fn asked(&self, verb: Verb) -> u64 {
        self.state
            .asked
            .lock()
            .expect("no holder panics")
            .get(verb.path())
            .copied()
            .unwrap_or_default()
    }

    /// Shards it holds.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.state.shards.lock().expect("no holder panics").len()
    }
}

impl Drop for HostileNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: protocol::dial::Io>(mut io: S, state: &Arc<State>) {
    let mut modes = state.mode.subscribe();
    let frame: &[u8] = match state.mode() {
        // Length 8, type 6, no flags, stream 0; eight bytes of anything.
        Mode::PingFlood => &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        // Length 6, type 4, no flags, stream 0; the initial window of 65,535.
        Mode::SettingsFlood => &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 255, 255],
        _ => {
            let state = Arc::clone(state);
            let answering = service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, Infallible>(state.answer(request).await) }
            });
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(256)
                .initial_stream_window_size(8 << 20);
            builder.initial_connection_window_size(32 << 20).max_header_list_size(8 << 10);
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(io), answering) => {}
                // Floods need a connection of their own.
                _ = modes.wait_for(|mode| matches!(mode, Mode::PingFlood | Mode::SettingsFlood)) => {}
            }
            return;
        }
    };
    let flood = frame.repeat(1000);
    // A server's first frame must be SETTINGS; an empty one will do.
    let mut sent = io.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
    while sent.is_ok() {
        if state.mode() == Mode::Honest {
            return;
        }
        sent = io.write_all(&flood).await;
    }
    state.cut.fetch_add(1, Ordering::Relaxed);
}

impl State {
    fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        *self.asked.lock().expect("no holder panics").entry(path.clone()).or_default() += 1;
        let Some(verb) = Verb::of_path(&path) else { return refuse(Refusal::NotFound) };
        let Ok(body) = request.into_body().collect().await else {
            return refuse(Refusal::Busy { retry_after_ms: 1 });
        };
        let body = body.to_bytes();
        if verb == Verb::Hello {
            return self.hello();
        }
        match self.mode() {
            Mode::Silent => std::future::pending().await,
            Mode::HugeHeaders => {
                let mut answer = Response::new(full(Bytes::new()));
                for index in 0..64 {
                    let name: http::HeaderName =
                        format!("x-h{index}").parse().expect("a header's name");
                    answer
                        .headers_mut()
                        .insert(name, "x".repeat(16 << 10).parse().expect("a header's value"));
                }
                return answer;
            }
            Mode::HugeMessage => {
                let body = stream::once(async { Ok(Frame::data(Bytes::from_static(&[255; 64]))) });
                let endless =
                    stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 << 10]))));
                return Response::new(StreamBody::new(body.chain(endless)).boxed_unsync());
            }
            Mode::Noise => {
                return Response::new(full(Bytes::from_static(&[
                    0, 0, 0, 9, 250, 1, 2, 3, 4, 5, 6, 7, 8,
                ])));
            }
            _ => {}
        }
        match verb {
            Verb::Hello => unreachable!("answered above"),
            Verb::Store => self.store(&body),
            Verb::Fetch => self.fetch(&body),
            Verb::Drop => self.drop_shards(&body),
            Verb::Inventory => self.inventory(&body),
            Verb::Status => self.status(),
        }
    }

    fn hello(&self) -> Response<Body> {
        let name = self.name.parse().expect("a name");
        let facts = NodeFacts { name, software: "drystone-node 0.1.0".into(), capacity: CAPACITY };
        // The version's number is the newest that this build speaks.
        let version = *Versions::ours().0.last().expect("this build speaks something");
        agree(HelloAnswer { version, facts })
    }

    fn store(&self, body: &Bytes) -> Response<Body> {
        let (request, bytes): (StoreRequest, Bytes) = split(body);
        let mut hasher = ShardHasher::new();
        hasher.update(&bytes);
        let (root, outboard) = hasher.finish();
        let shard = Shard { bytes, outboard, root };
        let len = shard.bytes.len() as u64;
        if self.mode() != Mode::Forgetful {
            self.shards.lock().expect("no holder panics").insert(request.shard, Arc::new(shard));
        }
        let root = if self.mode() == Mode::WrongRoot { Root([7; 32]) } else { root };
        let position = LogPosition::default();
        let entry = ReceiptEntry::Stored { shard: request.shard, root, len, position };
        agree(StoreAnswer { root, len, position, receipt: self.receipt(entry) })
    }

    fn receipt(&self, entry: ReceiptEntry) -> protocol::receipt::Receipt {
        let other = NodeIdentity::generate();
        let identity = if self.mode() == Mode::ForgedReceipt { &other } else { &self.identity };
        ReceiptSigner::new(identity.key().clone()).sign(&[entry]).remove(0)
    }

    fn fetch(&self, body: &Bytes) -> Response<Body> {
        let (request, _): (FetchRequest, Bytes) = split(body);
        let mode = self.mode();
        let shard = {
            let shards = self.shards.lock().expect("no holder panics");
            let Some(shard) = shards.get(&request.shard).cloned() else {
                return refuse(Refusal::NotFound);
            };
            // Another of the same length, so that only its content gives it away.
            let same = |other: &&Arc<Shard>| {
                other.bytes.len() == shard.bytes.len() && other.root != shard.root
            };
            let other = shards.values().find(same).cloned();
            if mode == Mode::OtherShard { other.unwrap_or(shard) } else { shard }
        };
        let shard_len = shard.bytes.len() as u64;
        let Ok(steps) = request.steps(shard_len) else { return refuse(Refusal::NotFound) };
        let mut out = encode(&Ok::<_, Refusal>(FetchAnswer { shard_len }));
        let declared = out.len() as u64 + steps.wire_len();
        for step in steps {
            let range = step.range();
            let proof =
                shard.outboard.prove(shard_len, range.clone()).expect("the range was checked");
            out.extend_from_slice(proof.as_bytes());
            out.extend_from_slice(&shard.bytes[range.start as usize..range.end as usize]);
            if mode == Mode::WrongBytes {
                *out.last_mut().expect("a step is not empty") ^= 0x10;
            }
        }
        let out = Bytes::from(out);
        let (declared, body) = match mode {
            Mode::EndlessBody => {
                let endless =
                    stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 << 10]))));
                let body = stream::once(async { Ok(Frame::data(out)) }).chain(endless);
                (None, StreamBody::new(body).boxed_unsync())
            }
            Mode::ShortBody => (Some(declared), full(out.slice(..out.len() / 2))),
            Mode::DripFeed => {
                let drops = stream::iter(0..out.len()).then(move |at| {
                    let drop = out.slice(at..=at);
                    async move {
                        sleep(Duration::from_millis(100)).await;
                        Ok(Frame::data(drop))
                    }
                });
                (Some(declared), StreamBody::new(drops).boxed_unsync())
            }
            _ => (Some(declared), full(out)),
        };
        let mut response = Response::new(body);
        if let Some(declared) = declared {
            response.headers_mut().insert("content-length", declared.into());
        }
        response
    }

    fn drop_shards(&self, body: &Bytes) -> Response<Body> {
        let (signed, _): (SignedRevision, Bytes) = split(body);
        let revision: Revision =
            postcard::from_bytes(&signed.body).expect("the gateway sends revisions");
        let Action::Drop(ids) = revision.action;
        let mut shards = self.shards.lock().expect("no holder panics");
        let outcome = |id: &ShardId| {
            if shards.remove(id).is_some() { Dropped::Dropped } else { Dropped::Unknown }
        };
        let outcomes: Vec<_> = ids.iter().map(outcome).collect();
        let position = LogPosition::default();
        let revision = Root::of(&signed.body).0;
        let receipt =
            self.receipt(ReceiptEntry::Dropped { revision, outcomes: outcomes.clone(), position });
        agree(DropAnswer { outcomes, position, receipt })
    }

    fn inventory(&self, body: &Bytes) -> Response<Body> {
        let (request, _): (InventoryRequest, Bytes) = split(body);
        let InventoryRequest::List { group, after, limit } = request else {
            return agree(InventoryAnswer::Fingerprint { groups: Vec::new(), more: false });
        };
        let shards = self.shards.lock().expect("no holder panics");
        let mut entries: Vec<_> = shards
            .iter()
            .filter(|(id, _)| {
                group.is_none_or(|group| id.group == group)
                    && after.is_none_or(|after| **id > after)
            })
            .map(|(id, shard)| InventoryEntry {
                shard: *id,
                len: shard.bytes.len() as u64,
                root: shard.root,
            })
            .collect();
        entries.sort_by_key(|entry| entry.shard);
        let more = entries.len() > limit as usize;
        entries.truncate(limit as usize);
        agree(InventoryAnswer::List { entries, more })
    }

    fn status(&self) -> Response<Body> {
        let used = self
            .shards
            .lock()
            .expect("no holder panics")
            .values()
            .map(|shard| shard.bytes.len() as u64)
            .sum();
        agree(StatusAnswer {
            capacity: CAPACITY,
            used,
            trash: 0,
            free: CAPACITY - used,
            uptime_ms: 1,
            software: "drystone-node 0.1.0".into(),
            rot: Vec::new(),
            rot_seen: 0,
            busy_ms: None,
        })
    }
}

/// The message and what follows it.
fn split<T: DeserializeOwned>(body: &Bytes) -> (T, Bytes) {
    let len = u32::from_be_bytes(body[..4].try_into().expect("four bytes")) as usize;
    (
        postcard::from_bytes(&body[4..4 + len]).expect("the gateway sends what its verb wants"),
        body.slice(4 + len..),
    )
}

fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    let message =
        postcard::to_stdvec(message).expect("a message has no part that postcard cannot write");
    let len = u32::try_from(message.len()).expect("a message is short");
    [&len.to_be_bytes()[..], &message].concat()
}

fn agree<T: Serialize>(message: T) -> Response<Body> {
    declared(encode(&Ok::<_, Refusal>(message)))
}

fn refuse(refusal: Refusal) -> Response<Body> {
    declared(encode(&Err::<(), _>(refusal)))
}

fn declared(message: Vec<u8>) -> Response<Body> {
    let len = message.len();
    let mut response = Response::new(full(message.into()));
    response.headers_mut().insert("content-length", len.into());
    response
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
