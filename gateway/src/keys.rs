//! The keys that wrap data keys: a bucket's, derived from the keyring; a named one (SSE-KMS); or the customer's own.
//!
//! A named key has a row in the catalog with its secrets sealed under the keyring. A wrap says which secret it needs: `NAME/3` is the third.
//! Names therefore have no slash.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metadata::records::{Encryption, KmsKey};
use metadata::{Catalog, CatalogError};
use seal::{KeyName, Keyring, SealError, WrapKey, WrappingKeyId};
use types::entropy::random_bytes;
use types::{BucketId, Timestamp};
use zeroize::Zeroizing;

use crate::put::CustomerKey;

/// How long a named key that was looked up is believed. One disabled on another gateway may still be used this long; on this one
/// [`WrappingKeys::forget`] ends it at once.
const BELIEVED: Duration = Duration::from_secs(10);
/// Named keys remembered at once; at the limit all are forgotten.
const REMEMBERED: usize = 1024;
/// Bytes of the longest name: with a number behind it, it must be a [`KeyName`].
const NAME_MAX: usize = 56;

/// Why a wrapping key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Nobody made a key of that name.
    #[error("there is no key named {0:?}")]
    NoSuchKey(String),
    /// It may not be used at the moment.
    #[error("the key {0:?} is disabled")]
    Disabled(String),
    /// It is no name.
    #[error("a key's name has 1 to {NAME_MAX} letters, digits, '-', '_' or '.'")]
    Name,
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The keyring, or the customer's key.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Finds wrapping keys, and remembers named ones for a moment so that not every request opens a secret.
pub struct WrappingKeys {
    catalog: Catalog,
    keyring: Arc<Keyring>,
    known: Mutex<Memory>,
}

/// What was looked up lately.
#[derive(Default)]
struct Memory {
    by_name: HashMap<String, Known>,
    /// Raised whenever a key is forgotten: what was read before that is not remembered after it.
    changes: u64,
}

/// A named key's secrets, opened.
#[derive(Clone)]
struct Known {
    enabled: bool,
    secrets: Arc<Vec<Zeroizing<[u8; 32]>>>,
    until: Instant,
}

impl WrappingKeys {
    /// For this catalog and this keyring.
    #[must_use]
    pub fn new(catalog: Catalog, keyring: Arc<Keyring>) -> Self {
        Self { catalog, keyring, known: Mutex::default() }
    }

