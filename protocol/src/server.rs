//! The node's end of a link.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::debug;

use crate::dial::Io;
use crate::error::{BodyError, LinkError};
use crate::identity::Trust;
use crate::inbound::{BodyFault, Inbound};
use crate::limits::{LINGER, LinkSettings};
use crate::link;
use crate::message::{
    self, DropAnswer, FetchAnswer, FetchRequest, HelloAnswer, HelloRequest, InventoryAnswer,
    InventoryRequest, Message, NodeFacts, Refusal, StatusAnswer, StatusRequest, StoreAnswer,
    StoreRequest, Verb,
};
use crate::outbound::{Outbound, Piece};
use crate::revision::{SignedRevision, VerifiedRevision};
use crate::version::Version;

/// What a node does for gateways. Requests run concurrently; a future is dropped when its gateway gives up or is lost, so
/// whatever must not stop half-way belongs in a task of its own.
#[async_trait]
pub trait NodeService: Send + Sync + 'static {
    /// A gateway said hello, in a version that both speak. Its floor of serials, if any, is checked and learned already.
    async fn hello(&self, request: HelloRequest) -> Result<NodeFacts, Refusal>;

    /// Takes a shard. An answer means fsynced; its receipt is for [`ReceiptEntry::Stored`](crate::receipt::ReceiptEntry::Stored).
    /// A refusal may come before the body was read.
    async fn store(&self, request: StoreRequest, body: ShardBody) -> Result<StoreAnswer, Refusal>;

    /// Gives the steps of a range, as [`FetchRequest::steps`] cuts them.
    async fn fetch(&self, request: FetchRequest) -> Result<FetchReply, Refusal>;

    /// Lets shards go. An answer means recorded and fsynced; its receipt is for
    /// [`ReceiptEntry::Dropped`](crate::receipt::ReceiptEntry::Dropped).
    async fn drop_shards(&self, revision: VerifiedRevision) -> Result<DropAnswer, Refusal>;

    /// Lists or fingerprints what is there.
    async fn inventory(&self, request: InventoryRequest) -> Result<InventoryAnswer, Refusal>;

    /// Tells how the node is.
    async fn status(&self, request: StatusRequest) -> Result<StatusAnswer, Refusal>;
}

/// A node's answer to a fetch.
pub struct FetchReply {
    /// Bytes of the whole shard.
    pub shard_len: u64,
    /// One per step, in order. An error resets the request; the gateway asks another node.
    pub pieces: BoxStream<'static, std::io::Result<Piece>>,
}

/// The bytes of a shard on their way in: exactly as many as the request announced, or an error.
pub struct ShardBody(BoxStream<'static, Result<Bytes, BodyError>>);

impl ShardBody {
    /// A body that did not come over a link: for tests of a [`NodeService`].
    pub fn new(bytes: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(bytes.boxed())
    }

    /// The next bytes, never none; `None` after the last.
    ///
    /// # Errors
    /// If the gateway gave up or was lost: what came so far is no shard.
    pub async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.0.next().await
    }
}

impl Stream for ShardBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Answers one gateway over an encrypted stream until it leaves, the line breaks, or `shutdown` resolves; then what
/// is under way is finished first.
///
/// # Errors
/// If the connection broke, or the gateway did not say hello in time. A goodbye is no error.
pub async fn serve(
    io: impl Io,
    service: Arc<dyn NodeService>,
    trust: Arc<Trust>,
    settings: &LinkSettings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), LinkError> {
    let link = Arc::new(Link { service, trust, agreed: OnceLock::new(), hello: Notify::new() });
    let answering = {
        let link = Arc::clone(&link);
        service_fn(move |request| {
            let link = Arc::clone(&link);
            async move { Ok::<_, Infallible>(link.answer(request).await) }
        })
    };
    let connection = link::server(settings).serve_connection(TokioIo::new(io), answering);
    tokio::pin!(connection, shutdown);
    let after = settings.handshake_timeout;
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(LinkError::Http),
        () = shutdown.as_mut() => return Ok(()),
        hello = timeout(after, link.hello.notified()) => {
            hello.map_err(|_| LinkError::Timeout { what: "hello", after })?;
        }
    }
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(LinkError::Http),
        () = shutdown => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(LinkError::Http)
}

/// One connection.
struct Link {
    service: Arc<dyn NodeService>,
    trust: Arc<Trust>,
    /// Set by the first hello that succeeds.
    agreed: OnceLock<Version>,
    hello: Notify,
}

impl Link {
    async fn answer(&self, request: Request<Incoming>) -> Response<Outbound> {
        let (parts, body) = request.into_parts();
        let Some(verb) = Verb::of_path(parts.uri.path()).filter(|_| parts.method == Method::POST)
        else {
            return refuse(&Refusal::incompatible(&format_args!(
                "this node does not know the request {} {}",
                parts.method,
                parts.uri.path()
            )));
        };
        let inbound = match Inbound::new(&parts.headers, body, None) {
            Ok(inbound) => inbound,
            Err(offence) => return refuse(&Refusal::denied(&offence)),
        };
        if verb != Verb::Hello && self.agreed.get().is_none() {
            return refuse(&Refusal::incompatible(&"hello comes first"));
        }
        let answer = match verb {
            Verb::Hello => self.hello(inbound).await,
            Verb::Store => self.store(inbound).await,
            Verb::Fetch => self.fetch(inbound).await,
            Verb::Drop => self.drop_shards(inbound).await,
            Verb::Inventory => self.inventory(inbound).await,
            Verb::Status => self.status(inbound).await,
        };
        answer.unwrap_or_else(|refusal| refuse(&refusal))
    }

