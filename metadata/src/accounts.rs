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
        Ok(ACCOUNTS.get(&self.kv.snapshot().await?, id).await?)
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
        Ok(ACCESS_KEYS.get(&self.kv.snapshot().await?, &id.to_owned()).await?)
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
