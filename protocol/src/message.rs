//! Every message of the link: what is asked, what is answered, and how it lies in bytes.
//!
//! A request is `POST /v1/<verb>`. Its body, and that of its answer, begins with the message's length as four big-endian
//! bytes and the message in postcard; the bytes of shards follow bare, so that neither end copies them to take them apart. An
//! answer's message is a `Result`: what was asked for, or a [`Refusal`]. Postcard writes fields in order and variants by number,
//! so fields and variants are only ever appended, under a new [`Version`](crate::version::Version).

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{Epoch, GroupId, Root, ShardId, Timestamp};

use crate::blame::Offence;
use crate::identity::{ClusterId, SignedFloor};
use crate::limits;
use crate::receipt::Receipt;
use crate::revision::SignedRevision;
use crate::steps::{BadRange, Steps};
use crate::version::Versions;

/// Bytes of the length before a message.
pub(crate) const PREFIX: usize = 4;

/// What a gateway can ask of a node. `revise`, `tally` and `run` are reserved for later versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verb {
    /// Agree on a version; the first request of every connection.
    Hello,
    /// Take a shard.
    Store,
    /// Give bytes of a shard.
    Fetch,
    /// Let shards go, by a signed revision.
    Drop,
    /// List or fingerprint what is there.
    Inventory,
    /// Tell how things are.
    Status,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Hello, Self::Store, Self::Fetch, Self::Drop, Self::Inventory, Self::Status];

    /// The request's path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Hello => "/v1/hello",
            Self::Store => "/v1/store",
            Self::Fetch => "/v1/fetch",
            Self::Drop => "/v1/drop",
            Self::Inventory => "/v1/inventory",
            Self::Status => "/v1/status",
        }
    }

    /// The verb of a path.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.path() == path)
    }

    /// Bytes of the largest request message.
    #[must_use]
    pub const fn request_max(self) -> usize {
        match self {
            Self::Hello => limits::HELLO_MAX,
            Self::Drop => limits::DROP_MAX,
            Self::Store | Self::Fetch | Self::Inventory | Self::Status => limits::MESSAGE_MAX,
        }
    }

    /// Bytes of the largest answer message.
    #[must_use]
    pub const fn answer_max(self) -> usize {
        match self {
            Self::Drop => limits::DROP_MAX,
            Self::Inventory => limits::INVENTORY_ANSWER_MAX,
            Self::Status => limits::STATUS_ANSWER_MAX,
            Self::Hello | Self::Store | Self::Fetch => limits::MESSAGE_MAX,
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path().trim_start_matches("/v1/"))
    }
}

/// The rules of a message beyond its shape; checked by the receiver before anybody acts on it.
pub(crate) trait Message: Serialize + DeserializeOwned {
    fn check(&self) -> Result<(), &'static str>;
}

/// The length prefix and the message.
pub(crate) fn encode<T: Serialize>(message: &T) -> Bytes {
    let mut out = postcard::to_extend(message, vec![0; PREFIX])
        .expect("messages hold nothing that postcard cannot write");
    let len = u32::try_from(out.len() - PREFIX).expect("every message is shorter than 4 GiB");
    out[..PREFIX].copy_from_slice(&len.to_be_bytes());
    Bytes::from(out)
}

/// Reads a message without its prefix: nothing may be left over, and its rules must hold.
pub(crate) fn decode<T: Message>(bytes: &[u8]) -> Result<T, Offence> {
    let message: T =
        decode_exactly(bytes).ok_or(Offence::Malformed("not in the form of its verb"))?;
    message.check().map_err(Offence::Malformed)?;
    Ok(message)
}

/// Reads an answer without its prefix.
pub(crate) fn decode_answer<T: Message>(bytes: &[u8]) -> Result<Result<T, Refusal>, Offence> {
    let answer: Result<T, Refusal> =
        decode_exactly(bytes).ok_or(Offence::Malformed("not in the form of its verb"))?;
    match &answer {
        Ok(message) => message.check(),
        Err(refusal) => refusal.check(),
    }
    .map_err(Offence::Malformed)?;
    Ok(answer)
}

