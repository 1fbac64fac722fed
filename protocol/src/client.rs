//! The gateway's end of a link.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use codec::{SliceProof, VerifiedSlice, verify};
use futures::Stream;
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use types::{KIB, NodeId, Root, ShardId};

use crate::blame::{Evidence, Offence};
use crate::dial::Io;
use crate::error::{Loss, NodeError};
use crate::identity::PublicKey;
use crate::inbound::{BodyFault, Inbound};
use crate::limits::LinkSettings;
use crate::link;
use crate::message::{
    self, DropAnswer, FetchAnswer, FetchRequest, HelloAnswer, HelloRequest, InventoryAnswer,
    InventoryRequest, Message, StatusAnswer, StatusRequest, StoreAnswer, StoreRequest, Verb,
};
use crate::outbound::{Outbound, Progress};
use crate::pace::{Allowance, Pace};
use crate::receipt::{ReceiptChecker, ReceiptEntry};
use crate::revision::SignedRevision;
use crate::steps::{Step, Steps};
use crate::version::Version;

/// One live connection to one node, as the gateway uses it. Cheap to clone and to share; any number of requests run at once.
///
/// The connection ends when the last clone and the last answer under way are gone, when [`Self::close`] is called, or when the
/// line or the node fails; [`Self::closed`] tells. Every method is cancel-safe in this sense: dropping its future, or a
/// [`SliceStream`], resets that request alone, and the node drops what it has of an unfinished store.
#[derive(Clone)]
pub struct NodeClient(Arc<Inner>);

struct Inner {
    peer: Peer,
    sender: SendRequest<Outbound>,
    allowance: Allowance,
    hello: HelloAnswer,
    version: Version,
    receipts: ReceiptChecker,
    close: CancellationToken,
    ending: Ending,
}

/// How the connection ended. A request that was not sent yet learns no more than that it is over; here stands why.
#[derive(Clone, Default)]
struct Ending {
    closed: CancellationToken,
    breach: Arc<OnceLock<String>>,
}

#[derive(Clone, Copy)]
struct Peer {
    key: PublicKey,
    node: NodeId,
}

impl NodeClient {
    /// Takes over an encrypted stream whose other end proved `key`, and says hello.
    ///
    /// # Errors
    /// [`NodeError::Incompatible`] if the two ends have no version in common; whatever a request can fail with.
    pub async fn open(
        io: impl Io,
        key: PublicKey,
        hello: &HelloRequest,
        settings: &LinkSettings,
    ) -> Result<Self, NodeError> {
        let opening = Self::open_unhurried(io, key, hello, settings);
        let late = Loss::TooSlow { bytes: 0, waited: settings.handshake_timeout };
        timeout(settings.handshake_timeout, opening)
            .await
            .unwrap_or(Err(NodeError::Unreachable(late)))
    }

