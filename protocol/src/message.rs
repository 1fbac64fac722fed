//! Every message of the link: what is asked, what is answered, and how it lies in bytes.
//!
//! A request is `POST /v1/<verb>`. Its body, and that of its answer, begins with the message's length as four big-endian
//! bytes and the message in postcard; the bytes of shards follow bare, so that neither end copies them to take them apart. An
//! answer's message is a `Result`: what was asked for, or a [`Refusal`]. Postcard writes fields in order and variants by number,
//! so fields and variants are only ever appended, under a new [`Version`](crate::version::Version).

mod hello;
mod inventory;
mod refusal;
mod shard;
mod status;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::blame::Offence;
use crate::limits;

pub use hello::{GroupEpoch, HelloAnswer, HelloRequest, NodeFacts, NodeName, NodeNameError};
pub use inventory::{GroupFingerprint, InventoryAnswer, InventoryEntry, InventoryRequest};
pub use refusal::Refusal;
pub(crate) use refusal::words;
pub use shard::{
    DropAnswer, Dropped, FetchAnswer, FetchRequest, LogPosition, StoreAnswer, StoreRequest,
};
pub use status::{StatusAnswer, StatusRequest};

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
