//! What the machine allows the node, and whether its key is its own.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::advice::Finding;
use crate::identity;

/// Open files below which the store's index fails under load.
const FILES_BAD: u64 = 512;
/// Open files that leave room for many links at once.
const FILES_GOOD: u64 = 1024;

/// How many files may be open.
pub(super) fn open_files() -> Finding {
    // No limit is as good as a large one.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let words = if limit == u64::MAX {
        "as many as you like".to_owned()
    } else {
        format!("{limit} at a time")
    };
    let fix = "allow more: `ulimit -n 16384` in the shell that starts the node, or `LimitNOFILE=` in its unit";
    if limit < FILES_BAD {
        Finding::bad("open files", format!("Too few files may be open: {words}."), fix)
    } else if limit < FILES_GOOD {
        Finding::warning("open files", format!("Few files may be open: {words}."), fix)
    } else {
        Finding::good("open files", words)
    }
}

/// A key that others can read lets them be this node.
pub(super) fn key_is_private(dir: &Path) -> Option<Finding> {
    let path = dir.join(identity::FILE);
    let mode = std::fs::metadata(&path).ok()?.mode();
    (mode & 0o077 != 0).then(|| {
        Finding::warning(
            "identity",
            format!("Other users of this machine can read {}.", path.display()),
            format!("chmod 600 {}", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_that_others_can_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(identity::FILE);
        std::fs::write(&path, b"key").unwrap();
        let set = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        set(0o644);
        assert!(key_is_private(dir.path()).unwrap().fix.unwrap().contains("chmod"));
        set(0o600);
        assert_eq!(key_is_private(dir.path()), None);
    }
}
