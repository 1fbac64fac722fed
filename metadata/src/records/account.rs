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
}
