//! The website door: buckets that are websites, for browsers.
//!
//! A visitor's request becomes a plain, unsigned GET or HEAD of the S3 surface, so a page is shown only if anybody may read it, and conditions
//! and ranges work as they do there. What the bucket's website rules say is done around that: folders mean their index, some paths lead
//! elsewhere, and an error is shown as a page.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{self, HeaderName};
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use metadata::{Catalog, CatalogError};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use types::BucketName;

use crate::configs::Configs;
use crate::http::Peer;
use crate::rules::website::{Elsewhere, Visit, Website};
use crate::s3::{ResponseBody, Service};

/// What of a visitor's headers the S3 surface is told.
const PASSED: [HeaderName; 8] = [
    header::RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::ORIGIN,
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::ACCESS_CONTROL_REQUEST_HEADERS,
];
/// An object that is a redirection names its target here.
const REDIRECT: HeaderName = HeaderName::from_static("x-amz-website-redirect-location");

/// The door's service. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    s3: Service,
    catalog: Catalog,
    configs: Configs,
    domain: Option<Arc<str>>,
}

/// A request on its way.
struct Visitor {
    method: Method,
    headers: HeaderMap,
    /// What the door noted of the connection and the request.
    extensions: Extensions,
    bucket: BucketName,
    host: String,
    key: String,
}

impl Site {
    /// Buckets are named by hosts below `domain`; any other host is a bucket's name itself.
    #[must_use]
    pub fn new(s3: Service, catalog: Catalog, configs: Configs, domain: Option<&str>) -> Self {
        Self { s3, catalog, configs, domain: domain.map(Arc::from) }
    }

    async fn answer<B>(&self, request: Request<B>) -> Response<ResponseBody> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = page(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            );
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let Some(visitor) = self.visitor(&request) else {
            return page(
                StatusCode::NOT_FOUND,
                "NoSuchBucket",
                "The specified bucket does not exist",
            );
        };
        match self.website(&visitor.bucket).await {
            Ok(Some(website)) => self.show(&visitor, &website).await,
            Ok(None) => page(
                StatusCode::NOT_FOUND,
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
            ),
            Err(CatalogError::NoSuchBucket(_)) => {
                page(StatusCode::NOT_FOUND, "NoSuchBucket", "The specified bucket does not exist")
            }
            Err(error) => {
                tracing::error!(%error, "a website cannot be looked up");
                page(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "InternalError",
                    "We encountered an internal error. Please try again.",
                )
            }
        }
    }

    fn visitor<B>(&self, request: &Request<B>) -> Option<Visitor> {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let below = self
            .domain
            .as_deref()
            .and_then(|domain| Some(name.strip_suffix(domain)?.strip_suffix('.')?.to_owned()));
        let path = request.uri().path();
        let key = percent_decode_str(path.strip_prefix('/').unwrap_or(path)).decode_utf8().ok()?;
        Some(Visitor {
            method: request.method().clone(),
            headers: request.headers().clone(),
            extensions: request.extensions().clone(),
            bucket: below.unwrap_or(name).parse().ok()?,
            host: host.to_owned(),
            key: key.into_owned(),
        })
    }

    async fn website(&self, bucket: &BucketName) -> Result<Option<Arc<Website>>, CatalogError> {
        let bucket = self.catalog.bucket(bucket).await?;
        self.configs.get::<Website>(bucket.id).await
    }

    async fn show(&self, visitor: &Visitor, website: &Website) -> Response<ResponseBody> {
        if let Some(to) = website.before(visitor.visit()) {
            return send(&to);
        }
        let Some(key) = website.page(&visitor.key) else {
            return page(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist.");
        };
        let answer = self.fetch(visitor, &key, &visitor.method).await;
        let status = answer.status();
        if !status.is_client_error() && !status.is_server_error() {
            return shown(answer);
        }
        if status == StatusCode::NOT_FOUND
            && let Some(index) = website.folder(&visitor.key)
            && self.fetch(visitor, &index, &Method::HEAD).await.status().is_success()
        {
            let path = utf8_percent_encode(&visitor.key, NON_ALPHANUMERIC).to_string();
            let path = path.replace("%2F", "/");
            return send(&Elsewhere { status: 302, location: format!("/{path}/") });
        }
        if let Some(to) = website.instead_of(status.as_u16(), visitor.visit()) {
            return send(&to);
        }
        self.error(visitor, website, status).await
    }

    /// The website's own page for an error, or else a plain one.
    async fn error(
        &self,
        visitor: &Visitor,
        website: &Website,
        status: StatusCode,
    ) -> Response<ResponseBody> {
        if let Some(key) = website.error_page().filter(|_| status.is_client_error()) {
            let plain = visitor.without_wishes();
            let mut own = self.fetch(&plain, key, &visitor.method).await;
            if own.status().is_success() {
                *own.status_mut() = status;
                return own;
            }
        }
        match status {
            StatusCode::NOT_FOUND => page(status, "NoSuchKey", "The specified key does not exist."),
            StatusCode::FORBIDDEN => page(status, "AccessDenied", "Access Denied"),
            status => page(status, status.canonical_reason().unwrap_or("Error"), ""),
        }
    }

    /// An object, asked for as anybody may.
    async fn fetch(&self, visitor: &Visitor, key: &str, method: &Method) -> Response<ResponseBody> {
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%2F", "/");
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method.clone();
        match format!("/{}/{key}", visitor.bucket).parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(_) => {
                return page(
                    StatusCode::BAD_REQUEST,
                    "InvalidURI",
                    "Couldn't parse the specified URI.",
                );
            }
        }
        let headers = request.headers_mut();
        // Any host but one below the S3 domain is path style.
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        for name in PASSED {
            if let Some(value) = visitor.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        *request.extensions_mut() = visitor.extensions.clone();
        self.s3.answer(request).await
    }
}

