//! `drystone admin payout …`, `drystone admin invoice …`: money that leaves, and what customers read.

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::money::plain;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, table, text};

const EXAMPLES: &str = "\
Examples:
  drystone admin payout payee bob --name \"Bob Builder\" --iban \"DE89 3704 0044 0532 0130 00\"
  drystone admin payout prepare 2026-11
  drystone admin payout file 2026-11 > 2026-11.xml       for the bank (ISO 20022 pain.001)
  drystone admin payout sent 2026-11
  drystone admin payout paid 2026-11
  drystone admin payout returned 2026-11 bob --reason \"account closed\"
  drystone admin payout list";

const INVOICE_EXAMPLES: &str = "\
Examples:
  drystone admin invoice show alice --month 2026-11
  drystone admin invoice issue 2026-11";

#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Payouts {
    /// List the batches of payouts.
    #[command(after_help = EXAMPLES)]
    List,
    /// Show the payouts of a batch.
    #[command(after_help = EXAMPLES)]
    Show {
        /// The batch.
        batch: String,
    },
    /// Take what owners have earned out of their nodes' balances, for the bank to pay. A batch that was prepared stays as it is.
    #[command(after_help = EXAMPLES)]
    Prepare {
        /// The batch's name, which is its message id at the bank: 1 to 35 letters, digits or hyphens.
        batch: String,
        /// Only for this owner.
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
    },
    /// Print the file that the bank takes.
    #[command(after_help = EXAMPLES)]
    File {
        /// The batch.
        batch: String,
        /// In which form.
        #[arg(long, value_enum, default_value_t = Form::Pain001)]
        format: Form,
        /// The day on which the bank shall pay, such as 2026-12-02 [default: today]
        #[arg(long, value_name = "DAY")]
        execute: Option<String>,
    },
    /// The bank has the file.
    #[command(after_help = EXAMPLES)]
    Sent {
        /// The batch.
        batch: String,
    },
    /// The bank has paid everything that did not come back, or one owner.
    #[command(after_help = EXAMPLES)]
    Paid {
        /// The batch.
        batch: String,
        /// Only this owner.
        account: Option<String>,
    },
    /// A payout came back: its money is in the nodes' balances again.
    #[command(after_help = EXAMPLES)]
    Returned {
        /// The batch.
        batch: String,
        /// Whose payout.
        account: String,
        /// What the bank said.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give everything back, of a batch that the bank never got.
    #[command(after_help = EXAMPLES)]
    Cancel {
        /// The batch.
        batch: String,
    },
    /// Say to whom an owner's earnings go.
    #[command(after_help = EXAMPLES)]
    Payee {
        /// The owner.
        account: String,
        /// The name of the bank account's owner.
        #[arg(long)]
        name: String,
        /// The bank account.
        #[arg(long)]
        iban: String,
        /// The bank, where one is wanted.
        #[arg(long)]
        bic: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = INVOICE_EXAMPLES)]
pub(crate) enum Invoice {
    /// Show a customer's invoice: the issued one, or a draft of what is settled so far.
    #[command(after_help = INVOICE_EXAMPLES)]
    Show {
        /// The customer.
        account: String,
        /// The month, such as 2026-11 [default: the present one]
        #[arg(long, value_name = "MONTH")]
        month: Option<String>,
    },
    /// Issue the invoices of everybody who was charged something in a month that is over.
    #[command(after_help = INVOICE_EXAMPLES)]
    Issue {
        /// The month, such as 2026-11.
        month: String,
    },
}

/// The form of a bank's file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// ISO 20022 pain.001.001.09, as banks of SEPA take it.
    Pain001,
    /// A table (RFC 4180).
    Csv,
}

