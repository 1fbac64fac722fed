//! One line and a few numbers for every request.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{Method, StatusCode, Uri};
use tokio::time::Instant;

use super::on_end::{Ended, OnEnd};
use super::request_id::RequestId;

/// Query parameters whose values let their reader sign or act as the client.
const SECRET_PARAMETERS: [&str; 4] =
    ["x-amz-signature", "x-amz-security-token", "x-amz-credential", "signature"];

/// What is known of a request; written down when it is dropped, that is, when the answer's last byte was handed over or the client left.
pub(crate) struct Record {
    pub(crate) door: &'static str,
    pub(crate) id: RequestId,
    pub(crate) peer: SocketAddr,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) began: Instant,
    pub(crate) received: Arc<AtomicU64>,
    pub(crate) status: Option<StatusCode>,
    pub(crate) sent: u64,
    /// Whether the answer's body was handed over to its end.
    pub(crate) whole: bool,
    /// Whom the service wants told, and the answer's long id for them.
    pub(crate) on_end: Option<(OnEnd, String)>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.count();
        if let Some((on_end, long_id)) = &self.on_end {
            on_end.tell(Ended { sent: self.sent, took: self.began.elapsed(), long_id });
        }
        // 499 is what proxies call a client that left before it was answered.
        let status = self.status.map_or(499, |status| status.as_u16());
        let (received, sent) = (self.received.load(Ordering::Relaxed), self.sent);
        let ms = self.began.elapsed().as_millis() as u64;
        let Self { door, id, peer, method, uri, whole, .. } = &*self;
        let path = Redacted(uri);
        if status >= 500 {
            tracing::info!(target: "access", door, %id, %peer, %method, %path, status, received, sent, whole, ms);
        } else {
            tracing::debug!(target: "access", door, %id, %peer, %method, %path, status, received, sent, whole, ms);
        }
    }
}

impl Record {
    fn count(&self) {
        let status = match self.status.map(|status| status.as_u16() / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(_) => "5xx",
            None => "left",
        };
        let method = self.method_label();
        metrics::counter!("drystone_http_requests_total", "door" => self.door, "method" => method, "status" => status)
            .increment(1);
        metrics::histogram!("drystone_http_request_seconds", "door" => self.door, "method" => method)
            .record(self.began.elapsed().as_secs_f64());
        metrics::counter!("drystone_http_received_bytes_total", "door" => self.door)
            .increment(self.received.load(Ordering::Relaxed));
        metrics::counter!("drystone_http_sent_bytes_total", "door" => self.door)
            .increment(self.sent);
    }

    /// A client can invent methods, and each label value costs memory for ever: strangers share one.
    fn method_label(&self) -> &'static str {
        match self.method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            Method::PUT => "PUT",
            Method::POST => "POST",
            Method::DELETE => "DELETE",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        }
    }
}

/// A request's path and query without what must not be in a log.
pub(crate) struct Redacted<'a>(pub(crate) &'a Uri);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.path())?;
        let Some(query) = self.0.query() else { return Ok(()) };
        for (at, parameter) in query.split('&').enumerate() {
            f.write_str(if at == 0 { "?" } else { "&" })?;
            f.write_str(&redact(parameter))?;
        }
        Ok(())
    }
}

fn redact(parameter: &str) -> Cow<'_, str> {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let plain = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    if value.is_empty()
        || !SECRET_PARAMETERS.iter().any(|secret| plain.eq_ignore_ascii_case(secret))
    {
        return Cow::Borrowed(parameter);
    }
    Cow::Owned(format!("{name}=…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logged_path_has_no_signature_in_it() {
        let shown = |text: &str| Redacted(&text.parse().expect("a URI")).to_string();
        assert_eq!(shown("/b/k%20k?list-type=2&prefix=a"), "/b/k%20k?list-type=2&prefix=a");
        assert_eq!(
            shown("/b/k?X-Amz-Date=1&X-Amz-Signature=abcd&X-Amz-Credential=AK%2F1&uploads"),
            "/b/k?X-Amz-Date=1&X-Amz-Signature=…&X-Amz-Credential=…&uploads"
        );
        assert_eq!(
            shown("/b/k?x-amz-security%2dtoken=t&Signature=s"),
            "/b/k?x-amz-security%2dtoken=…&Signature=…"
        );
        assert_eq!(shown("/"), "/");
    }
}