    async fn open_unhurried(
        io: impl Io,
        key: PublicKey,
        hello: &HelloRequest,
        settings: &LinkSettings,
    ) -> Result<Self, NodeError> {
        let peer = Peer { key, node: key.node_id() };
        let (sender, connection) = link::client(settings)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|error| NodeError::from_hyper(peer.node, Verb::Hello, error))?;
        let (close, ending) = (CancellationToken::new(), Ending::default());
        // Until hello is answered, dropping this future must end the connection too.
        let guard = close.clone().drop_guard();
        tokio::spawn({
            let (close, ending) = (close.clone(), ending.clone());
            async move {
                let _closed = ending.closed.clone().drop_guard();
                tokio::select! {
                    ended = connection => ending.record(peer.node, ended),
                    () = close.cancelled() => debug!(node = %peer.node, "the link was closed"),
                }
            }
        });
        let allowance = Allowance::new(settings);
        let asking = Asking { peer, sender: &sender, allowance, ending: &ending };
        let hello: HelloAnswer = asking.call(Verb::Hello, hello).await?;
        let version = Version::of(hello.version).ok_or_else(|| NodeError::Incompatible {
            words: format!("the node chose version {}, which was not offered", hello.version),
        })?;
        guard.disarm();
        let receipts = ReceiptChecker::new(key);
        Ok(Self(Arc::new(Inner {
            peer,
            sender,
            allowance,
            hello,
            version,
            receipts,
            close,
            ending,
        })))
    }

    /// Who is at the other end.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.peer.node
    }

    /// Its key.
    #[must_use]
    pub fn node_key(&self) -> PublicKey {
        self.0.peer.key
    }

    /// What it said of itself.
    #[must_use]
    pub fn hello(&self) -> &HelloAnswer {
        &self.0.hello
    }

    /// The version spoken.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Ends the connection at once; requests under way fail with [`NodeError::Unreachable`].
    pub fn close(&self) {
        self.0.close.cancel();
    }

    /// Resolves when the connection has ended, however it did. Does not keep it open.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + Sync + 'static {
        let closed = self.0.ending.closed.clone();
        async move { closed.cancelled().await }
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.ending.closed.is_cancelled()
    }

    /// Sends a shard: exactly `request.len` bytes from `bytes`, in whatever pieces, uncopied.
    ///
    /// The answer means fsynced, and its receipt holds. Whether its root is the right one only the caller knows, who hashed the
    /// same bytes. If `bytes` ends early, the store is given up and the node drops what it has.
    ///
    /// # Errors
    /// [`NodeError::Aborted`] if `bytes` ended early, [`NodeError::Misbehaved`] for a forged receipt, and the rest of [`NodeError`].
    pub async fn store(
        &self,
        request: &StoreRequest,
        bytes: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<StoreAnswer, NodeError> {
        request.check().map_err(NodeError::Invalid)?;
        let progress = Arc::new(Progress::default());
        let stop = StopOnDrop(Arc::clone(&progress));
        let body = Outbound::shard(message::encode(request), request.len, bytes, progress);
        let answer = self.asking().send_watched(Verb::Store, body, &stop.0).await;
        let mut answer = match answer {
            Err(_) if stop.0.gave_up() => return Err(NodeError::Aborted),
            answer => answer?,
        };
        let answer: StoreAnswer = self.asking().last_message(Verb::Store, &mut answer).await?;
        if answer.len != request.len || stop.0.sent() != request.len {
            return Err(
                self.blame(Verb::Store, Offence::ForgedReceipt("the shard was not sent whole"))
            );
        }
        let entry = ReceiptEntry::Stored {
            shard: request.shard,
            root: answer.root,
            len: answer.len,
            position: answer.position,
        };
        let checked = self.0.receipts.check(&answer.receipt, &entry);
        checked.map_err(|why| self.blame(Verb::Store, Offence::ForgedReceipt(why)))?;
        Ok(answer)
    }

    /// As [`Self::store`], from a channel: dropping its sender early gives the store up.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub async fn store_from(
        &self,
        request: &StoreRequest,
        mut bytes: mpsc::Receiver<Bytes>,
    ) -> Result<StoreAnswer, NodeError> {
        self.store(request, futures::stream::poll_fn(move |cx| bytes.poll_recv(cx))).await
    }

    /// Asks for a range of the shard of `shard_len` bytes with this `root`; every slice that comes out is verified.
    ///
    /// # Errors
    /// [`NodeError::Invalid`] for a range that [`FetchRequest`] does not allow, [`NodeError::Misbehaved`] if the node holds
    /// another length, and the rest of [`NodeError`]. Wrong bytes show in the stream.
    pub async fn fetch(
        &self,
        request: &FetchRequest,
        root: &Root,
        shard_len: u64,
    ) -> Result<SliceStream, NodeError> {
        request.check().map_err(NodeError::Invalid)?;
        let steps = request
            .steps(shard_len)
            .map_err(|_| NodeError::Invalid("the range is not in hash groups"))?;
        let asking = self.asking();
        let mut inbound =
            asking.send(Verb::Fetch, Outbound::message(message::encode(request))).await?;
        let answer: FetchAnswer = asking.message(Verb::Fetch, &mut inbound).await?;
        if answer.shard_len != shard_len {
            let offence = Offence::WrongShardLength {
                shard: request.shard,
                expected: shard_len,
                claimed: answer.shard_len,
            };
            return Err(self.blame(Verb::Fetch, offence));
        }
        let (declared, got) = (steps.wire_len(), inbound.due());
        if declared != got {
            return Err(self.blame(Verb::Fetch, Offence::WrongLength { declared, got }));
        }
        Ok(SliceStream::new(self.0.peer.node, request.shard, *root, shard_len, steps, inbound))
    }

    /// Hands over a signed revision.
    ///
    /// # Errors
    /// [`NodeError::Denied`] if the node does not accept the signature, and the rest of [`NodeError`].
    pub async fn drop_shards(&self, revision: &SignedRevision) -> Result<DropAnswer, NodeError> {
        let answer: DropAnswer = self.asking().call(Verb::Drop, revision).await?;
        let entry = ReceiptEntry::Dropped {
            revision: revision.digest(),
            outcomes: answer.outcomes.clone(),
            position: answer.position,
        };
        let checked = self.0.receipts.check(&answer.receipt, &entry);
        checked.map_err(|why| self.blame(Verb::Drop, Offence::ForgedReceipt(why)))?;
        Ok(answer)
    }

    /// Asks for a page of the inventory.
    ///
    /// # Errors
    /// [`NodeError::Misbehaved`] if the answer is of the other kind, too long or outside what was asked; the rest of [`NodeError`].
    pub async fn inventory(
        &self,
        request: &InventoryRequest,
    ) -> Result<InventoryAnswer, NodeError> {
        let answer: InventoryAnswer = self.asking().call(Verb::Inventory, request).await?;
        if answer.is_to(request) {
            Ok(answer)
        } else {
            Err(self
                .blame(Verb::Inventory, Offence::Malformed("an inventory that was not asked for")))
        }
    }

    /// Asks how the node is.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn status(&self, request: &StatusRequest) -> Result<StatusAnswer, NodeError> {
        self.asking().call(Verb::Status, request).await
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            peer: self.0.peer,
            sender: &self.0.sender,
            allowance: self.0.allowance,
            ending: &self.0.ending,
        }
    }

    fn blame(&self, verb: Verb, offence: Offence) -> NodeError {
        NodeError::misbehaved(self.0.peer.node, verb, offence)
    }
}

