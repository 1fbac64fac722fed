//! Labels: what a shard's node keeps for us without being able to read it, so that metadata can be rebuilt from shards alone.

use serde::{Deserialize, Serialize};
use types::{BucketId, Epoch, GeometryName, GroupId, SegmentId};

use crate::envelope;
use crate::error::SealError;
use crate::keyring::Keyring;
use crate::wrap::WrappedKey;

/// The longest sealed label, in bytes; nodes refuse longer ones.
pub const LABEL_MAX: usize = 512;

const CONTEXT: &[u8] = b"label";

/// All that is known about a shard when it is written. Stored as postcard in an [`crate::envelope`]: the order of the fields is
/// part of format 1.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Label {
    /// The segment.
    pub segment: SegmentId,
    /// Its placement group.
    pub group: GroupId,
    /// The group's epoch at the time.
    pub epoch: Epoch,
    /// The group's geometry.
    pub geometry: GeometryName,
    /// The number of the group's erasure code (`codec::SchemeId`).
    pub scheme: u8,
    /// The shard's place in the code.
    pub code_index: u8,
    /// Ciphertext bytes of the segment.
    pub segment_len: u64,
    /// Where the segment's first byte lies in the stream's plaintext.
    pub plain_offset: u64,
    /// Plaintext bytes of the whole stream, if they were known when the shard was written.
    pub plain_len: Option<u64>,
    /// The stream's data key, wrapped.
    pub key: WrappedKey,
    /// The bucket it was written to.
    pub bucket: BucketId,
    /// BLAKE3 of the object's key.
    pub object_key_hash: [u8; 32],
}

/// Seals a label under the keyring's current key: at most [`LABEL_MAX`] bytes, whatever its fields hold.
#[must_use]
pub fn seal(keyring: &Keyring, label: &Label) -> Vec<u8> {
    let id = keyring.current();
    let key = keyring.label_key(id).expect("the current key is in the keyring");
    envelope::seal(&key, id, CONTEXT, &encode(label))
}

/// Opens a sealed label.
///
/// # Errors
/// [`SealError::Tampered`], [`SealError::NewerFormat`], [`SealError::UnknownKeyringKey`], [`SealError::Encoding`].
pub fn open(keyring: &Keyring, sealed: &[u8]) -> Result<Label, SealError> {
    let plain = envelope::open("label", sealed, CONTEXT, |id| keyring.label_key(id))?;
    match postcard::take_from_bytes(&plain) {
        Ok((label, [])) => Ok(label),
        Ok(_) | Err(_) => Err(SealError::Encoding("label")),
    }
}

fn encode(label: &Label) -> Vec<u8> {
    postcard::to_allocvec(label).expect("a label has only fields that postcard can write")
}

#[cfg(test)]
mod tests;
