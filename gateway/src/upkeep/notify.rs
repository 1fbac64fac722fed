//! Sends events to webhooks: what commits have queued, in order, until each destination has taken it.
//!
//! Each webhook has a loop of its own, so that one that does not answer keeps none of the others waiting. An event that is not taken holds up
//! those behind it; it is tried again after ever longer pauses and given up a day after it happened. A destination may get an event
//! twice, if the gateway stops between the answer and its note of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use metadata::queue::TaskAt;
use metadata::{Catalog, CatalogError};
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;

use crate::changes::{EVENT_QUEUES, event_queue};
use crate::outbound::Connector;
use crate::webhooks::{WebhookName, WebhookUrl};

/// Between two looks at a queue that was empty.
const POLL: Duration = Duration::from_millis(300);
/// Events read at a time.
const PAGE: usize = 50;
/// How long a destination may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// The first pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Between two looks for events whose webhook is no more.
const SWEEP: Duration = Duration::from_secs(3600);
/// How long an event is tried.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// Nobody answered.
    #[error("no answer")]
    NoAnswer(#[from] hyper_util::client::legacy::Error),
    /// The answer took too long.
    #[error("no answer within {} s", ANSWER_MAX.as_secs())]
    Late,
    /// Another answer than success.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// The request could not be made.
    #[error(transparent)]
    Request(#[from] http::Error),
}

impl Refused {
    /// Whether the destination will not take this very event, however often it is sent.
    fn is_final(&self) -> bool {
        const FINAL: [StatusCode; 3] = [
            StatusCode::BAD_REQUEST,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ];
        matches!(self, Self::Status(status) if FINAL.contains(status))
    }
}

/// The worker.
pub struct Notifier {
    catalog: Catalog,
    webhooks: BTreeMap<WebhookName, WebhookUrl>,
    clock: SharedClock,
    http: Client<Connector, Full<Bytes>>,
}

impl Notifier {
    /// For these webhooks, to which there are such connections.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        webhooks: BTreeMap<WebhookName, WebhookUrl>,
        clock: SharedClock,
        connector: Connector,
    ) -> Self {
        let http = Client::builder(TokioExecutor::new()).build(connector);
        Self { catalog, webhooks, clock, http }
    }

    /// Sends until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let loops = join_all(self.webhooks.iter().map(|(name, url)| self.serve(name, url)));
        tokio::select! {
            _ = futures::future::join(loops, self.sweep()) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Gives up what is too old of webhooks that the operator took away.
    async fn sweep(&self) {
        loop {
            if let Err(error) = self.sweep_once().await {
                tracing::warn!(%error, "queues of events cannot be read");
            }
            tokio::time::sleep(SWEEP).await;
        }
    }

    async fn sweep_once(&self) -> Result<(), CatalogError> {
        let ours = |name: &str| self.webhooks.keys().any(|known| known.as_str() == name);
        for queue in self.catalog.queues().await? {
            let Some(name) = queue.strip_prefix(EVENT_QUEUES) else { continue };
            if ours(name) {
                continue;
            }
            loop {
                let now = self.clock.now();
                let events = self.catalog.queued(&queue, PAGE).await?;
                let ages = events.into_iter().map(|(at, _)| at);
                let old: Vec<TaskAt> = ages.filter(|at| now.since(at.1) > AGE_MAX).collect();
                if old.is_empty() {
                    break;
                }
                self.catalog.unqueue(&old).await?;
                tracing::warn!(
                    webhook = name,
                    events = old.len(),
                    "events were given up: no such webhook is configured"
                );
            }
        }
        Ok(())
    }

    /// One webhook's loop.
    async fn serve(&self, name: &WebhookName, url: &WebhookUrl) {
        let queue = event_queue(name.as_str());
        let mut pause = PAUSE_MIN;
        loop {
            match self.send_some(&queue, name, url).await {
                Ok(Sent::All) => {
                    pause = PAUSE_MIN;
                    tokio::time::sleep(POLL).await;
                }
                Ok(Sent::Page) => pause = PAUSE_MIN,
                Ok(Sent::Stuck { some, why }) => {
                    // Loud where something begins to go wrong, so that the log says why and is not flooded.
                    tell(name, &why, some || pause == PAUSE_MIN);
                    pause = if some { PAUSE_MIN } else { pause };
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                Err(error) => {
                    tracing::warn!(webhook = %name, %error, "a queue of events cannot be read");
                    tokio::time::sleep(PAUSE_MAX.min(pause)).await;
                }
            }
        }
    }

    /// Sends a page of events, up to the first that is not taken.
    async fn send_some(
        &self,
        queue: &str,
        name: &WebhookName,
        url: &WebhookUrl,
    ) -> Result<Sent, CatalogError> {
        let events = self.catalog.queued(queue, PAGE).await?;
        let full = events.len() == PAGE;
        let mut done: Vec<TaskAt> = Vec::with_capacity(events.len());
        let mut stuck = None;
        for (at, message) in events {
            match self.send(url, message).await {
                Ok(()) => metrics::counter!("drystone_events_sent_total").increment(1),
                Err(error) => {
                    let old = self.clock.now().since(at.1) > AGE_MAX;
                    if !old && !error.is_final() {
                        stuck = Some(error);
                        break;
                    }
                    tracing::warn!(webhook = %name, error = &error as &dyn std::error::Error, "an event was given up");
                    metrics::counter!("drystone_events_given_up_total").increment(1);
                }
            }
            done.push(at);
        }
        self.catalog.unqueue(&done).await?;
        Ok(match (stuck, full) {
            (Some(why), _) => Sent::Stuck { some: !done.is_empty(), why },
            (None, true) => Sent::Page,
            (None, false) => Sent::All,
        })
    }

    async fn send(&self, url: &WebhookUrl, message: Vec<u8>) -> Result<(), Refused> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(url.uri())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, "Drystone")
            .body(Full::new(Bytes::from(message)))?;
        let answer = tokio::time::timeout(ANSWER_MAX, self.http.request(request)).await;
        let status = answer.map_err(|_| Refused::Late)??.status();
        if status.is_success() { Ok(()) } else { Err(Refused::Status(status)) }
    }
}

/// Tells why events wait.
fn tell(webhook: &WebhookName, why: &Refused, loud: bool) {
    let error = why as &dyn std::error::Error;
    if loud {
        tracing::warn!(%webhook, error, "events wait for their webhook, which is asked again and again");
    } else {
        tracing::debug!(%webhook, error, "events wait for their webhook");
    }
}

/// How far a page of events got.
enum Sent {
    /// Everything there was.
    All,
    /// A whole page; there may be more.
    Page,
    /// Up to one that was not taken.
    Stuck {
        /// Whether any was.
        some: bool,
        /// Why that one was not.
        why: Refused,
    },
}
