//! A request in the making: what is sent, how it is signed, and how it is spoilt after that.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use time::OffsetDateTime;

use super::{Body, Client, ClientError, Response};
use crate::bytes::Content;
use crate::sigv4::{self, Covered};

/// Bytes per piece of a streamed body.
const PIECE: u64 = 128 << 10;

/// Changes what was signed.
type Spoil<T> = Box<dyn FnOnce(&mut T) + Send>;

/// How a request's body is covered by its signature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// The body's SHA-256.
    Signed,
    /// aws-chunked, each chunk signed; chunks of so many bytes.
    Chunks(usize),
    /// aws-chunked, each chunk and the trailer signed.
    ChunksTrailer(usize, &'static str, String),
    /// aws-chunked with a trailer, nothing of it signed: what today's SDKs send.
    UnsignedTrailer(usize, &'static str, String),
}

enum Auth {
    Header,
    Query(u64),
    Anonymous,
}

/// A request in the making.
pub struct Request {
    client: Client,
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<Body>,
    bytes: Bytes,
    payload: Payload,
    auth: Auth,
    now: OffsetDateTime,
    spoil: Option<Spoil<http::Request<Body>>>,
    spoil_bytes: Option<Spoil<Vec<u8>>>,
}

impl Request {
    pub(super) fn new(client: Client, method: Method, path: &str) -> Self {
        Self {
            client,
            method,
            path: path.to_owned(),
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            bytes: Bytes::new(),
            payload: Payload::Unsigned,
            auth: Auth::Header,
            now: OffsetDateTime::now_utc(),
            spoil: None,
            spoil_bytes: None,
        }
    }

    /// Adds to the query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a header, which the signature will cover.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header's name");
        self.headers
            .append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"));
        self
    }

    /// The body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.bytes = bytes.into();
        self
    }

    /// The body, made while it is sent; its payload stays unsigned.
    #[must_use]
    pub fn content(self, content: Content) -> Self {
        self.stream(content.len, content.pieces(PIECE).map(Ok))
    }

    /// The body as it comes, said to be `len` bytes long; its payload stays unsigned.
    #[must_use]
    pub fn stream(
        mut self,
        len: u64,
        body: impl Stream<Item = io::Result<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        self.headers.insert(CONTENT_LENGTH, len.into());
        self.body = Some(BodyExt::boxed(StreamBody::new(body.map_ok(Frame::data))));
        self
    }

    /// How the body is covered by the signature.
    #[must_use]
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// Signs in the query, valid for so many seconds.
    #[must_use]
    pub fn presigned(mut self, seconds: u64) -> Self {
        self.auth = Auth::Query(seconds);
        self
    }

    /// Does not sign at all.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.auth = Auth::Anonymous;
        self
    }

    /// Signs as if the clock showed so much less.
    #[must_use]
    pub fn earlier(mut self, by: Duration) -> Self {
        self.now -= by;
        self
    }

    /// Changes the request after it was signed.
    #[must_use]
    pub fn spoilt(mut self, spoil: impl FnOnce(&mut http::Request<Body>) + Send + 'static) -> Self {
        self.spoil = Some(Box::new(spoil));
        self
    }

    /// Changes the body, framing and all, after it was signed.
    #[must_use]
    pub fn spoilt_bytes(mut self, spoil: impl FnOnce(&mut Vec<u8>) + Send + 'static) -> Self {
        self.spoil_bytes = Some(Box::new(spoil));
        self
    }

    /// Sends it, and insists on an answer.
    ///
    /// # Panics
    /// If none comes.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.path);
        match self.try_send().await {
            Ok(response) => response,
            Err(error) => panic!("{what}: {error}"),
        }
    }

    /// Sends it.
    ///
    /// # Errors
    /// If no answer comes.
    pub async fn try_send(self) -> Result<Response, ClientError> {
        let what = format!("{} {}", self.method, self.path);
        let http = self.client.http.clone();
        let response = http.request(self.signed()).await?;
        let (parts, body) = response.into_parts();
        Ok(Response::new(what, &parts, body))
    }

    /// The signed head of a request without a body, as text for a bare socket.
    #[must_use]
    pub fn into_raw(self) -> String {
        let request = self.signed();
        let target = request.uri().path_and_query().expect("a request has a path").clone();
        let mut raw = format!("{} {target} HTTP/1.1\r\n", request.method());
        for (name, value) in request.headers() {
            raw.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
        raw + "\r\n"
    }

    fn signed(mut self) -> http::Request<Body> {
        let path = sigv4::encode(&self.path, true);
        self.headers.insert(HOST, HeaderValue::from_str(&self.client.host).expect("a host"));
        let hash = self.prepare_payload();
        let covered = Covered { method: &self.method, path: &path, query: &self.query };
        let signer = &self.client.signer;
        let mut query = self.query.clone();
        match self.auth {
            Auth::Header => {
                let seed = signer.sign(covered, &mut self.headers, &hash, self.now);
                match &self.payload {
                    Payload::Chunks(size) => {
                        self.bytes = seed.chunked(&self.bytes, *size, None).into()
                    }
                    Payload::ChunksTrailer(size, name, value) => {
                        self.bytes = seed.chunked(&self.bytes, *size, Some((name, value))).into();
                    }
                    _ => {}
                }
            }
            Auth::Query(seconds) => {
                query = signer.presign(covered, &self.headers, self.now, seconds)
            }
            Auth::Anonymous => {}
        }
        if let Some(spoil) = self.spoil_bytes {
            let mut bytes = self.bytes.to_vec();
            spoil(&mut bytes);
            self.bytes = bytes.into();
        }
        let query = sigv4::canonical_query(&query);
        let mark = if query.is_empty() { "" } else { "?" };
        let body = self
            .body
            .unwrap_or_else(|| Full::new(self.bytes).map_err(|never| match never {}).boxed());
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() =
            format!("http://{}{path}{mark}{query}", self.client.authority).parse().expect("a URI");
        *request.headers_mut() = self.headers;
        if let Some(spoil) = self.spoil {
            spoil(&mut request);
        }
        request
    }

    /// Sets the headers of a chunked payload and gives the payload hash to sign.
    fn prepare_payload(&mut self) -> String {
        let (hash, trailer) = match &self.payload {
            Payload::Unsigned => return sigv4::UNSIGNED_PAYLOAD.to_owned(),
            Payload::Signed => return sigv4::sha256_hex(&self.bytes),
            Payload::Chunks(_) => (sigv4::STREAMING, None),
            Payload::ChunksTrailer(_, name, _) => (sigv4::STREAMING_TRAILER, Some(*name)),
            Payload::UnsignedTrailer(_, name, _) => {
                (sigv4::STREAMING_UNSIGNED_TRAILER, Some(*name))
            }
        };
        if !self.headers.contains_key("x-amz-decoded-content-length") {
            self.headers.insert("x-amz-decoded-content-length", self.bytes.len().into());
        }
        self.headers.append(CONTENT_ENCODING, HeaderValue::from_static("aws-chunked"));
        if let Some(name) = trailer {
            self.headers.insert("x-amz-trailer", HeaderValue::from_static(name));
        }
        if let Payload::UnsignedTrailer(size, name, value) = &self.payload {
            self.bytes = sigv4::unsigned_chunks(&self.bytes, *size, (name, value)).into();
        }
        hash.to_owned()
    }
}
