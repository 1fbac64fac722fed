//! The outermost layer: what needs the message as it travels, which the library does not show to operations.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use s3s::{Body, S3Error, S3ErrorCode, S3Result, StdError};
use tokio::sync::Semaphore;
use types::MIB;

use super::auth::AccessKeys;
use super::checksum::Claims;
use super::cors::CrossOrigin;
use super::form::Forms;
use super::logged::Logger;
use super::metered::Counter;
use super::rate::Rates;
use super::{Library, XML_MAX, body, error};
use crate::http::{BodyFault, RequestId};

/// The largest body whose length the client does not say, in bytes. It is held in memory, because its length must be known before it is
/// stored; a longer one is answered `MissingContentLength`, which is what AWS answers to any of them.
const UNMEASURED_MAX: usize = 8 * MIB as usize;
/// Bodies held in memory at once; one more is answered `SlowDown`.
const HELD: usize = 16;
/// The same for requests that nobody signed: strangers cannot take the places of customers.
const HELD_UNSIGNED: usize = 4;
/// A code whose status AWS documents as 400 and clients of presigned URLs know as 403.
const EXPIRY_OUT_OF_RANGE: &str = "AuthorizationQueryParametersError";

/// The status of an answer that is another than the library gives to its operation. It goes with the answer's extensions.
#[derive(Clone, Copy)]
pub(super) struct Status(pub(super) StatusCode);

/// The S3 service: takes HTTP requests, gives HTTP answers, never fails. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    library: Library,
    forms: Forms,
    keys: Arc<AccessKeys>,
    pages: CrossOrigin,
    logger: Logger,
    counter: Counter,
    rates: Arc<Rates>,
    holding: Arc<Semaphore>,
    holding_unsigned: Arc<Semaphore>,
}

impl Service {
    pub(super) fn new(
        library: Library,
        forms: Forms,
        keys: Arc<AccessKeys>,
        pages: CrossOrigin,
        (logger, counter): (Logger, Counter),
        rates: Arc<Rates>,
    ) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        let (holding, holding_unsigned) = (places(HELD), places(HELD_UNSIGNED));
        Self { library, forms, keys, pages, logger, counter, rates, holding, holding_unsigned }
    }

    /// Ends this gateway's memory of an access key: a deleted one no longer signs.
    pub fn forget_key(&self, id: &str) {
        self.keys.forget(id);
    }

    /// Answers one request.
    ///
    /// In order: a preflight is answered here; bodies that must be known whole are read; the library does its work; the answer gets what
    /// only the outside knows, and what lets a page of another origin see it; around all of it, the bucket's log and the bill.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let bill = self.counter.begin(&mut request);
        let begun = self.logger.begin(&mut request);
        let mut answer = self.answer_unlogged(request).await;
        self.counter.end(&bill, answer.status());
        self.logger.end(begun, &mut answer).await;
        answer
    }

    async fn answer_unlogged<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let method = request.method().clone();
        let id = request.extensions().get::<RequestId>().copied();
        let page = match self.pages.asked(&request) {
            Some(asked) if asked.is_preflight() => {
                // Nobody signs a preflight.
                let answer = match self.rates.count(None, request.extensions()) {
                    Ok(()) => self.pages.preflight(&asked).await,
                    Err(slow_down) => Err(slow_down),
                };
                return finish(answer.unwrap_or_else(write), &method, id);
            }
            Some(asked) => self.pages.page(&asked).await,
            None => None,
        };
        let request = request.map(Body::http_body_unsync);
        if let Some(name) = said_twice(request.headers()) {
            let message = format!("The header {name} may be there once.");
            let refusal = error::refuse(S3ErrorCode::InvalidRequest, message);
            return finish(write(refusal), &method, id);
        }
        let answer = match self.forms.bucket_of(&request) {
            Some(bucket) => self.forms.answer(bucket, request).await,
            None => self.ask(request).await,
        };
        let mut answer = finish(answer.unwrap_or_else(write), &method, id);
        if let Some(page) = page {
            page.show(answer.headers_mut());
        }
        answer
    }

    async fn ask(&self, request: Request<Body>) -> S3Result<Response<Body>> {
        let request = self.prepare(request).await?;
        self.library.call(request).await.map_err(|error| {
            tracing::error!(%error, "no answer could be written");
            S3Error::new(S3ErrorCode::InternalError)
        })
    }

    async fn prepare(&self, request: Request<Body>) -> S3Result<Request<Body>> {
        let Some(need) = need_of(&request) else { return Ok(request) };
        let signed = is_signed(&request);
        let places = if signed { &self.holding } else { &self.holding_unsigned };
        let _place = places.try_acquire().map_err(|_| S3Error::new(S3ErrorCode::SlowDown))?;
        let (parts, stream) = request.into_parts();
        let bytes = read_whole(stream, need).await?;
        if need == Need::Digests {
            let values = checksum_headers(&parts.headers);
            Claims::read(&parts.headers, values, None)?.check(&bytes)?;
        }
        Ok(Request::from_parts(parts, Body::from(bytes)))
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        async move { Ok(this.answer(request).await) }.boxed()
    }
}

