//! The nodes: who is connected right now, how well each does, and when it is awake.
//!
//! What is decided here is decided by pure functions over records and moments: [`score`] (what answers say of a node), [`vetting`] (when
//! it is no newcomer any more), [`availability`] (when it sleeps), [`placement`] (who shares a group), [`outlook`] (how safe that is), [`audits`]
//! (when to look at what). [`facts`] puts it together for one object. The drivers are in [`crate::upkeep`].

pub mod audits;
pub mod availability;
mod book;
pub mod facts;
pub mod gate;
mod leave;
mod member;
pub mod outlook;
pub mod placement;
pub mod score;
mod tell;
pub mod vetting;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use metadata::records::{Fault, Rank, Source, Standing, WeekHours};
use protocol::message::Verb;
use protocol::{Evidence, Loss, NodeClient, NodeError, Offence};
use tokio::sync::watch;
use types::clock::SharedClock;
use types::{NodeId, ShardId, SystemClock, Timestamp};

use availability::Chances;
use book::Book;
use score::{Observation, Outcome};
use vetting::{Newcomer, VettingRules};

pub use member::{Member, NodeStatus};

/// Who is online. Every other part asks here for a connection; nobody keeps one.
pub struct Nodes {
    members: RwLock<HashMap<NodeId, Arc<Member>>>,
    /// When those that were connected went away.
    departures: RwLock<HashMap<NodeId, Timestamp>>,
    /// Raised at each arrival and departure.
    changes: watch::Sender<u64>,
    book: Book,
    clock: SharedClock,
}

impl Default for Nodes {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Nodes {
    /// Nobody, so far.
    #[must_use]
    pub fn new(clock: SharedClock) -> Self {
        Self {
            members: RwLock::default(),
            departures: RwLock::default(),
            changes: watch::Sender::new(0),
            book: Book::default(),
            clock,
        }
    }

    /// Takes over what the catalog knows of how nodes have done and when they are awake.
    pub fn load(&self, standings: Vec<(NodeId, Standing)>, hours: Vec<(NodeId, WeekHours)>) {
        self.book.load(standings, hours, self.clock.now());
    }

    /// The time, by the clock that everything here goes by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The ids of all that are connected, in order.
    #[must_use]
    pub fn online(&self) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self.read().keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// All that are connected.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.read().values().cloned().collect()
    }

    /// One that is connected.
    #[must_use]
    pub fn member(&self, id: NodeId) -> Option<Arc<Member>> {
        self.read().get(&id).cloned()
    }

    /// When a node that was connected since this gateway started went away.
    #[must_use]
    pub fn departed(&self, id: NodeId) -> Option<Timestamp> {
        self.departures.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// What is known of a connected node.
    #[must_use]
    pub fn status(&self, id: NodeId) -> Option<NodeStatus> {
        self.member(id).map(|member| member.status())
    }

    /// Wakes whoever waits for nodes to come or go.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes a connection in. Of two with one identity the newer wins; the older is closed as its last user lets go.
    pub fn attach(
        &self,
        client: NodeClient,
        name: String,
        capacity: u64,
        software: String,
        now: Timestamp,
    ) -> Arc<Member> {
        let member = Arc::new(Member::new(client, name, capacity, software, now));
        member.set_trusted(self.book.rank(member.id()) < Rank::Suspended);
        self.members
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(member.id(), Arc::clone(&member));
        self.changes.send_modify(|count| *count += 1);
        tracing::info!(node = %member.id(), name = %member.name(), "node connected");
        member
    }

    /// Forgets a connection, unless a newer one has taken its place.
    pub fn detach(&self, member: &Arc<Member>, now: Timestamp) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if members.get(&member.id()).is_some_and(|present| Arc::ptr_eq(present, member)) {
            members.remove(&member.id());
            drop(members);
            self.departures
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(member.id(), now);
            self.changes.send_modify(|count| *count += 1);
            tracing::info!(node = %member.id(), name = %member.name(), "node disconnected");
        }
    }

    /// Holds a breach of the rules against a node.
    pub fn blame(&self, evidence: &Evidence) {
        let source = if evidence.verb == Verb::Store { Source::Write } else { Source::Read };
        self.blame_in(evidence, source);
    }

    fn blame_in(&self, evidence: &Evidence, source: Source) {
        metrics::counter!("drystone_node_misbehaved_total", "node" => evidence.node.to_string())
            .increment(1);
        tracing::warn!(node = %evidence.node, %evidence, "node misbehaved");
        if let Some(member) = self.member(evidence.node) {
            member.blamed();
        }
        let (fault, shard) = match &evidence.offence {
            Offence::WrongBytes { shard, .. } | Offence::WrongShardLength { shard, .. } => {
                (Fault::Corrupt, Some(*shard))
            }
            _ => (Fault::Breach, None),
        };
        let outcome = Outcome::Wrong(fault, evidence.offence.to_string());
        self.observe(evidence.node, &Observation { source, outcome, shard });
    }

    /// Notes that a node gave what it was asked for, in time.
    pub fn did_right(&self, node: NodeId, source: Source, shard: ShardId) {
        let outcome = Outcome::Right;
        self.observe(node, &Observation { source, outcome, shard: Some(shard) });
    }

