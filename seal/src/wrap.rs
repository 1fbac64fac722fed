//! Wraps: a data key sealed under a wrapping key, so that it may lie in the metadata.
//!
//! XChaCha20-Poly1305 under a random 24-byte nonce. The associated data is (data key id, cipher id, wrapping key id) and never
//! an object's name: completing an upload and renaming need no key. Poly1305 does not commit to its key (one ciphertext can be
//! made to open under two), so a BLAKE3 commitment to the data key lies beside it and is compared after opening.

use std::fmt;

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use types::entropy::random_bytes;
use types::{BucketId, StreamId};
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::key::{CipherId, DataKey, KEY, Secret, derive};
use crate::stream::TAG;

const COMMITMENT: &str = "drystone 2026 data key commitment v1";
const CUSTOMER: &str = "drystone 2026 customer wrapping key v1";
const NAMED: &str = "drystone 2026 named wrapping key v1";

/// Bytes of an XChaCha20-Poly1305 nonce: long enough to be random.
pub(crate) const NONCE: usize = 24;

/// The longest name of a named key, in bytes.
pub const KEY_NAME_MAX: usize = 64;

/// Which key wraps a data key. Stored and authenticated with the wrap; the order of the variants is part of the format.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum WrappingKeyId {
    /// A bucket's key, derived from a keyring key.
    Bucket {
        /// The keyring key's number.
        keyring: u32,
        /// The bucket.
        bucket: BucketId,
    },
    /// A key with a name and a secret of its own (SSE-KMS).
    Named(KeyName),
    /// The customer's own key (SSE-C), of which nothing is kept.
    Customer {
        /// Random and mixed into the key, so that equal customer keys do not show.
        salt: [u8; 16],
    },
}

/// The name of a named key: 1 to [`KEY_NAME_MAX`] letters, digits, `-`, `_`, `.` or `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = SealError;

    fn try_from(text: String) -> Result<Self, SealError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if (1..=KEY_NAME_MAX).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text))
        } else {
            Err(SealError::KeyName)
        }
    }
}

impl std::str::FromStr for KeyName {
    type Err = SealError;

    fn from_str(text: &str) -> Result<Self, SealError> {
        text.to_owned().try_into()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key that wraps data keys, and its id.
pub struct WrapKey {
    id: WrappingKeyId,
    secret: Secret,
}

impl WrapKey {
    /// A customer's key (SSE-C) for wrapping, under a new random salt.
    #[must_use]
    pub fn customer(key: &[u8; KEY]) -> Self {
        Self::customer_salted(key, random_bytes())
    }

    /// A customer's key (SSE-C) for unwrapping what was wrapped under `salt`.
    #[must_use]
    pub fn customer_salted(key: &[u8; KEY], salt: [u8; 16]) -> Self {
        Self { id: WrappingKeyId::Customer { salt }, secret: derive(CUSTOMER, &[&salt, key]) }
    }

    /// A named key, whose own `secret` the caller keeps (see [`crate::keyring::Keyring::seal_secret`]).
    #[must_use]
    pub fn named(name: KeyName, secret: &[u8; KEY]) -> Self {
        let derived = derive(NAMED, &[secret, name.as_str().as_bytes()]);
        Self { id: WrappingKeyId::Named(name), secret: derived }
    }

    pub(crate) fn bucket(keyring: u32, bucket: BucketId, secret: Secret) -> Self {
        Self { id: WrappingKeyId::Bucket { keyring, bucket }, secret }
    }

    /// Which key this is.
    #[must_use]
    pub fn id(&self) -> &WrappingKeyId {
        &self.id
    }
}

impl fmt::Debug for WrapKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrapKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A wrapped data key, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    cipher: CipherId,
    wrapping: WrappingKeyId,
    nonce: [u8; NONCE],
    sealed: [u8; KEY],
    tag: [u8; TAG],
    commitment: [u8; KEY],
}

impl WrappedKey {
    /// The cipher of the stream.
    #[must_use]
    pub fn cipher(&self) -> CipherId {
        self.cipher
    }

