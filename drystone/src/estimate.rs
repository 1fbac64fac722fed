//! `drystone estimate node|customer`: what a node would earn and a customer would pay. A gateway whose keys are at hand is asked, because it knows
//! what was really paid; without keys the prices are those that an installation begins with.

use ::gateway::{estimates, prices};
use billing::estimate::NodeOffer;
use clap::Subcommand;
use serde_json::Value;
use types::{ByteSize, GeometryName};

use crate::client::Target;
use crate::error::CliError;
use crate::output::{Output, table, text};

const EXAMPLES: &str = "\
Examples:
  drystone estimate node --disk 500GB --up 20Mbit --hours 12
  drystone estimate customer --store 2TB --egress 300GB
  drystone estimate customer --store 2TB --egress 300GB --class home --data ~/drystone";

/// Estimate what a node would earn or a customer would pay in a month.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Estimate {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What a node would earn.
    #[command(after_help = EXAMPLES)]
    Node {
        /// Disk that is lent, such as 500GB.
        #[arg(long, value_name = "SIZE")]
        disk: ByteSize,
        /// What the line carries upwards, such as 20Mbit.
        #[arg(long, value_name = "RATE", value_parser = rate)]
        up: u64,
        /// Hours online in a day.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=24), default_value_t = 24)]
        hours: u8,
        /// How much of the disk would be in use, in percent.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=100), default_value_t = 50)]
        fill: u16,
    },
    /// What a customer would pay.
    #[command(after_help = EXAMPLES)]
    Customer {
        /// What is stored, such as 2TB.
        #[arg(long, value_name = "SIZE")]
        store: ByteSize,
        /// What is read in a month, such as 300GB.
        #[arg(long, value_name = "SIZE", default_value = "0")]
        egress: ByteSize,
        /// How it is coded: local, home or wide.
        #[arg(long, value_name = "NAME", default_value = "home")]
        class: GeometryName,
    },
}

impl Estimate {
    pub(crate) async fn run(self, output: Output) -> Result<(), CliError> {
        let asked = self.target.is_named();
        let answer = match (asked, self.command) {
            (true, command) => self.target.client()?.get(&command.path()).await?,
            (false, command) => command.offline()?,
        };
        output.show(&answer, |estimate| words(estimate, asked));
        Ok(())
    }
}

impl Command {
    /// Where a gateway is asked.
    fn path(&self) -> String {
        match self {
            Self::Node { disk, up, hours, fill } => format!(
                "/admin/v1/estimate/node?disk={}&up={up}&hours={hours}&fill={}",
                disk.0,
                fill * 10
            ),
            Self::Customer { store, egress, class } => format!(
                "/admin/v1/estimate/customer?store={}&egress={}&class={class}",
                store.0, egress.0
            ),
        }
    }

    /// The same by the prices that an installation begins with.
    fn offline(&self) -> Result<Value, CliError> {
        let prices = prices::first_tariff().prices;
        let estimate = match self {
            Self::Node { disk, up, hours, fill } => {
                let offer = NodeOffer { disk: disk.0, up: *up, hours: *hours, fill: fill * 10 };
                estimates::node(&offer, None, &prices)
            }
            Self::Customer { store, egress, class } => {
                estimates::customer(store.0, egress.0, *class, &prices)
            }
        };
        let estimate = estimate.map_err(|error| CliError::Usage(error.to_string()))?;
        serde_json::to_value(estimate).map_err(|error| CliError::Usage(error.to_string()))
    }
}

/// `20Mbit`, in bits a second.
fn rate(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] =
        [("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000), ("bit", 1)];
    let parse = || {
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.trim().strip_suffix(suffix)?, unit)))?;
        digits.trim_end().parse::<u64>().ok()?.checked_mul(*unit)
    };
    parse().ok_or_else(|| {
        format!("{text:?} is not a rate; write a whole number and a unit, such as 20Mbit")
    })
}

fn words(estimate: &Value, asked: bool) -> String {
    let row =
        |step: &Value| ["what", "amount", "arithmetic"].map(|field| text(step, field)).to_vec();
    let rows: Vec<_> = estimate["steps"].as_array().into_iter().flatten().map(row).collect();
    let whose = if asked {
        "by this gateway's books"
    } else {
        "by the prices that an installation begins with (--data or the root keys let a gateway answer)"
    };
    let per_month = text(estimate, "per_month");
    format!(
        "{}\n\n{per_month} a month of thirty days, {whose}",
        table(&["", "AMOUNT", "HOW"], &rows, "")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_rates() {
        for (text, bits) in
            [("20Mbit", 20_000_000), ("64 kbit", 64_000), ("1Gbit", 1_000_000_000), ("8bit", 8)]
        {
            assert_eq!(rate(text), Ok(bits), "{text}");
        }
        for bad in ["", "20", "20MB", "-1Mbit", "1.5Mbit"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn without_a_gateway_the_first_prices_answer() {
        let (store, egress) = (ByteSize(2_000_000_000_000), ByteSize(0));
        let plan = Command::Customer { store, egress, class: GeometryName::Home };
        let estimate = plan.offline().expect("counted");
        assert_eq!(estimate["per_month"], "12.000000");
    }
}
