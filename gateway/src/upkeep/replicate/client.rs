//! A client of another S3 endpoint: requests with path style, signed with AWS Signature Version 4, and their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, Limited, StreamBody};
use hyper::body::Frame;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use types::clock::SharedClock;
use types::{AccountId, MIB};

use crate::admin::sigv4;
use crate::endpoints::Endpoint;
use crate::get;
use crate::outbound::Connector;

/// RFC 3986 unreserved characters stay as they are.
pub(super) const STRICT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes do too.
const PATH: &AsciiSet = &STRICT.remove(b'/');
/// How long an endpoint may take nothing of a body, or leave a request without an answer.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// Bytes of the longest answer that is read.
const ANSWER_MAX: usize = MIB as usize;
/// How long a connection that is not used is kept: less than servers do.
const IDLE_MAX: Duration = Duration::from_secs(15);

type Boxed = Box<dyn std::error::Error + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, Boxed>;

/// Why an endpoint did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answered, or the connection broke.
    #[error("no answer")]
    NoAnswer(#[from] legacy::Error),
    /// The answer broke off, or is too long.
    #[error("the answer broke off")]
    Answer(#[source] Boxed),
    /// It went silent.
    #[error("the endpoint was silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// An error.
    #[error("the endpoint answered {status} {code}: {message}")]
    Status {
        /// The status.
        status: StatusCode,
        /// S3's code, if there was one.
        code: String,
        /// S3's words.
        message: String,
    },
    /// An answer without what it must have.
    #[error("the endpoint's answer has no {0}")]
    Incomplete(&'static str),
    /// The request cannot be made: something that describes the version fits no header.
    #[error(transparent)]
    Request(#[from] http::Error),
}

/// Codes by which an endpoint says that it will not take this version, however often it is sent.
const FINAL: [&str; 10] = [
    "EntityTooLarge",
    "InvalidArgument",
    "InvalidBucketName",
    "InvalidBucketState",
    "InvalidRequest",
    "InvalidStorageClass",
    "InvalidTag",
    "KeyTooLongError",
    "MetadataTooLarge",
    "NoSuchBucket",
];

impl ClientError {
    /// Whether another try may succeed.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Request(_) => false,
            Self::Status { status, code, .. } => {
                *status != StatusCode::NOT_IMPLEMENTED && !FINAL.contains(&code.as_str())
            }
            Self::NoAnswer(_) | Self::Answer(_) | Self::Silent | Self::Incomplete(_) => true,
        }
    }
}

/// An object at the endpoint.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
}

/// The body of a request.
pub(super) enum Payload {
    /// A document, which the signature covers.
    Text(Vec<u8>),
    /// Bytes as they are read, and how many; what is said of them in the headers is what is signed.
    Stream(get::Body, u64),
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// The client.
pub(super) struct Client {
    endpoint: Endpoint,
    http: legacy::Client<Connector, Body>,
    clock: SharedClock,
}

impl Client {
    pub(super) fn new(endpoint: Endpoint, connector: Connector, clock: SharedClock) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Self { endpoint, http, clock }
    }

    /// Whether the other end is a Drystone.
    pub(super) fn is_drystone(&self) -> bool {
        self.endpoint.drystone
    }

    /// Whether an account's versions may go there.
    pub(super) fn serves(&self, account: &AccountId) -> bool {
        self.endpoint.serves(account)
    }

    /// Asks, and reads the answer whole.
    ///
    /// # Errors
    /// If there is none; an error that is answered is an answer.
    pub(super) async fn send(
        &self,
        method: Method,
        place: Place<'_>,
        query: &[(&str, &str)],
        headers: HeaderMap,
        payload: Option<Payload>,
    ) -> Result<Answer, ClientError> {
        let taken = Arc::new(AtomicU64::new(0));
        let request = self.request(method, place, query, headers, payload, &taken)?;
        let asked = async {
            let (parts, body) = self.http.request(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let text = String::from_utf8_lossy(&body.map_err(ClientError::Answer)?.to_bytes())
                .into_owned();
            Ok(Answer { status: parts.status, headers: parts.headers, text })
        };
        tokio::select! {
            answer = asked => answer,
            () = silence(&taken) => Err(ClientError::Silent),
        }
    }

    fn request(
        &self,
        method: Method,
        place: Place<'_>,
        query: &[(&str, &str)],
        headers: HeaderMap,
        payload: Option<Payload>,
        taken: &Arc<AtomicU64>,
    ) -> Result<Request<Body>, ClientError> {
        let authority = self.endpoint.url.authority().map_or("", |authority| authority.as_str());
        let scheme = self.endpoint.url.scheme_str().unwrap_or("http");
        let path = utf8_percent_encode(place.key, PATH);
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, STRICT)))
            .collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let uri: Uri = format!("{scheme}://{authority}/{}/{path}{query}", place.bucket)
            .parse()
            .map_err(|error: http::uri::InvalidUri| ClientError::Request(error.into()))?;
        let (mut parts, ()) = Request::builder().method(method).uri(uri).body(())?.into_parts();
        parts.headers = headers;
        let host = HeaderValue::from_str(authority);
        parts.headers.insert(HOST, host.map_err(|error| ClientError::Request(error.into()))?);
        parts.headers.insert(USER_AGENT, HeaderValue::from_static("Drystone"));
        let (region, now) = (self.endpoint.region.as_str(), self.clock.now());
        let by = &self.endpoint.credentials;
        let body = match payload {
            Some(Payload::Stream(bytes, len)) => {
                parts.headers.insert(CONTENT_LENGTH, len.into());
                sigv4::sign_payload(&mut parts, sigv4::UNSIGNED_PAYLOAD, by, region, "s3", now);
                streamed(bytes, Arc::clone(taken))
            }
            Some(Payload::Text(text)) => {
                parts.headers.insert(CONTENT_LENGTH, text.len().into());
                sigv4::sign(&mut parts, &text, by, region, "s3", now);
                whole(Bytes::from(text))
            }
            None => {
                sigv4::sign(&mut parts, &[], by, region, "s3", now);
                whole(Bytes::new())
            }
        };
        Ok(Request::from_parts(parts, body))
    }
}

