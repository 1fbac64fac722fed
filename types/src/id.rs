//! Identifiers. Each is a type of its own, so that none can be taken for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::entropy::random_bytes;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: {text:?}")]
pub struct IdError {
    kind: &'static str,
    text: String,
}

impl IdError {
    pub(crate) fn new(kind: &'static str, text: &str) -> Self {
        Self { kind, text: text.to_owned() }
    }
}

/// A fixed-length identifier that is written in hexadecimal.
macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// A new one that nobody can guess.
            #[must_use]
            pub fn random() -> Self {
                Self(random_bytes())
            }

            /// The bytes, as they are stored and sent.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| IdError { kind: stringify!($name), text: text.to_owned() })?;
                Ok(Self(bytes))
            }
        }
    };
}

/// A small counter-like identifier.
macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $repr);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

byte_id!(
    /// A node: the BLAKE3 hash of its Ed25519 public key.
    NodeId, 32
);
byte_id!(
    /// A bucket's identity; its name may be given to another bucket later, its id never.
    BucketId, 16
);
byte_id!(
    /// The list of extents behind one version, and what refers to their streams. A multipart upload is one that no version has
    /// taken over yet: its S3 upload id is this id in hexadecimal, and the completed version keeps it.
    ManifestId, 16
);
number_id!(
    /// A gateway's leased licence to store.
    SessionId, u64
);
number_id!(
    /// A placement group.
    GroupId, u64
);
number_id!(
    /// How often a group's slots have changed hands; messages carry it, and a node that knows a newer one answers `Stale`.
    Epoch, u32
);
number_id!(
    /// A place 0…n−1 in a placement group.
    Slot, u8
);

/// An account's S3 canonical id: 1 to 64 letters, digits, `-`, `_` or `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

impl AccountId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if (1..=64).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IdError { kind: "account id", text: text.to_owned() })
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stream: the session that wrote it, then a number random within it.
///
/// The session comes first so that reconcile can tell, from the id alone, whether the writer may still be at work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId {
    /// The writing gateway's session.
    pub session: SessionId,
    /// Unique within the session.
    pub serial: u64,
}

impl StreamId {
    /// The id as 16 big-endian bytes: order of bytes = order of ids.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        ((u128::from(self.session.0) << 64) | u128::from(self.serial)).to_be_bytes()
    }

    /// The reverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let wide = u128::from_be_bytes(bytes);
        Self { session: SessionId((wide >> 64) as u64), serial: wide as u64 }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.to_bytes()))
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// The `index`-th segment of a stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SegmentId {
    /// The stream.
    pub stream: StreamId,
    /// 0 for its first segment.
    pub index: u32,
}

impl SegmentId {
    /// 20 bytes in order of (stream, index).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..16].copy_from_slice(&self.stream.to_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// The reverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        let mut stream = [0; 16];
        let mut index = [0; 4];
        stream.copy_from_slice(&bytes[..16]);
        index.copy_from_slice(&bytes[16..]);
        Self { stream: StreamId::from_bytes(stream), index: u32::from_be_bytes(index) }
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.index)
    }
}

/// One shard: which slot of which group holds its slice of a segment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ShardId {
    /// The placement group.
    pub group: GroupId,
    /// The segment.
    pub segment: SegmentId,
    /// The slot in the group.
    pub slot: Slot,
}

impl ShardId {
    /// 29 bytes in order of (group, segment, slot).
    #[must_use]
    pub fn to_bytes(self) -> [u8; 29] {
        let mut bytes = [0; 29];
        bytes[..8].copy_from_slice(&self.group.0.to_be_bytes());
        bytes[8..28].copy_from_slice(&self.segment.to_bytes());
        bytes[28] = self.slot.0;
        bytes
    }

    /// The reverse of [`Self::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 29]) -> Self {
        let mut group = [0; 8];
        let mut segment = [0; 20];
        group.copy_from_slice(&bytes[..8]);
        segment.copy_from_slice(&bytes[8..28]);
        Self {
            group: GroupId(u64::from_be_bytes(group)),
            segment: SegmentId::from_bytes(segment),
            slot: Slot(bytes[28]),
        }
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.group, self.segment, self.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    proptest! {
        #[test]
        fn shard_ids_survive_their_bytes_and_sort_as_them(a in any::<(u64, u64, u64, u32, u8)>(), b in any::<(u64, u64, u64, u32, u8)>()) {
            let make = |(group, session, serial, index, slot)| ShardId {
                group: GroupId(group),
                segment: SegmentId {
                    stream: StreamId { session: SessionId(session), serial },
                    index,
                },
                slot: Slot(slot),
            };
            let (a, b) = (make(a), make(b));
            assert_eq!(ShardId::from_bytes(a.to_bytes()), a);
            assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        }
    }

    #[test]
    fn an_account_id_has_no_spaces() {
        assert!("alice.dev-1".parse::<AccountId>().is_ok());
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<AccountId>().is_err(), "{bad}");
        }
    }
}
