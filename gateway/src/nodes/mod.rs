//! The nodes that are connected right now, and how well each does.

pub mod gate;
mod leave;
mod member;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use protocol::{Evidence, NodeClient};
use tokio::sync::watch;
use types::{NodeId, Timestamp};

pub use member::{Member, NodeStatus};

/// Who is online. Every other part asks here for a connection; nobody keeps one.
pub struct Nodes {
    members: RwLock<HashMap<NodeId, Arc<Member>>>,
    /// When those that were connected went away.
    departures: RwLock<HashMap<NodeId, Timestamp>>,
    /// Raised at each arrival and departure.
    changes: watch::Sender<u64>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            members: RwLock::default(),
            departures: RwLock::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Nodes {
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
        metrics::counter!("drystone_node_misbehaved_total", "node" => evidence.node.to_string())
            .increment(1);
        tracing::warn!(node = %evidence.node, %evidence, "node misbehaved");
        if let Some(member) = self.member(evidence.node) {
            member.blamed();
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<NodeId, Arc<Member>>> {
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }
}
