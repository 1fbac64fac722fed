//! DNS records set by a program of the operator's: `PROGRAM present|cleanup FQDN VALUE`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// How long the program may take. It may wait until all name servers have the record.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How much of what it says goes into the log, in bytes.
const SAID_MAX: usize = 500;

/// Why a record was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The program does not start.
    #[error("--acme-dns-exec {program}: {source}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("--acme-dns-exec {program} {verb} took longer than {} s", PATIENCE.as_secs())]
    Slow {
        /// Which.
        program: PathBuf,
        /// What it was to do.
        verb: &'static str,
    },
    /// It failed.
    #[error("--acme-dns-exec {program} {verb} ended with {status}: {said}")]
    Failed {
        /// Which.
        program: PathBuf,
        /// What it was to do.
        verb: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        said: String,
    },
}

/// Runs the program and waits for its success.
pub(super) async fn run(
    program: &Path,
    verb: &'static str,
    name: &str,
    value: &str,
) -> Result<(), HookError> {
    let running = Command::new(program)
        .args([verb, name, value])
        .stdin(Stdio::null())
        // What the gateway is told in secret is not the program's business.
        .env_remove("DRYSTONE_ROOT_SECRET_KEY")
        .env_remove("DRYSTONE_ACME_TSIG")
        .kill_on_drop(true)
        .output();
    let program = program.to_owned();
    let output = match timeout(PATIENCE, running).await {
        Err(_) => return Err(HookError::Slow { program, verb }),
        Ok(Err(source)) => return Err(HookError::Start { program, source }),
        Ok(Ok(output)) => output,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = &output.stderr[output.stderr.len().saturating_sub(SAID_MAX)..];
    let said = String::from_utf8_lossy(said).trim().to_owned();
    Err(HookError::Failed { program, verb, status: output.status, said })
}
