//! Inventory: what is there, shard by shard or as a fingerprint of each group.

use serde::{Deserialize, Serialize};
use types::{GroupId, Root, ShardId};

use super::Message;
use crate::limits;

/// Asks what is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InventoryRequest {
    /// A page of the shards, in the order of their ids.
    List {
        /// Of this group only.
        group: Option<GroupId>,
        /// Beginning after this one.
        after: Option<ShardId>,
        /// At most so many; 1 to [`limits::INVENTORY_MAX`].
        limit: u32,
    },
    /// One fingerprint per group that has shards, in the order of their ids.
    Fingerprint {
        /// From this group.
        from: GroupId,
        /// To before this group; `None`: to the end.
        to: Option<GroupId>,
        /// At most so many; 1 to [`limits::INVENTORY_MAX`].
        limit: u32,
    },
}

/// The answer to an [`InventoryRequest`], of the same kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InventoryAnswer {
    /// A page of shards.
    List {
        /// In the order of their ids.
        entries: Vec<InventoryEntry>,
        /// Whether there are more.
        more: bool,
    },
    /// Fingerprints of groups.
    Fingerprint {
        /// In the order of their ids.
        groups: Vec<GroupFingerprint>,
        /// Whether there are more.
        more: bool,
    },
}

impl InventoryAnswer {
    /// Whether this can be the answer to `request`: of its kind, within its bounds, and leading on if there is more.
    pub(crate) fn is_to(&self, request: &InventoryRequest) -> bool {
        match (self, request) {
            (Self::List { entries, more }, InventoryRequest::List { group, after, limit }) => {
                let within = |shard: &ShardId| {
                    group.is_none_or(|group| shard.group == group)
                        && after.is_none_or(|after| *shard > after)
                };
                fits(entries.len(), *limit, *more)
                    && entries.iter().all(|entry| within(&entry.shard))
            }
            (
                Self::Fingerprint { groups, more },
                InventoryRequest::Fingerprint { from, to, limit },
            ) => {
                let within = |group: GroupId| group >= *from && to.is_none_or(|to| group < to);
                fits(groups.len(), *limit, *more) && groups.iter().all(|print| within(print.group))
            }
            _ => false,
        }
    }
}

/// A page that is empty yet promises more would be asked for without end.
fn fits(count: usize, limit: u32, more: bool) -> bool {
    count <= limit as usize && (count > 0 || !more)
}

/// One shard of an inventory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Which.
    pub shard: ShardId,
    /// Bytes.
    pub len: u64,
    /// Its root.
    pub root: Root,
}

/// What a whole group holds, in 32 bytes: equal fingerprints mean equal shards, lengths and roots.
///
/// The exclusive or of a hash per shard, so that a node can keep it up to date without reading the group. It guards against
/// loss, not against lies: a node that lies about its inventory is found by fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupFingerprint {
    /// The group.
    pub group: GroupId,
    /// How many shards.
    pub count: u64,
    /// The exclusive or of their hashes.
    pub digest: [u8; 32],
}

impl GroupFingerprint {
    /// Of a group without shards.
    #[must_use]
    pub const fn empty(group: GroupId) -> Self {
        Self { group, count: 0, digest: [0; 32] }
    }

    /// Takes a shard in.
    pub fn add(&mut self, entry: &InventoryEntry) {
        self.count += 1;
        self.toggle(entry);
    }

    /// Takes a shard out that was taken in before.
    pub fn remove(&mut self, entry: &InventoryEntry) {
        self.count -= 1;
        self.toggle(entry);
    }

    fn toggle(&mut self, entry: &InventoryEntry) {
        let mut hasher = blake3::Hasher::new_derive_key("drystone 2026 inventory fingerprint v1");
        hasher.update(&entry.shard.to_bytes());
        hasher.update(&entry.len.to_be_bytes());
        hasher.update(entry.root.as_bytes());
        let hash = hasher.finalize();
        for (byte, other) in self.digest.iter_mut().zip(hash.as_bytes()) {
            *byte ^= other;
        }
    }
}

impl Message for InventoryRequest {
    fn check(&self) -> Result<(), &'static str> {
        let (Self::List { limit, .. } | Self::Fingerprint { limit, .. }) = *self;
        if (1..=limits::INVENTORY_MAX).contains(&limit) {
            Ok(())
        } else {
            Err("the limit is out of range")
        }
    }
}

impl Message for InventoryAnswer {
    fn check(&self) -> Result<(), &'static str> {
        let sorted = match self {
            Self::List { entries, .. } => entries.is_sorted_by(|a, b| a.shard < b.shard),
            Self::Fingerprint { groups, .. } => groups.is_sorted_by(|a, b| a.group < b.group),
        };
        if sorted { Ok(()) } else { Err("an inventory that is not in order") }
    }
}
