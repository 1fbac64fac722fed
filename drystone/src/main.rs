//! `drystone`: the operator's command line. It holds no logic: `up` and `gateway` start the gateway in this process, everything else
//! asks a running one over its admin API.

mod admin;
mod backup;
mod client;
mod error;
mod estimate;
mod gateway;
mod log;
mod output;
mod settings;
mod signals;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::CliError;
use crate::output::Output;

/// Request bodies are large, short-lived buffers. The system's allocator gives each back to the kernel, which zeroes it again for the next.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const EXAMPLES: &str = "\
Examples:
  drystone up --data ~/drystone                     a whole installation on this machine
  aws --endpoint-url http://127.0.0.1:9000 s3 ls    use it with any S3 client
  drystone admin invite --data ~/drystone           let another machine's disk take part
  drystone admin durability --data ~/drystone       is everything safe?

Exit status: 0 done · 1 failed · 2 wrong command line or configuration · 3 gateway not reached · 4 refused by the gateway";

/// S3-compatible object storage built from many people's idle computers.
#[derive(Debug, Parser)]
#[command(name = "drystone", version, about, propagate_version = true, after_help = EXAMPLES)]
struct Cli {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole installation in this process: gateway, metadata and nodes.
    Up(Box<up::Up>),
    /// Run a gateway; its nodes are elsewhere.
    Gateway(Box<gateway::Gateway>),
    /// Ask a running gateway, or tell it what to do.
    Admin(admin::Admin),
    Estimate(estimate::Estimate),
    /// Back up a running gateway's catalog and keys into a new folder on its machine.
    Backup(backup::Backup),
    /// Make a new data folder from a backup.
    Restore(backup::Restore),
}

impl Command {
    async fn run(self, output: Output) -> Result<(), CliError> {
        match self {
            Self::Up(up) => up.run(output).await,
            Self::Gateway(gateway) => gateway.run(output).await,
            Self::Admin(admin) => admin.run(output).await,
            Self::Estimate(estimate) => estimate.run(output).await,
            Self::Backup(backup) => backup.run(output).await,
            Self::Restore(restore) => restore.run(output),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("drystone: the operating system gives no threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(cli.command.run(Output::new(cli.json)));
    // Whatever still runs in the background has nothing to say any more.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drystone: {}", error.with_causes());
            ExitCode::from(error.exit_status())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_commands_that_scripts_call_keep_their_spelling() {
        for line in [
            "drystone up --data d",
            "drystone up --data d --nodes 6 --geometry local --s3-addr 127.0.0.1:0 --admin-addr 127.0.0.1:0 --node-addr 127.0.0.1:0",
            "drystone up --data d --domain s3.example.com --read-grace 1s --node-lost-after 1h --region eu --log f --json",
            "drystone gateway --data d --config c --s3-addr 0.0.0.0:9000",
            "drystone admin account create --id i --name n --email e",
            "drystone admin account create --id i --name n --email e --access-key a --secret-key s --data d",
            "drystone admin account list --json --endpoint http://127.0.0.1:9001",
            "drystone admin key create --account i",
            "drystone admin key create --account i --access-key a --secret-key s",
            "drystone admin bucket quota b --bytes 500GB",
            "drystone admin bucket quota b --bytes none",
            "drystone admin account deposit alice 25.50 --reason r",
            "drystone admin account tier alice email --reason r",
            "drystone admin account freeze alice billing --reason r",
            "drystone admin account cap alice none --bucket b --reason r",
            "drystone admin account money alice --json",
            "drystone admin tariff list",
            "drystone admin tariff set --from 2027-01-01 --egress 0.01 --note n",
            "drystone admin ledger check",
            "drystone admin ledger show --from 3",
            "drystone admin settle",
            "drystone admin payout list",
            "drystone admin payout prepare 2026-11",
            "drystone admin payout file 2026-11 --format csv",
            "drystone admin payout returned 2026-11 bob --reason r",
            "drystone admin invoice show alice --month 2026-11",
            "drystone admin node owner abcdef bob --reason r",
            "drystone admin node statement abcdef --month 2026-11",
            "drystone admin settle --dry-run",
            "drystone up --data d --accounting-hour 1s --tier-limits",
            "drystone admin takedown add --object s3://b/k --reason r",
            "drystone admin takedown remove --hashes f --reason r --json",
            "drystone admin takedown list",
            "drystone admin nodes",
            "drystone admin node lost abcdef",
            "drystone admin invite",
            "drystone admin invite --hours 3 --data d",
            "drystone admin durability",
            "drystone admin fsck",
            "drystone estimate node --disk 500GB --up 20Mbit --hours 12",
            "drystone estimate customer --store 2TB --egress 300GB",
            "drystone backup --to d",
            "drystone restore --from b --data d",
        ] {
            assert!(parse(line).is_ok(), "{line}: {}", parse(line).expect_err("an error"));
        }
    }

    #[test]
    fn half_an_access_key_is_refused() {
        assert!(parse("drystone admin key create --account i --access-key a").is_err());
        assert!(
            parse("drystone admin account create --id i --name n --email e --secret-key s")
                .is_err()
        );
    }

    #[test]
    fn wrong_values_are_refused_before_anything_starts() {
        for line in [
            "drystone up --data d --s3-addr nowhere",
            "drystone up --data d --geometry square",
            "drystone up --data d --nodes 0",
            "drystone up --data d --read-grace soon",
            "drystone up",
            "drystone admin nodes --endpoint https://127.0.0.1:9001",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_helps_with_an_example() {
        fn check(command: &mut clap::Command, path: &str) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example"), "{path} has no example");
            for sub in command.get_subcommands_mut().filter(|sub| sub.get_name() != "help") {
                let path = format!("{path} {}", sub.get_name());
                check(sub, &path);
            }
        }
        check(&mut Cli::command(), "drystone");
    }
}