/// Why a body must be known whole before the library sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    /// Its length is not said.
    Length,
    /// The library keeps only what it parsed of it, and the client's digests are of the bytes.
    Digests,
}

fn need_of(request: &Request<Body>) -> Option<Need> {
    let headers = request.headers();
    let chunked = headers
        .get("x-amz-content-sha256")
        .is_some_and(|hash| hash.as_bytes().starts_with(b"STREAMING-"));
    let carries = request.method() == Method::PUT || request.method() == Method::POST;
    // An `aws-chunked` body says its length in a header of its own and is checked chunk by chunk.
    if chunked || !carries {
        return None;
    }
    let delete = |query: &str| query.split('&').any(|pair| pair == "delete" || pair == "delete=");
    if request.method() == Method::POST && request.uri().query().is_some_and(delete) {
        return Some(Need::Digests);
    }
    let exact = http_body::Body::size_hint(request.body()).exact();
    let unmeasured = exact.is_none() && !headers.contains_key(header::CONTENT_LENGTH);
    // Strangers have to say how much they bring: the operation refuses what nobody measured.
    (unmeasured && is_signed(request)).then_some(Need::Length)
}

/// A header that comes twice and must not: one value would be checked, and the other used.
fn said_twice(headers: &HeaderMap) -> Option<&str> {
    // Almost always no header comes twice.
    if headers.len() == headers.keys_len() {
        return None;
    }
    let twice = |name: &&::http::HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    headers
        .keys()
        .filter(|name| is_single(name.as_str()))
        .find(twice)
        .map(::http::HeaderName::as_str)
}

/// Whether a header has one value; others are lists, or nobody's business.
fn is_single(name: &str) -> bool {
    const LISTS: [&str; 2] = ["x-amz-trailer", "x-amz-object-attributes"];
    match name.strip_prefix("x-amz-") {
        Some(rest) => !rest.starts_with("meta-") && !LISTS.contains(&name),
        None => matches!(
            name,
            "authorization"
                | "content-length"
                | "content-md5"
                | "content-type"
                | "date"
                | "host"
                | "range"
        ),
    }
}

fn is_signed(request: &Request<Body>) -> bool {
    let presigned = |query: &str| query.contains("X-Amz-Signature=");
    request.headers().contains_key(header::AUTHORIZATION)
        || request.uri().query().is_some_and(presigned)
}

async fn read_whole(stream: Body, need: Need) -> S3Result<Bytes> {
    let (limit, too_long) = match need {
        Need::Length => (UNMEASURED_MAX, S3ErrorCode::MissingContentLength),
        Need::Digests => (XML_MAX, S3ErrorCode::MaxMessageLengthExceeded),
    };
    let read = Limited::new(stream, limit).collect().await;
    read.map(|whole| whole.to_bytes()).map_err(|error: StdError| {
        if body::find::<LengthLimitError>(&*error).is_some() {
            return S3Error::new(too_long);
        }
        match body::find::<BodyFault>(&*error) {
            Some(BodyFault::Slow(_)) => S3Error::new(S3ErrorCode::RequestTimeout),
            Some(BodyFault::Broken(_)) | None => S3Error::new(S3ErrorCode::IncompleteBody),
        }
    })
}

