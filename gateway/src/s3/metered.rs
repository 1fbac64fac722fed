//! What of a request is on whose bill: its class, who pays, and the bytes of objects that go out.
//!
//! | requests | class | as on AWS (<https://aws.amazon.com/s3/pricing/>) |
//! |---|---|---|
//! | PUT, COPY and POST of objects, parts and configurations | write | PUT, COPY, POST |
//! | listings of keys, versions, uploads and parts | list | LIST |
//! | GET and HEAD of everything else | read | GET and all others |
//! | DELETE, the POST that deletes several, OPTIONS | free | DELETE, CANCEL |
//!
//! The bucket's owner pays, or who asks where the bucket says so. Nobody pays for what is about no bucket (ListBuckets, CreateBucket, tokens), for
//! what failed here (5xx), and for what a stranger was denied: nobody can run up another's bill by knocking
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/ErrorCodeBilling.html>).

use std::sync::{Arc, OnceLock};

use ::http::{HeaderName, Method, Request, StatusCode, header};
use billing::account::Action;
use billing::{BillingError, Usage};
use futures::{StreamExt as _, TryStreamExt as _};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::usage::RequestClass;

use super::address;
use crate::get;
use crate::metering::{Metering, Payer};
use crate::standing::{Refused, Standings};

/// What a request is for those who pay, and who that is. In the extensions of every request.
#[derive(Clone)]
pub(super) struct Bill(Arc<Inner>);

struct Inner {
    /// None of a free one.
    class: Option<RequestClass>,
    action: Action,
    /// Bytes that it brings.
    brings: u64,
    /// Noted by the gate.
    charged: OnceLock<Charged>,
}

/// Who pays, and whether the request was a stranger's.
struct Charged {
    payer: Arc<Payer>,
    stranger: bool,
}

impl Bill {
    /// Notes who pays for the first bucket of a request (a copy's target, not its source), and asks whether they may.
    ///
    /// # Errors
    /// What freezes, caps, ceilings and tiers forbid.
    pub(super) async fn charge(
        &self,
        payer: Payer,
        stranger: bool,
        standings: &Standings,
    ) -> S3Result<()> {
        let payer = Arc::new(payer);
        if self.0.charged.set(Charged { payer: Arc::clone(&payer), stranger }).is_err() {
            return Ok(());
        }
        let mut usage = Usage::default();
        if let Some(class) = self.0.class {
            usage.requests[class as usize] = 1;
        }
        let admitted = standings.admit(&payer, self.0.action, usage, self.0.brings).await;
        admitted.map_err(refused)
    }

    /// Asks whether whoever pays may send so many bytes.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub(super) async fn egress(&self, bytes: u64, standings: &Standings) -> S3Result<()> {
        match self.payer() {
            Some(payer) => standings.admit_egress(payer, bytes).await.map_err(refused),
            None => Ok(()),
        }
    }

    /// Who pays, once the gate has said so.
    fn payer(&self) -> Option<&Arc<Payer>> {
        self.0.charged.get().map(|charged| &charged.payer)
    }
}

/// What somebody is told whose request is not paid for.
fn refused(why: Refused) -> S3Error {
    let message = why.to_string();
    let (code, status) = match why {
        Refused::TooMany(_) => (S3ErrorCode::SlowDown, StatusCode::SERVICE_UNAVAILABLE),
        Refused::Billing(BillingError::Frozen { .. }) => {
            (S3ErrorCode::AccountProblem, StatusCode::FORBIDDEN)
        }
        Refused::Billing(BillingError::SpendCap { .. }) => {
            (S3ErrorCode::Custom("SpendCapExceeded".into()), StatusCode::FORBIDDEN)
        }
        Refused::Billing(BillingError::TooDear { .. }) => {
            (S3ErrorCode::Custom("PriceCeilingExceeded".into()), StatusCode::FORBIDDEN)
        }
        Refused::Billing(BillingError::TierLimit { .. }) => {
            (S3ErrorCode::Custom("QuotaExceeded".into()), StatusCode::FORBIDDEN)
        }
        Refused::Billing(error) => {
            tracing::error!(%error, "the books do not say where an account stands");
            return S3Error::new(S3ErrorCode::InternalError);
        }
    };
    let mut answer = S3Error::with_message(code, message);
    answer.set_status_code(status);
    answer
}

/// Counts requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Counter {
    metering: Arc<Metering>,
    domain: Option<Arc<str>>,
}

impl Counter {
    pub(super) fn new(metering: Arc<Metering>, domain: Option<&str>) -> Self {
        Self { metering, domain: domain.map(Into::into) }
    }

