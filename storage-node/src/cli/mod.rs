//! The command line of `drystone-node`.

mod doctor;
mod frame;
mod join;
mod leave;
mod log;
mod notify;
mod run;
mod service;
mod standing;
mod status;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::Error;
use crate::join::with_causes;

/// Exit status of a command that failed.
const FAILED: u8 = 1;
/// Exit status of `status` when no node runs. (2 is a wrong command line.)
const NOT_RUNNING: u8 = 3;

/// Lends disk space to a Drystone network.
#[derive(Debug, Parser)]
#[command(name = "drystone-node", version, about, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: log::LogOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Join a network with the invite of its operator.
    Join(join::Join),
    /// Run the node until it is told to stop (Ctrl-C, SIGTERM).
    Run(Box<run::Run>),
    /// Show the frame and the live use of the node that is running.
    Status(status::Status),
    /// Try everything that a node needs, and say what to fix; exit status 1 if something is bad.
    Doctor(Box<doctor::Doctor>),
    /// Leave the network in good order: what the node holds goes to others first.
    Leave(leave::Leave),
    /// Show what the network thinks of this node, and why.
    Standing(standing::Standing),
    /// Install a service of systemd that starts the node with the machine.
    InstallService(service::InstallService),
    /// Show or set the frame: what the node may take of disk, line, processors and memory, and when.
    Frame(frame::Frame),
    /// Take nothing from the machine and its line for a while.
    Pause(frame::Pause),
    /// End a pause.
    Resume(frame::Resume),
}

/// The data folder of a node.
#[derive(Clone, Debug, clap::Args)]
struct Data {
    /// The node's data folder.
    #[arg(long = "data", env = "DRYSTONE_DATA", value_name = "DIR")]
    dir: PathBuf,
}

impl Cli {
    /// Does what the command line asks; returns the exit status.
    pub async fn run(self) -> u8 {
        let done = match self.log.start() {
            Ok(()) => self.command.run().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("drystone-node: {}", with_causes(&error));
                if matches!(error, Error::NotRunning(_)) { NOT_RUNNING } else { FAILED }
            }
        }
    }
}

impl Command {
    async fn run(self) -> Result<(), Error> {
        match self {
            Self::Join(join) => join.run().await,
            Self::Run(run) => run.run().await,
            Self::Status(status) => status.run(),
            Self::Doctor(doctor) => doctor.run().await,
            Self::Leave(leave) => leave.run().await,
            Self::Standing(standing) => standing.run().await,
            Self::InstallService(service) => service.run(),
            Self::Frame(frame) => frame.run(),
            Self::Pause(pause) => pause.run(),
            Self::Resume(resume) => resume.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_manual_page_knows_every_command() {
        let manual = include_str!("../../../packaging/drystone-node.1");
        for command in Cli::command().get_subcommands() {
            let name = command.get_name().replace('-', "\\-");
            let known = [format!("\n.B {name}\n"), format!("\n.BI {name} ")];
            assert!(known.iter().any(|line| manual.contains(line)), "{name} is not in the manual");
        }
    }
}
