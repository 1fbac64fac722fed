//! Server access logging, on the way of a request: what the gate notes of it, and the line that is written once its answer has ended.
//!
//! Price for a bucket without a log: a few headers kept by reference, and one look at a remembered configuration.

use std::sync::{Arc, OnceLock};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header};
use metadata::Catalog;
use s3s::Body;
use tokio::time::Instant;
use types::clock::SharedClock;
use types::{AccountId, BucketId, BucketName, Timestamp};

use super::address;
use crate::configs::Configs;
use crate::http::{Ended, OnEnd, Peer, Redacted, RequestId};
use crate::logbook::LogBook;
use crate::rules::logging::{Day, Line, Logging, Named, Signed};

/// Where the gate notes whose bucket a request is about, and who asks. In the extensions of every request.
#[derive(Clone, Default)]
pub(super) struct Trail(Arc<OnceLock<Arc<Noted>>>);

/// What it notes.
pub(super) struct Noted {
    pub(super) bucket: BucketName,
    pub(super) id: BucketId,
    pub(super) owner: AccountId,
    /// The account, or the ARN of one of its keys; none of an anonymous caller.
    pub(super) requester: Option<String>,
}

impl Trail {
    /// Notes the first bucket of a request: a copy's target, not its source.
    pub(super) fn note(&self, noted: Noted) {
        let _ = self.0.set(Arc::new(noted));
    }
}

/// Writes buckets' logs. Cheap to clone.
#[derive(Clone)]
pub(super) struct Logger {
    catalog: Catalog,
    configs: Configs,
    book: Arc<LogBook>,
    clock: SharedClock,
    domain: Option<Arc<str>>,
}

/// A request under way.
pub(super) struct Begun {
    trail: Trail,
    head: Head,
    time: Timestamp,
    began: Instant,
}

/// What a line tells of a request.
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    peer: Option<Peer>,
    id: Option<RequestId>,
    host: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    agent: Option<HeaderValue>,
    length: Option<HeaderValue>,
    signed: Option<Signed>,
    copy: bool,
    /// The bucket that host or path name.
    bucket: Option<BucketName>,
    /// The key, as it stands in the path.
    key: Option<String>,
}

impl Logger {
    pub(super) fn new(
        catalog: Catalog,
        configs: Configs,
        book: Arc<LogBook>,
        clock: SharedClock,
        domain: Option<&str>,
    ) -> Self {
        Self { catalog, configs, book, clock, domain: domain.map(Into::into) }
    }

    /// Follows a request from here on.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> Begun {
        let trail = Trail::default();
        request.extensions_mut().insert(trail.clone());
        let head = Head::of(request, self.domain.as_deref());
        Begun { trail, head, time: self.clock.now(), began: Instant::now() }
    }

    /// Has the line written once `answer` has ended, if the bucket has a log.
    pub(super) async fn end(&self, begun: Begun, answer: &mut Response<Body>) {
        let Begun { trail, head, time, began } = begun;
        let Some(noted) = self.noted(&trail, &head).await else { return };
        match self.configs.get::<Logging>(noted.id).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => {
                return tracing::warn!(bucket = %noted.bucket, %error, "a request is missing in its bucket's log");
            }
        }
        let answered = Answered::of(answer, &head);
        let turn_around = began.elapsed().as_millis() as u64;
        let book = Arc::clone(&self.book);
        answer.extensions_mut().insert(OnEnd::new(move |ended| {
            let line = line(&noted, &head, &answered, (time, turn_around), ended);
            book.write((&noted.bucket, noted.id, &noted.owner), Day::of(time), &line);
        }));
    }

    /// What the gate noted; of a request that never came so far, what its address says.
    async fn noted(&self, trail: &Trail, head: &Head) -> Option<Arc<Noted>> {
        if let Some(noted) = trail.0.get() {
            return Some(Arc::clone(noted));
        }
        let bucket = head.bucket.clone()?;
        let row = self.catalog.bucket(&bucket).await.ok()?;
        Some(Arc::new(Noted { bucket, id: row.id, owner: row.owner, requester: None }))
    }
}