pub(crate) fn decode_exactly<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// Why a node does not do what was asked. The order is on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Too much to do, or the owner's frame is shut for now.
    Busy {
        /// Milliseconds to wait before asking again.
        retry_after_ms: u32,
    },
    /// The node knows a newer epoch of the group.
    Stale {
        /// The newer epoch.
        epoch: Epoch,
    },
    /// The shard is not here.
    NotFound,
    /// No room.
    Full,
    /// Another shard lies under this id, and the request did not ask to replace it.
    Exists,
    /// No common language.
    Incompatible {
        /// Why; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
    /// Not allowed, or nonsense.
    Denied {
        /// Why; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
    /// The node's own failure, honestly told.
    Failed {
        /// What; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
}

impl Refusal {
    /// [`Refusal::Incompatible`] in the words of an error.
    #[must_use]
    pub fn incompatible(why: &impl fmt::Display) -> Self {
        Self::Incompatible { words: words(why) }
    }

    /// [`Refusal::Denied`] in the words of an error.
    #[must_use]
    pub fn denied(why: &impl fmt::Display) -> Self {
        Self::Denied { words: words(why) }
    }

    /// [`Refusal::Failed`] in the words of an error.
    #[must_use]
    pub fn failed(why: &impl fmt::Display) -> Self {
        Self::Failed { words: words(why) }
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Incompatible { words } | Self::Denied { words } | Self::Failed { words }
                if words.len() > limits::WORDS_MAX =>
            {
                Err("too many words")
            }
            _ => Ok(()),
        }
    }
}

/// An error as words for the other end, cut to what may be sent.
pub(crate) fn words(why: &impl fmt::Display) -> String {
    let mut words = why.to_string();
    words.truncate(words.floor_char_boundary(limits::WORDS_MAX));
    words
}

/// What an owner calls a node: 1 to [`limits::NAME_MAX`] bytes, no control characters.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// A text that is no node name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a node's name is 1 to 64 bytes without control characters")]
pub struct NodeNameError;

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        let fine =
            (1..=limits::NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if fine { Ok(Self(text)) } else { Err(NodeNameError) }
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first request: who calls, and what the node should know. Its form is the same in every version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloRequest {
    /// What the gateway speaks.
    pub versions: Versions,
    /// Of which installation it is.
    pub cluster: ClusterId,
    /// Its time, so that a node can tell its owner that one of the two clocks is wrong.
    pub time: Timestamp,
    /// Groups of this node whose epoch moved lately; at most [`limits::EPOCHS_MAX`].
    pub epochs: Vec<GroupEpoch>,
    /// The root's newest floor of serials, if there is one.
    pub floor: Option<SignedFloor>,
}

/// The epoch of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GroupEpoch {
    /// The group.
    pub group: GroupId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeFacts {
    /// What its owner calls it.
    pub name: NodeName,
    /// Its program and version, such as `drystone-node 0.1.0`; at most [`limits::NAME_MAX`] bytes.
    pub software: String,
    /// Bytes it offers in all.
    pub capacity: u64,
}

/// The node's answer to hello.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The version that both will speak.
    pub version: u16,
    /// The node.
    pub facts: NodeFacts,
}

/// Asks a node to take a shard; exactly `len` bytes of it follow the message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreRequest {
    /// Which.
    pub shard: ShardId,
    /// The group's epoch as the gateway knows it.
    pub epoch: Epoch,
    /// Bytes; 1 to [`limits::SHARD_MAX`].
    pub len: u64,
    /// Sealed, opaque to the node; at most [`limits::LABEL_MAX`] bytes.
    #[serde(with = "wire_bytes")]
    pub label: Bytes,
    /// Whether a shard that already lies under this id may be replaced.
    pub overwrite: bool,
}

/// Where a record begins in a node's logs.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct LogPosition {
    /// The log file's number.
    pub file: u32,
    /// Bytes from its start.
    pub offset: u64,
}

/// The shard is on the node's disk and fsynced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreAnswer {
    /// What the node hashed. The caller compares it with what it computed itself.
    pub root: Root,
    /// Bytes taken.
    pub len: u64,
    /// Where.
    pub position: LogPosition,
    /// The node's signature over all this.
    pub receipt: Receipt,
}

