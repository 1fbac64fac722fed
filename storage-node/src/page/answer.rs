//! What the page answers: itself, the status, the history, and metrics.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use types::{Clock, SystemClock, Timestamp};

use super::guard::{self, Token};
use super::history::{History, Span};
use super::metrics;
use crate::app::View;
use crate::config::NodeConfig;
use crate::frame::Pause;
use crate::join::with_causes;

type Answer = Response<Full<Bytes>>;

const HTML: &str = include_str!("assets/index.html");
const CSS: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");
/// How long the page's button pauses the node. For longer, or for ever, there is the command.
const PAUSE: Duration = Duration::from_secs(3600);
/// Where the page's token goes.
const TOKEN_PLACE: &str = "{{token}}";

/// Headers of every answer: nothing from elsewhere is loaded, nobody else may embed or read it, and nothing is kept.
const ALWAYS: [(HeaderName, HeaderValue); 7] = [
    (
        HeaderName::from_static("content-security-policy"),
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY")),
    (HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// Answers requests of the page.
pub(crate) struct Desk {
    view: View,
    history: Arc<History>,
    token: Token,
    html: Bytes,
}

impl Desk {
    /// With a new token.
    pub(crate) fn new(view: View, history: Arc<History>) -> Self {
        let token = Token::random();
        let html = HTML.replace(TOKEN_PLACE, token.as_str()).into();
        Self { view, history, token, html }
    }

    /// Answers one request. Bodies are not read: nothing that can be asked needs one.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, _body) = request.into_parts();
        let mut answer = match guard::check(&head.method, &head.headers, &self.token) {
            Ok(()) => self.route(&head).await,
            Err(refused) => {
                let (status, words) = refused.answer();
                text(status, words)
            }
        };
        answer.headers_mut().extend(ALWAYS);
        answer
    }

    async fn route(&self, head: &Parts) -> Answer {
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        match head.uri.path() {
            "/api/pause" | "/api/resume" if head.method != Method::POST => refuse_method("POST"),
            "/api/pause" => self.pause(Some(SystemClock.now().plus(PAUSE))).await,
            "/api/resume" => self.pause(None).await,
            _ if !reads => refuse_method("GET, HEAD"),
            "/" => of_type("text/html; charset=utf-8", self.html.clone()),
            "/page.css" => of_type("text/css; charset=utf-8", CSS),
            "/page.js" => of_type("text/javascript; charset=utf-8", SCRIPT),
            "/icon.svg" => of_type("image/svg+xml", ICON),
            "/api/status" => json(&self.view.status()),
            "/api/history" => self.history(head.uri.query()).await,
            "/metrics" => of_type(metrics::CONTENT_TYPE, metrics::text(&self.view.status())),
            _ => text(StatusCode::NOT_FOUND, "There is no such page here.\n"),
        }
    }

    /// `POST /api/pause`, `POST /api/resume`: as the commands of that name.
    async fn pause(&self, until: Option<Timestamp>) -> Answer {
        // Whole seconds are written down.
        let pause = until.map(|until| Pause::Until(Timestamp(until.seconds() * 1000)));
        let dir = self.view.dir().to_owned();
        let edited = tokio::task::spawn_blocking(move || {
            NodeConfig::edit(&dir, |settings| {
                settings.frame.pause = pause;
                Ok(())
            })
        });
        match edited.await {
            Ok(Ok(_)) => text(StatusCode::OK, ""),
            Ok(Err(error)) => text(StatusCode::CONFLICT, &format!("{}\n", with_causes(&error))),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }

    /// `GET /api/history?span=day|week|month`
    async fn history(&self, query: Option<&str>) -> Answer {
        let word = query.map_or(Some("day"), |query| query.strip_prefix("span="));
        let Some(span) = word.and_then(Span::of_word) else {
            return text(StatusCode::BAD_REQUEST, "span is day, week or month\n");
        };
        let (history, now) = (Arc::clone(&self.history), SystemClock.now());
        match tokio::task::spawn_blocking(move || history.series(span, now)).await {
            Ok(series) => json(&series),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(json) => of_type("application/json", json),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
    }
}

fn text(status: StatusCode, words: &str) -> Answer {
    let mut answer = of_type("text/plain; charset=utf-8", words.to_owned());
    *answer.status_mut() = status;
    answer
}

fn refuse_method(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here.\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn of_type(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