impl Answer {
    /// The answer, if it is no error.
    ///
    /// # Errors
    /// [`ClientError::Status`].
    pub(super) fn expect_success(self) -> Result<Self, ClientError> {
        if self.status.is_success() { Ok(self) } else { Err(self.into_error()) }
    }

    /// The answer, if its document is no error.
    ///
    /// # Errors
    /// [`ClientError::Status`].
    pub(super) fn expect_no_error(self) -> Result<Self, ClientError> {
        if self.text.contains("<Error>") { Err(self.into_error()) } else { Ok(self) }
    }

    /// A header.
    ///
    /// # Errors
    /// [`ClientError::Incomplete`].
    pub(super) fn header(&self, name: &'static str) -> Result<String, ClientError> {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or(ClientError::Incomplete(name))
    }

    /// The text of an element of its document.
    ///
    /// # Errors
    /// [`ClientError::Incomplete`].
    pub(super) fn element(&self, name: &'static str) -> Result<String, ClientError> {
        element(&self.text, name).map(str::to_owned).ok_or(ClientError::Incomplete(name))
    }

    fn into_error(self) -> ClientError {
        let text = |name| element(&self.text, name).unwrap_or_default().to_owned();
        ClientError::Status { status: self.status, code: text("Code"), message: text("Message") }
    }
}

/// Returns once nothing was taken of the body for so long, nor an answer given.
async fn silence(taken: &AtomicU64) {
    let mut seen = taken.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(SILENCE_MAX).await;
        let now = taken.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
    }
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| -> Boxed { match never {} }).boxed_unsync()
}

fn streamed(bytes: get::Body, taken: Arc<AtomicU64>) -> Body {
    let frames = bytes.map(move |piece| {
        taken.fetch_add(1, Ordering::Relaxed);
        piece.map(Frame::data)
    });
    let frames = frames.map_err(|error| -> Boxed { error.into() });
    StreamBody::new(frames).boxed_unsync()
}

/// The text of the first element of that name, of the few whose texts need no unescaping.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: StatusCode, text: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), text: text.to_owned() }
    }

    #[test]
    fn what_an_endpoint_will_never_take_is_not_sent_again() {
        let error = |status: StatusCode, code: &str| {
            let text = format!("<Error><Code>{code}</Code><Message>No.</Message></Error>");
            answer(status, &text).expect_success().expect_err("an error")
        };
        assert!(!error(StatusCode::NOT_FOUND, "NoSuchBucket").may_pass());
        assert!(!error(StatusCode::BAD_REQUEST, "InvalidStorageClass").may_pass());
        assert!(!error(StatusCode::NOT_IMPLEMENTED, "NotImplemented").may_pass());
        for (status, code) in [
            (StatusCode::FORBIDDEN, "AccessDenied"),
            (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
            (StatusCode::BAD_REQUEST, "BadDigest"),
        ] {
            assert!(error(status, code).may_pass(), "{code}");
        }
        let told = error(StatusCode::FORBIDDEN, "AccessDenied").to_string();
        assert_eq!(told, "the endpoint answered 403 Forbidden AccessDenied: No.");
    }

    #[test]
    fn an_error_can_come_behind_a_status_of_success() {
        let late = answer(StatusCode::OK, "<Error><Code>InternalError</Code></Error>");
        let late = late.expect_success().expect("its status says so");
        assert!(late.expect_no_error().is_err());
        let done = answer(StatusCode::OK, "<R><UploadId>u-1</UploadId></R>");
        assert_eq!(done.element("UploadId").expect("there"), "u-1");
        assert!(done.element("Code").is_err() && done.header("etag").is_err());
    }
}
