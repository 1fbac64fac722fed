//! A small S3 client that shows its hand: every header, signature and byte of a request can be chosen, or spoilt.
//!
//! Real clients are in `tests/it/clients.rs`; this one is for saying precisely what is sent and seeing precisely what comes back.

mod request;
mod response;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::combinators::BoxBody;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::bytes::{Content, Mismatch};
use crate::sigv4::Signer;
use crate::xml;

pub use request::{Payload, Request};
pub use response::{Answer, Response};

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
        Request::new(self.clone(), method, path)
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
