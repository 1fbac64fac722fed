//! The node's key on disk: `identity.key`, a PKCS#8 document that only its owner can read.

use std::io;
use std::path::Path;

use protocol::identity::NodeIdentity;

use crate::crashsafe;
use crate::error::Error;

/// The key's name in the data folder.
pub(crate) const FILE: &str = "identity.key";

/// What an owner can do who has no key any more.
pub(crate) const FIX: &str = "put identity.key back from a copy; without one, move the folder away and join with a new invite and an empty \
     folder: the network rebuilds what this node held";

/// Reads the node's key.
///
/// # Errors
/// [`Error::IdentityLost`] if it is not there, [`Error::Io`] if it cannot be read, [`Error::Identity`] if it is no key.
pub(crate) fn load(dir: &Path) -> Result<NodeIdentity, Error> {
    let path = dir.join(FILE);
    let bytes = std::fs::read(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::IdentityLost(path.clone()),
        _ => Error::io(format!("read {}", path.display()))(error),
    })?;
    NodeIdentity::from_pkcs8(&bytes).map_err(|source| Error::Identity { path, source })
}

/// Reads the node's key; makes one if there is none. A key that is there is never overwritten: it is the node's name.
///
/// # Errors
/// As [`load`], and [`Error::Io`] if a new one cannot be written.
pub(crate) fn load_or_generate(dir: &Path) -> Result<NodeIdentity, Error> {
    match load(dir) {
        Err(Error::IdentityLost(_)) => {
            let identity = NodeIdentity::generate();
            crashsafe::make_private_dir(dir)
                .map_err(Error::io(format!("make {}", dir.display())))?;
            crashsafe::replace(&dir.join(FILE), identity.key().pkcs8())
                .map_err(Error::io(format!("write {FILE}")))?;
            Ok(identity)
        }
        loaded => loaded,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let made = load_or_generate(dir.path()).unwrap();
        assert_eq!(load_or_generate(dir.path()).unwrap().id(), made.id());
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(dir.path().join(FILE), b"garbage").unwrap();
        assert!(matches!(load_or_generate(dir.path()), Err(Error::Identity { .. })));
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        assert!(matches!(load(dir.path()), Err(Error::IdentityLost(_))));
    }
}
