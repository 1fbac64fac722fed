//! `drystone admin nodes`, `drystone admin node …`, `drystone admin invite`

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

const NODE_EXAMPLES: &str = "\
Examples:
  drystone admin node show 3f9c12ab04de
  drystone admin node suspend 3f9c12ab04de --reason 'its owner asked for a check of the disk'
  drystone admin node reinstate 3f9c12ab04de --reason 'new disk'
  drystone admin node leave 3f9c12ab04de";

const LOST_EXAMPLES: &str = "\
Only for a node that will not come back: its shards are rebuilt on others. If it does come back, it starts empty.

Example:
  drystone admin node lost 3f9c12ab04de";

const SHOW_EXAMPLES: &str =
    "Example:\n  drystone admin node show 3f9c12ab04de --json | jq .findings";

const JUDGE_EXAMPLES: &str = "\
The node's owner reads the reason. What is decided by hand stays until it is undone by hand: drystone admin node reinstate.

Example:
  drystone admin node suspend 3f9c12ab04de --reason 'its owner asked for a check of the disk'";

const REINSTATE_EXAMPLES: &str = "\
The node begins anew with a newcomer's goodwill; the evidence stays to be seen. It undoes any rank, also one that the audits gave.

Example:
  drystone admin node reinstate 3f9c12ab04de --reason 'new disk'";

const VOUCH_EXAMPLES: &str = "Example:\n  drystone admin node vouch 3f9c12ab04de";

const LEAVE_EXAMPLES: &str = "\
The node gets no new shards, and what it holds is rebuilt on others while it serves on. It may be switched off once `node show` says that
nothing is left. `stay` takes it back.

Examples:
  drystone admin node leave 3f9c12ab04de
  drystone admin node show 3f9c12ab04de --json | jq .leaving";

const OWNER_EXAMPLES: &str = "\
Examples:
  drystone admin node owner 3f9c12ab04de bob --reason \"he runs it\"
  drystone admin node statement 3f9c12ab04de --month 2026-11";

const INVITE_EXAMPLES: &str = "\
The invite is the last word of the last line. It is good for one node, once.

Examples:
  drystone admin invite --data ~/drystone
  drystone-node join \"$(drystone admin invite --data ~/drystone | awk 'END {print $NF}')\" --data ~/node
  drystone admin invite --owner alice --region eu-north --data ~/drystone
  drystone admin invite --revoke drystone-invite-1-…";

#[derive(Debug, clap::Args)]
#[command(after_help = NODES_EXAMPLES)]
pub(crate) struct Nodes {}

#[derive(Debug, Subcommand)]
#[command(after_help = NODE_EXAMPLES)]
pub(crate) enum Node {
    /// Show one node: its rank, why, and the evidence.
    Show(Show),
    /// Give a node no new shards until it is reinstated.
    Suspend(Judge),
    /// Give all that a node holds to others, and never anything to it, until it is reinstated.
    Disqualify(Judge),
    /// Undo a warning, a suspension or a disqualification.
    Reinstate(Reinstate),
    /// Give a newcomer a full share of new data without waiting for its audits.
    #[command(after_help = VOUCH_EXAMPLES)]
    Vouch(One),
    /// Let a node leave: what it holds is rebuilt on others while it serves on.
    Leave(Leave),
    /// Take back that a node leaves.
    Stay(Leave),
    /// Declare a node lost.
    Lost(Lost),
    /// Say whose a node is: that account is paid for it, and a group has one node of an owner. What nobody's node earned waits.
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
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct Show {
    /// The node's id, or the beginning of it.
    id: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The node's id, or the beginning of it.
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = JUDGE_EXAMPLES)]
pub(crate) struct Judge {
    /// The node's id, or the beginning of it.
    id: String,
    /// Why, for its owner to read.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = REINSTATE_EXAMPLES)]
pub(crate) struct Reinstate {
    /// The node's id, or the beginning of it.
    id: String,
    /// Why, for its owner to read.
    #[arg(long)]
    reason: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = LEAVE_EXAMPLES)]
