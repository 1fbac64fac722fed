//! Where the log goes and how much of it.

use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::error::Error;

/// What is logged unless the owner says otherwise.
const DEFAULT: &str = "info";

#[derive(Debug, clap::Args)]
pub(crate) struct LogOptions {
    /// Write the log to this file instead of to standard error.
    #[arg(long = "log", env = "DRYSTONE_LOG_FILE", value_name = "FILE", global = true)]
    file: Option<PathBuf>,
    /// What to log, such as `info` or `drystone_storage_node=debug,warn`.
    #[arg(long, env = "DRYSTONE_LOG", value_name = "FILTER", default_value = DEFAULT, global = true)]
    log_filter: String,
}

impl LogOptions {
    /// Starts logging for the whole process.
    pub(crate) fn start(&self) -> Result<(), Error> {
        let filter = EnvFilter::try_new(&self.log_filter).map_err(|error| {
            Error::Config(format!("--log-filter {:?} cannot be used: {error}", self.log_filter))
        })?;
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        match &self.file {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let file = file.map_err(Error::io(format!("open {}", path.display())))?;
                log.with_ansi(false).with_writer(Mutex::new(file)).init();
            }
            None => log.with_ansi(stderr().is_terminal()).with_writer(stderr).init(),
        }
        Ok(())
    }
}
