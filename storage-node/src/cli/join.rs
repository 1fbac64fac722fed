//! `drystone-node join INVITE --data DIR [--disk 50GB] [--name NAME]`

use protocol::invite::Invite;
use protocol::message::NodeName;
use types::ByteSize;

use super::Data;
use crate::error::Error;
use crate::join::join;

#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// The invite: one word that begins with drystone-invite-.
    invite: Invite,
    #[command(flatten)]
    data: Data,
    /// Disk space to lend.
    #[arg(long, env = "DRYSTONE_DISK", default_value = "50GB", value_name = "SIZE")]
    disk: ByteSize,
    /// What to call the node [default: this machine's name].
    #[arg(long, env = "DRYSTONE_NAME")]
    name: Option<NodeName>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Join {
    pub(crate) async fn run(self) -> Result<(), Error> {
        let name = self.name.unwrap_or_else(machine_name);
        let (config, id) = join(&self.invite, &self.data.dir, name, self.disk).await?;
        let settings = &config.settings;
        if self.json {
            let told = serde_json::json!({
                "id": id.to_string(),
                "name": settings.name.as_str(),
                "cluster": settings.cluster.to_string(),
                "gateways": settings.gateways,
                "disk": settings.disk.0,
                "data": config.dir,
            });
            println!("{told}");
        } else {
            println!("Joined as {} ({id}), lending {}.", settings.name, settings.disk);
            println!("Start it with: drystone-node run --data {}", config.dir.display());
        }
        Ok(())
    }
}

fn machine_name() -> NodeName {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.parse().unwrap_or_else(|_| "node".parse().expect("a word is a valid node name"))
}