/// Asks for a range of a shard, to be proven and sent in steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchRequest {
    /// Which.
    pub shard: ShardId,
    /// The group's epoch as the gateway knows it.
    pub epoch: Epoch,
    /// First byte; a multiple of [`limits::HASH_GROUP`].
    pub offset: u64,
    /// Bytes, at least 1; the end is a multiple of [`limits::HASH_GROUP`] or the shard's end.
    pub len: u64,
    /// Bytes per step but the last; a multiple of [`limits::HASH_GROUP`], at most [`limits::STEP_MAX`].
    pub step: u32,
}

impl FetchRequest {
    /// The steps in which a shard of `shard_len` bytes answers this request.
    ///
    /// # Errors
    /// If the range is not aligned as its fields say, or not within the shard.
    pub fn steps(&self, shard_len: u64) -> Result<Steps, BadRange> {
        Steps::new(shard_len, self.offset, self.len, u64::from(self.step))
    }
}

/// Comes before the steps of a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchAnswer {
    /// Bytes of the whole shard as the node has it.
    pub shard_len: u64,
}

/// What became of one shard of a drop. The order is on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Dropped {
    /// It was there and is no longer served.
    Dropped,
    /// It was not there.
    Unknown,
}

/// The node's answer to a drop: recorded and fsynced.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DropAnswer {
    /// For each shard of the revision, in its order.
    pub outcomes: Vec<Dropped>,
    /// Where the record lies.
    pub position: LogPosition,
    /// The node's signature over all this.
    pub receipt: Receipt,
}

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

/// Asks how the node is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StatusRequest {
    /// Rot that the gateway has heard of already, as counted by [`StatusAnswer::rot_seen`]; the node may forget it.
    pub rot_heard: u64,
}

/// How the node is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Bytes it offers in all.
    pub capacity: u64,
    /// Bytes of live shards.
    pub used: u64,
    /// Bytes of dropped shards that still rest.
    pub trash: u64,
    /// Bytes it can still take.
    pub free: u64,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Its program and version; at most [`limits::NAME_MAX`] bytes.
    pub software: String,
    /// Shards it found rotten itself and has not been told that we know; at most [`limits::ROT_MAX`].
    pub rot: Vec<ShardId>,
    /// The number to send back as [`StatusRequest::rot_heard`].
    pub rot_seen: u64,
    /// Whether it takes no new shards for now, and for how many milliseconds.
    pub busy_ms: Option<u32>,
}

impl Message for HelloRequest {
    fn check(&self) -> Result<(), &'static str> {
        if self.epochs.len() > limits::EPOCHS_MAX { Err("too many epochs") } else { Ok(()) }
    }
}

impl Message for HelloAnswer {
    fn check(&self) -> Result<(), &'static str> {
        if self.facts.software.len() > limits::NAME_MAX {
            Err("the software's name is too long")
        } else {
            Ok(())
        }
    }
}

impl Message for StoreRequest {
    fn check(&self) -> Result<(), &'static str> {
        if self.len == 0 || self.len > limits::SHARD_MAX {
            Err("no shard has such a length")
        } else if self.label.len() > limits::LABEL_MAX {
            Err("the label is too long")
        } else {
            Ok(())
        }
    }
}

impl Message for StoreAnswer {
    fn check(&self) -> Result<(), &'static str> {
        self.receipt.check()
    }
}

impl Message for FetchRequest {
    fn check(&self) -> Result<(), &'static str> {
        // The rest depends on the shard's length, which the node looks up first.
        if self.len == 0 || u64::from(self.step) > limits::STEP_MAX {
            Err("no such range")
        } else {
            Ok(())
        }
    }
}

impl Message for FetchAnswer {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for SignedRevision {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for DropAnswer {
    fn check(&self) -> Result<(), &'static str> {
        self.receipt.check()
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

impl Message for StatusRequest {
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl Message for StatusAnswer {
    fn check(&self) -> Result<(), &'static str> {
        if self.software.len() > limits::NAME_MAX || self.rot.len() > limits::ROT_MAX {
            Err("a status that is too long")
        } else {
            Ok(())
        }
    }
}

/// [`Bytes`] as a length and the bytes.
pub(crate) mod wire_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        // Postcard writes bytes and sequences of u8 alike.
        <&[u8]>::deserialize(deserializer).map(Bytes::copy_from_slice)
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
