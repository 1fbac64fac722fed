//! A node's owner wants it to leave, to stay after all, or to know how far it has come ([`protocol::leave`]).

use std::net::SocketAddr;

use metadata::records::NodeState;
use metadata::{Catalog, CatalogError};
use protocol::leave::{self, LeaveAnswer, Wish};
use protocol::tls::Arrival;
use tokio::net::TcpStream;
use types::NodeId;

use super::gate::Gate;

impl Gate {
    /// Hears one wish of a known node, and answers.
    pub(super) async fn leave(&self, arrival: Arrival<TcpStream>, peer: SocketAddr) {
        let node = arrival.node;
        match leave::answer(arrival.io, |wish| self.heed(node, wish)).await {
            Ok((request, answer)) => {
                tracing::info!(%node, %peer, wish = ?request.wish, ?answer, "a node's owner spoke of leaving");
            }
            Err(error) => tracing::debug!(%node, %peer, %error, "a node's wish was not heard"),
        }
    }

    async fn heed(&self, node: NodeId, wish: Wish) -> LeaveAnswer {
        let heeded = async {
            let known = match wish {
                Wish::Leave => self.catalog.node_leaves(node).await?,
                Wish::Stay => self.catalog.node_stays(node).await?,
                Wish::Ask => self.catalog.node(node).await?.ok_or(CatalogError::Missing("node"))?,
            };
            if let Some(member) = self.nodes.member(node) {
                member.set_leaving(matches!(known.state, NodeState::Leaving { .. }));
            }
            Ok(match known.state {
                NodeState::Active => LeaveAnswer::Member,
                NodeState::Lost { .. } => LeaveAnswer::Left,
                NodeState::Leaving { since } => match counting_on(&self.catalog, node).await? {
                    0 => LeaveAnswer::Left,
                    groups => LeaveAnswer::Leaving { groups, since },
                },
            })
        };
        heeded.await.unwrap_or_else(|error: CatalogError| {
            let why = match error {
                CatalogError::Missing(_) => "this node never joined this network".to_owned(),
                error => {
                    tracing::error!(%node, %error, "a node's wish to leave could not be heeded");
                    "the gateway cannot use its catalog; try again later".to_owned()
                }
            };
            LeaveAnswer::Refused { why }
        })
    }
}

/// Groups that still count on a node: it fills a slot, or has not handed over all of one yet.
async fn counting_on(catalog: &Catalog, node: NodeId) -> Result<u64, CatalogError> {
    let groups = catalog.groups().await?;
    let counts = groups.iter().filter(|(_, group)| {
        group.slots.iter().any(|slot| slot.node == Some(node) || slot.previous == Some(node))
    });
    Ok(counts.count() as u64)
}