fn checksum_headers(headers: &HeaderMap) -> Vec<(metadata::records::ChecksumAlgorithm, String)> {
    let named = |(name, value): (&::http::HeaderName, &::http::HeaderValue)| {
        Some((super::checksum::parse_header_name(name.as_str())?, value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(named).collect()
}

/// A refusal of this layer, in the library's words.
fn write(refusal: S3Error) -> Response<Body> {
    refusal.to_http_response().unwrap_or_else(|error| {
        tracing::error!(%error, "an error could not be written");
        let mut bare = Response::new(Body::empty());
        *bare.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        bare
    })
}

fn finish(mut answer: Response<Body>, method: &Method, id: Option<RequestId>) -> Response<Body> {
    if let Some(Status(status)) = answer.extensions().get().copied() {
        *answer.status_mut() = status;
    }
    // The library answers HEAD of a range with 200; a GET it answers rightly.
    if method == Method::HEAD
        && answer.status() == StatusCode::OK
        && answer.headers().contains_key(header::CONTENT_RANGE)
    {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    if answer.status().is_client_error() || answer.status().is_server_error() {
        sign_error(&mut answer, id);
    }
    if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

/// Writes the request's id into an error, where clients and support look for it.
fn sign_error(answer: &mut Response<Body>, id: Option<RequestId>) {
    const END: &str = "</Error>";
    let Some(bytes) = answer.body().bytes() else { return };
    let Some(text) = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix(END))
    else {
        return;
    };
    if text.contains(&format!("<Code>{EXPIRY_OUT_OF_RANGE}</Code>")) {
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
    let Some(id) = id else { return };
    *answer.body_mut() = Body::from(format!("{text}<RequestId>{id}</RequestId>{END}"));
    // Of the shorter body; the server counts anew.
    answer.headers_mut().remove(header::CONTENT_LENGTH);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(
        method: Method,
        uri: &str,
        headers: &[(&'static str, &'static str)],
        body: Body,
    ) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).expect("a request")
    }

    fn unmeasured() -> Body {
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"bar"))]);
        s3s::dto::StreamingBlob::wrap(pieces).into()
    }

    #[test]
    fn only_bodies_that_need_it_are_held_in_memory() {
        let put = |headers: &[_], body| need_of(&request(Method::PUT, "/b/k", headers, body));
        let signed = ("authorization", "AWS4-HMAC-SHA256 x");
        assert_eq!(put(&[signed], unmeasured()), Some(Need::Length));
        assert_eq!(put(&[], unmeasured()), None, "unsigned");
        assert_eq!(put(&[signed, ("content-length", "3")], unmeasured()), None);
        assert_eq!(put(&[signed], Body::from(Bytes::from_static(b"bar"))), None);
        let hash = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        assert_eq!(put(&[signed, hash], unmeasured()), None);
        let delete = request(Method::POST, "/b?delete", &[signed], Body::empty());
        assert_eq!(need_of(&delete), Some(Need::Digests));
        let create = request(Method::POST, "/b/k?uploads", &[signed], Body::empty());
        assert_eq!(need_of(&create), None);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_read_up_to_a_limit() {
        assert_eq!(read_whole(unmeasured(), Need::Length).await.expect("read"), "bar");
        let long = Body::from(vec![0; UNMEASURED_MAX + 1]);
        let refused = read_whole(long, Need::Length).await.expect_err("too long");
        assert_eq!(*refused.code(), S3ErrorCode::MissingContentLength);
    }

    #[tokio::test]
    async fn an_error_carries_the_requests_id() {
        let id = RequestId::new();
        let answer = finish(write(S3Error::new(S3ErrorCode::NoSuchKey)), &Method::GET, Some(id));
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let text = answer.into_body().collect().await.expect("a body").to_bytes();
        let text = std::str::from_utf8(&text).expect("UTF-8");
        assert!(text.ends_with(&format!("<RequestId>{id}</RequestId></Error>")), "{text}");
    }

    #[test]
    fn an_expiry_out_of_range_is_forbidden() {
        let refusal = error::refuse(S3ErrorCode::AuthorizationQueryParametersError, "no");
        assert_eq!(finish(write(refusal), &Method::GET, None).status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn a_header_that_decides_something_is_said_once() {
        let twice = |name: &'static str| {
            let mut headers = HeaderMap::new();
            for value in ["a", "b"] {
                headers.append(name, value.parse().expect("a value"));
            }
            said_twice(&headers).is_some()
        };
        for name in ["x-amz-acl", "x-amz-copy-source", "authorization", "host", "content-md5"] {
            assert!(twice(name), "{name}");
        }
        for name in ["accept", "via", "x-amz-meta-a", "x-amz-trailer", "content-encoding"] {
            assert!(!twice(name), "{name}");
        }
    }

    #[test]
    fn an_operation_can_say_its_status() {
        let mut answer = Response::new(Body::empty());
        answer.extensions_mut().insert(Status(StatusCode::ACCEPTED));
        assert_eq!(finish(answer, &Method::POST, None).status(), StatusCode::ACCEPTED);
    }

    #[test]
    fn a_head_of_a_range_is_partial_content() {
        let mut answer = Response::new(Body::empty());
        answer.headers_mut().insert(header::CONTENT_RANGE, "bytes 0-0/1".parse().expect("a value"));
        assert_eq!(finish(answer, &Method::HEAD, None).status(), StatusCode::PARTIAL_CONTENT);
    }
}
