//! The keyring: the few secrets that everything else is derived from or sealed under.
//!
//! It is a TOML text that its owner keeps in a file of mode 0600 and backs up by hand; this crate does no I/O. Each key has
//! a number that is never used again. New things use the current key, old things name the key they need, so rotating is
//! adding. Whoever loses a key loses what it wraps; whoever gets it can read it.
//!
//! ```toml
//! format = 1
//! current = 2
//!
//! [[key]]
//! id = 1
//! secret = "…64 hexadecimal digits…"
//!
//! [[key]]
//! id = 2
//! secret = "…"
//! ```

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use types::BucketId;
use zeroize::Zeroizing;

use crate::envelope;
use crate::error::SealError;
use crate::key::{KEY, Secret, derive, random_secret};
use crate::wrap::{WrapKey, WrappingKeyId};

const BUCKET: &str = "drystone 2026 bucket wrapping key v1";
const LABEL: &str = "drystone 2026 shard label key v1";
const SECRETS: &str = "drystone 2026 secret sealing key v1";

/// The format of the text.
const FORMAT: u64 = 1;

/// The permissions a keyring's file must have: for its owner alone.
pub const FILE_MODE: u32 = 0o600;

/// The operator's keys.
pub struct Keyring {
    current: u32,
    keys: BTreeMap<u32, Secret>,
}

impl Keyring {
    /// A new keyring with one random key.
    #[must_use]
    pub fn generate() -> Self {
        Self { current: 1, keys: BTreeMap::from([(1, random_secret())]) }
    }

    /// Adds a random key and makes it the current one. The keyring must be saved before the key is used.
    ///
    /// # Errors
    /// [`SealError::Keyring`] when the numbers are used up.
    pub fn rotate(&mut self) -> Result<u32, SealError> {
        let newest = self.keys.last_key_value().map_or(0, |(id, _)| *id);
        let id = newest
            .checked_add(1)
            .ok_or_else(|| SealError::Keyring("all key numbers are used".to_owned()))?;
        self.keys.insert(id, random_secret());
        self.current = id;
        Ok(id)
    }

