//! `drystone admin tariff|ledger|settle`: prices, the books, and the settling of days.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const TARIFF_EXAMPLES: &str = "\
Examples:
  drystone admin tariff list
  drystone admin tariff set --from 2027-01-01 --egress 0.005 --note \"cheaper lines\"
  drystone admin tariff drop 2027-01-01";

const SET_EXAMPLES: &str = "\
Examples:
  drystone admin tariff set --from 2027-01-01 --egress 0.005 --read 0.0004 --note \"cheaper lines\"
  drystone admin tariff set --from 2027-01-01 --file tariff.json

What is not said is as in the newest tariff. A tariff file is one element of what `drystone admin tariff list --json` prints under \"tariff\".";

const LEDGER_EXAMPLES: &str = "\
Examples:
  drystone admin ledger check && echo \"the books balance\"
  drystone admin ledger show --from 100
  drystone admin ledger balances";

const SETTLE_EXAMPLES: &str = "\
Examples:
  drystone admin settle --dry-run        what the day that is next to be settled comes to so far
  drystone admin settle --status         how far settlement is
  drystone admin settle                  settle what is over now, instead of within a second";

#[derive(Debug, Subcommand)]
#[command(after_help = TARIFF_EXAMPLES)]
pub(crate) enum Tariff {
    /// List every tariff and since when it holds.
    #[command(after_help = TARIFF_EXAMPLES)]
    List,
    /// Set the prices that hold from the beginning of a day on. That day must not have begun.
    Set(Box<Set>),
    /// Take back a tariff that has not begun.
    #[command(after_help = TARIFF_EXAMPLES)]
    Drop {
        /// Its first day, such as 2027-01-01.
        from: String,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = SET_EXAMPLES)]
pub(crate) struct Set {
    /// The first day on which it holds, such as 2027-01-01 (UTC, by the accounting clock).
    #[arg(long, value_name = "DAY")]
    from: String,
    /// A tariff in JSON [default: the newest one].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A gigabyte for thirty days, in class local.
    #[arg(long, value_name = "PRICE")]
    storage_local: Option<String>,
    /// A gigabyte for thirty days, in class home.
    #[arg(long, value_name = "PRICE")]
    storage_home: Option<String>,
    /// A gigabyte for thirty days, in class wide.
    #[arg(long, value_name = "PRICE")]
    storage_wide: Option<String>,
    /// A gigabyte sent.
    #[arg(long, value_name = "PRICE")]
    egress: Option<String>,
    /// A thousand PUT, COPY and POST requests.
    #[arg(long, value_name = "PRICE")]
    write: Option<String>,
    /// A thousand GET and HEAD requests; at least the egress of a thousand units of 64 KiB.
    #[arg(long, value_name = "PRICE")]
    read: Option<String>,
    /// A thousand LIST requests.
    #[arg(long, value_name = "PRICE")]
    list: Option<String>,
    /// A gigafuel.
    #[arg(long, value_name = "PRICE")]
    compute: Option<String>,
    /// Why it was made.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

#[derive(Debug, Subcommand)]
#[command(after_help = LEDGER_EXAMPLES)]
pub(crate) enum Ledger {
    /// Read all the books and prove that they balance; exit status 1 if they do not.
    #[command(after_help = LEDGER_EXAMPLES)]
    Check,
    /// Show entries of the ledger.
    #[command(after_help = LEDGER_EXAMPLES)]
    Show {
        /// The number of the first.
        #[arg(long, default_value_t = 0, value_name = "N")]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u64,
    },
    /// Show what every ledger account stands at.
    #[command(after_help = LEDGER_EXAMPLES)]
    Balances,
}

/// Settle the days that are over.
#[derive(Debug, clap::Args)]
#[command(after_help = SETTLE_EXAMPLES)]
pub(crate) struct Settle {
    /// Only say what settling the next day would come to so far.
    #[arg(long, conflicts_with = "status")]
    dry_run: bool,
    /// Only say how far settlement is.
    #[arg(long)]
    status: bool,
}

impl Tariff {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        match self {
            Self::List => {
                let answer = client.get("/admin/v1/tariffs").await?;
                output.show(&answer, tariffs);
            }
            Self::Set(set) => {
                let body = set.body(client).await?;
                let answer = client.post("/admin/v1/tariffs", Some(body)).await?;
                output.show(&answer, |set| tariffs(&json!([set])));
            }
            Self::Drop { from } => {
                plain(&from)?;
                client.delete(&format!("/admin/v1/tariffs/{from}"), None).await?;
                output.show(&json!({ "dropped": from }), |_| {
                    format!("the tariff of {from} was taken back")
                });
            }
        }
        Ok(())
    }
}

