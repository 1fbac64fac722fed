//! `drystone gateway`: a gateway whose nodes are elsewhere, and what it shares with `up`.

use std::fs::DirBuilder;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use ::gateway::app::App;
use ::gateway::config::Config;
use kv::rocks::RocksShared;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use types::MIB;

use crate::error::CliError;
use crate::log::LogLevel;
use crate::output::Output;
use crate::settings::Settings;
use crate::signals::Signals;

const EXAMPLES: &str = "\
Examples:
  drystone gateway --data /var/lib/drystone
  drystone gateway --data /var/lib/drystone --s3-addr 0.0.0.0:9000 --node-addr 0.0.0.0:9100 --node-public gw.example.com:9100 --geometry home
  drystone admin invite --data /var/lib/drystone       then, on each node: drystone-node join INVITE --data DIR

Ctrl-C or SIGTERM finishes the requests in flight and stops; a second one stops at once.";

/// Memory for the caches and write buffers of every index in the process, in bytes.
const INDEX_MEMORY: usize = 256 * MIB as usize;
/// The data folder is its owner's alone: it holds the keys.
const DIR_MODE: u32 = 0o700;

/// Runs a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Gateway {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    log: LogLevel,
}

impl Gateway {
    pub(crate) async fn run(self, output: Output) -> Result<(), CliError> {
        let mut signals = Signals::watch()?;
        let Prepared { config, shared } = prepare(&self.settings, &self.log)?;
        let data = &self.settings.data;
        let app = tokio::select! {
            app = start(config, data, &shared) => app?,
            () = signals.asked_to_stop() => return Ok(()),
        };
        let facts = facts(&app, data);
        output.announce(&facts, || {
            format!(
                "The gateway is up.\n\n{}\nInvite a node:\n  drystone admin invite --data {} --endpoint http://{}\n",
                banner(&app, data),
                data.display(),
                app.admin_addr()
            )
        });
        let ended = serve(&app, &mut signals).await;
        signals.or_cut(app.stop()).await;
        ended
    }
}

/// Until a signal comes, or the gateway gives up by itself.
pub(crate) async fn serve(app: &App, signals: &mut Signals) -> Result<(), CliError> {
    tokio::select! {
        () = signals.asked_to_stop() => Ok(()),
        () = app.stopped() => Err(CliError::LeaseLost),
    }
}

/// What both ways to run a gateway begin with.
pub(crate) struct Prepared {
    pub(crate) config: Config,
    pub(crate) shared: RocksShared,
}

/// Makes the data folder, starts the log, reads the configuration.
pub(crate) fn prepare(settings: &Settings, log: &LogLevel) -> Result<Prepared, CliError> {
    let data = &settings.data;
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(data).map_err(CliError::io(data))?;
    let config = settings.load()?;
    log.start(&settings.log_file(&config))?;
    raise_file_limit();
    let shared = RocksShared::new(INDEX_MEMORY).map_err(|error| CliError::Gateway(error.into()))?;
    Ok(Prepared { config, shared })
}

pub(crate) async fn start(
    config: Config,
    data: &Path,
    shared: &RocksShared,
) -> Result<App, CliError> {
    App::start(config, data.to_owned(), shared)
        .await
        .map_err(|error| CliError::Gateway(error.into()))
}

/// Where everything is, for programs.
pub(crate) fn facts(app: &App, data: &Path) -> Value {
    let (access_key, secret_key) = app.root_keys();
    json!({
        "s3": format!("{}://{}", app.s3_scheme(), reachable(app.s3_addr())),
        "admin": format!("http://{}", reachable(app.admin_addr())),
        "node": app.node_addr().to_string(),
        "access_key": access_key,
        "secret_key": secret_key.as_str(),
        "data": data,
    })
}

/// Where everything is, for people. The one place where the secret is shown, on purpose: it is the operator's own terminal.
pub(crate) fn banner(app: &App, data: &Path) -> String {
    let (access_key, secret_key) = app.root_keys();
    format!(
        "  S3 endpoint   {}://{}\n  access key    {access_key}\n  secret key    {}\n  admin API     http://{}\n  \
         node door     {}\n  data          {}\n",
        app.s3_scheme(),
        reachable(app.s3_addr()),
        secret_key.as_str(),
        reachable(app.admin_addr()),
        app.node_addr(),
        data.display()
    )
}

/// An address that a client on this machine can use: "any" is not one.
pub(crate) fn reachable(addr: SocketAddr) -> SocketAddr {
    match addr {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from(([127, 0, 0, 1], v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, v6.port()))
        }
        addr => addr,
    }
}

/// Takes as many file descriptors as the system lets us: each connection and each file of an index needs one, and 1024 are few.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_any_is_shown_as_this_machine() {
        let shown = |text: &str| reachable(text.parse().expect("an address")).to_string();
        assert_eq!(shown("0.0.0.0:9000"), "127.0.0.1:9000");
        assert_eq!(shown("[::]:9000"), "[::1]:9000");
        assert_eq!(shown("10.0.0.1:9000"), "10.0.0.1:9000");
    }
}