    /// The number of the key that new things use.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// The numbers of all keys, ascending.
    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.keys.keys().copied()
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`SealError::NewerFormat`], or [`SealError::Keyring`] saying which rule the text breaks, without quoting it.
    pub fn from_toml(text: &str) -> Result<Self, SealError> {
        let broken = |error: toml::de::Error| SealError::Keyring(error.message().to_owned());
        let Header { format } = toml::from_str(text).map_err(broken)?;
        if format > FORMAT {
            return Err(SealError::NewerFormat { what: "keyring", found: format, known: FORMAT });
        }
        let text: Text = toml::from_str(text).map_err(broken)?;
        if text.format != FORMAT {
            return Err(SealError::Keyring(format!("there is no format {}", text.format)));
        }
        let mut keys = BTreeMap::new();
        for key in text.key {
            if keys.insert(key.id, key.secret.0).is_some() {
                return Err(SealError::Keyring(format!("key {} is there twice", key.id)));
            }
        }
        if !keys.contains_key(&text.current) {
            return Err(SealError::Keyring(format!("its current key {} is missing", text.current)));
        }
        Ok(Self { current: text.current, keys })
    }

    /// Writes the text, to be stored for the owner alone ([`FILE_MODE`]).
    #[must_use]
    pub fn to_toml(&self) -> Zeroizing<String> {
        // Reserved at once: a growing string would leave copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(128 + self.keys.len() * 128));
        text.push_str("# Drystone keyring. Whoever has it can read every object: keep it secret, and keep a copy.\n");
        text.push_str(&format!("format = {FORMAT}\ncurrent = {}\n", self.current));
        for (id, secret) in &self.keys {
            let mut digits = Zeroizing::new([0; 2 * KEY]);
            hex::encode_to_slice(secret.as_slice(), digits.as_mut_slice())
                .expect("two digits for each byte");
            text.push_str(&format!("\n[[key]]\nid = {id}\nsecret = \""));
            text.extend(digits.iter().map(|digit| char::from(*digit)));
            text.push_str("\"\n");
        }
        text
    }

    /// The key that wraps new data keys of `bucket`.
    #[must_use]
    pub fn bucket_key(&self, bucket: BucketId) -> WrapKey {
        self.bucket_key_of(self.current, bucket).expect("the current key is in the keyring")
    }

    /// The key that a stored wrap names, with the `customer`'s own key if the request brought one.
    ///
    /// # Errors
    /// [`SealError::UnknownKeyringKey`], [`SealError::CustomerKeyNeeded`]; [`SealError::NamedKeyNeeded`], since a named
    /// key's secret is not in the keyring; [`SealError::OtherWrappingKey`] if a customer's key came for an object that has none.
    pub fn unwrap_key(
        &self,
        id: &WrappingKeyId,
        customer: Option<&[u8; KEY]>,
    ) -> Result<WrapKey, SealError> {
        match (id, customer) {
            (WrappingKeyId::Customer { salt }, Some(key)) => {
                Ok(WrapKey::customer_salted(key, *salt))
            }
            (WrappingKeyId::Customer { .. }, None) => Err(SealError::CustomerKeyNeeded),
            (_, Some(_)) => Err(SealError::OtherWrappingKey),
            (WrappingKeyId::Bucket { keyring, bucket }, None) => {
                self.bucket_key_of(*keyring, *bucket)
            }
            (WrappingKeyId::Named(name), None) => {
                Err(SealError::NamedKeyNeeded(name.as_str().to_owned()))
            }
        }
    }

    /// Seals a small secret for storage, such as an access key's. `purpose` says what it is and whose, for example
    /// `access-key/AKIA…`; it is authenticated but not stored, so a sealed secret cannot be put in another's place.
    ///
    /// Format: see [`crate::envelope`].
    #[must_use]
    pub fn seal_secret(&self, purpose: &str, secret: &[u8]) -> Vec<u8> {
        let key = self.secrets_key(self.current).expect("the current key is in the keyring");
        envelope::seal(&key, self.current, purpose.as_bytes(), secret)
    }

    /// Opens what [`Self::seal_secret`] sealed for the same purpose.
    ///
    /// # Errors
    /// [`SealError::Tampered`], [`SealError::NewerFormat`], [`SealError::UnknownKeyringKey`].
    pub fn open_secret(
        &self,
        purpose: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        envelope::open("secret", sealed, purpose.as_bytes(), |id| self.secrets_key(id))
    }

    /// The key that seals shard labels.
    pub(crate) fn label_key(&self, id: u32) -> Result<Secret, SealError> {
        Ok(derive(LABEL, &[self.secret(id)?]))
    }

    fn secrets_key(&self, id: u32) -> Result<Secret, SealError> {
        Ok(derive(SECRETS, &[self.secret(id)?]))
    }

    fn bucket_key_of(&self, id: u32, bucket: BucketId) -> Result<WrapKey, SealError> {
        let secret = derive(BUCKET, &[self.secret(id)?, bucket.as_bytes()]);
        Ok(WrapKey::bucket(id, bucket, secret))
    }

    fn secret(&self, id: u32) -> Result<&[u8], SealError> {
        let secret = self.keys.get(&id).ok_or(SealError::UnknownKeyringKey(id))?;
        Ok(secret.as_slice())
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("current", &self.current)
            .field("ids", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

/// Read first, so that a newer format is named as such and not as an unknown field.
#[derive(Deserialize)]
struct Header {
    format: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: u64,
    current: u32,
    key: Vec<TextKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextKey {
    id: u32,
    secret: TextSecret,
}

struct TextSecret(Secret);

impl<'de> Deserialize<'de> for TextSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = TextSecret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("64 hexadecimal digits")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<TextSecret, E> {
                let mut secret = Zeroizing::new([0; KEY]);
                hex::decode_to_slice(text, secret.as_mut_slice())
                    .map_err(|_| E::custom("a secret is not 64 hexadecimal digits"))?;
                Ok(TextSecret(secret))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests;
