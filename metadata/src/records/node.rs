//! Nodes, their invites, how they have done and when they are awake.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId, ShardId, Timestamp};

/// A volunteer's machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// What its owner calls it.
    pub name: String,
    /// Bytes it offered when it joined, or last said.
    pub capacity: u64,
    /// When it joined.
    pub joined: Timestamp,
    /// When it was last connected, to the minute.
    pub last_seen: Timestamp,
    /// Whether it counts.
    pub state: NodeState,
    /// Whose it is, as its invite said; `None`: nobody's that is known, and so an owner of its own.
    pub owner: Option<AccountId>,
    /// Where it stands, as its invite said.
    pub region: Option<String>,
    /// From where it last connected; `None` from a private address, which says nothing.
    pub subnet: Option<Subnet>,
}

/// Whether a node counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum NodeState {
    /// A member, online or asleep.
    Active,
    /// Declared lost: its slots go to others. If it comes back it starts empty.
    Lost {
        /// Since when.
        at: Timestamp,
    },
    /// Its owner wants it to leave: it gets no new shards, and its slots go to others while it still serves them.
    Leaving {
        /// Since when.
        since: Timestamp,
    },
}

/// A network whose addresses one household or company holds together: the /24 of an IPv4 address, the /48 of an IPv6 one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subnet {
    /// The first three bytes.
    V4([u8; 3]),
    /// The first six bytes.
    V6([u8; 6]),
}

impl Subnet {
    /// Of an address; `None` if it is loopback, private or link-local, where equal addresses are not one place.
    #[must_use]
    pub fn of(address: IpAddr) -> Option<Self> {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                // 100.64.0.0/10 is behind a carrier's NAT (RFC 6598).
                let shared = a == 100 && b & 0xc0 == 64;
                let public = !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared);
                public.then_some(Self::V4([a, b, c]))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                // fc00::/7 and fe80::/10 (RFC 4193, RFC 4291).
                let local = a & 0xfe == 0xfc || (a == 0xfe && b & 0xc0 == 0x80);
                (!v6.is_loopback() && !local).then_some(Self::V6([a, b, c, d, e, f]))
            }
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6([a, b, c, d, e, g]) => {
                let [first, second, third] =
                    [[a, b], [c, d], [e, g]].map(|[high, low]| u16::from_be_bytes([*high, *low]));
                write!(f, "{first:x}:{second:x}:{third:x}::/48")
            }
        }
    }
}

/// A one-time invite, stored under the hash of its token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// When it was made.
    pub created: Timestamp,
    /// When it stops being good.
    pub expires: Timestamp,
    /// Who used it.
    pub used_by: Option<NodeId>,
    /// Whether the operator took it back.
    pub revoked: bool,
    /// Whose node it lets in.
    pub owner: Option<AccountId>,
    /// Where that node stands.
    pub region: Option<String>,
}

/// How a node has done, and what follows from it. Counts are in millionths and fade as newer ones come, so that a long good life
/// neither hides a disk that begins to fail nor is held hostage by one bad day.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// What it is trusted with.
    pub rank: Rank,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words for its owner.
    pub reason: String,
    /// Whether the operator set the rank: then only the operator changes it.
    pub held: bool,
    /// Audits that proved a shard to be there, faded, in millionths.
    pub proven: u64,
    /// Shards that were not there or not right, faded, in millionths.
    pub failed: u64,
    /// Answers that came in time, faded, in millionths.
    pub answered: u64,
    /// Answers that did not, faded, in millionths.
    pub late: u64,
    /// Audits passed since it joined.
    pub audits: u64,
    /// Shards it reported rotten itself. They are repaired and never held against it.
    pub owned_up: u64,
    /// When it had shown enough to be trusted with a full share.
    pub vetted: Option<Timestamp>,
    /// The evidence, oldest first.
    pub findings: Vec<Finding>,
    /// How the rank changed, oldest first.
    pub changes: Vec<RankChange>,
}

/// What a node is trusted with. The order is from good to bad.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Rank {
    /// Everything.
    #[default]
    Good,
    /// Everything; but its owner should look at it.
    Warned,
    /// What it holds. It gets no new shards.
    Suspended,
    /// Nothing: its slots go to others.
    Disqualified,
}

/// One thing that was found wrong with a node's work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// When.
    pub at: Timestamp,
    /// What.
    pub fault: Fault,
    /// In what.
    pub source: Source,
    /// The shard, if it was about one.
    pub shard: Option<ShardId>,
    /// The details, at most 200 bytes.
    pub words: String,
}

/// What can be wrong with a node's work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// It does not have a shard that it stored.
    Missing,
    /// Its bytes of a shard do not hash to the shard's root.
    Corrupt,
    /// It broke a rule of the protocol that no sound program breaks.
    Breach,
    /// It answered too slowly, or not at all while it was connected.
    Late,
    /// It said itself that a shard is rotten. Not held against it.
    OwnedUp,
}

/// Who looked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Source {
    /// An audit.
    Audit,
    /// A read or a repair.
    Read,
    /// A write.
    Write,
    /// The node itself.
    Node,
}

/// How a node came to its rank.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RankChange {
    /// When.
    pub at: Timestamp,
    /// What it became.
    pub rank: Rank,
    /// Whether the operator decided it.
    pub operator: bool,
    /// Why.
    pub reason: String,
}

/// When a node is awake: for each hour of the week, how much of it was watched and how much of that the node was connected.
/// Both fade from week to week.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct WeekHours {
    /// Until when it was watched.
    pub until: Timestamp,
    /// Seconds watched and seconds connected, by hour of the week (UTC, from Monday 00:00); empty or 168.
    pub hours: Vec<HourRow>,
}

/// One hour of [`WeekHours`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HourRow {
    /// Seconds in which this gateway watched, faded.
    pub watched: u32,
    /// Seconds of those in which the node was connected, faded.
    pub online: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_what_one_household_holds_and_private_addresses_have_none() {
        for (address, subnet) in [
            ("203.0.113.9", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.9", Some("203.0.113.0/24")),
            ("2001:db8:7:1::2", Some("2001:db8:7::/48")),
            ("127.0.0.1", None),
            ("192.168.1.2", None),
            ("10.1.2.3", None),
            ("100.64.0.1", None),
            ("169.254.0.1", None),
            ("::1", None),
            ("fd00::1", None),
            ("fe80::1", None),
        ] {
            let found = Subnet::of(address.parse().expect("an address"));
            assert_eq!(found.map(|subnet| subnet.to_string()).as_deref(), subnet, "{address}");
        }
    }
}