impl std::fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeClient").field("node", &self.0.peer.node).finish_non_exhaustive()
    }
}

impl Ending {
    fn record(&self, node: NodeId, ended: hyper::Result<()>) {
        debug!(%node, ?ended, "the link ended");
        if let Err(error) = ended
            && let NodeError::Misbehaved(Evidence { offence: Offence::Http2(breach), .. }) =
                NodeError::from_hyper(node, Verb::Hello, error)
        {
            // The only writer: a connection ends once.
            let _ = self.breach.set(breach);
        }
    }

    /// Why a request failed that found the connection over.
    async fn explain(&self, node: NodeId, verb: Verb, error: NodeError) -> NodeError {
        if !matches!(error, NodeError::Unreachable(Loss::Closed)) {
            return error;
        }
        self.closed.cancelled().await;
        match self.breach.get() {
            Some(breach) => NodeError::misbehaved(node, verb, Offence::Http2(breach.clone())),
            None => error,
        }
    }
}

/// Whatever becomes of a store, its body is not sent on behind our back.
struct StopOnDrop(Arc<Progress>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// What it takes to ask: usable before hello was answered.
struct Asking<'a> {
    peer: Peer,
    sender: &'a SendRequest<Outbound>,
    allowance: Allowance,
    ending: &'a Ending,
}

