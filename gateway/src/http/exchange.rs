//! One request and its answer: everything the door does around the service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, SERVER};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use super::access_log::Record;
use super::body::{Expecting, RequestBody};
use super::limits::{ErrorStyle, Limits};
use super::on_end::OnEnd;
use super::peer::Peer;
use super::request_id::{DoorId, RequestId};

/// The door's part in every request. Cheap to clone; one for each connection.
///
/// In order: an id and a span, so that all that follows can be found by it; a place under the load limit, before any work; the timed
/// body; the service, whose panic is an answer too; the headers of every answer; the record, kept by the answer's body until its end.
#[derive(Clone)]
pub(crate) struct Exchange<S> {
    pub(crate) service: S,
    pub(crate) limits: Arc<Limits>,
    pub(crate) load: Arc<Semaphore>,
    pub(crate) door: DoorId,
    pub(crate) peer: Peer,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Exchange<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: fmt::Display + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let id = RequestId::new();
        let received = Arc::<AtomicU64>::default();
        let record = Record {
            door: self.limits.door,
            id,
            peer: self.peer.address,
            method: request.method().clone(),
            uri: request.uri().clone(),
            began: Instant::now(),
            received: Arc::clone(&received),
            status: None,
            sent: 0,
            whole: false,
            on_end: None,
        };
        let (mut request, expecting) = RequestBody::of(request, self.limits.body_silence, received);
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(self.peer);
        // At error level, so that whatever a quiet filter still lets through says to which request it belongs.
        let span = tracing::error_span!("request", %id);
        let this = self.clone();
        Box::pin(async move { Ok(this.answer(request, expecting, record).await) }.instrument(span))
    }
}

impl<S> Exchange<S> {
    async fn answer<B>(
        self,
        request: Request<RequestBody>,
        expecting: Option<Expecting>,
        mut record: Record,
    ) -> Response<ResponseBody<B>>
    where
        S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: fmt::Display,
        B: Body<Data = Bytes>,
    {
        let head = record.method == Method::HEAD;
        let nothing_comes = request.body().is_end_stream();
        let (mut response, place) = match Arc::clone(&self.load).try_acquire_owned() {
            _ if nameless(&request) => (self.refuse(&record, Refusal::Nameless), None),
            Err(_) => (self.refuse(&record, Refusal::Busy), None),
            Ok(place) => {
                match AssertUnwindSafe(self.service.clone().oneshot(request)).catch_unwind().await {
                    Ok(Ok(response)) => (response.map(Part::Service), Some(place)),
                    Ok(Err(error)) => {
                        tracing::error!(%error, "the service failed");
                        (self.refuse(&record, Refusal::Internal), Some(place))
                    }
                    Err(_panic) => {
                        tracing::error!("a request's handler panicked");
                        (self.refuse(&record, Refusal::Internal), Some(place))
                    }
                }
            }
        };
        record.status = Some(response.status());
        let long_id = record.id.mark(response.headers_mut(), self.door);
        record.on_end = response.extensions_mut().remove::<OnEnd>().map(|told| (told, long_id));
        response.headers_mut().entry(SERVER).or_insert(HeaderValue::from_static("Drystone"));
        if head {
            without_body(&mut response);
        }
        if expecting.is_some_and(|expecting| nothing_comes || !expecting.asked()) {
            // A final answer where "100 Continue" was awaited. The client may send the body or not (RFC 9110, section 10.1.1), and boto3
            // keeps this answer's status for its next request on the connection: it must not have a next.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|part| {
            record.whole = part.is_end_stream();
            ResponseBody { part, record, _place: place }
        })
    }

    fn refuse<B>(&self, record: &Record, refusal: Refusal) -> Response<Part<B>> {
        let (status, code, message) = refusal.words();
        let (kind, text) = match self.limits.errors {
            ErrorStyle::S3 => ("application/xml", xml(code, message, record)),
            ErrorStyle::Json => ("application/json", json(code, message)),
        };
        let mut response = Response::new(Part::Text(Some(Bytes::from(text))));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        // The request's body was not read: the connection cannot be used again.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if refusal == Refusal::Busy {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Why the door itself answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Busy,
    Internal,
    Nameless,
}

impl Refusal {
    fn words(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate.")
            }
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "InternalError",
                "We encountered an internal error. Please try again.",
            ),
            Self::Nameless => {
                (StatusCode::BAD_REQUEST, "InvalidRequest", "The request names no host.")
            }
        }
    }
}

/// Whether a request fails to say whom it is for, as HTTP/1.1 requires (RFC 9112, section 3.2).
fn nameless<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST)
}

fn xml(code: &str, message: &str, record: &Record) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>{}</RequestId></Error>",
        record.id
    )
}

fn json(code: &str, message: &str) -> String {
    serde_json::json!({ "code": code, "message": message }).to_string()
}

/// An answer to HEAD says how long the body would be, and sends none.
fn without_body<B: Body>(response: &mut Response<Part<B>>) {
    let length = response.body().size_hint().exact();
    if let (Some(length), false) = (length, response.headers().contains_key(CONTENT_LENGTH)) {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    *response.body_mut() = Part::Text(None);
}

/// Whose words the body is.
enum Part<B> {
    Service(B),
    Text(Option<Bytes>),
}

impl<B: Body> Part<B> {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Service(body) => body.is_end_stream(),
            Self::Text(text) => text.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Service(body) => body.size_hint(),
            Self::Text(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
        }
    }
}

/// An answer's body. It holds the request's place under the load limit and its record until it ends.
pub struct ResponseBody<B> {
    part: Part<B>,
    record: Record,
    _place: Option<OwnedSemaphorePermit>,
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let frame = match &mut this.part {
            Part::Service(body) => std::task::ready!(Pin::new(body).poll_frame(cx)),
            Part::Text(text) => text.take().map(|text| Ok(Frame::data(text))),
        };
        if let Some(Ok(frame)) = &frame {
            this.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        this.record.whole =
            frame.is_none() || matches!(&frame, Some(Ok(_)) if this.is_end_stream());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.part.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.part.size_hint()
    }
}
