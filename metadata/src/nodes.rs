//! Nodes and the invites that let them in.

use std::time::Duration;

use types::{AccountId, NodeId};

use crate::records::{Invite, Node, NodeState, Standing, Subnet, WeekHours};
use crate::schema::{INVITES, NODES, STANDINGS, WEEK_HOURS};
use crate::{Catalog, CatalogError};

/// Rows of nodes that one transaction writes: even full of evidence they are a few kB each.
const STEP: usize = 50;

/// Whom an invite is for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Guest {
    /// Whose node it will be.
    pub owner: Option<AccountId>,
    /// Where it stands.
    pub region: Option<String>,
}

impl Catalog {
    /// Remembers an invite for anybody under the hash of its token.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn create_invite(
        &self,
        token_hash: [u8; 32],
        good_for: Duration,
    ) -> Result<(), CatalogError> {
        self.create_invite_for(token_hash, good_for, Guest::default()).await
    }

    /// Remembers an invite for one owner's node under the hash of its token.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn create_invite_for(
        &self,
        token_hash: [u8; 32],
        good_for: Duration,
        guest: Guest,
    ) -> Result<(), CatalogError> {
        let now = self.now();
        let Guest { owner, region } = guest;
        let expires = now.plus(good_for);
        let invite =
            &Invite { created: now, expires, used_by: None, revoked: false, owner, region };
        kv::transact(&*self.kv, |tx| async move {
            INVITES.put(&tx, &token_hash, invite);
            Ok(())
        })
        .await
    }

    /// Takes an invite back.
    ///
    /// # Errors
    /// [`CatalogError::Invite`] if it is unknown or used.
    pub async fn revoke_invite(&self, token_hash: [u8; 32]) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            match INVITES.get_for_update(&tx, &token_hash).await? {
                None => Err(CatalogError::Invite("unknown")),
                Some(Invite { used_by: Some(_), .. }) => Err(CatalogError::Invite("used already")),
                Some(invite) => {
                    INVITES.put(&tx, &token_hash, &Invite { revoked: true, ..invite });
                    Ok(())
                }
            }
        })
        .await
    }

    /// Lets a node in. The same node may present its invite again (its first answer may have been lost).
    ///
    /// # Errors
    /// [`CatalogError::Invite`].
    pub async fn admit_node(
        &self,
        token_hash: [u8; 32],
        id: NodeId,
        name: &str,
        capacity: u64,
    ) -> Result<(), CatalogError> {
        let now = self.now();
        let node = &Node {
            name: name.to_owned(),
            capacity,
            joined: now,
            last_seen: now,
            state: NodeState::Active,
            owner: None,
            region: None,
            subnet: None,
        };
        kv::transact(&*self.kv, |tx| async move {
            let invite = INVITES
                .get_for_update(&tx, &token_hash)
                .await?
                .ok_or(CatalogError::Invite("unknown"))?;
            match invite {
                Invite { used_by: Some(user), .. } if user == id => return Ok(()),
                Invite { used_by: Some(_), .. } => {
                    return Err(CatalogError::Invite("used already"));
                }
                Invite { revoked: true, .. } => return Err(CatalogError::Invite("revoked")),
                Invite { expires, .. } if expires < now => {
                    return Err(CatalogError::Invite("expired"));
                }
                _ => {}
            }
            let known = NODES.get_for_update(&tx, &id).await?;
            let (joined, subnet) = known.map_or((now, None), |known| (known.joined, known.subnet));
            let (owner, region) = (invite.owner.clone(), invite.region.clone());
            NODES.put(&tx, &id, &Node { joined, owner, region, subnet, ..node.clone() });
            INVITES.put(&tx, &token_hash, &Invite { used_by: Some(id), ..invite });
            Ok(())
        })
        .await
    }

    /// One node.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn node(&self, id: NodeId) -> Result<Option<Node>, CatalogError> {
        Ok(NODES.get(&self.kv.snapshot().await?, &id).await?)
    }

    /// Every node that ever joined.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn nodes(&self) -> Result<Vec<(NodeId, Node)>, CatalogError> {
        self.all(&NODES).await
    }

    /// Notes that a node is connected, and what it offers now. A node that had been declared lost is a member again, with empty slots;
    /// one that is leaving goes on leaving.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if it never joined.
    pub async fn node_seen(&self, id: NodeId, capacity: u64) -> Result<Node, CatalogError> {
        let now = self.now();
        self.change_node(id, |node| {
            node.last_seen = now;
            node.capacity = capacity;
            if matches!(node.state, NodeState::Lost { .. }) {
                node.state = NodeState::Active;
            }
        })
        .await
    }

    /// Notes from where a node connected.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if it never joined.
    pub async fn node_at(&self, id: NodeId, subnet: Option<Subnet>) -> Result<Node, CatalogError> {
        self.change_node(id, |node| node.subnet = subnet).await
    }

    /// Gives a node to another owner, or to nobody.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn node_owned(
        &self,
        id: NodeId,
        owner: Option<&AccountId>,
    ) -> Result<Node, CatalogError> {
        self.change_node(id, |node| node.owner = owner.cloned()).await
    }

    /// Lets a node leave: it gets no new shards, and its slots go to others.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn node_leaves(&self, id: NodeId) -> Result<Node, CatalogError> {
        let since = self.now();
        self.change_node(id, |node| {
            if node.state == NodeState::Active {
                node.state = NodeState::Leaving { since };
            }
        })
        .await
    }

    /// A node that was leaving stays. Slots that were handed over meanwhile stay where they are.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn node_stays(&self, id: NodeId) -> Result<Node, CatalogError> {
        self.change_node(id, |node| {
            if matches!(node.state, NodeState::Leaving { .. }) {
                node.state = NodeState::Active;
            }
        })
        .await
    }

    /// Declares a node lost: its slots are to be filled by others.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn node_lost(&self, id: NodeId) -> Result<Node, CatalogError> {
        let now = self.now();
        self.change_node(id, |node| {
            if !matches!(node.state, NodeState::Lost { .. }) {
                node.state = NodeState::Lost { at: now };
            }
        })
        .await
    }

    /// How a node has done, as it was last written down.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn standing(&self, id: NodeId) -> Result<Option<Standing>, CatalogError> {
        Ok(STANDINGS.get(&self.kv.snapshot().await?, &id).await?)
    }

    /// How every node has done, as it was last written down.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn standings(&self) -> Result<Vec<(NodeId, Standing)>, CatalogError> {
        self.all(&STANDINGS).await
    }

    /// Writes down how nodes have done. Rows are whole, and the last one written counts.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn put_standings(&self, rows: &[(NodeId, Standing)]) -> Result<(), CatalogError> {
        for step in rows.chunks(STEP) {
            kv::transact(&*self.kv, |tx| async move {
                step.iter().for_each(|(id, standing)| STANDINGS.put(&tx, id, standing));
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// When every node is awake, as it was last written down.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn week_hours(&self) -> Result<Vec<(NodeId, WeekHours)>, CatalogError> {
        self.all(&WEEK_HOURS).await
    }

    /// Writes down when nodes are awake. Rows are whole, and the last one written counts.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn put_week_hours(&self, rows: &[(NodeId, WeekHours)]) -> Result<(), CatalogError> {
        for step in rows.chunks(STEP) {
            kv::transact(&*self.kv, |tx| async move {
                step.iter().for_each(|(id, hours)| WEEK_HOURS.put(&tx, id, hours));
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    async fn change_node(
        &self,
        id: NodeId,
        change: impl Fn(&mut Node) + Send + Sync,
    ) -> Result<Node, CatalogError> {
        let change = &change;
        kv::transact(&*self.kv, |tx| async move {
            let mut node =
                NODES.get_for_update(&tx, &id).await?.ok_or(CatalogError::Missing("node"))?;
            change(&mut node);
            NODES.put(&tx, &id, &node);
            Ok(node)
        })
        .await
    }
}
