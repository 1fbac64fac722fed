//! Leaving a network in good order: the owner's wish is told to a gateway, and the running node goes on asking how far it has come.
//!
//! The file `leaving` in the data folder says that the owner wishes so. It only makes the node ask: what counts is what the gateway wrote down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use protocol::LinkError;
use protocol::dial::{Address, Dial, TcpDial};
use protocol::identity::Trust;
use protocol::leave::{self, LeaveAnswer, LeaveRequest, Wish};
use protocol::standing::{self, Report, StandingAnswer, StandingRequest};
use protocol::tls::{NodeTls, Purpose};
use protocol::version::Versions;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::{SystemClock, Timestamp};

use crate::app::{View, read_floor};
use crate::config::NodeConfig;
use crate::crashsafe;
use crate::error::Error;
use crate::identity;
use crate::join::with_causes;

/// The file that says that the owner wishes to leave.
const FILE: &str = "leaving";
/// How often the running node looks for the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How often it asks a gateway how it stands: one with ten thousand nodes is asked eleven times a second.
const STANDING_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// How often it asks how far leaving has come, or again if nobody answered.
const ASK_INTERVAL: Duration = Duration::from_secs(60);

/// How far a node has come on its way out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Departure {
    /// Placement groups that still count on the node; 0: it may be switched off for good.
    pub groups: u64,
    /// Since when it is leaving, unless it has left.
    pub since: Option<Timestamp>,
}

impl Departure {
    /// What a gateway says; nothing, if the node does not leave.
    fn of(answer: &LeaveAnswer) -> Option<Self> {
        match *answer {
            LeaveAnswer::Leaving { groups, since } => Some(Self { groups, since: Some(since) }),
            LeaveAnswer::Left => Some(Self { groups: 0, since: None }),
            LeaveAnswer::Member | LeaveAnswer::Refused { .. } => None,
        }
    }
}

/// Who speaks with gateways for the owner: about leaving, and about what is thought of the node.
#[derive(Clone)]
pub(crate) struct Spokesman {
    dir: PathBuf,
    gateways: Vec<Address>,
    tls: NodeTls,
    dial: Arc<dyn Dial>,
}

impl Spokesman {
    /// For the node in the data folder.
    ///
    /// # Errors
    /// If its key cannot be read.
    pub(crate) fn new(config: &NodeConfig) -> Result<Self, Error> {
        let identity = identity::load(&config.dir)?;
        let floor = read_floor(&config.dir)?;
        let trust = Arc::new(Trust::new(config.settings.root, floor, Arc::new(SystemClock)));
        let tls = NodeTls::new(&identity, trust)?;
        let gateways = config.settings.gateways.clone();
        Ok(Self { dir: config.dir.clone(), gateways, tls, dial: Arc::new(TcpDial) })
    }

    /// Tells a gateway what the owner wishes; how far the node has come on its way out, nothing if it stays.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no gateway answers, [`Error::Refused`], [`Error::Io`] if the wish cannot be written down.
    pub(crate) async fn tell(&self, wish: Wish) -> Result<Option<Departure>, Error> {
        let mut failures = Vec::new();
        for gateway in &self.gateways {
            match self.ask(gateway, wish).await {
                Ok(LeaveAnswer::Refused { why }) => return Err(Error::Refused(why)),
                Ok(answer) => {
                    let departure = Departure::of(&answer);
                    self.remember(departure.is_some())?;
                    return Ok(departure);
                }
                Err(error) => failures.push(format!("{gateway}: {}", with_causes(&error))),
            }
        }
        Err(Error::Unreachable(failures.join("; ")))
    }

    /// Asks a gateway what the network thinks of the node.
    ///
    /// # Errors
    /// [`Error::Unreachable`] if no gateway answers, [`Error::Refused`].
    pub(crate) async fn standing(&self) -> Result<Report, Error> {
        let mut failures = Vec::new();
        for gateway in &self.gateways {
            match self.ask_standing(gateway).await {
                Ok(StandingAnswer::Told(report)) => return Ok(report),
                Ok(StandingAnswer::Refused { why }) => return Err(Error::Refused(why)),
                Err(error) => failures.push(format!("{gateway}: {}", with_causes(&error))),
            }
        }
        Err(Error::Unreachable(failures.join("; ")))
    }

    async fn ask_standing(&self, gateway: &Address) -> Result<StandingAnswer, LinkError> {
        let io = self.dial.dial(gateway).await?;
        let io = self.tls.connect(io, Purpose::Standing).await?;
        standing::ask(io, &StandingRequest { versions: Versions::ours() }).await
    }

    async fn ask(&self, gateway: &Address, wish: Wish) -> Result<LeaveAnswer, LinkError> {
        let io = self.dial.dial(gateway).await?;
        let io = self.tls.connect(io, Purpose::Leave).await?;
        leave::ask(io, &LeaveRequest { versions: Versions::ours(), wish }).await
    }

    fn remember(&self, leaving: bool) -> Result<(), Error> {
        let path = self.dir.join(FILE);
        match (leaving, wished(&self.dir)) {
            (true, false) => crashsafe::replace(&path, b"")
                .map_err(Error::io(format!("write {}", path.display()))),
            (false, true) => {
                std::fs::remove_file(&path).map_err(Error::io(format!("remove {}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// Keeps what `view` shows of leaving and of the node's standing up to date, until `stop`. Asks within the owner's frame.
    pub(crate) async fn watch(self, view: View, stop: CancellationToken) {
        let this = Self { dial: view.dialer(), ..self };
        let mut standing_due = Instant::now();
        let mut leaving_due = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            if !view.may_call() {
                continue;
            }
            let asking = async {
                this.watch_standing(&view, &mut standing_due).await;
                this.watch_leaving(&view, &mut leaving_due).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = asking => {}
            }
        }
    }

    async fn watch_standing(&self, view: &View, due: &mut Instant) {
        if Instant::now() < *due {
            return;
        }
        let told = self.standing().await;
        let wait = if told.is_ok() { STANDING_INTERVAL } else { ASK_INTERVAL };
        *due = Instant::now() + wait;
        match told {
            Ok(report) => view.stands(report),
            Err(error) => tracing::debug!(%error, "no gateway said how the node stands"),
        }
    }

    async fn watch_leaving(&self, view: &View, due: &mut Option<Instant>) {
        if !wished(&self.dir) {
            *due = None;
            return view.leaves(None);
        }
        if due.is_some_and(|due| Instant::now() < due) {
            return;
        }
        let told = self.tell(Wish::Ask).await;
        *due = Some(Instant::now() + ASK_INTERVAL);
        match told {
            Ok(departure) => view.leaves(departure),
            Err(error) => tracing::debug!(%error, "no gateway said how far leaving has come"),
        }
    }
}

/// Whether the owner of the node in `dir` wishes to leave.
fn wished(dir: &Path) -> bool {
    dir.join(FILE).exists()
}