    /// Notes that a node did not give what it was asked for. Of whose fault that is, nothing is assumed: away, busy, full and stale are
    /// nobody's; a shard that is not there is the node's only if it must be there, which the caller knows (`due`), and if it had its chance to
    /// say what it lost while it was away.
    pub fn did_not(
        &self,
        node: NodeId,
        source: Source,
        shard: ShardId,
        error: &NodeError,
        due: bool,
    ) {
        let heard = self.member(node).is_some_and(|member| member.compared());
        let (fault, words) = match error {
            NodeError::Misbehaved(evidence) => return self.blame_in(evidence, source),
            NodeError::NotFound if due && heard => {
                (Fault::Missing, "the node does not hold it".to_owned())
            }
            NodeError::Failed { words } => (Fault::OwnedUp, words.clone()),
            NodeError::Unreachable(Loss::TooSlow { .. }) => (Fault::Late, error.to_string()),
            _ => return,
        };
        let outcome = Outcome::Wrong(fault, words);
        self.observe(node, &Observation { source, outcome, shard: Some(shard) });
    }

    /// Notes that a node said itself that a shard is rotten.
    pub fn owned_up(&self, node: NodeId, shard: ShardId) {
        let outcome = Outcome::Wrong(Fault::OwnedUp, "its scrub found it rotten".to_owned());
        self.observe(node, &Observation { source: Source::Node, outcome, shard: Some(shard) });
    }

    /// Notes that a node's inventory lacks shards, which is another way to own up.
    pub fn lacks(&self, node: NodeId, shards: u64) {
        let words = format!("its inventory lacks {shards} shards that it had stored");
        let now = self.clock.now();
        self.book.change(node, |standing| score::own_up(standing, shards, None, &words, now));
    }

    fn observe(&self, node: NodeId, seen: &Observation) {
        if let Some(standing) = self.book.observe(node, seen, self.clock.now()) {
            self.ranked(node, &standing);
        }
    }

    /// Changes a node's standing as the operator says; how it is now.
    pub fn change_standing(&self, node: NodeId, change: impl FnOnce(&mut Standing)) -> Standing {
        let before = self.book.rank(node);
        let standing = self.book.change(node, change);
        if standing.rank != before {
            self.ranked(node, &standing);
        }
        standing
    }

    /// Vets a node, if it has shown enough.
    pub fn vet(&self, node: NodeId, rules: &VettingRules, newcomer: &Newcomer) {
        if self.book.vet(node, rules, newcomer, self.clock.now()) {
            tracing::info!(%node, "node vetted: it gets a full share from now on");
        }
    }

    fn ranked(&self, node: NodeId, standing: &Standing) {
        let (rank, reason) = (standing.rank, standing.reason.as_str());
        metrics::counter!("drystone_node_rank_changes_total", "rank" => rank_name(rank))
            .increment(1);
        if rank == Rank::Good {
            tracing::info!(%node, reason, "node in good standing");
        } else {
            tracing::warn!(%node, rank = rank_name(rank), reason, "a node's rank changed");
        }
        if let Some(member) = self.member(node) {
            member.set_trusted(rank < Rank::Suspended);
        }
        // Slots of a disqualified node are to be handed over now, not at the next round.
        self.changes.send_modify(|count| *count += 1);
    }

    /// How a node has done.
    #[must_use]
    pub fn standing(&self, node: NodeId) -> Standing {
        self.book.standing(node)
    }

    /// What a node is trusted with.
    #[must_use]
    pub fn rank(&self, node: NodeId) -> Rank {
        self.book.rank(node)
    }

    /// Whether a node has shown enough for a full share.
    #[must_use]
    pub fn vetted(&self, node: NodeId) -> bool {
        self.book.vetted(node)
    }

    /// When a node is awake.
    #[must_use]
    pub fn chances(&self, node: NodeId) -> Chances {
        self.book.chances(node)
    }

    /// Notes of these nodes whether they are connected.
    pub fn watch(&self, nodes: impl IntoIterator<Item = NodeId>) {
        let online = self.online();
        let here = |id: NodeId| (id, online.binary_search(&id).is_ok());
        self.book.watch(nodes.into_iter().map(here), self.clock.now());
    }

    /// What was learned of when nodes are awake, to be written down.
    #[must_use]
    pub fn week_hours(&self) -> Vec<(NodeId, WeekHours)> {
        self.book.hours()
    }

    /// Standings to be written down; give those that could not be back to [`Self::unwritten`].
    #[must_use]
    pub fn take_unwritten(&self) -> Vec<(NodeId, Standing)> {
        self.book.take_unwritten()
    }

    /// These standings could not be written down.
    pub fn unwritten(&self, nodes: impl IntoIterator<Item = NodeId>) {
        self.book.unwritten(nodes);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<NodeId, Arc<Member>>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rank as it is shown.
#[must_use]
pub fn rank_name(rank: Rank) -> &'static str {
    match rank {
        Rank::Good => "good",
        Rank::Warned => "warned",
        Rank::Suspended => "suspended",
        Rank::Disqualified => "disqualified",
    }
}