pub(crate) struct Leave {
    /// The node's id, or the beginning of it.
    id: String,
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
    /// The account whose node it will be; no two nodes of one owner share a group.
    #[arg(long, value_name = "ACCOUNT")]
    owner: Option<String>,
    /// Where the node will stand, in your own words, such as eu-north; a group is spread over several.
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Take this unused invite back instead.
    #[arg(long, value_name = "INVITE", conflicts_with_all = ["hours", "owner", "region"])]
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
        let (id, change, reason) = match self {
            Self::Show(Show { id }) => {
                let id = whole_id(client, &id).await?;
                let answer = client.get(&format!("/admin/v1/nodes/{id}")).await?;
                output.show(&answer, whole);
                return Ok(());
            }
            Self::Suspend(Judge { id, reason }) => (id, "suspend", Some(reason)),
            Self::Disqualify(Judge { id, reason }) => (id, "disqualify", Some(reason)),
            Self::Reinstate(Reinstate { id, reason }) => (id, "reinstate", Some(reason)),
            Self::Vouch(One { id }) => (id, "vouch", None),
            Self::Leave(Leave { id }) => (id, "leave", None),
            Self::Stay(Leave { id }) => (id, "stay", None),
            Self::Lost(Lost { id }) => (id, "lost", None),
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
        let body = reason.map(|reason| json!({ "reason": reason }));
        let answer = client.post(&format!("/admin/v1/nodes/{id}/{change}"), body).await?;
        output.show(&answer, |node| changed(node, change));
        Ok(())
    }
}

/// What a change has come to, in a sentence.
fn changed(node: &Value, change: &str) -> String {
    let (name, groups) = (text(node, "name"), text(node, "groups"));
    match change {
        "lost" => format!("{name} is lost; its slots in {groups} groups go to others"),
        "suspend" => format!("{name} is suspended: it gets no new shards"),
        "disqualify" => {
            format!("{name} is disqualified; its slots in {groups} groups go to others")
        }
        "reinstate" => format!("{name} is in good standing again"),
        "vouch" => format!("{name} gets a full share of new data from now on"),
        "leave" => format!("{name} leaves; {}", left(&node["leaving"])),
        _ => format!("{name} stays"),
    }
}

/// What a leaving node still has to hand over.
fn left(leaving: &Value) -> String {
    if leaving["done"] == true {
        return "nothing is left on it: it may go".to_owned();
    }
    format!(
        "{} segments in {} slots are being rebuilt on others, {} slots wait for another node",
        text(leaving, "segments_left"),
        text(leaving, "slots_moving"),
        text(leaving, "slots_waiting")
    )
}

impl Invite {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        if let Some(invite) = self.revoke {
            client.delete("/admin/v1/invites", Some(json!({ "invite": invite }))).await?;
            output.show(&json!({ "revoked": true }), |_| "the invite is void".to_owned());
            return Ok(());
        }
        let new = json!({ "hours": self.hours, "owner": self.owner, "region": self.region });
        let answer = client.post("/admin/v1/invites", Some(new)).await?;
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
            let score = node["score"].as_f64().map_or(String::new(), |score| format!("{score:.3}"));
            vec![
                id,
                text(node, "name"),
                text(node, "state"),
                text(node, "since"),
                size(node, "capacity"),
                size(node, "used"),
                text(node, "groups"),
                score,
                percent(&node["availability"]),
                standing(node),
            ]
        })
        .collect();
    let heading = [
        "ID", "NAME", "STATE", "SINCE", "CAPACITY", "USED", "GROUPS", "SCORE", "AWAKE", "STANDING",
    ];
    table(&heading, &rows, "no node has joined; invite one: drystone admin invite")
}

/// Rank, share and leaving in a word or two.
fn standing(node: &Value) -> String {
    let mut words = vec![text(node, "rank")];
    if node["vetted"].is_null() {
        words.push("newcomer".to_owned());
    }
    if node["leaving"]["done"] == true {
        words.push("may go".to_owned());
    } else if node["leaving"].is_object() {
        words.push("leaving".to_owned());
    }
    words.join(", ")
}

fn percent(share: &Value) -> String {
    share.as_f64().map_or(String::new(), |share| format!("{:.0} %", share * 100.0))
}