    /// Which key opens it.
    #[must_use]
    pub fn wrapping(&self) -> &WrappingKeyId {
        &self.wrapping
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappedKey")
            .field("cipher", &self.cipher)
            .field("wrapping", &self.wrapping)
            .finish_non_exhaustive()
    }
}

/// Wraps `key`, which is the data key of stream `key_id`.
#[must_use]
pub fn wrap(key: &DataKey, key_id: StreamId, under: &WrapKey) -> WrappedKey {
    wrap_with_nonce(key, key_id, under, random_bytes())
}

/// Unwraps the data key of stream `key_id`.
///
/// # Errors
/// [`SealError::OtherWrappingKey`] if `under` is not the key of the wrap; [`SealError::WrongCustomerKey`] if it is a
/// customer's and does not open it; [`SealError::Tampered`] if another kind does not; [`SealError::NotCommitted`],
/// [`SealError::UnknownCipher`].
pub fn unwrap(
    wrapped: &WrappedKey,
    key_id: StreamId,
    under: &WrapKey,
) -> Result<DataKey, SealError> {
    wrapped.cipher.known()?;
    if wrapped.wrapping != under.id {
        return Err(SealError::OtherWrappingKey);
    }
    let mut secret: Secret = Zeroizing::new(wrapped.sealed);
    cipher(under)
        .decrypt_inout_detached(
            &wrapped.nonce.into(),
            &associated_data(key_id, wrapped.cipher, &wrapped.wrapping),
            secret.as_mut_slice().into(),
            &wrapped.tag.into(),
        )
        .map_err(|_| match wrapped.wrapping {
            WrappingKeyId::Customer { .. } => SealError::WrongCustomerKey,
            WrappingKeyId::Bucket { .. } | WrappingKeyId::Named(_) => {
                SealError::Tampered("wrapped key")
            }
        })?;
    if bool::from(commitment(&secret).ct_eq(&wrapped.commitment)) {
        DataKey::from_parts(wrapped.cipher, secret)
    } else {
        Err(SealError::NotCommitted)
    }
}

fn wrap_with_nonce(
    key: &DataKey,
    key_id: StreamId,
    under: &WrapKey,
    nonce: [u8; NONCE],
) -> WrappedKey {
    let mut sealed = Zeroizing::new(*key.secret());
    let tag = cipher(under)
        .encrypt_inout_detached(
            &nonce.into(),
            &associated_data(key_id, key.cipher(), &under.id),
            sealed.as_mut_slice().into(),
        )
        .expect("32 bytes are within the cipher's limit");
    WrappedKey {
        cipher: key.cipher(),
        wrapping: under.id.clone(),
        nonce,
        sealed: *sealed,
        tag: tag.into(),
        commitment: commitment(key.secret()),
    }
}

fn cipher(key: &WrapKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&(*key.secret).into())
}

fn commitment(secret: &[u8; KEY]) -> [u8; KEY] {
    blake3::derive_key(COMMITMENT, secret)
}

/// Data key id (16 bytes), cipher id (1), then the wrapping key's kind (1) and fields; integers big-endian. Written out
/// here, not by a serialiser, because it must never change by accident.
fn associated_data(key_id: StreamId, cipher: CipherId, wrapping: &WrappingKeyId) -> Vec<u8> {
    let mut data = Vec::with_capacity(16 + 1 + 1 + KEY_NAME_MAX);
    data.extend_from_slice(&key_id.to_bytes());
    data.push(cipher.0);
    match wrapping {
        WrappingKeyId::Bucket { keyring, bucket } => {
            data.push(0);
            data.extend_from_slice(&keyring.to_be_bytes());
            data.extend_from_slice(bucket.as_bytes());
        }
        WrappingKeyId::Named(name) => {
            data.push(1);
            data.extend_from_slice(name.as_str().as_bytes());
        }
        WrappingKeyId::Customer { salt } => {
            data.push(2);
            data.extend_from_slice(salt);
        }
    }
    data
}

#[cfg(test)]
mod tests;
