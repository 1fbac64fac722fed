//! Where the log goes: warnings to standard error for whoever watches, everything of note to a file for later.

use std::fs::{self, OpenOptions};
use std::io::{IsTerminal as _, stderr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::error::CliError;

/// What standard error gets, unless RUST_LOG or --log-level say otherwise. The S3 library takes clients' mistakes for its own errors; what
/// matters of them is logged by the gateway.
const SHOWN: &str = "warn,s3s=off";
/// What the file gets.
const KEPT: &str = "info,s3s=off";
/// A log file that is longer than this many bytes at a start becomes `….1`, in place of an older one.
const FILE_MAX: u64 = 64 << 20;

/// How much to show.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogLevel {
    /// What to show on standard error: error, warn, info, debug, trace, or a filter such as `info,access=debug`.
    #[arg(long, env = "RUST_LOG", value_name = "LEVEL", default_value = SHOWN)]
    log_level: String,
}

impl LogLevel {
    /// Starts logging for the whole process.
    pub(crate) fn start(&self, file: &Path) -> Result<(), CliError> {
        let shown = EnvFilter::try_new(&self.log_level).map_err(|error| {
            CliError::Usage(format!("--log-level {:?} cannot be used: {error}", self.log_level))
        })?;
        if fs::metadata(file).is_ok_and(|file| file.len() > FILE_MAX) {
            let mut old = file.as_os_str().to_owned();
            old.push(".1");
            fs::rename(file, &old).map_err(CliError::io(old))?;
        }
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(file);
        let opened = opened.map_err(CliError::io(file))?;
        tracing_subscriber::registry()
            .with(
                fmt::layer()
                    .with_ansi(stderr().is_terminal())
                    .with_writer(stderr)
                    .with_filter(shown),
            )
            .with(
                fmt::layer()
                    .with_ansi(false)
                    .with_writer(Mutex::new(opened))
                    .with_filter(EnvFilter::new(KEPT)),
            )
            .try_init()
            .map_err(|error| CliError::Usage(format!("the log cannot be started: {error}")))
    }
}
