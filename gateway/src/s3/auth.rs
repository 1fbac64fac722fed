//! Who signed: access keys, looked up in the catalog, their secrets opened with the keyring.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metadata::Catalog;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use seal::Keyring;
use types::AccountId;

use super::error;

/// How long a key that was looked up is believed. A key deleted on another gateway may still sign this long; on this one
/// [`AccessKeys::forget`] ends it at once.
const BELIEVED: Duration = Duration::from_secs(30);
/// Keys remembered at once; at the limit all are forgotten and looked up anew.
const REMEMBERED: usize = 4096;
/// No access key id is longer, in bytes; a longer one is not looked up.
const ID_MAX: usize = 128;

/// Access keys with a short memory, so that not every request opens a secret.
pub(super) struct AccessKeys {
    catalog: Catalog,
    keyring: Arc<Keyring>,
    known: Mutex<HashMap<String, Known>>,
}

/// A key as it was looked up.
#[derive(Clone)]
struct Known {
    account: AccountId,
    secret: SecretKey,
    until: Instant,
}

impl AccessKeys {
    pub(super) fn new(catalog: Catalog, keyring: Arc<Keyring>) -> Self {
        Self { catalog, keyring, known: Mutex::default() }
    }

    /// On whose behalf the key signs.
    pub(super) async fn account(&self, id: &str) -> S3Result<AccountId> {
        Ok(self.find(id).await?.account)
    }

    /// What the key signs with.
    pub(super) async fn secret(&self, id: &str) -> S3Result<SecretKey> {
        Ok(self.find(id).await?.secret)
    }

    /// Looks the key up anew at its next use.
    pub(super) fn forget(&self, id: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    async fn find(&self, id: &str) -> S3Result<Known> {
        if id.is_empty() || id.len() > ID_MAX {
            return Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId));
        }
        if let Some(known) = self.remembered(id) {
            return Ok(known);
        }
        let row = self.catalog.access_key(id).await.map_err(error::catalog)?;
        let row = row.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidAccessKeyId))?;
        let secret = self.open(id, &row.sealed_secret)?;
        let known = Known { account: row.account, secret, until: Instant::now() + BELIEVED };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id.to_owned(), known.clone());
        Ok(known)
    }

    fn remembered(&self, id: &str) -> Option<Known> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).filter(|known| Instant::now() < known.until).cloned()
    }

    fn open(&self, id: &str, sealed: &[u8]) -> S3Result<SecretKey> {
        let internal = || S3Error::new(S3ErrorCode::InternalError);
        let secret =
            self.keyring.open_secret(&format!("access-key/{id}"), sealed).map_err(|error| {
                tracing::error!(%error, id, "an access key's secret cannot be opened");
                internal()
            })?;
        Ok(SecretKey::from(std::str::from_utf8(&secret).map_err(|_| internal())?))
    }
}

/// What the library asks while it checks a signature.
pub(super) struct Signers(pub(super) Arc<AccessKeys>);

#[async_trait::async_trait]
impl S3Auth for Signers {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(self.0.find(access_key).await?.secret)
    }
}
