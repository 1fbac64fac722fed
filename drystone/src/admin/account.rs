//! `drystone admin account create|list`; what concerns money is in [`super::customer`].

use clap::Subcommand;
use serde_json::{Value, json};

use super::key::{Pair, words};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin account create --id alice --name Alice --email alice@example.com
  drystone admin account list";

const CREATE_EXAMPLES: &str = "\
Examples:
  drystone admin account create --id alice --name Alice --email alice@example.com
  drystone admin account create --id bob --name Bob --email bob@example.com --access-key BOBSKEY --secret-key \"$SECRET\"";

const LIST_EXAMPLES: &str = "Example:\n  drystone admin account list --json";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Account {
    /// Create an account.
    Create(Create),
    /// List every account.
    List(List),
    #[command(flatten)]
    Customer(super::customer::Customer),
}

#[derive(Debug, clap::Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct Create {
    /// Its canonical id: 1 to 64 letters, digits, '-', '_' or '.'.
    #[arg(long)]
    id: String,
    /// Its display name.
    #[arg(long)]
    name: String,
    /// Where to reach its owner.
    #[arg(long)]
    email: String,
    #[command(flatten)]
    pair: Pair,
}

#[derive(Debug, clap::Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {}

impl Account {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        match self {
            Self::Create(create) => create.run(client, output).await,
            Self::Customer(customer) => customer.run(client, output).await,
            Self::List(List {}) => {
                let answer = client.get("/admin/v1/accounts").await?;
                output.show(&answer, listed);
                Ok(())
            }
        }
    }
}

impl Create {
    async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let body = json!({ "id": self.id, "name": self.name, "email": self.email });
        let answer = client.post("/admin/v1/accounts", Some(self.pair.add_to(body))).await?;
        output.show(&answer, |account| {
            let id = text(account, "id");
            if account.get("access_key").is_some() {
                return format!("account {id} created\n{}", words(account));
            }
            format!(
                "account {id} created; it needs a key: drystone admin key create --account {id}"
            )
        });
        Ok(())
    }
}

fn listed(accounts: &Value) -> String {
    let rows: Vec<Vec<String>> = accounts
        .as_array()
        .into_iter()
        .flatten()
        .map(|account| {
            let operator = if account["operator"] == true { "operator" } else { "" };
            let [id, name, email, created] =
                ["id", "name", "email", "created"].map(|field| text(account, field));
            vec![id, name, email, created, operator.to_owned()]
        })
        .collect();
    table(&["ID", "NAME", "E-MAIL", "CREATED", ""], &rows, "no accounts")
}
