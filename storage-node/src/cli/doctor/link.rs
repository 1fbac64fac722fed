//! The way to each gateway, step by step: its name, the connection, TLS, and hello. The gateway's hello tells its time.
//!
//! The hello is answered with "busy", so that the gateway neither counts this as a link nor ends the one of a node that runs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use protocol::dial::{Address, Dial, TcpDial};
use protocol::identity::{NodeIdentity, Trust};
use protocol::limits::LinkSettings;
use protocol::message::{
    DropAnswer, FetchRequest, HelloRequest, InventoryAnswer, InventoryRequest, NodeFacts, Refusal,
    StatusAnswer, StatusRequest, StoreAnswer, StoreRequest,
};
use protocol::revision::VerifiedRevision;
use protocol::tls::{NodeTls, Purpose};
use protocol::{FetchReply, LinkError, NodeService, ShardBody, serve};
use tokio::sync::oneshot;
use tokio::time::timeout;
use types::{Clock, SystemClock};

use crate::advice::{self, FIX_CLOCK, Finding};
use crate::app::read_floor;
use crate::config::NodeConfig;
use crate::error::Error;
use crate::join::with_causes;

/// A name is looked up, and a connection opened, in at most this long each.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the answer to a hello may take on its way before the line is closed.
const GOODBYE: Duration = Duration::from_millis(200);

/// Tries every gateway at once. Also gives by how many milliseconds this machine's clock is ahead, if a gateway told its time.
pub(super) async fn examine(
    config: &NodeConfig,
    identity: &NodeIdentity,
) -> (Vec<Finding>, Option<i64>) {
    let (tls, trust) = match credentials(config, identity) {
        Ok(both) => both,
        Err(error) => {
            let fix = "look at the data folder; restore what is damaged from a copy";
            return (vec![Finding::bad("link", with_causes(&error), fix)], None);
        }
    };
    let tries = config.settings.gateways.iter().map(|gateway| attempt(gateway, &tls, &trust));
    let tried = futures::future::join_all(tries).await;
    let ahead = tried.iter().find_map(|way| way.ahead_ms);
    (tried.into_iter().map(|way| way.finding).collect(), ahead)
}

/// What the clocks' difference means.
pub(super) fn clock(ahead_ms: Option<i64>) -> Finding {
    match ahead_ms {
        None => Finding::note("clock", "No gateway told its time, so the clock is not checked.")
            .or_else(format!("if in doubt, {FIX_CLOCK}")),
        Some(ahead) => advice::clock(ahead).unwrap_or_else(|| {
            Finding::good("clock", format!("{} ms apart from the gateway's", ahead.unsigned_abs()))
        }),
    }
}

fn credentials(
    config: &NodeConfig,
    identity: &NodeIdentity,
) -> Result<(NodeTls, Arc<Trust>), Error> {
    let floor = read_floor(&config.dir)?;
    let trust = Arc::new(Trust::new(config.settings.root, floor, Arc::new(SystemClock)));
    Ok((NodeTls::new(identity, Arc::clone(&trust))?, trust))
}

/// What became of one gateway.
struct Tried {
    finding: Finding,
    ahead_ms: Option<i64>,
}

async fn attempt(gateway: &Address, tls: &NodeTls, trust: &Arc<Trust>) -> Tried {
    let begin = Instant::now();
    match walk(gateway, tls, trust).await {
        Ok(ahead_ms) => {
            let words = format!("{gateway} answered after {} ms", begin.elapsed().as_millis());
            Tried { finding: Finding::good("link", words), ahead_ms: Some(ahead_ms) }
        }
        Err(step) => Tried { finding: step.finding(gateway), ahead_ms: None },
    }
}

/// Where the way ended.
#[derive(Debug)]
enum Step {
    Name(io::Error),
    Connect(io::Error),
    Tls(LinkError),
    Hello(Option<LinkError>),
}

