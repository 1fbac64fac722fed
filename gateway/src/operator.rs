//! The operator's keys as they lie in the data folder: the keyring, the root key, and the keys it grants to this gateway.
//!
//! ```text
//! keyring.toml            wraps data keys, seals labels and secrets
//! operator/root.key       pinned by every node; belongs offline once more gateways exist
//! operator/link.key       this gateway's TLS key, with its grant
//! operator/revision.key   signs drops, with its grant
//! ```
//!
//! Losing the keyring loses every object; losing the root key means inviting every node anew. Both belong in a backup.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::identity::{Grant, GrantedKey, KeyError, Role, RootKey, SecretKey};
use seal::{Keyring, SealError};
use types::Timestamp;

/// How long a grant is good for. It is renewed at each start, and while running before half of it has passed.
pub const GRANT_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// A grant begins this much in the past, for nodes whose clocks lag.
const GRANT_LEAD: Duration = Duration::from_secs(3600);

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read a secret.
    #[error("{0} can be read by others; run: chmod 600 {0}")]
    Readable(PathBuf),
    /// A key file holds no key.
    #[error("{path} holds no valid key")]
    Key {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// The keyring.
    #[error("{path}: {source}")]
    Keyring {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
}

/// The keys of this installation.
pub struct Operator {
    /// Wraps data keys.
    pub keyring: Keyring,
    /// Pinned by every node.
    pub root: RootKey,
    /// Proves to nodes that this is a gateway of theirs.
    pub link: GrantedKey,
    /// Signs drops.
    pub revision: GrantedKey,
}

impl Operator {
    /// Opens the keys in `dir`, or makes them if there are none.
    ///
    /// # Errors
    /// [`OperatorError`]; nothing that exists is ever overwritten.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, OperatorError> {
        let keys = dir.join("operator");
        fs::create_dir_all(&keys)
            .map_err(|source| OperatorError::Io { path: keys.clone(), source })?;
        let root = root_key(&keys.join("root.key"))?;
        let grant = |role, key: SecretKey| {
            let grant = Grant {
                role,
                key: key.public(),
                // Serials rise with time, so that a floor set today outlaws every grant of yesterday.
                serial: now.seconds(),
                not_before: Timestamp(now.0.saturating_sub(GRANT_LEAD.as_millis() as u64)),
                not_after: now.plus(GRANT_LIFE),
            };
            GrantedKey { key, grant: root.grant(grant) }
        };
        let link = grant(Role::Link, secret_key(&keys.join("link.key"))?);
        let revision = grant(Role::Revision, secret_key(&keys.join("revision.key"))?);
        Ok(Self { keyring: keyring(&dir.join("keyring.toml"))?, root, link, revision })
    }
}

fn keyring(path: &Path) -> Result<Keyring, OperatorError> {
    let wrong = |source| OperatorError::Keyring { path: path.to_owned(), source };
    if let Some(bytes) = read_secret(path)? {
        let text = String::from_utf8_lossy(&bytes);
        return Keyring::from_toml(&text).map_err(wrong);
    }
    let keyring = Keyring::generate();
    write_secret(path, keyring.to_toml().as_bytes())?;
    Ok(keyring)
}

fn root_key(path: &Path) -> Result<RootKey, OperatorError> {
    match read_secret(path)? {
        Some(bytes) => RootKey::from_pkcs8(&bytes)
            .map_err(|source| OperatorError::Key { path: path.to_owned(), source }),
        None => {
            let key = RootKey::generate();
            write_secret(path, key.key().pkcs8())?;
            Ok(key)
        }
    }
}

fn secret_key(path: &Path) -> Result<SecretKey, OperatorError> {
    match read_secret(path)? {
        Some(bytes) => SecretKey::from_pkcs8(&bytes)
            .map_err(|source| OperatorError::Key { path: path.to_owned(), source }),
        None => {
            let key = SecretKey::generate();
            write_secret(path, key.pkcs8())?;
            Ok(key)
        }
    }
}

/// Reads a secret that only its owner may read; `None` if there is none yet.
pub(crate) fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, OperatorError> {
    let io = |source| OperatorError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(error)),
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            Err(OperatorError::Readable(path.to_owned()))
        }
        Ok(_) => fs::read(path).map(Some).map_err(io),
    }
}

/// Writes a new secret so that a crash leaves either all of it or nothing: write, fsync, rename, fsync the folder.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), OperatorError> {
    let write = || -> io::Result<()> {
        let partial = path.with_extension("partial");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| OperatorError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_found_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let now = Timestamp(1_700_000_000_000);
        let first = Operator::open(dir.path(), now).expect("made");
        let again = Operator::open(dir.path(), now).expect("found");
        assert_eq!(first.root.public(), again.root.public());
        assert_eq!(first.link.key.public(), again.link.key.public());
        assert_eq!(*first.keyring.to_toml(), *again.keyring.to_toml());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let now = Timestamp(1_700_000_000_000);
        drop(Operator::open(dir.path(), now).expect("made"));
        let path = dir.path().join("keyring.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(matches!(Operator::open(dir.path(), now), Err(OperatorError::Readable(_))));
    }
}