/// A node with its evidence.
fn whole(node: &Value) -> String {
    let line = |what: &str, value: String| vec![what.to_owned(), value];
    let or = |field: &str, nothing: &str| {
        if node[field].is_null() { nothing.to_owned() } else { text(node, field) }
    };
    let mut rows = vec![
        line("id", text(node, "id")),
        line("name", text(node, "name")),
        line("state", format!("{} since {}", text(node, "state"), text(node, "since"))),
        line("owner", or("owner", "not known")),
        line(
            "region / subnet",
            format!("{} / {}", or("region", "not known"), or("subnet", "private")),
        ),
        line("groups", text(node, "groups")),
        line("awake", percent(&node["availability"])),
        line("standing", standing(node)),
        line("score", format!("{:.4}", node["score"].as_f64().unwrap_or(0.0))),
        line("answers too late", percent(&node["late"])),
        line("audits passed", text(node, "audits")),
        line("rot it reported itself", text(node, "owned_up")),
    ];
    if !text(node, "reason").is_empty() {
        rows.push(line("reason", text(node, "reason")));
    }
    if node["wanting"].is_object() {
        let wanting = &node["wanting"];
        let (audits, hours) = (text(wanting, "audits"), text(wanting, "hours"));
        let words = format!("{audits} audits, {hours} hours, {} held", size(wanting, "bytes"));
        rows.push(line("to a full share", words));
    }
    if node["leaving"].is_object() {
        rows.push(line("leaving", left(&node["leaving"])));
    }
    let each = |list: &str, fields: &[&str]| -> Vec<Vec<String>> {
        let items = node[list].as_array().into_iter().flatten();
        items.map(|item| fields.iter().map(|field| text(item, field)).collect()).collect()
    };
    let changes = each("changes", &["at", "rank", "by", "reason"]);
    let findings = each("findings", &["at", "fault", "source", "shard", "words"]);
    format!(
        "{}\n\n{}\n\n{}",
        table(&["", ""], &rows, "").trim_start(),
        table(&["CHANGED", "TO", "BY", "REASON"], &changes, "its rank has never changed"),
        table(
            &["FOUND", "FAULT", "IN A", "SHARD", "DETAILS"],
            &findings,
            "nothing was ever found wrong"
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attic() -> Value {
        json!({
            "id": "ab".repeat(32), "name": "attic", "state": "offline", "since": "2026-01-01T00:00:00Z",
            "capacity": 50_000_000_000_u64, "used": null, "groups": 3, "score": 0.995, "availability": 0.75,
            "rank": "warned", "reason": "0.50 % of its audited shards were lost or wrong", "vetted": null,
            "wanting": {"audits": 7, "hours": 3, "bytes": 0}, "leaving": null, "late": 0.0, "audits": 452, "owned_up": 1,
            "changes": [{"at": "2026-01-01T00:00:00Z", "rank": "warned", "by": "audits", "reason": "why"}],
            "findings": [{"at": "2026-01-01T00:00:00Z", "fault": "corrupt", "source": "audit", "shard": "7:1.2:3", "words": "wrong bytes"}]
        })
    }

    #[test]
    fn a_node_is_one_line() {
        let shown = listed(&json!([attic()]));
        let line: Vec<&str> = shown.lines().nth(1).expect("a line").split_whitespace().collect();
        let words = [
            "abababababab",
            "attic",
            "offline",
            "2026-01-01T00:00:00Z",
            "50",
            "GB",
            "3",
            "0.995",
            "75",
            "%",
            "warned,",
            "newcomer",
        ];
        assert_eq!(line, words);
        assert!(listed(&json!([])).contains("invite"));
    }

    #[test]
    fn the_evidence_and_the_way_to_a_full_share_are_shown() {
        let shown = whole(&attic());
        for words in ["wrong bytes", "audits passed", "7 audits, 3 hours", "0.50 %", "7:1.2:3"] {
            assert!(shown.contains(words), "{words}: {shown}");
        }
    }

    #[test]
    fn a_leaving_node_says_what_is_left() {
        let some =
            json!({"done": false, "segments_left": 5, "slots_moving": 2, "slots_waiting": 1});
        assert!(left(&some).starts_with("5 segments in 2 slots"));
        assert!(left(&json!({"done": true})).contains("may go"));
    }
}