    async fn hello(&self, inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let request: HelloRequest = whole(Verb::Hello, inbound).await?;
        let version = request.versions.agree().map_err(|none| Refusal::incompatible(&none))?;
        if let Some(floor) = &request.floor {
            self.trust.raise_floor(floor).map_err(|distrust| Refusal::denied(&distrust))?;
        }
        let facts = self.service.hello(request).await?;
        let version = *self.agreed.get_or_init(|| version);
        self.hello.notify_one();
        Ok(accept(&HelloAnswer { version: version.number(), facts }))
    }

    async fn store(&self, mut inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let request: StoreRequest = first(Verb::Store, &mut inbound).await?;
        if inbound.due() != request.len {
            return Err(Refusal::denied(&"the body is not as long as the shard"));
        }
        let inbound = Arc::new(Mutex::new(inbound));
        let body = {
            let inbound = Arc::clone(&inbound);
            futures::stream::poll_fn(move |cx| {
                poll_chunk(&inbound, cx).map(|chunk| Some(chunk?.map_err(lost)))
            })
        };
        let answer = self.service.store(request, ShardBody::new(body)).await;
        if answer.is_err() {
            tokio::spawn(timeout(LINGER, discard(inbound)));
        }
        Ok(accept(&answer?))
    }

    async fn fetch(&self, inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let request: FetchRequest = whole(Verb::Fetch, inbound).await?;
        let FetchReply { shard_len, pieces } = self.service.fetch(request).await?;
        let steps = request.steps(shard_len).map_err(|range| Refusal::denied(&range))?;
        let head = message::encode(&Ok::<_, Refusal>(FetchAnswer { shard_len }));
        Ok(respond(StatusCode::OK, Outbound::steps(head, steps, pieces)))
    }

    async fn drop_shards(&self, inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let signed: SignedRevision = whole(Verb::Drop, inbound).await?;
        let revision = signed.verify(&self.trust).map_err(|distrust| Refusal::denied(&distrust))?;
        Ok(accept(&self.service.drop_shards(revision).await?))
    }

    async fn inventory(&self, inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let request = whole(Verb::Inventory, inbound).await?;
        Ok(accept(&self.service.inventory(request).await?))
    }

    async fn status(&self, inbound: Inbound) -> Result<Response<Outbound>, Refusal> {
        let request = whole(Verb::Status, inbound).await?;
        Ok(accept(&self.service.status(request).await?))
    }
}

/// The message at the front of a request.
async fn first<T: Message>(verb: Verb, inbound: &mut Inbound) -> Result<T, Refusal> {
    let bytes = inbound.message(verb.request_max()).await.map_err(|fault| match fault {
        BodyFault::Http(error) => {
            debug!(%verb, %error, "a request was lost");
            Refusal::denied(&"the request was lost")
        }
        BodyFault::Slow(loss) => Refusal::denied(&loss),
        BodyFault::Offence(offence) => Refusal::denied(&offence),
    })?;
    message::decode(&bytes).map_err(|offence| Refusal::denied(&offence))
}

fn poll_chunk(
    inbound: &Mutex<Inbound>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, BodyFault>>> {
    inbound.lock().unwrap_or_else(PoisonError::into_inner).poll_chunk(cx)
}

/// Takes what is still coming of a shard that was refused, until the gateway has read the refusal and stops. A stream that is reset under bytes on
/// their way is an error of HTTP/2 for each of them once its reset is forgotten, and [`ERROR_RESETS`](crate::limits::ERROR_RESETS) of those end
/// the link: a full node that is asked by many at a time would lose it.
async fn discard(inbound: Arc<Mutex<Inbound>>) {
    while let Some(Ok(_)) = poll_fn(|cx| poll_chunk(&inbound, cx)).await {}
}

/// A request that is nothing but its message.
async fn whole<T: Message>(verb: Verb, mut inbound: Inbound) -> Result<T, Refusal> {
    let message = first(verb, &mut inbound).await?;
    if inbound.due() == 0 { Ok(message) } else { Err(Refusal::denied(&"bytes after the message")) }
}

fn lost(fault: BodyFault) -> BodyError {
    match fault {
        BodyFault::Http(error) => BodyError::Interrupted(error),
        BodyFault::Slow(_) | BodyFault::Offence(_) => BodyError::WrongLength,
    }
}

fn accept<T: Serialize>(answer: &T) -> Response<Outbound> {
    respond(StatusCode::OK, Outbound::message(message::encode(&Ok::<_, &Refusal>(answer))))
}

/// The status is for people with a packet trace; gateways read the message.
fn refuse(refusal: &Refusal) -> Response<Outbound> {
    let status = match refusal {
        Refusal::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Stale { .. } | Refusal::Exists => StatusCode::CONFLICT,
        Refusal::NotFound => StatusCode::NOT_FOUND,
        Refusal::Full => StatusCode::INSUFFICIENT_STORAGE,
        Refusal::Incompatible { .. } => StatusCode::NOT_IMPLEMENTED,
        Refusal::Denied { .. } => StatusCode::FORBIDDEN,
        Refusal::Failed { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    respond(status, Outbound::message(message::encode(&Err::<(), _>(refusal))))
}

fn respond(status: StatusCode, body: Outbound) -> Response<Outbound> {
    let response = Response::builder().status(status).header(CONTENT_LENGTH, body.len()).body(body);
    response.expect("literal parts make a valid response")
}
