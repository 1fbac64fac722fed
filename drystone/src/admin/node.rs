//! `drystone admin nodes`, `drystone admin node lost`, `drystone admin invite`

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, size, table, text};

/// Digits of a whole node id.
const ID_DIGITS: usize = 64;
/// Digits of a node id that lists show, and that commands take if no other node has them.
const SHORT: usize = 12;

const NODES_EXAMPLES: &str = "Example:\n  drystone admin nodes --json";

const LOST_EXAMPLES: &str = "\
Only for a node that will not come back: its shards are rebuilt on others. If it does come back, it starts empty.

Example:
  drystone admin node lost 3f9c12ab04de";

const OWNER_EXAMPLES: &str = "\
Examples:
  drystone admin node owner 3f9c12ab04de bob --reason \"he runs it\"
  drystone admin node statement 3f9c12ab04de --month 2026-11";

const INVITE_EXAMPLES: &str = "\
The invite is the last word of the last line. It is good for one node, once.

Examples:
  drystone admin invite --data ~/drystone
  drystone-node join \"$(drystone admin invite --data ~/drystone | awk 'END {print $NF}')\" --data ~/node
  drystone admin invite --revoke drystone-invite-1-…";

#[derive(Debug, clap::Args)]
#[command(after_help = NODES_EXAMPLES)]
pub(crate) struct Nodes {}

#[derive(Debug, Subcommand)]
#[command(after_help = LOST_EXAMPLES)]
pub(crate) enum Node {
    /// Declare a node lost.
    Lost(Lost),
    /// Say whose account is paid for a node; nobody's until then, and what it earned waits.
    #[command(after_help = OWNER_EXAMPLES)]
    Owner {
        /// The node's id, or the beginning of it.
        id: String,
        /// The account; `none` takes the node away from its owner.
        account: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Show what a node did in a month, and what it earned for that.
    #[command(after_help = OWNER_EXAMPLES)]
    Statement {
        /// The node's id, or the beginning of it.
        id: String,
        /// The month, such as 2026-11 [default: the present one]
        #[arg(long, value_name = "MONTH")]
        month: Option<String>,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = LOST_EXAMPLES)]
pub(crate) struct Lost {
    /// The node's id, or the beginning of it.
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = INVITE_EXAMPLES)]
pub(crate) struct Invite {
    /// For how many hours it is good.
    #[arg(long, default_value_t = 168, value_parser = clap::value_parser!(u32).range(1..=8784))]
    hours: u32,
    /// Take this unused invite back instead.
    #[arg(long, value_name = "INVITE", conflicts_with = "hours")]
    revoke: Option<String>,
}

impl Nodes {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let answer = client.get("/admin/v1/nodes").await?;
        output.show(&answer, listed);
        Ok(())
    }
}

async fn statement(
    client: &Client,
    output: Output,
    id: &str,
    month: Option<String>,
) -> Result<(), CliError> {
    let id = whole_id(client, id).await?;
    let mut path = format!("/admin/v1/nodes/{id}/statement");
    if let Some(month) = month {
        super::money::plain(&month)?;
        path.push_str(&format!("?month={month}"));
    }
    output.show(&client.get(&path).await?, |statement| {
        let row = |day: &Value| {
            let earned = day["earnings"].to_string();
            vec![text(day, "day"), day["work"].to_string(), earned, text(day, "held_back")]
        };
        let days: Vec<_> = statement["days"].as_array().into_iter().flatten().map(row).collect();
        let heading = ["DAY", "WORK", "EARNED", "HELD BACK"];
        let [total, balance, held] =
            ["total", "balance", "held"].map(|field| text(statement, field));
        format!(
            "{}\n\nearned {total}  balance {balance}  held back {held}",
            table(&heading, &days, "no settled day")
        )
    });
    Ok(())
}

impl Node {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let id = match self {
            Self::Lost(Lost { id }) => id,
            Self::Owner { id, account, reason } => {
                let id = whole_id(client, &id).await?;
                let owner = (account != "none").then_some(&account);
                let body = json!({ "account": owner, "reason": reason });
                let path = format!("/admin/v1/nodes/{id}/owner");
                let answer = client.post(&path, Some(body)).await?;
                output.show(&answer, |_| format!("{account} is paid for node {id}"));
                return Ok(());
            }
            Self::Statement { id, month } => return statement(client, output, &id, month).await,
        };
        let id = whole_id(client, &id).await?;
        let answer = client.post(&format!("/admin/v1/nodes/{id}/lost"), None).await?;
        output.show(&answer, |node| {
            format!(
                "{} is lost; its slots in {} groups go to others",
                text(node, "name"),
                text(node, "groups")
            )
        });
        Ok(())
    }
}

impl Invite {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        if let Some(invite) = self.revoke {
            client.delete("/admin/v1/invites", Some(json!({ "invite": invite }))).await?;
            output.show(&json!({ "revoked": true }), |_| "the invite is void".to_owned());
            return Ok(());
        }
        let answer = client.post("/admin/v1/invites", Some(json!({ "hours": self.hours }))).await?;
        output.show(&answer, |made| {
            let (invite, expires) = (text(made, "invite"), text(made, "expires"));
            format!("Good for one node until {expires}. On its machine: drystone-node join INVITE --data DIR\ninvite: {invite}")
        });
        Ok(())
    }
}

/// The id that begins with `start`.
async fn whole_id(client: &Client, start: &str) -> Result<String, CliError> {
    if start.is_empty()
        || start.len() > ID_DIGITS
        || !start.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Err(CliError::Usage(format!(
            "{start:?} is not the beginning of a node id; see drystone admin nodes"
        )));
    }
    let start = start.to_ascii_lowercase();
    if start.len() == ID_DIGITS {
        return Ok(start);
    }
    let nodes = client.get("/admin/v1/nodes").await?;
    let ids = nodes.as_array().into_iter().flatten().map(|node| text(node, "id"));
    let mut found = ids.filter(|id| id.starts_with(&start));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => Err(CliError::Usage(format!("no node's id begins with {start}"))),
        (Some(_), Some(_)) => {
            Err(CliError::Usage(format!("several nodes' ids begin with {start}; give more digits")))
        }
    }
}

fn listed(nodes: &Value) -> String {
    let rows: Vec<Vec<String>> = nodes
        .as_array()
        .into_iter()
        .flatten()
        .map(|node| {
            let id: String = text(node, "id").chars().take(SHORT).collect();
            let score = node["score"].as_f64().map_or(String::new(), |score| format!("{score:.2}"));
            vec![
                id,
                text(node, "name"),
                text(node, "state"),
                text(node, "since"),
                size(node, "capacity"),
                size(node, "used"),
                text(node, "groups"),
                score,
            ]
        })
        .collect();
    let heading = ["ID", "NAME", "STATE", "SINCE", "CAPACITY", "USED", "GROUPS", "SCORE"];
    table(&heading, &rows, "no node has joined; invite one: drystone admin invite")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_one_line() {
        let nodes = json!([{
            "id": "ab".repeat(32), "name": "attic", "state": "offline", "since": "2026-01-01T00:00:00Z",
            "capacity": 50_000_000_000_u64, "used": null, "groups": 3, "score": 0.0
        }]);
        let shown = listed(&nodes);
        let line: Vec<&str> = shown.lines().nth(1).expect("a line").split_whitespace().collect();
        assert_eq!(
            line,
            ["abababababab", "attic", "offline", "2026-01-01T00:00:00Z", "50", "GB", "3", "0.00"]
        );
        assert!(listed(&json!([])).contains("invite"));
    }
}