impl Asking<'_> {
    /// A question and an answer of one message each.
    async fn call<Q: Message, A: Message>(&self, verb: Verb, question: &Q) -> Result<A, NodeError> {
        question.check().map_err(NodeError::Invalid)?;
        let body = message::encode(question);
        if body.len() - message::PREFIX > verb.request_max() {
            return Err(NodeError::Invalid("the request is too long"));
        }
        let mut inbound = self.send(verb, Outbound::message(body)).await?;
        self.last_message(verb, &mut inbound).await
    }

    /// Sends a request of one message and waits for the head of the answer.
    async fn send(&self, verb: Verb, body: Outbound) -> Result<Inbound, NodeError> {
        let waited = self.allowance.grace();
        let late = || NodeError::Unreachable(Loss::TooSlow { bytes: 0, waited });
        let response = timeout(waited, self.request(verb, body)).await.map_err(|_| late())?;
        self.inbound(verb, response).await
    }

    /// Sends a long request and waits for the head of the answer, as long as the node keeps taking bytes.
    async fn send_watched(
        &self,
        verb: Verb,
        body: Outbound,
        progress: &Progress,
    ) -> Result<Inbound, NodeError> {
        let response = self.request(verb, body);
        tokio::pin!(response);
        let tick =
            (self.allowance.grace() / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let mut ticks = interval(tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waited = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                response = &mut response => return self.inbound(verb, response).await,
                _ = ticks.tick() => {}
            }
            if !progress.source_is_slow() {
                waited += tick;
            }
            self.allowance.check(progress.sent(), waited).map_err(NodeError::Unreachable)?;
        }
    }

    fn request(
        &self,
        verb: Verb,
        body: Outbound,
    ) -> impl Future<Output = hyper::Result<Response<Incoming>>> + Send + 'static {
        let request = Request::builder()
            .method(Method::POST)
            // HTTP/2 wants a scheme and an authority; nobody looks at them.
            .uri(format!("https://node{}", verb.path()))
            .header(CONTENT_LENGTH, body.len())
            .body(body)
            .expect("literal parts make a valid request");
        let mut sender = self.sender.clone();
        async move { sender.send_request(request).await }
    }

    async fn inbound(
        &self,
        verb: Verb,
        response: hyper::Result<Response<Incoming>>,
    ) -> Result<Inbound, NodeError> {
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                let error = NodeError::from_hyper(self.peer.node, verb, error);
                return Err(self.ending.explain(self.peer.node, verb, error).await);
            }
        };
        let (parts, body) = response.into_parts();
        Inbound::new(&parts.headers, body, Some(Pace::new(self.allowance)))
            .map_err(|offence| NodeError::misbehaved(self.peer.node, verb, offence))
    }

    /// Reads the answer's message; more may follow, but not after a refusal.
    async fn message<A: Message>(&self, verb: Verb, inbound: &mut Inbound) -> Result<A, NodeError> {
        let bytes = inbound
            .message(verb.answer_max())
            .await
            .map_err(|fault| at_fault(self.peer.node, verb, fault))?;
        let blame = |offence| NodeError::misbehaved(self.peer.node, verb, offence);
        match message::decode_answer(&bytes).map_err(blame)? {
            Ok(answer) => Ok(answer),
            Err(refusal) if inbound.due() == 0 => Err(NodeError::refused(refusal)),
            Err(_) => Err(blame(Offence::WrongLength { declared: 0, got: inbound.due() })),
        }
    }

    /// Reads the answer's message; nothing may follow.
    async fn last_message<A: Message>(
        &self,
        verb: Verb,
        inbound: &mut Inbound,
    ) -> Result<A, NodeError> {
        let answer = self.message(verb, inbound).await?;
        match inbound.due() {
            0 => Ok(answer),
            more => {
                let offence = Offence::WrongLength { declared: 0, got: more };
                Err(NodeError::misbehaved(self.peer.node, verb, offence))
            }
        }
    }
}

fn at_fault(node: NodeId, verb: Verb, fault: BodyFault) -> NodeError {
    match fault {
        BodyFault::Http(error) => NodeError::from_hyper(node, verb, error),
        BodyFault::Slow(loss) => NodeError::Unreachable(loss),
        BodyFault::Offence(offence) => NodeError::misbehaved(node, verb, offence),
    }
}

/// The verified slices of a fetch, one per step, in order. Ends after the last one or the first error.
///
/// A step that came in one frame is verified where it lies, and given away without a copy if nobody else holds the frame's memory. One that came in
/// several is copied together, once. Dropping the stream cancels the rest.
pub struct SliceStream {
    node: NodeId,
    shard: ShardId,
    root: Root,
    shard_len: u64,
    steps: Steps,
    /// The step at work; `None` when there is none left.
    step: Option<Step>,
    proof: BytesMut,
    /// The step's bytes, if one frame had all of them.
    frame: Option<Bytes>,
    /// Else what there is of them.
    bytes: BytesMut,
    inbound: Inbound,
}

