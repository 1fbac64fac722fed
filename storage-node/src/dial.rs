//! Keeping a link to every gateway: dial, serve until it ends, wait a little longer each time, dial again. While the owner's frame shuts the door
//! there is no link: a gateway that sees a node away places nothing there and learns its hours, where a node that is there and always busy would
//! be asked in vain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::dial::{Address, Dial as _};
use protocol::identity::Trust;
use protocol::limits::LinkSettings;
use protocol::tls::{NodeTls, Purpose};
use protocol::{LinkError, serve};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::entropy::random_below;
use types::{Clock, SystemClock, Timestamp};

use crate::frame::{Door, Frame, ShapedDial};
use crate::join::with_causes;
use crate::serve::{LinkService, Node};

/// The first wait after a link was lost.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait: a gateway that was away for an hour is found again within a minute.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// A link that stood this long was a success: the next wait is the first again. A shorter one may be a gateway that hangs up at once.
const STOOD: Duration = Duration::from_secs(10);

/// A link that had stood is dialled again within this, and so is a gateway once the door opens: whatever ended it may have ended a thousand links.
const SPREAD: Duration = Duration::from_secs(1);
/// As [`SPREAD`] where the clock opens the door: it strikes for everybody at once.
const SPREAD_OPENING: Duration = Duration::from_secs(15);
/// How long requests under way may take to finish once the frame shuts the door; then they are cut. The end of the weekly hours is announced so
/// much earlier.
const GOODBYE: Duration = Duration::from_secs(30);

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
        half + random_within(half)
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
    pub(crate) dial: ShapedDial,
    pub(crate) frame: Arc<Frame>,
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
        let mut door = self.frame.door();
        while !self.stop.is_cancelled() {
            if self.wait_outside(&mut door).await {
                backoff.reset();
                continue;
            }
            let begun = Instant::now();
            let ended = self.link(&door).await;
            let stood =
                self.status.send_replace(self.lost(&ended)).connected && begun.elapsed() >= STOOD;
            if stood {
                backoff.reset();
            }
            let wait = if stood { random_within(SPREAD) } else { backoff.wait() };
            if !self.stop.is_cancelled() {
                match &ended {
                    Ok(()) => {
                        tracing::info!(gateway = %self.gateway, ?wait, "the link ended with a goodbye")
                    }
                    Err(error) => {
                        let why = with_causes(error);
                        tracing::warn!(gateway = %self.gateway, why, ?wait, "no link to the gateway");
                    }
                }
            }
            self.rest(wait, &door).await;
        }
    }

    /// Waits while the frame shuts the door; says whether it did.
    async fn wait_outside(&self, door: &mut watch::Receiver<Door>) -> bool {
        let Some((why, until)) = door.borrow_and_update().shut else { return false };
        tracing::info!(gateway = %self.gateway, %why, "no link for now");
        let trouble = Some(format!("away: {why}"));
        self.status.send_replace(self.apart(trouble));
        tokio::select! {
            () = self.stop.cancelled() => return true,
            opened = door.wait_for(|door| door.shut.is_none()) => drop(opened),
        }
        let wait = random_within(if until.is_some() { SPREAD_OPENING } else { SPREAD });
        self.rest(wait, door).await;
        true
    }

    /// Waits; a machine that wakes up meanwhile has waited long enough.
    async fn rest(&self, wait: Duration, door: &watch::Receiver<Door>) {
        let wakes = door.borrow().wakes;
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
            () = seen(door.clone(), move |door| door.wakes != wakes) => {}
        }
    }

    /// One link, from dialling to its end.
    async fn link(&self, door: &watch::Receiver<Door>) -> Result<(), LinkError> {
        let made = *door.borrow();
        let settings = self.frame.link_settings(&self.settings);
        let connect = async {
            let io = self.dial.dial(&self.gateway).await?;
            self.tls.connect(io, Purpose::Link).await
        };
        let io = tokio::select! {
            io = connect => io?,
            () = self.stop.cancelled() => return Ok(()),
        };
        let service = LinkService::new(Arc::clone(&self.node), self.status.clone());
        let shutdown = {
            let stop = self.stop.clone();
            // Windows cannot be changed on a link that stands.
            let leave =
                seen(door.clone(), move |door| door.shut.is_some() || door.window != made.window);
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = leave => {}
                }
            }
        };
        let cut = async {
            seen(door.clone(), |door| door.shut.is_some()).await;
            tokio::time::sleep(GOODBYE).await;
        };
        let service = Arc::new(service);
        tokio::select! {
            ended = serve(io, service, Arc::clone(&self.trust), &settings, shutdown) => ended,
            () = cut => {
                tracing::warn!(gateway = %self.gateway, "requests under way were cut: the frame is shut");
                Ok(())
            }
            () = seen(door.clone(), move |door| door.wakes != made.wakes) => Err(gone("the machine has slept")),
            () = self.dial.moved() => Err(gone("this machine has left the network that the link stood on")),
        }
    }

    fn lost(&self, ended: &Result<(), LinkError>) -> LinkStatus {
        self.apart(ended.as_ref().err().map(|error| with_causes(error)))
    }

    /// The link's state when there is none.
    fn apart(&self, trouble: Option<String>) -> LinkStatus {
        let before = self.status.borrow();
        let since = if before.connected { SystemClock.now() } else { before.since };
        LinkStatus { gateway: self.gateway.clone(), connected: false, since, trouble }
    }
}

/// Resolves once the door is as `is` wants it; never, if there is no door any more.
async fn seen(mut door: watch::Receiver<Door>, is: impl Fn(&Door) -> bool) {
    if door.wait_for(|door| is(door)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// A link that is dead, though its socket does not know it yet.
fn gone(why: &'static str) -> LinkError {
    LinkError::Io(std::io::Error::new(std::io::ErrorKind::NotConnected, why))
}

fn random_within(span: Duration) -> Duration {
    Duration::from_millis(random_below(span.as_millis() as u64 + 1))
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