    /// The key that wraps a new data key of `bucket`, for an object that is to be encrypted so.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn wrap(
        &self,
        bucket: BucketId,
        encryption: &Encryption,
        customer: Option<&CustomerKey>,
    ) -> Result<WrapKey, KeyError> {
        match (encryption, customer) {
            (_, Some(customer)) => Ok(WrapKey::customer(&customer.key)),
            (Encryption::Customer { .. }, None) => Err(SealError::CustomerKeyNeeded.into()),
            (Encryption::Kms { key, .. }, None) => {
                let known = self.find(key).await?;
                let newest = known.secrets.len();
                self.named(key, &known, newest)
            }
            (Encryption::Keyring | Encryption::SseS3, None) => Ok(self.keyring.bucket_key(bucket)),
        }
    }

    /// The key that a stored wrap names.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn unwrap(
        &self,
        id: &WrappingKeyId,
        customer: Option<&CustomerKey>,
    ) -> Result<WrapKey, KeyError> {
        let WrappingKeyId::Named(full) = id else {
            return Ok(self.keyring.unwrap_key(id, customer.map(|customer| &*customer.key))?);
        };
        if customer.is_some() {
            return Err(SealError::OtherWrappingKey.into());
        }
        let (name, number) = split(full).ok_or_else(|| KeyError::NoSuchKey(full.to_string()))?;
        let mut known = self.find(name).await?;
        if number > known.secrets.len() {
            // Another gateway rotated the key since it was looked up.
            self.forget(name);
            known = self.find(name).await?;
        }
        self.named(name, &known, number)
    }

    /// Whether a key of that name can be used.
    ///
    /// # Errors
    /// [`KeyError::NoSuchKey`], [`KeyError::Disabled`].
    pub async fn usable(&self, name: &str) -> Result<(), KeyError> {
        self.find(name).await.map(drop)
    }

    /// Makes a named key.
    ///
    /// # Errors
    /// [`KeyError::Name`]; the catalog's if the name is taken.
    pub async fn create(&self, name: &str, now: Timestamp) -> Result<KmsKey, KeyError> {
        check_name(name)?;
        let sealed = vec![self.new_secret(name, 1)];
        let key = KmsKey { created: now, rotated: now, enabled: true, sealed };
        self.catalog.create_kms_key(name, &key).await?;
        Ok(key)
    }

    /// Gives a named key a new secret for all that is stored from now on; what was stored before needs the old one, which stays.
    ///
    /// # Errors
    /// [`KeyError::NoSuchKey`]; the catalog's.
    pub async fn rotate(&self, name: &str, now: Timestamp) -> Result<KmsKey, KeyError> {
        let row = self.catalog.kms_key(name).await?;
        let row = row.ok_or_else(|| KeyError::NoSuchKey(name.to_owned()))?;
        let number = row.sealed.len() + 1;
        let sealed = self.new_secret(name, number);
        let rotated = self.catalog.rotate_kms_key(name, number, &sealed, now).await?;
        self.forget(name);
        Ok(rotated)
    }

    /// Lets a named key be used, or not.
    ///
    /// # Errors
    /// [`KeyError::NoSuchKey`]; the catalog's.
    pub async fn enable(&self, name: &str, enabled: bool) -> Result<KmsKey, KeyError> {
        let changed = self.catalog.enable_kms_key(name, enabled).await;
        self.forget(name);
        changed.map_err(|error| match error {
            CatalogError::Missing(_) => KeyError::NoSuchKey(name.to_owned()),
            other => other.into(),
        })
    }

    /// Looks the key up anew at its next use.
    pub fn forget(&self, name: &str) {
        let mut memory = self.memory();
        memory.changes += 1;
        memory.by_name.remove(name);
    }

    fn new_secret(&self, name: &str, number: usize) -> Vec<u8> {
        let secret = Zeroizing::new(random_bytes::<32>());
        self.keyring.seal_secret(&purpose(name, number), secret.as_slice())
    }

    fn named(&self, name: &str, known: &Known, number: usize) -> Result<WrapKey, KeyError> {
        let secret = number.checked_sub(1).and_then(|at| known.secrets.get(at));
        let secret = secret.ok_or_else(|| KeyError::NoSuchKey(name.to_owned()))?;
        let full: KeyName = format!("{name}/{number}").parse()?;
        Ok(WrapKey::named(full, secret))
    }

    /// A key that may be used.
    async fn find(&self, name: &str) -> Result<Known, KeyError> {
        let (remembered, changes) = {
            let memory = self.memory();
            let known = memory.by_name.get(name).filter(|known| Instant::now() < known.until);
            (known.cloned(), memory.changes)
        };
        let known = match remembered {
            Some(known) => known,
            None => self.look_up(name, changes).await?,
        };
        if known.enabled { Ok(known) } else { Err(KeyError::Disabled(name.to_owned())) }
    }

    /// Reads a key, and remembers it if none was changed here since there were so many changes.
    async fn look_up(&self, name: &str, changes: u64) -> Result<Known, KeyError> {
        let row = self.catalog.kms_key(name).await?;
        let row = row.ok_or_else(|| KeyError::NoSuchKey(name.to_owned()))?;
        let mut secrets = Vec::with_capacity(row.sealed.len());
        for (at, sealed) in row.sealed.iter().enumerate() {
            let opened = self.keyring.open_secret(&purpose(name, at + 1), sealed)?;
            let exact = <[u8; 32]>::try_from(opened.as_slice());
            secrets.push(Zeroizing::new(exact.map_err(|_| SealError::Tampered("named key"))?));
        }
        let until = Instant::now() + BELIEVED;
        let known = Known { enabled: row.enabled, secrets: Arc::new(secrets), until };
        let mut memory = self.memory();
        if memory.changes == changes {
            if memory.by_name.len() >= REMEMBERED {
                memory.by_name.clear();
            }
            memory.by_name.insert(name.to_owned(), known.clone());
        }
        drop(memory);
        Ok(known)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WrappingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingKeys").finish_non_exhaustive()
    }
}

/// Whether a text can name a key.
///
/// # Errors
/// [`KeyError::Name`].
pub fn check_name(name: &str) -> Result<(), KeyError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(fine);
    if good { Ok(()) } else { Err(KeyError::Name) }
}

fn purpose(name: &str, number: usize) -> String {
    format!("kms-key/{name}/{number}")
}