    /// Follows a request from here on.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> Bill {
        let query = request.uri().query().unwrap_or_default();
        let class = class(request.method(), query, self.has_key(request));
        let action = match class {
            Some(RequestClass::Write) => Action::Write,
            Some(RequestClass::Read) => Action::Read,
            Some(RequestClass::List) => Action::List,
            None => Action::Delete,
        };
        let brings = if action == Action::Write { length(request) } else { 0 };
        let bill = Bill(Arc::new(Inner { class, action, brings, charged: OnceLock::new() }));
        request.extensions_mut().insert(bill.clone());
        bill
    }

    /// Counts it, now that its answer is there.
    pub(super) fn end(&self, bill: &Bill, status: StatusCode) {
        let (Some(charged), Some(class)) = (bill.0.charged.get(), bill.0.class) else { return };
        let knocked = charged.stranger && status == StatusCode::FORBIDDEN;
        if !knocked && !status.is_server_error() {
            self.metering.request(&charged.payer, class);
        }
    }

    fn has_key<B>(&self, request: &Request<B>) -> bool {
        let in_host = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .zip(self.domain.as_deref())
            .is_some_and(|(host, domain)| address::below(host, domain).is_some());
        let path = request.uri().path().strip_prefix('/').unwrap_or_default();
        let key = if in_host { path } else { path.split_once('/').map_or("", |(_, key)| key) };
        !key.is_empty()
    }
}

/// The bytes of an object, counted as they are handed to the connection: what a client that leaves did not take is not on the bill, but for what
/// lay in buffers.
pub(super) fn counted(body: get::Body, bill: Option<&Bill>, metering: &Arc<Metering>) -> get::Body {
    let Some(payer) = bill.and_then(Bill::payer).cloned() else { return body };
    let metering = Arc::clone(metering);
    body.inspect_ok(move |piece| metering.egress(&payer, piece.len() as u64)).boxed()
}

/// Bytes that a request says it brings. (What a copy brings is known only later, and counted when it is there.)
fn length<B>(request: &Request<B>) -> u64 {
    let number = |name: HeaderName| request.headers().get(name)?.to_str().ok()?.parse().ok();
    let decoded = number(HeaderName::from_static("x-amz-decoded-content-length"));
    decoded.or_else(|| number(header::CONTENT_LENGTH)).unwrap_or(0)
}

/// The class of a request; none of a free one.
fn class(method: &Method, query: &str, key: bool) -> Option<RequestClass> {
    let asks = |name: &str| {
        query.split('&').any(|pair| pair.split('=').next().is_some_and(|asked| asked == name))
    };
    match *method {
        Method::PUT => Some(RequestClass::Write),
        Method::POST if !key && asks("delete") => None,
        Method::POST => Some(RequestClass::Write),
        Method::GET if key => {
            Some(if asks("uploadId") { RequestClass::List } else { RequestClass::Read })
        }
        Method::GET => {
            let listing = asks("versions") || asks("uploads") || !query.split('&').any(is_about);
            Some(if listing { RequestClass::List } else { RequestClass::Read })
        }
        Method::HEAD => Some(RequestClass::Read),
        _ => None,
    }
}

/// Whether a parameter makes a GET of a bucket one of something that belongs to it.
fn is_about(pair: &str) -> bool {
    /// What belongs to a bucket and is no list of keys.
    const SUBRESOURCES: [&str; 24] = [
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "replication",
        "requestPayment",
        "session",
        "tagging",
        "torrent",
        "versioning",
        "website",
    ];
    pair.split('=').next().is_some_and(|name| SUBRESOURCES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_classes_that_aws_gives_them() {
        use RequestClass::{List, Read, Write};
        for (method, query, key, expected) in [
            (Method::PUT, "", true, Some(Write)),
            (Method::PUT, "partNumber=1&uploadId=x", true, Some(Write)),
            (Method::PUT, "policy", false, Some(Write)),
            (Method::POST, "uploads", true, Some(Write)),
            (Method::POST, "", false, Some(Write)),
            (Method::POST, "delete", false, None),
            (Method::DELETE, "", true, None),
            (Method::DELETE, "uploadId=x", true, None),
            (Method::OPTIONS, "", true, None),
            (Method::GET, "", true, Some(Read)),
            (Method::GET, "partNumber=1", true, Some(Read)),
            (Method::GET, "acl", true, Some(Read)),
            (Method::GET, "uploadId=x", true, Some(List)),
            (Method::HEAD, "", true, Some(Read)),
            (Method::HEAD, "", false, Some(Read)),
            (Method::GET, "", false, Some(List)),
            (Method::GET, "list-type=2&prefix=policy", false, Some(List)),
            (Method::GET, "versions", false, Some(List)),
            (Method::GET, "uploads", false, Some(List)),
            (Method::GET, "policy", false, Some(Read)),
            (Method::GET, "location=", false, Some(Read)),
        ] {
            assert_eq!(class(&method, query, key), expected, "{method} {query} {key}");
        }
    }
}
