//! Backups of what the nodes do not hold: the catalog, and the keys without which the nodes hold noise.
//!
//! A backup is a folder laid out like the data folder, so that restoring is copying:
//!
//! ```text
//! catalog/        a checkpoint of the catalog
//! keyring.toml    operator/    root.toml    drystone.toml (if there is one)
//! backup.toml     what this is; written last: a folder without it is no backup
//! ```
//!
//! It holds every secret of the installation. The shards themselves are on the nodes and are not in it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use kv::KvError;
use serde::{Deserialize, Serialize};
use types::Timestamp;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use super::health::{rfc3339, unreadable};

/// The catalog's engine, in the data folder and in a backup.
pub const CATALOG: &str = "catalog";
/// The keyring, there and here.
const KEYRING: &str = "keyring.toml";
/// The operator's keys, there and here.
const OPERATOR: &str = "operator";
/// The root account's access key, there and here.
pub const ROOT_KEYS: &str = "root.toml";
/// The configuration, if it is kept in the data folder.
const CONFIG: &str = "drystone.toml";
/// The file that makes a folder a backup.
const MANIFEST: &str = "backup.toml";
/// The layout above.
const FORMAT: u32 = 1;
/// What is copied beside the catalog, if it is there.
const COPIED: [&str; 4] = [KEYRING, OPERATOR, ROOT_KEYS, CONFIG];
/// For the owner alone.
const DIR_MODE: u32 = 0o700;

/// Why a backup could not be written or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place will not do.
    #[error("{path}: {why}")]
    Place {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// The folder is not a whole backup.
    #[error("{path} is not a backup: {why}")]
    NotABackup {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The catalog's engine.
    #[error("the catalog's checkpoint failed")]
    Checkpoint(#[from] KvError),
    /// The work was cut off by a shutdown.
    #[error("the backup was cut off")]
    CutOff,
}

/// What `backup.toml` says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u32,
    made: String,
    /// The program that made it.
    version: String,
}

/// What a backup or a restore copied.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Copied {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Where to write a backup.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    to: PathBuf,
}

/// A backup that was written.
#[derive(Serialize)]
pub(super) struct Written {
    to: PathBuf,
    #[serde(flatten)]
    copied: Copied,
}

/// `POST /admin/v1/backup`
pub(super) async fn handle(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<Json<Written>, ApiError> {
    let Json(Wanted { to }) = body.map_err(unreadable)?;
    let copied = write(&admin, &to).await?;
    tracing::info!(to = %to.display(), copied.files, copied.bytes, "backup written");
    Ok(Json(Written { to, copied }))
}

/// Writes a backup into the new or empty folder `to`.
async fn write(admin: &AdminParts, to: &Path) -> Result<Copied, BackupError> {
    if !to.is_absolute() {
        return Err(BackupError::Place {
            path: to.to_owned(),
            why: "give an absolute path on the gateway's machine",
        });
    }
    must_be_free(to)?;
    make_private(to)?;
    // The catalog first: a keyring only gains keys, so one that is copied later has every key that the checkpoint needs.
    admin.catalog.engine().checkpoint(&to.join(CATALOG)).await?;
    let (from, to, now) = (admin.data_dir.clone(), to.to_owned(), admin.clock.now());
    tokio::task::spawn_blocking(move || finish(&from, &to, now))
        .await
        .map_err(|_| BackupError::CutOff)?
}

fn finish(data_dir: &Path, to: &Path, now: Timestamp) -> Result<Copied, BackupError> {
    for name in COPIED {
        if data_dir.join(name).exists() {
            copy(&data_dir.join(name), &to.join(name), &mut Copied::default())?;
        }
    }
    let copied = sync_all(to)?;
    let manifest = Manifest {
        format: FORMAT,
        made: rfc3339(now),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let path = to.join(MANIFEST);
    let text = toml::to_string(&manifest).expect("a manifest is plain text");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(to)?.sync_all()
    };
    write().map_err(at(&path))?;
    Ok(copied)
}

/// Makes `data_dir` what it was when the backup `from` was made. The installation must be stopped, and the folder new or empty.
///
/// It appears all at once: a restore that is interrupted leaves `data_dir` as it was, and can be run again.
///
/// # Errors
/// [`BackupError`]. Nothing that exists is overwritten.
pub fn restore(from: &Path, data_dir: &Path) -> Result<Copied, BackupError> {
    check_manifest(from)?;
    must_be_free(data_dir)?;
    let name = data_dir.file_name().ok_or_else(|| BackupError::Place {
        path: data_dir.to_owned(),
        why: "give the folder's name",
    })?;
    let mut aside = name.to_owned();
    aside.push(".restoring");
    let aside = data_dir.with_file_name(aside);
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(at(&aside))?;
    }
    make_private(&aside)?;
    let mut copied = Copied::default();
    for name in [CATALOG].iter().chain(&COPIED) {
        if from.join(name).exists() {
            copy(&from.join(name), &aside.join(name), &mut copied)?;
        }
    }
    sync_all(&aside)?;
    fs::rename(&aside, data_dir).map_err(at(data_dir))?;
    let parent =
        data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(at(parent))?;
    Ok(copied)
}

