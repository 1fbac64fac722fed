//! Accounts and access keys.

use types::AccountId;

use crate::records::{AccessKey, Account};
use crate::schema::{ACCESS_KEYS, ACCOUNTS};
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Makes an account.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] if the id is taken.
    pub async fn create_account(
        &self,
        id: &AccountId,
        account: &Account,
    ) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            if ACCOUNTS.get_for_update(&tx, id).await?.is_some() {
                return Err(CatalogError::Exists("account"));
            }
            ACCOUNTS.put(&tx, id, account);
            Ok(())
        })
        .await
    }

    /// The account of that id.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn account(&self, id: &AccountId) -> Result<Option<Account>, CatalogError> {
        Ok(ACCOUNTS.latest(&*self.kv, id).await?)
    }

    /// Every account, in order of ids.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn accounts(&self) -> Result<Vec<(AccountId, Account)>, CatalogError> {
        self.all(&ACCOUNTS).await
    }

    /// Adds an access key.
    ///
    /// # Errors
    /// [`CatalogError::Exists`] if the key id is taken, [`CatalogError::Missing`] if the account is not there.
    pub async fn create_access_key(&self, id: &str, key: &AccessKey) -> Result<(), CatalogError> {
        let id = &id.to_owned();
        kv::transact(&*self.kv, |tx| async move {
            if ACCESS_KEYS.get_for_update(&tx, id).await?.is_some() {
                return Err(CatalogError::Exists("access key"));
            }
            if ACCOUNTS.get_shared(&tx, &key.account).await?.is_none() {
                return Err(CatalogError::Missing("account"));
            }
            ACCESS_KEYS.put(&tx, id, key);
            Ok(())
        })
        .await
    }

    /// The access key of that id, with its secret still sealed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, CatalogError> {
        Ok(ACCESS_KEYS.latest(&*self.kv, &id.to_owned()).await?)
    }

    /// The access keys of an account, in order of ids, their secrets still sealed.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn access_keys_of(
        &self,
        account: &AccountId,
    ) -> Result<Vec<(String, AccessKey)>, CatalogError> {
        let mut all = self.all(&ACCESS_KEYS).await?;
        all.retain(|(_, key)| key.account == *account);
        Ok(all)
    }

    /// Changes an access key. `change` may run several times; the key as it is afterwards.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if there is no such key.
    pub async fn change_access_key(
        &self,
        id: &str,
        change: impl Fn(&mut AccessKey) + Send + Sync,
    ) -> Result<AccessKey, CatalogError> {
        let (id, change) = (&id.to_owned(), &change);
        kv::transact(&*self.kv, |tx| async move {
            let found = ACCESS_KEYS.get_for_update(&tx, id).await?;
            let mut key = found.ok_or(CatalogError::Missing("access key"))?;
            change(&mut key);
            ACCESS_KEYS.put(&tx, id, &key);
            Ok(key)
        })
        .await
    }

    /// Puts a new access key in the place of another of the same account, which ends with the same commit.
    ///
    /// # Errors
    /// [`CatalogError::Missing`] if there is no key `old`, [`CatalogError::Exists`] if `id` is taken.
    pub async fn replace_access_key(
        &self,
        old: &str,
        id: &str,
        key: &AccessKey,
    ) -> Result<(), CatalogError> {
        let (old, id) = (&old.to_owned(), &id.to_owned());
        kv::transact(&*self.kv, |tx| async move {
            if ACCESS_KEYS.get_for_update(&tx, old).await?.is_none() {
                return Err(CatalogError::Missing("access key"));
            }
            if ACCESS_KEYS.get_for_update(&tx, id).await?.is_some() {
                return Err(CatalogError::Exists("access key"));
            }
            ACCESS_KEYS.delete(&tx, old);
            ACCESS_KEYS.put(&tx, id, key);
            Ok(())
        })
        .await
    }

    /// Removes temporary keys whose time is over; how many.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn forget_expired_keys(&self) -> Result<usize, CatalogError> {
        let now = self.now();
        let over = |key: &AccessKey| {
            key.session.is_some() && key.expires.is_some_and(|expires| expires <= now)
        };
        let mut forgotten = 0;
        for (id, key) in self.all(&ACCESS_KEYS).await? {
            if over(&key) && self.delete_access_key(&id).await? {
                forgotten += 1;
            }
        }
        Ok(forgotten)
    }

    /// Removes an access key; whether there was one.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn delete_access_key(&self, id: &str) -> Result<bool, CatalogError> {
        let id = &id.to_owned();
        kv::transact(&*self.kv, |tx| async move {
            let found = ACCESS_KEYS.get_for_update(&tx, id).await?.is_some();
            ACCESS_KEYS.delete(&tx, id);
            Ok(found)
        })
        .await
    }
}
