//! What can go wrong, and the exit status that says so to scripts.

use std::io;
use std::path::PathBuf;

use ::gateway::admin::backup::BackupError;

/// Exit status: it failed.
const FAILED: u8 = 1;
/// Exit status: a wrong command line or configuration. Clap uses it too.
const USAGE: u8 = 2;
/// Exit status: the gateway was not reached.
const UNREACHABLE: u8 = 3;
/// Exit status: the gateway refused.
const REFUSED: u8 = 4;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line or the configuration asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    /// The gateway did not answer.
    #[error("no gateway answers at {endpoint}; is it running? (--endpoint says where)")]
    Unreachable { endpoint: String, source: Box<dyn std::error::Error + Send + Sync> },
    /// The gateway answered something that is not of its API.
    #[error("{endpoint} does not answer like a Drystone gateway: {what}")]
    Strange { endpoint: String, what: String },
    /// The gateway refused.
    #[error("{message} ({code})")]
    Refused { code: String, message: String },
    /// The gateway did not start.
    #[error("the gateway cannot start")]
    Gateway(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The gateway stopped by itself.
    #[error(
        "the gateway lost its lease and stopped: the catalog did not answer for a minute, or another gateway ended the session"
    )]
    LeaseLost,
    /// A node in this process did not start.
    #[error("node {number} cannot start")]
    Node { number: usize, source: Box<dyn std::error::Error + Send + Sync> },
    /// The nodes in this process did not reach the gateway in this process.
    #[error("only {connected} of {needed} nodes connected within {seconds} s; the log says why")]
    NotConnected { connected: usize, needed: usize, seconds: u64 },
    /// A backup cannot be restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A check was made, and its answer is no.
    #[error("{0}")]
    Unclean(&'static str),
}

impl CliError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::Unreachable { .. } => UNREACHABLE,
            Self::Refused { .. } => REFUSED,
            Self::Io { .. }
            | Self::Strange { .. }
            | Self::Gateway(_)
            | Self::LeaseLost
            | Self::Node { .. }
            | Self::NotConnected { .. }
            | Self::Backup(_)
            | Self::Unclean(_) => FAILED,
        }
    }

    /// The error and what it came from, in one line.
    pub(crate) fn with_causes(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(next) = cause {
            let words = next.to_string();
            // Some say their cause themselves.
            if !text.contains(&words) {
                text.push_str(": ");
                text.push_str(&words);
            }
            cause = next.source();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let source = io::Error::other("disk on fire");
        let error = CliError::Io { path: "f".into(), source };
        assert_eq!(error.with_causes(), "f: disk on fire");
        let error = CliError::Gateway("port 9000 is taken".into());
        assert_eq!(error.with_causes(), "the gateway cannot start: port 9000 is taken");
        assert_eq!(error.exit_status(), 1);
    }
}
