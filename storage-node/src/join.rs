//! Becoming a node: the invite is shown to one of its gateways, and what comes back is written down.

use std::path::Path;
use std::sync::Arc;

use protocol::LinkError;
use protocol::dial::{Address, Dial, TcpDial};
use protocol::identity::Trust;
use protocol::invite::Invite;
use protocol::join::{JoinAnswer, JoinRequest, ask};
use protocol::message::NodeName;
use protocol::tls::{NodeTls, Purpose};
use protocol::version::Versions;
use types::{ByteSize, NodeId, SystemClock};

use crate::app::STORE;
use crate::config::{NodeConfig, Overrides, Settings};
use crate::error::Error;
use crate::identity;

/// Joins the installation of `invite` with the data folder `dir`, and writes `identity.key` and `node.toml` there.
///
/// If the answer is lost on the way, joining again with the same folder uses the same key and is welcomed again.
///
/// # Errors
/// [`Error::Config`] if a node is there already, [`Error::Unreachable`], [`Error::Refused`] if the invite is used up, [`Error::Io`].
pub async fn join(
    invite: &Invite,
    dir: &Path,
    name: NodeName,
    disk: ByteSize,
) -> Result<(NodeConfig, NodeId), Error> {
    if NodeConfig::exists(dir) {
        return Err(Error::Config(format!(
            "there is a node in {} already; start it with `drystone-node run --data {}`",
            dir.display(),
            dir.display()
        )));
    }
    if dir.join(STORE).exists() && !dir.join(identity::FILE).exists() {
        return Err(Error::Config(format!(
            "{} holds the shards of another node, whose key is gone; join with an empty folder, shards do not count under another key",
            dir.display()
        )));
    }
    let identity = identity::load_or_generate(dir)?;
    let trust = Arc::new(Trust::new(invite.root, 0, Arc::new(SystemClock)));
    let tls = NodeTls::new(&identity, trust)?;
    let request = JoinRequest {
        versions: Versions::ours(),
        token: invite.token.clone(),
        name: name.clone(),
        capacity: disk.0,
    };
    match ask_any(&tls, &invite.gateways, &request).await? {
        JoinAnswer::Welcome { cluster, gateways } => {
            let settings = Settings::new(name, invite.root, cluster, gateways, disk);
            let (dir, overrides) = (dir.to_owned(), Overrides::default());
            let config = NodeConfig { dir, settings, own_process: false, overrides };
            config.save()?;
            Ok((config, identity.id()))
        }
        JoinAnswer::Refused { why } => Err(Error::Refused(why)),
    }
}

/// The answer of the first gateway that gives one.
async fn ask_any(
    tls: &NodeTls,
    gateways: &[Address],
    request: &JoinRequest,
) -> Result<JoinAnswer, Error> {
    let mut failures = Vec::new();
    for gateway in gateways {
        match ask_one(tls, gateway, request).await {
            Ok(answer) => return Ok(answer),
            Err(error) => failures.push(format!("{gateway}: {}", with_causes(&error))),
        }
    }
    Err(Error::Unreachable(failures.join("; ")))
}

async fn ask_one(
    tls: &NodeTls,
    gateway: &Address,
    request: &JoinRequest,
) -> Result<JoinAnswer, LinkError> {
    let io = TcpDial.dial(gateway).await?;
    let io = tls.connect(io, Purpose::Join).await?;
    ask(io, request).await
}

/// An error and what it came from, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = next.source();
    }
    text
}