impl SliceStream {
    fn new(
        node: NodeId,
        shard: ShardId,
        root: Root,
        shard_len: u64,
        mut steps: Steps,
        inbound: Inbound,
    ) -> Self {
        let step = steps.next();
        let (proof, bytes) = (BytesMut::new(), BytesMut::new());
        Self { node, shard, root, shard_len, steps, step, proof, frame: None, bytes, inbound }
    }

    /// The next slice.
    pub async fn next(&mut self) -> Option<Result<VerifiedSlice, NodeError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn take(&mut self, step: &Step, mut chunk: Bytes) {
        fill(&mut self.proof, step.proof_len as usize, &mut chunk);
        let in_one = self.bytes.is_empty() && chunk.len() as u64 >= step.len;
        if in_one && step.len >= TAKEN_MIN {
            self.frame = Some(chunk.split_to(step.len as usize));
        } else if !chunk.is_empty() {
            fill(&mut self.bytes, step.len as usize, &mut chunk);
        }
        self.inbound.put_back(chunk);
    }

    fn is_whole(&self, step: &Step) -> bool {
        self.proof.len() as u64 == step.proof_len && self.received() == step.len
    }

    /// Bytes of the step so far, its proof apart.
    fn received(&self) -> u64 {
        self.frame.as_ref().map_or(self.bytes.len(), Bytes::len) as u64
    }

    fn finish(&mut self, step: &Step) -> Result<VerifiedSlice, NodeError> {
        self.step = self.steps.next();
        let (proof, bytes) = (std::mem::take(&mut self.proof), std::mem::take(&mut self.bytes));
        let bytes = match self.frame.take() {
            // Without a copy if the connection reads on into other memory by now, as it does as a rule.
            Some(frame) => BytesMut::from(frame),
            None => bytes,
        };
        let slice = SliceProof::from_bytes(&proof)
            .and_then(|proof| verify(&self.root, self.shard_len, step.offset, bytes, &proof));
        slice.map_err(|_| {
            let offence =
                Offence::WrongBytes { shard: self.shard, offset: step.offset, len: step.len };
            self.fail(NodeError::misbehaved(self.node, Verb::Fetch, offence))
        })
    }

    /// Nothing comes after an error.
    fn fail(&mut self, error: NodeError) -> NodeError {
        self.step = None;
        error
    }
}

/// Bytes of a step that is taken over with its frame: the memory behind a smaller one may be much larger than the step.
const TAKEN_MIN: u64 = 64 * KIB;

/// Moves bytes from the front of `chunk` until `buffer` holds `len`.
fn fill(buffer: &mut BytesMut, len: usize, chunk: &mut Bytes) {
    // Reserved once and to the byte: a step of known length, bounded by what we asked for.
    buffer.reserve(len - buffer.len());
    let part = chunk.split_to(chunk.len().min(len - buffer.len()));
    buffer.extend_from_slice(&part);
}

impl Stream for SliceStream {
    type Item = Result<VerifiedSlice, NodeError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(step) = this.step else { return Poll::Ready(None) };
        while !this.is_whole(&step) {
            match ready!(this.inbound.poll_chunk(cx)) {
                Some(Ok(chunk)) => this.take(&step, chunk),
                Some(Err(fault)) => {
                    let error = at_fault(this.node, Verb::Fetch, fault);
                    return Poll::Ready(Some(Err(this.fail(error))));
                }
                None => {
                    let got = this.received();
                    let offence = Offence::WrongLength { declared: step.len, got };
                    let error = NodeError::misbehaved(this.node, Verb::Fetch, offence);
                    return Poll::Ready(Some(Err(this.fail(error))));
                }
            }
        }
        Poll::Ready(Some(this.finish(&step)))
    }
}

impl std::fmt::Debug for SliceStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SliceStream")
            .field("shard", &self.shard)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}