fn check_manifest(from: &Path) -> Result<(), BackupError> {
    let wrong = |why: String| BackupError::NotABackup { path: from.to_owned(), why };
    let path = from.join(MANIFEST);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(wrong(format!("it has no {MANIFEST}; was it interrupted?")));
        }
        text => text.map_err(at(&path))?,
    };
    let manifest: Manifest =
        toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    if manifest.format != FORMAT {
        return Err(wrong(format!(
            "it has format {}; this program knows {FORMAT}",
            manifest.format
        )));
    }
    for name in [CATALOG, KEYRING, OPERATOR] {
        if !from.join(name).exists() {
            return Err(wrong(format!("it has no {name}")));
        }
    }
    Ok(())
}

fn must_be_free(path: &Path) -> Result<(), BackupError> {
    match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(BackupError::Place { path: path.to_owned(), why: "it exists and is no folder" })
        }
        Err(source) => Err(BackupError::Io { path: path.to_owned(), source }),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                Err(BackupError::Place { path: path.to_owned(), why: "it exists and is not empty" })
            }
        },
    }
}

/// Makes a folder for the owner alone, with every folder above it.
fn make_private(path: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(path).map_err(at(path))?;
    // One that was there already, empty, may have been open to others.
    fs::set_permissions(path, fs::Permissions::from_mode(DIR_MODE)).map_err(at(path))
}

/// Copies a file, with its permissions, or a folder.
fn copy(from: &Path, to: &Path, copied: &mut Copied) -> Result<(), BackupError> {
    if !from.is_dir() {
        copied.bytes += fs::copy(from, to).map_err(at(from))?;
        copied.files += 1;
        return Ok(());
    }
    make_private(to)?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let name = entry.map_err(at(from))?.file_name();
        copy(&from.join(&name), &to.join(&name), copied)?;
    }
    Ok(())
}

/// Makes everything in a folder durable, and counts it.
fn sync_all(path: &Path) -> Result<Copied, BackupError> {
    let mut copied = Copied::default();
    if path.is_dir() {
        for entry in fs::read_dir(path).map_err(at(path))? {
            let Copied { files, bytes } = sync_all(&entry.map_err(at(path))?.path())?;
            copied.files += files;
            copied.bytes += bytes;
        }
    } else {
        copied.files = 1;
        copied.bytes = fs::metadata(path).map_err(at(path))?.len();
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))?;
    Ok(copied)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    |source| BackupError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something like a data folder, and the backup of it.
    fn backup() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let data = dir.path().join("data");
        let to = dir.path().join("backup");
        for folder in [data.join(OPERATOR), to.join(CATALOG)] {
            fs::create_dir_all(folder).expect("made");
        }
        fs::write(to.join(CATALOG).join("CURRENT"), "MANIFEST-1").expect("written");
        fs::write(data.join(KEYRING), "secret").expect("written");
        fs::set_permissions(data.join(KEYRING), fs::Permissions::from_mode(0o600)).expect("set");
        fs::write(data.join(OPERATOR).join("root.key"), "root").expect("written");
        let copied = finish(&data, &to, Timestamp(1_700_000_000_000)).expect("finished");
        assert_eq!(copied, Copied { files: 3, bytes: 20 });
        (dir, to)
    }

    #[test]
    fn what_was_backed_up_is_restored_for_its_owner_alone() {
        let (dir, backup) = backup();
        let data = dir.path().join("new");
        assert_eq!(restore(&backup, &data).expect("restored").files, 3);
        assert_eq!(fs::read_to_string(data.join(KEYRING)).expect("there"), "secret");
        assert_eq!(
            fs::read_to_string(data.join(OPERATOR).join("root.key")).expect("there"),
            "root"
        );
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&data.join(KEYRING)), 0o600);
        assert_eq!((mode(&data), mode(&data.join(OPERATOR))), (0o700, 0o700));
        assert!(!data.join(MANIFEST).exists());
    }

    #[test]
    fn a_restore_never_touches_a_folder_that_has_something_in_it() {
        let (dir, backup) = backup();
        let data = dir.path().join("data");
        assert!(matches!(restore(&backup, &data), Err(BackupError::Place { .. })));
        assert_eq!(fs::read_to_string(data.join(KEYRING)).expect("there"), "secret");
    }

    #[test]
    fn an_interrupted_restore_can_be_run_again() {
        let (dir, backup) = backup();
        let data = dir.path().join("new");
        fs::create_dir(dir.path().join("new.restoring")).expect("made");
        fs::write(dir.path().join("new.restoring").join("half"), "x").expect("written");
        fs::create_dir(&data).expect("an empty folder is fine");
        restore(&backup, &data).expect("restored");
        assert!(!data.join("half").exists());
    }

    #[test]
    fn an_unfinished_backup_is_refused() {
        let (dir, backup) = backup();
        fs::remove_file(backup.join(MANIFEST)).expect("removed");
        let error = restore(&backup, &dir.path().join("new")).expect_err("no manifest");
        assert!(error.to_string().contains("was it interrupted?"), "{error}");
        assert!(!dir.path().join("new").exists());
    }

    #[test]
    fn the_manifest_reads_the_same_for_ever() {
        let (_dir, backup) = backup();
        let text = fs::read_to_string(backup.join(MANIFEST)).expect("there");
        let wanted = format!(
            "format = 1\nmade = \"2023-11-14T22:13:20Z\"\nversion = \"{}\"\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(text, wanted);
    }
}
