//! Nodes and the invites that let them in.

use std::time::Duration;

use types::NodeId;

use crate::records::{Invite, Node, NodeState};
use crate::schema::{INVITES, NODES};
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Remembers an invite under the hash of its token.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn create_invite(
        &self,
        token_hash: [u8; 32],
        good_for: Duration,
    ) -> Result<(), CatalogError> {
        let now = self.now();
        let invite =
            &Invite { created: now, expires: now.plus(good_for), used_by: None, revoked: false };
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
                invite => INVITES.put(&tx, &token_hash, &Invite { used_by: Some(id), ..invite }),
            }
            let joined = NODES.get_for_update(&tx, &id).await?.map_or(now, |known| known.joined);
            NODES.put(&tx, &id, &Node { joined, ..node.clone() });
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

    /// Notes that a node is connected, and what it offers now. A node that had been declared lost is a member again, with empty slots.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if it never joined.
    pub async fn node_seen(&self, id: NodeId, capacity: u64) -> Result<Node, CatalogError> {
        let now = self.now();
        self.change_node(id, |node| {
            node.last_seen = now;
            node.capacity = capacity;
            node.state = NodeState::Active;
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
            if node.state == NodeState::Active {
                node.state = NodeState::Lost { at: now };
            }
        })
        .await
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