impl Visitor {
    fn visit(&self) -> Visit<'_> {
        let encrypted = self.extensions.get::<Peer>().is_some_and(|peer| peer.tls);
        Visit {
            protocol: if encrypted { "https" } else { "http" },
            host: &self.host,
            key: &self.key,
        }
    }

    /// The same visitor without conditions and ranges: they were about the page that is not there.
    fn without_wishes(&self) -> Self {
        Self {
            method: self.method.clone(),
            headers: HeaderMap::new(),
            extensions: self.extensions.clone(),
            bucket: self.bucket.clone(),
            host: self.host.clone(),
            key: self.key.clone(),
        }
    }
}

impl<B: Send + 'static> tower::Service<Request<B>> for Site {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        // The visitor's body is not read: there is nothing to do with one.
        let request = request.map(drop);
        async move { Ok(this.answer(request).await) }.boxed()
    }
}

/// An object as a page; one that is a redirection leads elsewhere.
fn shown(answer: Response<ResponseBody>) -> Response<ResponseBody> {
    match answer.headers().get(&REDIRECT).and_then(|to| to.to_str().ok()) {
        Some(to) => send(&Elsewhere { status: 301, location: to.to_owned() }),
        None => answer,
    }
}

fn send(to: &Elsewhere) -> Response<ResponseBody> {
    let mut answer = Response::new(ResponseBody::empty());
    *answer.status_mut() = StatusCode::from_u16(to.status).unwrap_or(StatusCode::FOUND);
    match HeaderValue::from_str(&to.location) {
        Ok(location) => drop(answer.headers_mut().insert(header::LOCATION, location)),
        Err(error) => tracing::debug!(%error, "a redirection is no header's value"),
    }
    answer
}

/// A plain page of ours. The words are ours too: nothing of a visitor's is in it.
fn page(status: StatusCode, code: &str, message: &str) -> Response<ResponseBody> {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let text = format!(
        "<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n<li>Code: {code}</li>\n<li>Message: {message}</li>\n\
         </ul>\n</body>\n</html>\n"
    );
    let mut answer = Response::new(ResponseBody::from(text));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