impl Set {
    async fn body(self, client: &Client) -> Result<Value, CliError> {
        let mut tariff = match &self.file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(CliError::io(path))?;
                serde_json::from_str(&text)
                    .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))?
            }
            None => newest(client).await?,
        };
        let prices = [
            ("/prices/storage/0", self.storage_local),
            ("/prices/storage/1", self.storage_home),
            ("/prices/storage/2", self.storage_wide),
            ("/prices/egress", self.egress),
            ("/prices/requests/0", self.write),
            ("/prices/requests/1", self.read),
            ("/prices/requests/2", self.list),
            ("/prices/compute", self.compute),
            ("/note", self.note),
        ];
        for (place, said) in prices {
            let Some(said) = said else { continue };
            let field = tariff.pointer_mut(place).ok_or_else(|| {
                CliError::Usage(format!("the tariff has no {}", place.trim_start_matches('/')))
            })?;
            *field = Value::String(said);
        }
        Ok(json!({ "from": self.from, "tariff": tariff }))
    }
}

async fn newest(client: &Client) -> Result<Value, CliError> {
    let all = client.get("/admin/v1/tariffs").await?;
    let last = all.as_array().and_then(|all| all.last()).map(|last| last["tariff"].clone());
    last.ok_or_else(|| CliError::Usage("there is no tariff yet: say --file FILE".to_owned()))
}

impl Ledger {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        match self {
            Self::Check => {
                let answer = client.get("/admin/v1/ledger/check").await?;
                output.show(&answer, checked);
                if answer["sound"] != true {
                    return Err(CliError::Unclean("the books do not balance"));
                }
            }
            Self::Show { from, limit } => {
                let path = format!("/admin/v1/ledger?from={from}&limit={limit}");
                output.show(&client.get(&path).await?, entries);
            }
            Self::Balances => {
                output.show(&client.get("/admin/v1/ledger/balances").await?, |balances| {
                    table(&["ACCOUNT", "BALANCE"], &postings(balances), "nothing was ever booked")
                });
            }
        }
        Ok(())
    }
}

impl Settle {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        if self.status {
            output.show(&client.get("/admin/v1/settlement").await?, status);
            return Ok(());
        }
        let body = json!({ "dry_run": self.dry_run });
        let answer = client.post("/admin/v1/settlement", Some(body)).await?;
        output.show(&answer, if self.dry_run { preview } else { days });
        Ok(())
    }
}

/// Refuses what would change the path it becomes part of.
pub(super) fn plain(word: &str) -> Result<(), CliError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if !word.is_empty() && word.bytes().all(fine) {
        Ok(())
    } else {
        Err(CliError::Usage(format!(
            "{word:?} names nothing; write letters, digits, '-', '_' or '.'"
        )))
    }
}

fn tariffs(all: &Value) -> String {
    let rows: Vec<Vec<String>> = all
        .as_array()
        .into_iter()
        .flatten()
        .map(|dated| {
            let (tariff, prices) = (&dated["tariff"], &dated["tariff"]["prices"]);
            let of = |place: &str| {
                prices.pointer(place).and_then(Value::as_str).unwrap_or("").to_owned()
            };
            let storage = ["/storage/0", "/storage/1", "/storage/2"].map(of).join(" / ");
            let requests = ["/requests/0", "/requests/1", "/requests/2"].map(of).join(" / ");
            vec![
                text(dated, "from"),
                storage,
                text(prices, "egress"),
                requests,
                text(tariff, "note"),
            ]
        })
        .collect();
    let heading = ["FROM", "GB-MONTH local/home/wide", "GB OUT", "1000 write/read/list", "WHY"];
    table(&heading, &rows, "no tariff")
}