async fn walk(gateway: &Address, tls: &NodeTls, trust: &Arc<Trust>) -> Result<i64, Step> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let found = timeout(STEP_TIMEOUT, tokio::net::lookup_host(gateway.as_str())).await;
    let addresses = found.map_err(late).and_then(|found| found).map_err(Step::Name)?.count();
    if addresses == 0 {
        return Err(Step::Name(io::Error::other("the name has no address")));
    }
    let dialled = timeout(STEP_TIMEOUT, TcpDial.dial(gateway)).await;
    let io = dialled.map_err(late).and_then(|dialled| dialled).map_err(Step::Connect)?;
    let io = tls.connect(io, Purpose::Link).await.map_err(Step::Tls)?;
    let (heard, hearing) = oneshot::channel();
    let probe = Arc::new(Probe(Mutex::new(Some(heard))));
    let settings = LinkSettings { handshake_timeout: STEP_TIMEOUT, ..LinkSettings::default() };
    let serving = serve(io, probe, Arc::clone(trust), &settings, std::future::pending());
    tokio::pin!(serving);
    let ahead = tokio::select! {
        biased;
        ahead = hearing => ahead.map_err(|_| Step::Hello(None))?,
        ended = &mut serving => return Err(Step::Hello(ended.err())),
    };
    let _ = timeout(GOODBYE, serving).await;
    Ok(ahead)
}

impl Step {
    fn finding(&self, gateway: &Address) -> Finding {
        match self {
            Self::Name(error) => Finding::bad(
                "link",
                format!("The name of the gateway {gateway} cannot be looked up: {error}."),
                "look at this machine's internet connection and its DNS (`resolvectl query`, /etc/resolv.conf)",
            ),
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Finding::bad(
                    "link",
                    format!("The gateway {gateway} is not listening."),
                    "it may be starting again: wait some minutes, then ask the operator",
                )
            }
            Self::Connect(error) => Finding::bad(
                "link",
                format!("No connection to the gateway {gateway}: {error}."),
                "look at this machine's internet connection, and let outgoing TCP to this port pass your firewall",
            ),
            Self::Tls(error @ LinkError::Untrusted(_)) => Finding::bad(
                "link",
                format!(
                    "Whoever answers at {gateway} is not a gateway of this network: {}.",
                    with_causes(error)
                ),
                format!("first {FIX_CLOCK}; then ask the operator whether the address is right"),
            ),
            Self::Tls(error) => Finding::bad(
                "link",
                format!("The connection to {gateway} breaks off: {}.", with_causes(error)),
                "a firewall or proxy may stand between; let TLS 1.3 to this port pass untouched",
            ),
            Self::Hello(why) => {
                let why =
                    why.as_ref().map_or_else(String::new, |why| format!(": {}", with_causes(why)));
                Finding::bad(
                    "link",
                    format!(
                        "The gateway {gateway} hung up without a hello{why}. It may not know this node."
                    ),
                    "ask the operator whether the node is still a member; if not, join with a new invite and an empty folder",
                )
            }
        }
    }
}

/// Hears a hello, and is busy ever after.
struct Probe(Mutex<Option<oneshot::Sender<i64>>>);

const BUSY: Refusal = Refusal::Busy { retry_after_ms: 0 };

#[async_trait]
impl NodeService for Probe {
    async fn hello(&self, request: HelloRequest) -> Result<NodeFacts, Refusal> {
        let ahead = i128::from(SystemClock.now().0) - i128::from(request.time.0);
        if let Some(heard) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = heard.send(i64::try_from(ahead).unwrap_or(i64::MAX));
        }
        Err(BUSY)
    }

    async fn store(&self, _: StoreRequest, _: ShardBody) -> Result<StoreAnswer, Refusal> {
        Err(BUSY)
    }

    async fn fetch(&self, _: FetchRequest) -> Result<FetchReply, Refusal> {
        Err(BUSY)
    }

    async fn drop_shards(&self, _: VerifiedRevision) -> Result<DropAnswer, Refusal> {
        Err(BUSY)
    }

    async fn inventory(&self, _: InventoryRequest) -> Result<InventoryAnswer, Refusal> {
        Err(BUSY)
    }

    async fn status(&self, _: StatusRequest) -> Result<StatusAnswer, Refusal> {
        Err(BUSY)
    }
}