impl Head {
    fn of<B>(request: &Request<B>, domain: Option<&str>) -> Self {
        let headers = request.headers();
        let keep = |name: HeaderName| headers.get(name).cloned();
        let query = request.uri().query().unwrap_or_default();
        let signed = if headers.contains_key(header::AUTHORIZATION) {
            Some(Signed::Header)
        } else {
            query.contains("X-Amz-Signature=").then_some(Signed::Query)
        };
        let length = HeaderName::from_static("x-amz-decoded-content-length");
        let in_host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .zip(domain)
            .is_some_and(|(host, domain)| address::below(host, domain).is_some());
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        let key = if in_host { path } else { path.split_once('/').map_or("", |(_, key)| key) };
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            peer: request.extensions().get::<Peer>().copied(),
            id: request.extensions().get::<RequestId>().copied(),
            host: keep(header::HOST),
            referer: keep(header::REFERER),
            agent: keep(header::USER_AGENT),
            length: keep(length).or_else(|| keep(header::CONTENT_LENGTH)),
            signed,
            copy: headers.contains_key("x-amz-copy-source"),
            bucket: address::bucket_of(request, domain),
            key: (!key.is_empty()).then(|| key.to_owned()),
        }
    }

    fn operation(&self) -> String {
        let query = self.uri.query().unwrap_or_default();
        let (method, key) = (self.method.as_str(), self.key.is_some());
        Named { method, query, key, copy: self.copy }.operation()
    }
}

/// What a line tells of an answer.
struct Answered {
    status: u16,
    error: Option<String>,
    size: Option<u64>,
    version: Option<String>,
}

impl Answered {
    fn of(answer: &Response<Body>, head: &Head) -> Self {
        let status = answer.status();
        let error = status.is_client_error() || status.is_server_error();
        let error = error.then(|| error_code(answer.body())).flatten();
        let version = text(answer.headers().get("x-amz-version-id"));
        Self { status: status.as_u16(), error, size: size(answer, head), version }
    }
}

fn error_code(body: &Body) -> Option<String> {
    let bytes = body.bytes()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    Some(rest.split_once("</Code>")?.0.to_owned())
}

/// The size of the object that was read or written.
fn size(answer: &Response<Body>, head: &Head) -> Option<u64> {
    if head.key.is_none() || !answer.status().is_success() {
        return None;
    }
    let length =
        |headers: &HeaderMap| headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    match head.method {
        Method::PUT if !head.copy => head.length.as_ref()?.to_str().ok()?.parse().ok(),
        Method::GET | Method::HEAD => {
            let headers = answer.headers();
            match headers.get(header::CONTENT_RANGE) {
                Some(range) => range.to_str().ok()?.rsplit_once('/')?.1.parse().ok(),
                None => length(headers),
            }
        }
        _ => None,
    }
}

fn line(
    noted: &Noted,
    head: &Head,
    answered: &Answered,
    (time, turn_around): (Timestamp, u64),
    ended: Ended<'_>,
) -> String {
    let (host, referer, agent) =
        (text(head.host.as_ref()), text(head.referer.as_ref()), text(head.agent.as_ref()));
    let id = head.id.map(|id| id.to_string()).unwrap_or_default();
    let request = format!("{} {} {:?}", head.method, Redacted(&head.uri), head.version);
    Line {
        owner: &noted.owner,
        bucket: &noted.bucket,
        time,
        remote: head.peer.map(|peer| peer.address.ip().to_canonical()),
        requester: noted.requester.as_deref(),
        request_id: &id,
        operation: &head.operation(),
        key: head.key.as_deref(),
        request: &request,
        status: answered.status,
        error: answered.error.as_deref(),
        sent: ended.sent,
        size: answered.size,
        total: ended.took.as_millis() as u64,
        turn_around,
        referer: referer.as_deref(),
        agent: agent.as_deref(),
        version: answered.version.as_deref(),
        host_id: ended.long_id,
        signed: head.signed,
        host: host.as_deref(),
    }
    .to_string()
}

fn text(value: Option<&HeaderValue>) -> Option<String> {
    Some(String::from_utf8_lossy(value?.as_bytes()).into_owned())
}