fn checked(report: &Value) -> String {
    let totals = &report["totals"];
    let names = [
        ("bank", "in the bank"),
        ("customers", "customers' unused"),
        ("receivable", "owed by customers"),
        ("covered", "paid for use, ever"),
        ("fee", "  the operator's 5 %"),
        ("earned", "  nodes earned"),
        ("unsettled", "  to be divided"),
        ("carried", "  waiting for work"),
        ("nodes", "nodes' balances"),
        ("transit", "on its way to payees"),
        ("tax", "tax owed"),
        ("operator", "the operator's balance"),
    ];
    let rows: Vec<_> =
        names.iter().map(|(field, words)| vec![(*words).to_owned(), text(totals, field)]).collect();
    let mut words = format!(
        "{} entries, head {}\n{}",
        text(report, "entries"),
        text(report, "head"),
        table(&["", ""], &rows, "").trim_start()
    );
    for problem in report["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        words.push_str(&format!("\nwrong: {problem}"));
    }
    words.push_str(if report["sound"] == true { "\nthe books balance" } else { "" });
    words
}

fn entries(all: &Value) -> String {
    let rows: Vec<Vec<String>> = all
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|entry| {
            let head = [text(entry, "number"), text(entry, "at"), entry["cause"].to_string()];
            let postings = postings(&entry["postings"]);
            postings.into_iter().enumerate().map(move |(nth, posting)| {
                let head = if nth == 0 { head.clone() } else { <[String; 3]>::default() };
                let [number, at, cause] = head;
                [vec![number, at], posting, vec![cause]].concat()
            })
        })
        .collect();
    table(&["NO", "AT", "ACCOUNT", "AMOUNT", "CAUSE"], &rows, "no entries")
}

fn postings(all: &Value) -> Vec<Vec<String>> {
    let row = |posting: &Value| vec![text(posting, "account"), text(posting, "amount")];
    all.as_array().into_iter().flatten().map(row).collect()
}

fn status(progress: &Value) -> String {
    let rows: Vec<Vec<String>> = [
        ("counted_until", "everything is counted until"),
        ("accounting_time", "  by the accounting clock"),
        ("open_hour", "the hour that takes events"),
        ("next_day", "the day to be settled next"),
        ("events", "events counted since the start"),
        ("days", "days settled since the start"),
        ("error", "what went wrong"),
    ]
    .iter()
    .map(|(field, words)| vec![(*words).to_owned(), text(progress, field)])
    .collect();
    table(&["", ""], &rows, "").trim_start().to_owned()
}

fn preview(answer: &Value) -> String {
    let preview = &answer["preview"];
    if preview.is_null() {
        return "nothing was ever used".to_owned();
    }
    format!(
        "{}: {} customers would be charged {} so far; {} nodes have worked",
        text(preview, "day"),
        text(preview, "accounts"),
        text(preview, "charged"),
        text(preview, "nodes")
    )
}

fn days(answer: &Value) -> String {
    let sum = |day: &Value, field: &str| {
        let parts = day[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        parts.collect::<Vec<_>>().join(" / ")
    };
    let rows: Vec<Vec<String>> = answer["days"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|day| {
            let sums = ["revenue", "fee", "paid"].map(|field| sum(day, field));
            [vec![text(day, "day"), text(day, "charged")], sums.to_vec()].concat()
        })
        .collect();
    let heading = ["DAY", "CHARGED", "REVENUE storage/egress/compute", "OPERATOR", "NODES"];
    table(&heading, &rows, "no day was over that was not settled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_path_is_only_a_word() {
        for good in ["2027-01-01", "alice", "a.b_c"] {
            assert!(plain(good).is_ok(), "{good}");
        }
        for bad in ["", "../x", "a/b", "a?b", "ü"] {
            assert!(plain(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn prices_are_shown_by_class() {
        let shown = tariffs(&json!([{ "from": "2027-01-01", "tariff": {
            "prices": { "storage": ["0.005", "0.006", "0.007"], "egress": "0.01", "requests": ["1", "2", "3"], "compute": "4" },
            "note": "why"
        }}]));
        assert!(shown.contains("0.005 / 0.006 / 0.007  "), "{shown}");
        assert!(shown.contains("1 / 2 / 3"), "{shown}");
    }
}
