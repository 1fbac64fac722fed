//! Keeping a link to every gateway: dial, serve until it ends, wait a little longer each time, dial again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::dial::{Address, Dial};
use protocol::identity::Trust;
use protocol::limits::LinkSettings;
use protocol::tls::{NodeTls, Purpose};
use protocol::{LinkError, serve};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::entropy::random_below;
use types::{Clock, SystemClock, Timestamp};

use crate::join::with_causes;
use crate::serve::{LinkService, Node};

/// The first wait after a link was lost.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait: a gateway that was away for an hour is found again within a minute.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A link that stood this long was a success: the next wait is the first again. A shorter one may be a gateway that hangs up at once.
const STOOD: Duration = Duration::from_secs(10);

/// Exponential waiting with jitter, so that a thousand nodes do not come back in the same second.
#[derive(Debug)]
struct Backoff {
    next: Duration,
}

impl Backoff {
    const fn new() -> Self {
        Self { next: WAIT_FIRST }
    }

    fn reset(&mut self) {
        self.next = WAIT_FIRST;
    }

    /// The time to wait now: between half the current step and all of it.
    fn wait(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(WAIT_MAX);
        let half = step / 2;
        half + Duration::from_millis(random_below(half.as_millis() as u64 + 1))
    }
}

/// How the link to one gateway is.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct LinkStatus {
    /// The gateway.
    pub gateway: Address,
    /// Whether it has said hello on a link that stands.
    pub connected: bool,
    /// Since when that is so; until the first link, the node's start.
    pub since: Timestamp,
    /// Why the last attempt or link ended, if it did not by a goodbye.
    pub trouble: Option<String>,
}

/// Everything it takes to keep one link.
pub(crate) struct Dialer {
    pub(crate) gateway: Address,
    pub(crate) dial: Arc<dyn Dial>,
    pub(crate) tls: NodeTls,
    pub(crate) trust: Arc<Trust>,
    pub(crate) settings: LinkSettings,
    pub(crate) node: Arc<Node>,
    pub(crate) status: watch::Sender<LinkStatus>,
    pub(crate) stop: CancellationToken,
}

impl Dialer {
    /// Runs until `stop`; then the requests under way are finished first.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::new();
        while !self.stop.is_cancelled() {
            let begun = Instant::now();
            let ended = self.link().await;
            let stood =
                self.status.send_replace(self.lost(&ended)).connected && begun.elapsed() >= STOOD;
            if stood {
                backoff.reset();
            }
            let wait = backoff.wait();
            if !self.stop.is_cancelled() {
                match &ended {
                    Ok(()) => {
                        tracing::info!(gateway = %self.gateway, ?wait, "the gateway said goodbye")
                    }
                    Err(error) => {
                        let why = with_causes(error);
                        tracing::warn!(gateway = %self.gateway, why, ?wait, "no link to the gateway");
                    }
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One link, from dialling to its end.
    async fn link(&self) -> Result<(), LinkError> {
        let connect = async {
            let io = self.dial.dial(&self.gateway).await?;
            self.tls.connect(io, Purpose::Link).await
        };
        let io = tokio::select! {
            io = connect => io?,
            () = self.stop.cancelled() => return Ok(()),
        };
        let service = LinkService::new(Arc::clone(&self.node), self.status.clone());
        let shutdown = self.stop.clone().cancelled_owned();
        serve(io, Arc::new(service), Arc::clone(&self.trust), &self.settings, shutdown).await
    }

    fn lost(&self, ended: &Result<(), LinkError>) -> LinkStatus {
        let trouble = ended.as_ref().err().map(|error| with_causes(error));
        let before = self.status.borrow();
        let since = if before.connected { SystemClock.now() } else { before.since };
        LinkStatus { gateway: self.gateway.clone(), connected: false, since, trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_are_never_the_same_for_all_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new();
        let mut step = WAIT_FIRST;
        for _ in 0..20 {
            let wait = backoff.wait();
            assert!(step / 2 <= wait && wait <= step, "{wait:?} of {step:?}");
            step = (step * 2).min(WAIT_MAX);
        }
        assert_eq!(step, WAIT_MAX);
        backoff.reset();
        assert!(backoff.wait() <= WAIT_FIRST);
    }
}
