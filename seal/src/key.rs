//! Data keys: one per stream, random, wiped from memory when dropped, never printed.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::entropy::random_bytes;
use zeroize::{Zeroize, Zeroizing};

use crate::error::SealError;

/// Bytes of every key in this crate.
pub const KEY: usize = 32;

/// A secret of [`KEY`] bytes that is wiped when dropped.
pub(crate) type Secret = Zeroizing<[u8; KEY]>;

/// Names a stream's cipher. Stored with every key: a number is never given to another cipher.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CipherId(pub u8);

impl CipherId {
    /// ChaCha20-Poly1305 (RFC 8439) in the STREAM construction: see [`crate::stream`].
    pub const CHACHA20_POLY1305: Self = Self(1);

    /// Refuses a cipher that this version does not know.
    pub(crate) fn known(self) -> Result<Self, SealError> {
        if self == Self::CHACHA20_POLY1305 { Ok(self) } else { Err(SealError::UnknownCipher(self)) }
    }
}

/// The key of one stream, and the cipher it is for. It seals one stream, once.
///
/// Deliberately neither `Clone` nor comparable; share it in an `Arc`.
pub struct DataKey {
    cipher: CipherId,
    secret: Secret,
}

impl DataKey {
    /// A new random key for the cipher that new streams get.
    #[must_use]
    pub fn generate() -> Self {
        Self { cipher: CipherId::CHACHA20_POLY1305, secret: random_secret() }
    }

    /// The cipher it is for.
    #[must_use]
    pub fn cipher(&self) -> CipherId {
        self.cipher
    }

    pub(crate) fn from_parts(cipher: CipherId, secret: Secret) -> Result<Self, SealError> {
        Ok(Self { cipher: cipher.known()?, secret })
    }

    pub(crate) fn secret(&self) -> &[u8; KEY] {
        &self.secret
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

/// A random secret.
pub(crate) fn random_secret() -> Secret {
    let mut bytes: [u8; KEY] = random_bytes();
    let secret = Zeroizing::new(bytes);
    bytes.zeroize();
    secret
}

/// BLAKE3's key derivation over several inputs, each of fixed length or the last one, so that no two lists run together
/// into the same bytes.
pub(crate) fn derive(context: &str, inputs: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for input in inputs {
        hasher.update(input);
    }
    Zeroizing::new(*hasher.finalize().as_bytes())
}
