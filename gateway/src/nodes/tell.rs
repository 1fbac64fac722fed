//! Tells a node's owner what the network thinks of the node, and why ([`protocol::standing`]).

use std::net::SocketAddr;

use metadata::records::{Fault, Finding, Node, Rank, Standing};
use protocol::limits::{EVIDENCE_MAX, EVIDENCE_WORDS_MAX};
use protocol::standing::{self, Exhibit, Report, StandingAnswer, Wanting};
use protocol::tls::Arrival;
use tokio::net::TcpStream;
use types::NodeId;

use super::gate::Gate;
use super::score::{self, WORDS_MAX};
use super::vetting::{self, Newcomer};

const _: () = assert!(WORDS_MAX <= EVIDENCE_WORDS_MAX);

impl Gate {
    /// Answers a known node's owner.
    pub(super) async fn tell(&self, arrival: Arrival<TcpStream>, peer: SocketAddr) {
        let node = arrival.node;
        match standing::answer(arrival.io, || self.report(node)).await {
            Ok(_) => tracing::debug!(%node, %peer, "a node's owner asked for its standing"),
            Err(error) => tracing::debug!(%node, %peer, %error, "a node's owner was not heard"),
        }
    }

    async fn report(&self, id: NodeId) -> StandingAnswer {
        match self.catalog.node(id).await {
            Ok(Some(node)) => StandingAnswer::Told(self.judged(id, &node)),
            Ok(None) => {
                StandingAnswer::Refused { why: "this node never joined this network".to_owned() }
            }
            Err(error) => {
                tracing::error!(node = %id, %error, "a node's standing could not be told");
                let why = "the gateway cannot read its catalog; try again later";
                StandingAnswer::Refused { why: why.to_owned() }
            }
        }
    }

    fn judged(&self, id: NodeId, node: &Node) -> Report {
        let standing = self.nodes.standing(id);
        let used = self.nodes.status(id).map_or(0, |status| status.used);
        let newcomer = Newcomer { joined: node.joined, used, capacity: node.capacity };
        let left = self.vetting.wanting(&standing, &newcomer, self.clock.now());
        let available = self.nodes.chances(id).average() * 1e6;
        Report {
            available: available as u32,
            wanting: standing.vetted.is_none().then(|| wanting(&left)),
            ..report(&standing)
        }
    }
}

/// What a standing itself says.
fn report(standing: &Standing) -> Report {
    let millionths = |share: u64| u32::try_from(share).unwrap_or(u32::MAX);
    let newest = standing.findings.iter().rev().take(EVIDENCE_MAX);
    Report {
        rank: match standing.rank {
            Rank::Good => standing::Rank::Good,
            Rank::Warned => standing::Rank::Warned,
            Rank::Suspended => standing::Rank::Suspended,
            Rank::Disqualified => standing::Rank::Disqualified,
        },
        since: (!standing.changes.is_empty()).then_some(standing.since),
        reason: standing.reason.clone(),
        by_operator: standing.held,
        lost: millionths(score::lost_share(standing)),
        late: millionths(score::late_share(standing)),
        available: 0,
        audits: standing.audits,
        owned_up: standing.owned_up,
        wanting: None,
        evidence: newest.map(exhibit).collect(),
    }
}

fn exhibit(finding: &Finding) -> Exhibit {
    let fault = match finding.fault {
        Fault::Missing => standing::Fault::Missing,
        Fault::Corrupt => standing::Fault::Corrupt,
        Fault::Breach => standing::Fault::Breach,
        Fault::Late => standing::Fault::Late,
        Fault::OwnedUp => standing::Fault::OwnedUp,
    };
    Exhibit { at: finding.at, fault, shard: finding.shard, words: finding.words.clone() }
}

fn wanting(left: &vetting::Wanting) -> Wanting {
    let hours = left.time.as_secs().div_ceil(3600);
    Wanting { audits: left.audits, hours, bytes: left.bytes }
}
