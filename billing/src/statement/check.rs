//! What an owner checks.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use types::NodeId;
use types::merkle::{self, InclusionProof, MerkleRoot};

use super::{NodeStatement, StatementDay, StatementHour, day_leaf, hour_leaf};
use crate::calendar::{Day, Hour};
use crate::money::Money;
use crate::quantity::Work;
use crate::tally::differences;

/// Something on a statement that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Where: a day, or an hour of it.
    pub at: String,
    /// What, in words.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.words)
    }
}

/// Checks a statement: that its hours are under the published roots, that its sums are right, and that the hours are what the node
/// counted itself. Returns what is wrong; nothing if all is right. `own` holds the node's counters of every hour of the month
/// that it still knows; hours it does not know are not compared.
#[must_use]
pub fn check(
    statement: &NodeStatement,
    own: &BTreeMap<Hour, Work>,
    published: &BTreeMap<Day, MerkleRoot>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |at: String, words: String| findings.push(Finding { at, words });
    let node = NodeId(statement.node.0);
    for day in &statement.days {
        for words in check_day(&node, day, published.get(&day.day)) {
            find(day.day.to_string(), words);
        }
        for StatementHour { hour, work, .. } in &day.hours {
            let Some(counted) = own.get(hour) else { continue };
            for words in differences(work, counted) {
                find(hour.to_string(), words);
            }
        }
    }
    let stated = |hour: &Hour| {
        statement.days.iter().any(|day| day.hours.iter().any(|row| row.hour == *hour))
    };
    for (hour, work) in own {
        let settled = published.contains_key(&hour.day()) && hour.day().month() == statement.month;
        if settled && !work.is_zero() && !stated(hour) {
            for words in differences(&Work::default(), work) {
                find(hour.to_string(), words);
            }
        }
    }
    for words in check_sums(statement) {
        find(statement.month.to_string(), words);
    }
    findings
}

/// What is wrong with a day by itself.
fn check_day(node: &NodeId, day: &StatementDay, published: Option<&MerkleRoot>) -> Vec<String> {
    let mut words = Vec::new();
    match published {
        None => words.push("no root was published for this day".to_owned()),
        Some(root) if *root != day.root.0 => {
            words.push("the root on the statement is not the one that was published".to_owned());
        }
        Some(_) => {}
    }
    if day.hours.iter().any(|row| row.hour.day() != day.day) {
        words.push("it holds an hour of another day".to_owned());
    }
    let leaves: Vec<_> = day.hours.iter().map(|row| hour_leaf(node, row.hour, &row.work)).collect();
    let proof = InclusionProof {
        index: day.index,
        count: day.nodes,
        siblings: day.proof.iter().map(|hash| hash.0).collect(),
    };
    if !merkle::verify(&day.root.0, &day_leaf(node, &merkle::root(&leaves)), &proof) {
        words.push("the hours on the statement are not under the day's root".to_owned());
    }
    let sum = day.hours.iter().try_fold(Work::default(), |sum, row| sum.plus(&row.work));
    if sum != Some(day.work) {
        words.push("the day's work is not the sum of its hours".to_owned());
    }
    words
}

/// What is wrong with the sums of all days.
fn check_sums(statement: &NodeStatement) -> Vec<String> {
    let mut words = Vec::new();
    let work = statement.days.iter().try_fold(Work::default(), |sum, day| sum.plus(&day.work));
    if work != Some(statement.work) {
        words.push("the month's work is not the sum of its days".to_owned());
    }
    let earned = statement.days.iter().map(|day| day.earnings.total());
    let earned = earned.collect::<Result<Vec<_>, _>>().and_then(Money::total);
    if earned != Ok(statement.total) || statement.earnings.total() != Ok(statement.total) {
        words.push("the month's earnings are not the sum of its days".to_owned());
    }
    let held = Money::total(statement.days.iter().map(|day| day.held_back));
    if held != Ok(statement.held_back) {
        words.push("what is held back is not the sum of its days".to_owned());
    }
    words
}
