//! Named keys (SSE-KMS), by their names. No key is ever taken away.

use types::Timestamp;

use crate::records::KmsKey;
use crate::schema::KMS_KEYS;
use crate::{Catalog, CatalogError};

/// The most secrets of one key: its row must stay small.
pub const SECRETS_MAX: usize = 256;

impl Catalog {
    /// Makes a key.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] if the name is taken.
    pub async fn create_kms_key(&self, name: &str, key: &KmsKey) -> Result<(), CatalogError> {
        let name = &name.to_owned();
        kv::transact(&*self.kv, |tx| async move {
            if KMS_KEYS.get_for_update(&tx, name).await?.is_some() {
                return Err(CatalogError::Exists("key"));
            }
            KMS_KEYS.put(&tx, name, key);
            Ok(())
        })
        .await
    }

    /// The key of that name, its secrets still sealed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn kms_key(&self, name: &str) -> Result<Option<KmsKey>, CatalogError> {
        Ok(KMS_KEYS.latest(&*self.kv, &name.to_owned()).await?)
    }

    /// Every key, in order of names.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn kms_keys(&self) -> Result<Vec<(String, KmsKey)>, CatalogError> {
        self.all(&KMS_KEYS).await
    }

    /// Gives a key its next secret, number `number`; how the key is then.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if there is no such key; [`CatalogError::Exists`] if it has that many secrets already, because somebody else
    /// rotated it; [`CatalogError::TooLarge`] above [`SECRETS_MAX`].
    pub async fn rotate_kms_key(
        &self,
        name: &str,
        number: usize,
        sealed: &[u8],
        now: Timestamp,
    ) -> Result<KmsKey, CatalogError> {
        self.change_kms_key(name, |key| {
            if key.sealed.len() + 1 != number {
                return Err(CatalogError::Exists("secret of that number"));
            }
            if number > SECRETS_MAX {
                return Err(CatalogError::TooLarge { what: "list of secrets", max: SECRETS_MAX });
            }
            key.sealed.push(sealed.to_vec());
            key.rotated = now;
            Ok(())
        })
        .await
    }

    /// Lets a key be used, or not; how the key is then.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if there is no such key.
    pub async fn enable_kms_key(&self, name: &str, enabled: bool) -> Result<KmsKey, CatalogError> {
        self.change_kms_key(name, |key| {
            key.enabled = enabled;
            Ok(())
        })
        .await
    }

    async fn change_kms_key(
        &self,
        name: &str,
        change: impl Fn(&mut KmsKey) -> Result<(), CatalogError> + Sync,
    ) -> Result<KmsKey, CatalogError> {
        let (name, change) = (&name.to_owned(), &change);
        kv::transact(&*self.kv, |tx| async move {
            let found = KMS_KEYS.get_for_update(&tx, name).await?;
            let mut key = found.ok_or(CatalogError::Missing("key"))?;
            change(&mut key)?;
            KMS_KEYS.put(&tx, name, &key);
            Ok(key)
        })
        .await
    }
}
