//! The door for nodes: accepts connections, tells joining strangers from members, and keeps each member's line in [`Nodes`].

use std::net::SocketAddr;
use std::sync::Arc;

use metadata::Catalog;
use metadata::records::{NodeState, Subnet};
use protocol::identity::ClusterId;
use protocol::join::{self, JoinAnswer, JoinRequest};
use protocol::limits::LinkSettings;
use protocol::message::{GroupEpoch, HelloRequest};
use protocol::tls::{Arrival, GatewayTls, Purpose};
use protocol::version::Versions;
use protocol::{NodeClient, NodeError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use types::NodeId;
use types::clock::SharedClock;

use super::Nodes;
use super::vetting::VettingRules;

/// Connections that have not proved who they are yet; more wait in the listen queue.
const STRANGERS_MAX: usize = 256;
/// Pause after a failed accept, such as when the process has no file descriptors left.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// What the door needs.
pub struct Gate {
    /// Who may come in.
    pub catalog: Catalog,
    /// Who is in.
    pub nodes: Arc<Nodes>,
    /// Our end of TLS.
    pub tls: GatewayTls,
    /// Of which installation we are.
    pub cluster: ClusterId,
    /// Where nodes should dial, told to those that join.
    pub gateways: Vec<protocol::dial::Address>,
    /// When a newcomer gets a full share.
    pub vetting: VettingRules,
    /// The time.
    pub clock: SharedClock,
}

impl Gate {
    /// Accepts nodes until `stop`.
    pub async fn run(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
        loop {
            let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (gate, stop) = (Arc::clone(&self), stop.clone());
                    tokio::spawn(async move {
                        tokio::select! {
                            () = gate.arrive(stream, peer, permit) => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a node's connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn arrive(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY cannot be set");
        }
        match self.tls.accept(stream).await {
            Err(error) => {
                tracing::debug!(%peer, error = &error as &dyn std::error::Error, "handshake failed")
            }
            Ok(arrival) => match arrival.purpose {
                Purpose::Join => self.join(arrival, peer).await,
                Purpose::Leave => self.leave(arrival, peer).await,
                Purpose::Standing => self.tell(arrival, peer).await,
                Purpose::Link => self.link(arrival, peer, permit).await,
            },
        }
    }

    async fn join(&self, arrival: Arrival<TcpStream>, peer: SocketAddr) {
        let node = arrival.node;
        let answered = join::answer(arrival.io, |request| self.decide(node, request)).await;
        match answered {
            Ok((request, JoinAnswer::Welcome { .. })) => {
                tracing::info!(%node, name = request.name.as_str(), %peer, "node joined");
            }
            Ok((_, JoinAnswer::Refused { why })) => {
                tracing::info!(%node, %peer, %why, "node refused")
            }
            Err(error) => tracing::debug!(%node, %peer, %error, "joining failed"),
        }
    }

    async fn decide(&self, node: NodeId, request: JoinRequest) -> JoinAnswer {
        let admitted = self
            .catalog
            .admit_node(request.token.digest(), node, request.name.as_str(), request.capacity)
            .await;
        match admitted {
            Ok(()) => {
                JoinAnswer::Welcome { cluster: self.cluster, gateways: self.gateways.clone() }
            }
            Err(metadata::CatalogError::Kv(error)) => {
                tracing::error!(%error, "a node could not be admitted");
                JoinAnswer::Refused {
                    why: "the gateway cannot write its catalog; try again later".to_owned(),
                }
            }
            Err(refused) => JoinAnswer::Refused { why: refused.to_string() },
        }
    }

    /// Serves a member's line until it ends.
    async fn link(
        &self,
        arrival: Arrival<TcpStream>,
        peer: SocketAddr,
        permit: tokio::sync::OwnedSemaphorePermit,
    ) {
        let node = arrival.node;
        match self.catalog.node(node).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                return tracing::info!(%node, %peer, "a node that never joined was turned away");
            }
            Err(error) => {
                return tracing::error!(%node, %error, "the catalog cannot say who a node is");
            }
        }
        let hello = match self.hello(node).await {
            Ok(hello) => hello,
            Err(error) => return tracing::error!(%node, %error, "the catalog cannot be read"),
        };
        let client =
            match NodeClient::open(arrival.io, arrival.key, &hello, &LinkSettings::default()).await
            {
                Ok(client) => client,
                Err(NodeError::Misbehaved(evidence)) => return self.nodes.blame(&evidence),
                Err(error) => {
                    return tracing::info!(%node, %peer, %error, "a node did not answer hello");
                }
            };
        drop(permit);
        let facts = client.hello().facts.clone();
        let subnet = Subnet::of(peer.ip());
        if let Err(error) = self.catalog.node_seen(node, facts.capacity).await {
            tracing::error!(%node, %error, "a node's arrival could not be noted");
        }
        let leaving = match self.catalog.node_at(node, subnet).await {
            Ok(known) => matches!(known.state, NodeState::Leaving { .. }),
            Err(error) => {
                tracing::error!(%node, %error, "from where a node came could not be noted");
                false
            }
        };
        let closed = client.closed();
        let name = facts.name.as_str().to_owned();
        let member =
            self.nodes.attach(client, name, facts.capacity, facts.software, self.clock.now());
        member.set_leaving(leaving);
        closed.await;
        self.nodes.detach(&member, self.clock.now());
    }

    async fn hello(&self, node: NodeId) -> Result<HelloRequest, metadata::CatalogError> {
        let mut epochs = Vec::new();
        for (group, _) in self.catalog.groups_of(node).await? {
            let row = self.catalog.group(group).await?;
            if row.epoch.0 > 1 && epochs.len() < protocol::limits::EPOCHS_MAX {
                epochs.push(GroupEpoch { group, epoch: row.epoch });
            }
        }
        Ok(HelloRequest {
            versions: Versions::ours(),
            cluster: self.cluster,
            time: self.clock.now(),
            epochs,
            floor: None,
        })
    }
}
