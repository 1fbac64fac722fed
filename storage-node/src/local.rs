//! `status.sock` in the data folder: whoever can enter the folder connects, reads one JSON document and is done. Nothing can be asked for or
//! changed there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;

use crate::app::{NodeStatus, View};
use crate::error::Error;

/// The socket's name in the data folder.
const FILE: &str = "status.sock";
/// A reader that does not take its answer in this time is left.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the longest answer a reader believes.
const ANSWER_MAX: u64 = 1 << 20;

/// The open socket; removed when dropped.
pub(crate) struct Door {
    listener: UnixListener,
    path: PathBuf,
}

/// Opens the socket. The store's lock is held, so one that is left over belongs to nobody.
pub(crate) fn listen(dir: &Path) -> io::Result<Door> {
    let path = dir.join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (short, _folder) = short_path(dir)?;
    Ok(Door { listener: UnixListener::bind(short)?, path })
}

impl Door {
    /// Shows the status to whoever comes, one after the other.
    pub(crate) async fn answer(self, view: View, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((mut stream, _)) = accepted else {
                // Out of descriptors, most likely: there is no hurry here.
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            match serde_json::to_vec(&view.status()) {
                Ok(json) => drop(tokio::time::timeout(PATIENCE, stream.write_all(&json)).await),
                Err(error) => tracing::error!(%error, "the status cannot be written"),
            }
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks the node that runs on `dir`.
///
/// # Errors
/// [`Error::NotRunning`] if none does, [`Error::Io`], [`Error::Damaged`] for an answer of another version.
pub fn ask(dir: &Path) -> Result<NodeStatus, Error> {
    let asked = short_path(dir).and_then(|(short, _folder)| StdUnixStream::connect(short));
    let stream = asked.map_err(|_| Error::NotRunning(dir.to_owned()))?;
    let failed = || Error::io("read the node's status");
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed())?;
    let mut json = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut json).map_err(failed())?;
    serde_json::from_slice(&json)
        .map_err(|error| Error::Damaged(format!("the node's status cannot be read: {error}")))
}

/// A path to the socket that fits a socket address (108 bytes), however deep the folder lies. Valid while the folder is held open.
fn short_path(dir: &Path) -> io::Result<(PathBuf, File)> {
    let folder = File::open(dir)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}/{FILE}", folder.as_raw_fd()));
    Ok((path, folder))
}
