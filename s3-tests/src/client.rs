//! A small S3 client that shows its hand: every header, signature and byte of a request can be chosen, or spoilt.
//!
//! Real clients are in `tests/it/clients.rs`; this one is for saying precisely what is sent and seeing precisely what comes back.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use time::OffsetDateTime;

use crate::bytes::{Content, Mismatch};
use crate::sigv4::{self, Covered, Signer};
use crate::xml;

/// Bytes per piece of a streamed body.
const PIECE: u64 = 128 << 10;

/// A request's body.
pub type Body = BoxBody<Bytes, io::Error>;

/// Why there is no answer, or not the one that was due.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer's head came.
    #[error("no answer: {0:?}")]
    NoAnswer(#[from] legacy::Error),
    /// The answer's body broke off.
    #[error("the answer's body broke off after {after} bytes: {source}")]
    BrokenBody {
        /// Bytes that came.
        after: u64,
        /// Why no more.
        source: hyper::Error,
    },
    /// The answer's bytes are wrong.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The answer is an error.
    #[error("{status} {body}")]
    Status {
        /// Its status.
        status: StatusCode,
        /// Its body.
        body: String,
    },
}

/// A customer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Body>,
    authority: String,
    host: String,
    signer: Signer,
}

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
    spoil: Option<Box<dyn FnOnce(&mut http::Request<Body>) + Send>>,
    spoil_bytes: Option<Box<dyn FnOnce(&mut Vec<u8>) + Send>>,
}

impl Client {
    /// For this endpoint and these keys.
    #[must_use]
    pub fn new(endpoint: SocketAddr, access: &str, secret: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let signer = Signer {
            access: access.into(),
            secret: secret.into(),
            region: "us-east-1".into(),
            service: "s3",
        };
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { http, authority: endpoint.to_string(), host: endpoint.to_string(), signer }
    }

    /// The same endpoint with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: &str) -> Self {
        let mut other = self.clone();
        other.signer.secret = secret.into();
        other
    }

    /// The same endpoint with another access key.
    #[must_use]
    pub fn with_access(&self, access: &str) -> Self {
        let mut other = self.clone();
        other.signer.access = access.into();
        other
    }

    /// The same keys for another service, such as the admin API.
    #[must_use]
    pub fn for_service(&self, endpoint: SocketAddr, service: &'static str) -> Self {
        let mut other = self.clone();
        other.authority = endpoint.to_string();
        other.host = endpoint.to_string();
        other.signer.service = service;
        other
    }

    /// The same endpoint under another name.
    #[must_use]
    pub fn with_host(&self, host: &str) -> Self {
        let mut other = self.clone();
        other.host = host.into();
        other
    }

    /// `host:port`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// A request for `/bucket/key`, which is not encoded yet.
    #[must_use]
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request {
            client: self.clone(),
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

    /// GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// PUT.
    #[must_use]
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// HEAD.
    #[must_use]
    pub fn head(&self, path: &str) -> Request {
        self.request(Method::HEAD, path)
    }

    /// POST.
    #[must_use]
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// DELETE.
    #[must_use]
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }

    /// Makes a bucket.
    pub async fn make_bucket(&self, name: &str) {
        self.put(&format!("/{name}")).send().await.expect_status(200).await;
    }

    /// Puts a content and gives its ETag.
    ///
    /// # Errors
    /// If it is not acknowledged.
    pub async fn put_content(&self, path: &str, content: Content) -> Result<String, ClientError> {
        let answer = self.put(path).content(content).try_send().await?.ok().await?;
        Ok(answer.header("etag").unwrap_or_default().to_owned())
    }

    /// Gets an object and checks every byte.
    ///
    /// # Errors
    /// If it cannot be read whole, or is not this content.
    pub async fn check_content(&self, path: &str, content: Content) -> Result<(), ClientError> {
        self.get(path).try_send().await?.ok().await?.check(content, 0..content.len).await
    }

    /// Gets a range of an object and checks every byte.
    ///
    /// # Errors
    /// If it cannot be read whole, or is not of this content.
    pub async fn check_range(
        &self,
        path: &str,
        content: Content,
        range: Range<u64>,
    ) -> Result<(), ClientError> {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let answer = self.get(path).header("range", &header).try_send().await?.ok().await?;
        assert_eq!(answer.status, 206, "a range must be answered as one");
        answer.check(content, range).await
    }

    /// Begins a multipart upload and gives its id.
    pub async fn create_upload(&self, path: &str) -> String {
        let answer = self.post(path).query("uploads", "").send().await.expect_status(200).await;
        xml::text(&answer.text, "UploadId").expect("an upload id")
    }

    /// Uploads a part and gives its ETag.
    pub async fn upload_part(
        &self,
        path: &str,
        upload: &str,
        number: u32,
        content: Content,
    ) -> String {
        let request =
            self.put(path).query("partNumber", &number.to_string()).query("uploadId", upload);
        let answer = request.content(content).send().await.expect_status(200).await;
        answer.header("etag").expect("an etag").to_owned()
    }

    /// Completes a multipart upload from its parts' numbers and ETags; the answer may be an error.
    pub async fn complete_upload(
        &self,
        path: &str,
        upload: &str,
        parts: &[(u32, String)],
    ) -> Answer {
        self.complete_request(path, upload, parts).send().await.read().await
    }

    /// The request that [`Self::complete_upload`] sends.
    #[must_use]
    pub fn complete_request(&self, path: &str, upload: &str, parts: &[(u32, String)]) -> Request {
        let parts: String = parts
            .iter()
            .map(|(number, etag)| {
                format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>",
                    xml::escape(etag)
                )
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        self.post(path).query("uploadId", upload).body(body)
    }

    /// All keys of a bucket, in the order in which it lists them.
    pub async fn keys(&self, bucket: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut request = self.get(&format!("/{bucket}")).query("list-type", "2");
            if let Some(token) = &token {
                request = request.query("continuation-token", token);
            }
            let page = request.send().await.expect_status(200).await;
            keys.extend(xml::texts(&page.text, "Key"));
            token = xml::text(&page.text, "NextContinuationToken");
            if token.is_none() {
                return keys;
            }
        }
    }
}

