//! Cross-origin requests: the preflight, which the library does not know, and the headers of every other answer to a page.
//!
//! A browser sends a preflight without a signature, so it says nothing about whether the bucket's owner would allow the request itself; and the
//! headers stand on refusals too, or the page could not see why it was refused.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use metadata::Catalog;
use s3s::{Body, S3Error, S3Result};
use types::BucketName;

use super::{address, error};
use crate::configs::Configs;
use crate::rules::cors::{Allowed, Cors, Question};

/// The layer. Cheap to clone.
#[derive(Clone)]
pub(super) struct CrossOrigin {
    catalog: Catalog,
    configs: Configs,
    domain: Option<Arc<str>>,
}

/// What of a request matters here, free of its body.
pub(super) struct Asked {
    bucket: Option<BucketName>,
    method: Method,
    headers: HeaderMap,
}

/// A page's request: its origin, and the bucket's rules if there are any.
pub(super) struct Page {
    origin: String,
    method: String,
    rules: Option<Arc<Cors>>,
}

impl CrossOrigin {
    pub(super) fn new(catalog: Catalog, configs: Configs, domain: Option<&str>) -> Self {
        Self { catalog, configs, domain: domain.map(Arc::from) }
    }

    /// What a request asks that is a preflight or comes from a page; `None` of any other.
    pub(super) fn asked<B>(&self, request: &Request<B>) -> Option<Asked> {
        let headers = request.headers();
        let crosses = request.method() == Method::OPTIONS || headers.contains_key(header::ORIGIN);
        crosses.then(|| Asked {
            bucket: address::bucket_of(request, self.domain.as_deref()),
            method: request.method().clone(),
            headers: headers.clone(),
        })
    }

    /// Answers a preflight.
    pub(super) async fn preflight(&self, asked: &Asked) -> S3Result<Response<Body>> {
        let headers = &asked.headers;
        let bad = |message| error::custom("BadRequest", StatusCode::BAD_REQUEST, message);
        let origin = text(headers, &header::ORIGIN)
            .ok_or_else(|| bad("Insufficient information. Origin request header needed."))?;
        let method = text(headers, &header::ACCESS_CONTROL_REQUEST_METHOD)
            .ok_or_else(|| bad("Invalid Access-Control-Request-Method: null"))?;
        let rules = self
            .rules(asked)
            .await?
            .ok_or_else(|| forbidden("CORSResponse: CORS is not enabled for this bucket."))?;
        let wanted = text(headers, &header::ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default();
        let wanted: Vec<&str> =
            wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let allowed = rules.allow(Question { origin, method, headers: &wanted });
        let allowed = allowed.ok_or_else(|| {
            forbidden(
                "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method / \
                 Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec.",
            )
        })?;
        let mut answer = Response::new(Body::empty());
        let headers = answer.headers_mut();
        permit(headers, origin, allowed);
        if !wanted.is_empty() {
            let list = wanted.join(", ").to_ascii_lowercase();
            set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, &list);
        }
        Ok(answer)
    }

    /// What is needed to let the page see the answer.
    pub(super) async fn page(&self, asked: &Asked) -> Option<Page> {
        let origin = text(&asked.headers, &header::ORIGIN)?.to_owned();
        // Some clients name the method here even when it is no preflight, and AWS believes them.
        let named = text(&asked.headers, &header::ACCESS_CONTROL_REQUEST_METHOD);
        let method = named.unwrap_or(asked.method.as_str()).to_owned();
        // Whatever is wrong with the bucket, the answer itself says so.
        let rules = self.rules(asked).await.ok().flatten();
        Some(Page { origin, method, rules })
    }

    /// The rules of the bucket that a request names.
    async fn rules(&self, asked: &Asked) -> S3Result<Option<Arc<Cors>>> {
        let Some(name) = &asked.bucket else { return Ok(None) };
        let found = async {
            let bucket = self.catalog.bucket(name).await?;
            self.configs.get(bucket.id).await
        };
        found.await.map_err(error::catalog)
    }
}

impl Page {
    /// Lets the page see the answer, if the rules do.
    pub(super) fn show(&self, headers: &mut HeaderMap) {
        let Some(rules) = &self.rules else { return };
        let question = Question { origin: &self.origin, method: &self.method, headers: &[] };
        match rules.allow(question) {
            Some(allowed) => permit(headers, &self.origin, allowed),
            None => vary(headers),
        }
    }
}

impl Asked {
    /// Whether it is a preflight; S3 knows no other use of the method.
    pub(super) fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
    }
}

fn permit(headers: &mut HeaderMap, origin: &str, allowed: Allowed<'_>) {
    let rule = allowed.rule;
    let shown = if allowed.anybody { "*" } else { origin };
    set(headers, header::ACCESS_CONTROL_ALLOW_ORIGIN, shown);
    set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, &rule.methods.join(", "));
    if !rule.exposed.is_empty() {
        set(headers, header::ACCESS_CONTROL_EXPOSE_HEADERS, &rule.exposed.join(", "));
    }
    if let Some(seconds) = rule.max_age {
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds.into());
    }
    if !allowed.anybody {
        set(headers, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    }
    vary(headers);
}

/// What the answer depends on: caches must not show one page's to another.
fn vary(headers: &mut HeaderMap) {
    const ON: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";
    headers.append(header::VARY, HeaderValue::from_static(ON));
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => drop(headers.insert(name, value)),
        Err(error) => tracing::debug!(%name, %error, "a rule's text is no header's value"),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn forbidden(message: &'static str) -> S3Error {
    error::custom("AccessForbidden", StatusCode::FORBIDDEN, message)
}