fn split(full: &KeyName) -> Option<(&str, usize)> {
    let (name, number) = full.as_str().rsplit_once('/')?;
    Some((name, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use seal::{DataKey, unwrap, wrap};
    use types::{SessionId, StreamId, SystemClock};

    use super::*;

    const STREAM: StreamId = StreamId { session: SessionId(1), serial: 2 };
    const BUCKET: BucketId = BucketId([8; 16]);

    async fn keys() -> WrappingKeys {
        let engine = Arc::new(kv::memory::Memory::new());
        let catalog = Catalog::new(engine, Arc::new(SystemClock), Duration::ZERO);
        WrappingKeys::new(catalog, Arc::new(Keyring::generate()))
    }

    fn under(key: &str) -> Encryption {
        Encryption::Kms { key: key.to_owned(), context: None, bucket_key: false }
    }

    #[tokio::test]
    async fn what_a_key_wrapped_opens_after_its_rotation_but_not_while_it_is_disabled() {
        let keys = keys().await;
        keys.create("payroll", Timestamp(1)).await.expect("made");
        let data = DataKey::generate();
        let old =
            wrap(&data, STREAM, &keys.wrap(BUCKET, &under("payroll"), None).await.expect("a key"));
        keys.rotate("payroll", Timestamp(2)).await.expect("rotated");
        let new =
            wrap(&data, STREAM, &keys.wrap(BUCKET, &under("payroll"), None).await.expect("a key"));
        assert_ne!(old.wrapping(), new.wrapping(), "a new secret is in use");
        for wrapped in [&old, &new] {
            let key = keys.unwrap(wrapped.wrapping(), None).await.expect("a key");
            assert!(
                unwrap(wrapped, STREAM, &key).is_ok(),
                "opens, and a wrap opens only to what it wraps"
            );
        }
        keys.enable("payroll", false).await.expect("disabled");
        let refused = keys.unwrap(old.wrapping(), None).await.expect_err("disabled");
        assert!(matches!(refused, KeyError::Disabled(_)), "{refused}");
        assert!(matches!(
            keys.wrap(BUCKET, &under("payroll"), None).await,
            Err(KeyError::Disabled(_))
        ));
        keys.enable("payroll", true).await.expect("enabled");
        assert!(keys.unwrap(old.wrapping(), None).await.is_ok());
    }

    #[tokio::test]
    async fn what_another_gateway_wrapped_after_a_rotation_opens_at_once() {
        let here = keys().await;
        let there = WrappingKeys::new(here.catalog.clone(), Arc::clone(&here.keyring));
        here.create("payroll", Timestamp(1)).await.expect("made");
        here.usable("payroll").await.expect("known here now");
        there.rotate("payroll", Timestamp(2)).await.expect("rotated there");
        let under = there.wrap(BUCKET, &under("payroll"), None).await.expect("a key");
        let wrapped = wrap(&DataKey::generate(), STREAM, &under);
        let key = here.unwrap(wrapped.wrapping(), None).await.expect("looked up once more");
        assert!(unwrap(&wrapped, STREAM, &key).is_ok());
        let none = WrappingKeyId::Named("payroll/7".parse().expect("a name"));
        assert!(matches!(here.unwrap(&none, None).await, Err(KeyError::NoSuchKey(_))));
    }

    #[tokio::test]
    async fn a_key_that_is_read_while_it_is_disabled_is_not_remembered_as_enabled() {
        let keys = keys().await;
        keys.create("payroll", Timestamp(1)).await.expect("made");
        let before = keys.memory().changes;
        keys.enable("payroll", false).await.expect("disabled");
        keys.enable("payroll", true).await.expect("enabled");
        keys.look_up("payroll", before).await.expect("read");
        assert!(keys.memory().by_name.is_empty(), "it was read for a time that is over");
        keys.usable("payroll").await.expect("it is enabled");
        assert_eq!(keys.memory().by_name.len(), 1);
    }

    #[tokio::test]
    async fn a_name_is_taken_once_and_nobody_guesses_keys_into_being() {
        let keys = keys().await;
        keys.create("one", Timestamp(1)).await.expect("made");
        assert!(matches!(keys.create("one", Timestamp(1)).await, Err(KeyError::Catalog(_))));
        for bad in ["", "a/b", "a b", "ü", &"x".repeat(57)] {
            assert!(matches!(keys.create(bad, Timestamp(1)).await, Err(KeyError::Name)), "{bad}");
        }
        assert!(matches!(
            keys.wrap(BUCKET, &under("two"), None).await,
            Err(KeyError::NoSuchKey(_))
        ));
        assert!(matches!(keys.rotate("two", Timestamp(1)).await, Err(KeyError::NoSuchKey(_))));
        assert!(matches!(keys.enable("two", false).await, Err(KeyError::NoSuchKey(_))));
    }
}