impl Request {
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
        Ok(Response { what, status: parts.status.as_u16(), headers: parts.headers, body })
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

/// The head of an answer; its body is still to come.
#[derive(Debug)]
pub struct Response {
    what: String,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Bytes,
    /// Its body as text.
    pub text: String,
}

impl Response {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, piece by piece.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes, hyper::Error>> {
        BodyStream::new(self.body).try_filter_map(|frame| async { Ok(frame.into_data().ok()) })
    }

    /// This response, if it is no error.
    ///
    /// # Errors
    /// With the error's body, if it is one.
    pub async fn ok(self) -> Result<Self, ClientError> {
        if self.status < 300 {
            return Ok(self);
        }
        let status = StatusCode::from_u16(self.status).expect("it came as a status");
        Err(ClientError::Status { status, body: self.read().await.text })
    }

    /// Reads the body and checks that it is this range of this content.
    ///
    /// # Errors
    /// If it breaks off or is another.
    pub async fn check(self, content: Content, range: Range<u64>) -> Result<(), ClientError> {
        let mut checker = content.checker(range);
        let mut pieces = std::pin::pin!(self.pieces());
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|source| ClientError::BrokenBody { after: checker.seen(), source })?;
            checker.feed(&piece)?;
        }
        checker.finish()?;
        Ok(())
    }

    /// Reads the whole body.
    ///
    /// # Panics
    /// If it breaks off.
    pub async fn read(self) -> Answer {
        let what = self.what;
        let bytes = match self.body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => panic!("{what}: the answer's body broke off: {error}"),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: self.status, headers: self.headers, bytes, text }
    }

    /// Reads the whole body of an answer that must have this status.
    ///
    /// # Panics
    /// If it has another.
    pub async fn expect_status(self, status: u16) -> Answer {
        let what = self.what.clone();
        let answer = self.read().await;
        assert_eq!(answer.status, status, "{what}: {} {:?}", answer.text, answer.headers);
        answer
    }

    /// Reads an answer that must be this S3 error.
    ///
    /// # Panics
    /// If it is not.
    pub async fn expect_error(self, status: u16, code: &str) -> Answer {
        let what = self.what.clone();
        let answer = self.read().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{what}: {}",
            answer.text
        );
        answer
    }
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The S3 error's code, or nothing.
    #[must_use]
    pub fn code(&self) -> String {
        xml::text(&self.text, "Code").unwrap_or_default()
    }

    /// The text of an element of the body.
    #[must_use]
    pub fn xml(&self, name: &str) -> Option<String> {
        xml::text(&self.text, name)
    }

    /// The texts of all elements of that name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        xml::texts(&self.text, name)
    }
}