impl Payouts {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        let step = |batch: String, body: Value| async move {
            plain(&batch)?;
            client.post(&format!("/admin/v1/payouts/{batch}"), Some(body)).await
        };
        let answer = match self {
            Self::List => {
                output.show(&client.get("/admin/v1/payouts").await?, listed);
                return Ok(());
            }
            Self::File { batch, format, execute } => {
                return file(client, output, &batch, format, execute).await;
            }
            Self::Payee { account, name, iban, bic } => {
                plain(&account)?;
                let body = json!({ "name": name, "iban": iban, "bic": bic });
                let path = format!("/admin/v1/accounts/{account}/payee");
                let answer = client.post(&path, Some(body)).await?;
                output.show(&answer, |payee| {
                    format!(
                        "{account} is paid at {} ({})",
                        text(payee, "iban"),
                        text(payee, "name")
                    )
                });
                return Ok(());
            }
            Self::Show { batch } => {
                plain(&batch)?;
                client.get(&format!("/admin/v1/payouts/{batch}")).await?
            }
            Self::Prepare { batch, account } => {
                let body = json!({ "name": batch, "account": account });
                client.post("/admin/v1/payouts", Some(body)).await?
            }
            Self::Sent { batch } => step(batch, json!({ "step": "sent" })).await?,
            Self::Paid { batch, account } => {
                step(batch, json!({ "step": "paid", "account": account })).await?
            }
            Self::Returned { batch, account, reason } => {
                let body = json!({ "step": "returned", "account": account, "reason": reason });
                step(batch, body).await?
            }
            Self::Cancel { batch } => step(batch, json!({ "step": "cancelled" })).await?,
        };
        output.show(&answer, shown);
        Ok(())
    }
}

async fn file(
    client: &Client,
    output: Output,
    batch: &str,
    format: Form,
    execute: Option<String>,
) -> Result<(), CliError> {
    plain(batch)?;
    let form = match format {
        Form::Pain001 => "pain001",
        Form::Csv => "csv",
    };
    let mut path = format!("/admin/v1/payouts/{batch}/file?format={form}");
    if let Some(day) = execute {
        plain(&day)?;
        path.push_str(&format!("&execute={day}"));
    }
    let answer = client.get(&path).await?;
    output.show(&answer, |file| text(file, "text"));
    Ok(())
}

impl Invoice {
    pub(crate) async fn run(self, client: &Client, output: Output) -> Result<(), CliError> {
        match self {
            Self::Show { account, month } => {
                plain(&account)?;
                let mut path = format!("/admin/v1/accounts/{account}/invoice");
                if let Some(month) = month {
                    plain(&month)?;
                    path.push_str(&format!("?month={month}"));
                }
                output.show(&client.get(&path).await?, invoice);
            }
            Self::Issue { month } => {
                let body = json!({ "month": month });
                let answer = client.post("/admin/v1/invoices", Some(body)).await?;
                output.show(&answer, |issued| {
                    format!("{} invoices of {}", text(issued, "invoices"), text(issued, "month"))
                });
            }
        }
        Ok(())
    }
}

fn listed(batches: &Value) -> String {
    let row =
        |batch: &Value| ["name", "state", "count", "sum"].map(|field| text(batch, field)).to_vec();
    let rows: Vec<_> = batches.as_array().into_iter().flatten().map(row).collect();
    table(&["BATCH", "STATE", "PAYOUTS", "SUM"], &rows, "no payouts yet")
}

fn shown(batch: &Value) -> String {
    let row = |payout: &Value| {
        let payee = &payout["payee"];
        vec![
            text(payout, "account"),
            text(payee, "name"),
            text(payee, "iban"),
            text(payout, "amount"),
            text(payout, "state"),
            text(payout, "reason"),
        ]
    };
    let rows: Vec<_> = batch["payouts"].as_array().into_iter().flatten().map(row).collect();
    let heading = ["OWNER", "NAME", "IBAN", "AMOUNT", "STATE", ""];
    let [name, state, sum] = ["name", "state", "sum"].map(|field| text(batch, field));
    format!("{name}: {state}, {sum} in all\n\n{}", table(&heading, &rows, "nobody is to be paid"))
}

fn invoice(invoice: &Value) -> String {
    let row = |line: &Value| {
        ["name", "from", "to", "quantity", "priced", "price", "amount"]
            .map(|field| text(line, field))
            .to_vec()
    };
    let rows: Vec<_> = invoice["lines"].as_array().into_iter().flatten().map(row).collect();
    let heading = ["WHAT", "FROM", "TO", "QUANTITY", "PRICED PER", "PRICE", "AMOUNT"];
    let number = match invoice["number"].as_u64() {
        Some(number) => format!("invoice {number}"),
        None => "draft".to_owned(),
    };
    let [account, month, currency] =
        ["account", "month", "currency"].map(|field| text(invoice, field));
    let [net, tax, total, balance, owed] =
        ["net", "tax", "total", "balance", "owed"].map(|field| text(invoice, field));
    format!(
        "{number} of {month} for {account}, in {currency}\n\n{}\n\nnet {net}  tax {tax}  total {total}\nbalance {balance}  owed {owed}",
        table(&heading, &rows, "nothing was charged")
    )
}
