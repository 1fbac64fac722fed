//! Named keys that customers may choose for their objects (SSE-KMS).

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// A named key. Its secrets are sealed under the keyring: the metadata alone opens nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KmsKey {
    /// When it was made.
    pub created: Timestamp,
    /// Since when the newest secret is in use.
    pub rotated: Timestamp,
    /// Whether it may be used; what it wraps cannot be read while it may not.
    pub enabled: bool,
    /// Its secrets, sealed by `seal::keyring`, the oldest first: old wraps name the one they need by its number, counted from 1, and new
    /// ones use the last. Append only: whoever loses one loses what it wraps.
    pub sealed: Vec<Vec<u8>>,
}
