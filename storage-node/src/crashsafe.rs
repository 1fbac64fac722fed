//! Small files that are replaced whole or not at all: write aside, fsync, rename, fsync the folder.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

/// Puts `contents` at `path`, readable by the owner alone; if root writes, that is the folder's owner, who runs the node. After a crash the file is the old one or the new one, never a mixture.
///
/// # Errors
/// Those of the file system; the old file is then untouched.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    let folder = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder)?;
    if rustix::process::geteuid().is_root() {
        let owner = folder.metadata()?;
        fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    folder.sync_all()
}

/// Makes `path`, and what leads to it; the last folder can be entered by the owner alone.
///
/// # Errors
/// Those of the file system. A folder that is there already is left as it is.
pub(crate) fn make_private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}
