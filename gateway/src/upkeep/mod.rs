//! Upkeep: what keeps the promises while nodes come and go and objects are deleted. Every step may be the last before a crash, and
//! doing one twice does no harm.
//!
//! | file | does |
//! |---|---|
//! | [`worker`] | runs the others, in rounds and when nodes come or go |
//! | [`collect`] | frees what nobody refers to, and has nodes drop it |
//! | [`audit`] | looks at one unit now and then, and keeps the book of how nodes do |
//! | [`members`] | declares nodes lost, and gives slots of lost, disqualified and leaving ones to others |
//! | [`queue`] | says what is to be repaired first, by risk |
//! | [`repair`] | rebuilds missing shards in that order, on their node or on a newcomer |
//! | [`pace`] | bounds the bytes that repair moves |
//! | [`deliver`] | writes objects of upkeep's own into buckets |
//! | [`inventory`] | writes the lists of buckets that their owners want |
//! | [`logging`] | delivers the access logs of buckets |
//! | [`lifecycle`] | ends and moves versions as the buckets' rules say |
//! | [`notify`] | sends events to webhooks |
//! | [`replicate`] | makes copies in other buckets |
//! | [`settle`] | counts what is to be paid for, and settles days |
//! | [`usage`] | adds up the buckets that have a quota |
//! | [`reconcile`] | compares a node's inventory with the catalog |

pub mod audit;
pub mod collect;
pub mod deliver;
pub mod inventory;
pub mod lifecycle;
pub mod logging;
pub mod members;
pub mod notify;
pub mod pace;
pub mod queue;
pub mod reconcile;
pub mod repair;
pub mod replicate;
pub mod settle;
pub mod usage;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use metadata::{Catalog, CatalogError};
use protocol::NodeError;
use protocol::identity::GrantedKey;
use seal::Keyring;
use types::Timestamp;
use types::clock::SharedClock;

use crate::get::GetError;
use crate::get::gather::Sources;
use crate::metering::{Metering, Purpose};
use crate::nodes::Nodes;
use crate::nodes::vetting::VettingRules;
use crate::put::place::Placer;
use crate::session::Session;

/// Why a step of upkeep failed. The next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// A segment could not be read.
    #[error(transparent)]
    Read(#[from] GetError),
    /// A drop could not be signed: the revision key's grant has run out.
    #[error("a revision cannot be signed")]
    Sign(#[from] protocol::identity::TrustError),
}

/// How often and how patiently.
#[derive(Clone, Debug)]
pub struct UpkeepSettings {
    /// Between two rounds.
    pub interval: Duration,
    /// A node that is offline this long is declared lost.
    pub node_lost_after: Duration,
    /// Between two comparisons of a node's inventory with the catalog.
    pub reconcile_every: Duration,
    /// Audits of each node in a day; 0: none.
    pub audits_per_day: u32,
    /// When a newcomer gets a full share.
    pub vetting: VettingRules,
}

/// What upkeep works with.
#[derive(Clone)]
pub struct Upkeep {
    /// The catalog.
    pub catalog: Catalog,
    /// Who is online.
    pub nodes: Arc<Nodes>,
    /// Learns of slots that changed hands.
    pub placer: Arc<Placer>,
    /// This gateway's lease.
    pub session: Arc<Session>,
    /// Seals the labels of repaired shards.
    pub keyring: Arc<Keyring>,
    /// Counts what nodes do for repair and audits.
    pub metering: Arc<Metering>,
    /// Signs drops.
    pub revision: Arc<GrantedKey>,
    /// The time.
    pub clock: SharedClock,
    /// What audits draw from.
    pub census: audit::SharedCensus,
    /// What repair has done and has to do.
    pub progress: Arc<queue::Progress>,
    /// Bounds what repair moves.
    pub pacer: Arc<pace::Pacer>,
    /// How often.
    pub settings: UpkeepSettings,
    /// When this gateway started: the time before counts against no node.
    pub started: Timestamp,
}

impl Upkeep {
    /// What it takes to fetch shards for `purpose`, on which depends out of what nodes are paid for it.
    fn sources(&self, purpose: Purpose) -> Sources {
        let (nodes, metering) = (Arc::clone(&self.nodes), Arc::clone(&self.metering));
        Sources { nodes, catalog: self.catalog.clone(), metering, purpose }
    }
}
