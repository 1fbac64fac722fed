//! `drystone admin …`: one command, one request.

mod account;
mod bucket;
mod customer;
mod durability;
mod key;
mod kms;
mod money;
mod node;
mod payout;
mod takedown;

use clap::Subcommand;

use crate::client::Target;
use crate::error::CliError;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  drystone admin account create --id alice --name Alice --email alice@example.com --data ~/drystone
  drystone admin key create --account alice --data ~/drystone
  drystone admin nodes --json --endpoint http://127.0.0.1:9001

Requests are signed with DRYSTONE_ROOT_ACCESS_KEY and DRYSTONE_ROOT_SECRET_KEY if they are set, else with the keys in --data DIR.";

/// The operator's commands.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Admin {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Accounts: who may use the storage.
    #[command(subcommand)]
    Account(account::Account),
    /// Access keys: what an account signs with.
    #[command(subcommand)]
    Key(key::Key),
    /// Named keys that objects may be encrypted under (SSE-KMS).
    #[command(subcommand)]
    Kms(kms::Kms),
    /// One customer's bucket: what it may hold.
    #[command(subcommand)]
    Bucket(bucket::Bucket),
    /// What things cost, and since when.
    #[command(subcommand)]
    Tariff(money::Tariff),
    /// The books: every movement of money.
    #[command(subcommand)]
    Ledger(money::Ledger),
    Settle(money::Settle),
    /// Money that leaves: what node owners are paid.
    #[command(subcommand)]
    Payout(payout::Payouts),
    /// What customers are charged, month by month.
    #[command(subcommand)]
    Invoice(payout::Invoice),
    /// What nobody may read any more: objects, prefixes, contents.
    #[command(subcommand)]
    Takedown(takedown::Takedown),
    /// List the nodes.
    Nodes(node::Nodes),
    /// One node.
    #[command(subcommand)]
    Node(node::Node),
    /// Invite one node.
    Invite(node::Invite),
    /// Show how safe the data is now.
    Durability(durability::Durability),
    /// Check the whole catalog; exit status 1 if something is wrong.
    Fsck(durability::Fsck),
}

impl Admin {
    pub(crate) async fn run(self, output: Output) -> Result<(), CliError> {
        let client = self.target.client()?;
        match self.command {
            Command::Account(account) => account.run(&client, output).await,
            Command::Key(key) => key.run(&client, output).await,
            Command::Kms(kms) => kms.run(&client, output).await,
            Command::Bucket(bucket) => bucket.run(&client, output).await,
            Command::Tariff(tariff) => tariff.run(&client, output).await,
            Command::Ledger(ledger) => ledger.run(&client, output).await,
            Command::Settle(settle) => settle.run(&client, output).await,
            Command::Payout(payouts) => payouts.run(&client, output).await,
            Command::Invoice(invoice) => invoice.run(&client, output).await,
            Command::Takedown(takedown) => takedown.run(&client, output).await,
            Command::Nodes(nodes) => nodes.run(&client, output).await,
            Command::Node(node) => node.run(&client, output).await,
            Command::Invite(invite) => invite.run(&client, output).await,
            Command::Durability(durability) => durability.run(&client, output).await,
            Command::Fsck(fsck) => fsck.run(&client, output).await,
        }
    }
}
