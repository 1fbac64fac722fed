//! Who may talk to the gateway.

use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

/// One person or company: customer, node owner or both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Display name, as S3 listings show it.
    pub name: String,
    /// Where to reach them.
    pub email: String,
    /// When it was made.
    pub created: Timestamp,
    /// The operator's own account may use the admin API.
    pub operator: bool,
}

/// An access key. Its secret is sealed under the keyring: the metadata alone lets nobody sign.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// On whose behalf it signs.
    pub account: AccountId,
    /// The secret, sealed by `seal::keyring`.
    pub sealed_secret: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// What its owner calls it.
    pub name: String,
    /// An inline policy (JSON) that narrows what it may do; `None` lets it do whatever its account may.
    pub policy: Option<String>,
    /// From when on it signs nothing any more.
    pub expires: Option<Timestamp>,
    /// Whether it may sign.
    pub enabled: bool,
    /// Of a temporary key: BLAKE3 of the session token that must come with every request.
    pub session: Option<[u8; 32]>,
}
