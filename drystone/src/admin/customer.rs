//! `drystone admin account money|deposit|tier|freeze|cap …`: a customer's money and rights. Every change has a reason, which the audit log keeps.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::money::plain;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin account deposit alice 25 --reason \"bank transfer of 3 May\"
  drystone admin account tier alice identified --reason \"passport seen\"
  drystone admin account freeze alice billing --reason \"unpaid since March\"
  drystone admin account cap alice 10 --bucket photos --reason \"her wish\"
  drystone admin account money alice";

#[derive(Debug, Subcommand)]
pub(crate) enum Customer {
    /// Show an account's money, tier, freezes and caps.
    #[command(after_help = EXAMPLES)]
    Money {
        /// The account.
        account: String,
    },
    /// The customer's money arrived at the bank. It pays first what is owed.
    #[command(after_help = EXAMPLES)]
    Deposit(Move),
    /// Unused money goes back to the customer's bank.
    #[command(after_help = EXAMPLES)]
    Refund(Move),
    /// The operator gives of its own: goodwill, or a charge taken back.
    #[command(after_help = EXAMPLES)]
    Credit(Move),
    /// Say how well the account is known, which decides its limits.
    #[command(after_help = EXAMPLES)]
    Tier {
        /// The account.
        account: String,
        /// How well.
        tier: Tier,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Freeze the account: it can list, and whatever that kind of freeze leaves it.
    #[command(after_help = EXAMPLES)]
    Freeze(Frozen),
    /// End a freeze.
    #[command(after_help = EXAMPLES)]
    Unfreeze(Frozen),
    /// Set the most that may be spent in a calendar month; beyond it requests are refused with SpendCapExceeded.
    #[command(after_help = EXAMPLES)]
    Cap {
        /// The account.
        account: String,
        /// The most, such as 25.50; `none` lifts the cap.
        amount: String,
        /// In this bucket only.
        #[arg(long, conflicts_with = "key", value_name = "BUCKET")]
        bucket: Option<String>,
        /// With this access key only.
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Let what the account's own nodes earn pay what it uses, or not.
    #[command(after_help = EXAMPLES)]
    Netting {
        /// The account.
        account: String,
        /// Whether.
        switch: Switch,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The account.
    account: String,
    /// How much, such as 25.50, in the installation's currency.
    amount: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Names this act: sent again under the same name, it changes nothing [default: a new one].
    #[arg(long, value_name = "NAME")]
    request: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Frozen {
    /// The account.
    account: String,
    /// What kind of freeze.
    kind: Kind,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// How well somebody is known.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Tier {
    /// Not at all.
    Unverified,
    /// Somebody reads mail at the address.
    Email,
    /// A person whose identity was checked.
    Identified,
    /// A company that was looked up.
    Company,
}

/// Why an account is frozen.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// It owes money: it can delete and earn.
    Billing,
    /// A court or an authority wants everything to stay as it is.
    Legal,
    /// It harms others: it can delete.
    Abuse,
}

/// Whether something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

impl Customer {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let (account, change) = self.change();
        plain(&account)?;
        let path = format!("/admin/v1/accounts/{account}/money");
        let answer = match change {
            Some(change) => client.post(&path, Some(change)).await?,
            None => client.get(&path).await?,
        };
        output.show(&answer, words);
        Ok(())
    }

    /// The account, and what is to change; nothing if it is only shown.
    fn change(self) -> (String, Option<Value>) {
        match self {
            Self::Money { account } => (account, None),
            Self::Deposit(moved) => moved.change("deposit"),
            Self::Refund(moved) => moved.change("refund"),
            Self::Credit(moved) => moved.change("credit"),
            Self::Tier { account, tier, reason } => {
                (account, Some(json!({ "change": "tier", "tier": name(tier), "reason": reason })))
            }
            Self::Freeze(frozen) => frozen.change("freeze"),
            Self::Unfreeze(frozen) => frozen.change("unfreeze"),
            Self::Cap { account, amount, bucket, key, reason } => {
                let amount = (amount != "none").then_some(amount);
                let body = json!({ "change": "cap", "bucket": bucket, "key": key, "amount": amount, "reason": reason });
                (account, Some(body))
            }
            Self::Netting { account, switch, reason } => {
                let on = switch == Switch::On;
                (account, Some(json!({ "change": "netting", "on": on, "reason": reason })))
            }
        }
    }
}

impl Move {
    fn change(self, kind: &str) -> (String, Option<Value>) {
        let Self { account, amount, reason, request } = self;
        let request = request.unwrap_or_else(|| format!("{:016x}", types::entropy::random_u64()));
        let body = json!({ "change": "money", "kind": kind, "amount": amount, "reason": reason, "request": request });
        (account, Some(body))
    }
}

impl Frozen {
    fn change(self, change: &str) -> (String, Option<Value>) {
        let Self { account, kind, reason } = self;
        (account, Some(json!({ "change": change, "kind": name(kind), "reason": reason })))
    }
}

/// A value as the API spells it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn words(customer: &Value) -> String {
    let profile = &customer["profile"];
    let mut rows: Vec<Vec<String>> = [
        ("account", text(customer, "account")),
        ("balance", text(customer, "balance")),
        ("owed", text(customer, "owed")),
        ("earned by its nodes", text(customer, "earned")),
        ("held back", text(customer, "held_back")),
        ("tier", text(profile, "tier")),
        ("netting", text(profile, "netting")),
        ("bytes at rest", text(customer, "stored_bytes")),
    ]
    .into_iter()
    .map(|(what, value)| vec![what.to_owned(), value])
    .collect();
    for freeze in profile["freezes"].as_array().into_iter().flatten() {
        let words = format!("{}: {}", text(freeze, "kind"), text(freeze, "reason"));
        rows.push(vec!["FROZEN".to_owned(), words]);
    }
    for cap in customer["caps"].as_array().into_iter().flatten() {
        let spent = if cap["spent"].is_null() {
            String::new()
        } else {
            format!(", spent {}", text(cap, "spent"))
        };
        let words = format!("{} a month on {}{spent}", text(cap, "cap"), text(cap, "scope"));
        rows.push(vec!["cap".to_owned(), words]);
    }
    table(&["", ""], &rows, "").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spelled_as_the_api_does() {
        assert_eq!(name(Tier::Identified), "identified");
        assert_eq!(name(Kind::Abuse), "abuse");
    }

    #[test]
    fn a_freeze_is_shown_with_its_reason() {
        let shown = words(&json!({
            "account": "alice", "balance": "1.000000",
            "profile": { "tier": "email", "freezes": [{ "kind": "billing", "reason": "unpaid" }] },
            "caps": [{ "scope": "bucket b", "cap": "5.000000", "spent": null }]
        }));
        assert!(
            shown.contains("billing: unpaid") && shown.contains("5.000000 a month on bucket b"),
            "{shown}"
        );
    }
}
