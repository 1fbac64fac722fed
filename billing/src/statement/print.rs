//! A statement as JSON, CSV and a page.

use types::{AccountId, Root};

use super::NodeStatement;
use crate::calendar::HOUR_MILLIS;
use crate::error::BillingError;
use crate::money::Money;
use crate::quantity::Work;
use crate::render::{Page, csv_line};
use crate::settle::Earnings;
use crate::tally::{Answer, differences};

impl NodeStatement {
    /// The statement as JSON, with everything that [`check`] needs.
    ///
    /// # Errors
    /// [`BillingError::Document`]
    pub fn to_json(&self) -> Result<String, BillingError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Its hours as CSV, one line each; a day's earnings stand on the day's last hour.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        let head = [
            "hour",
            "held_byte_ms",
            "unproven_byte_ms",
            "served_bytes",
            "repair_bytes",
            "audit_bytes",
            "fuel",
            "answer",
            "storage",
            "repair",
            "audit",
            "egress",
            "compute",
            "held_back",
            "currency",
        ];
        csv_line(&mut out, head);
        for day in &self.days {
            for (index, row) in day.hours.iter().enumerate() {
                let last = index + 1 == day.hours.len();
                let money = |amount: Money| if last { amount.to_string() } else { String::new() };
                let Earnings { storage, repair, audit, egress, compute } = day.earnings;
                csv_line(
                    &mut out,
                    [
                        row.hour.to_string(),
                        row.work.held.to_string(),
                        row.work.unproven.to_string(),
                        row.work.served.to_string(),
                        row.work.repair.to_string(),
                        row.work.audit.to_string(),
                        row.work.fuel.to_string(),
                        answer_word(row.answer.as_ref()).to_owned(),
                        money(storage),
                        money(repair),
                        money(audit),
                        money(egress),
                        money(compute),
                        money(day.held_back),
                        self.currency.clone(),
                    ],
                );
            }
        }
        out
    }

    /// The statement as a page to print.
    #[must_use]
    pub fn to_html(&self) -> String {
        let node = Root(self.node.0);
        let mut page = Page::new(&format!("Statement of work, {}", self.month));
        page.lines(self.seller_lines());
        let owner = self.owner.as_ref().map_or("nobody", AccountId::as_str);
        page.lines([format!("Node {node}"), format!("Owner: {owner}")]);
        let head = [
            "day",
            "#byte-hours",
            "#served",
            "#repair",
            "#audit",
            "#fuel",
            "#earned",
            "#held back",
        ];
        let mut rows: Vec<Vec<String>> = Vec::new();
        for day in &self.days {
            let earned =
                day.earnings.total().map_or_else(|_| "?".to_owned(), |sum| sum.to_string());
            rows.push(work_row(&day.day.to_string(), &day.work, earned, day.held_back));
        }
        rows.push(work_row("all", &self.work, self.total.to_string(), self.held_back));
        page.table(&head, &rows);
        page.heading("Earned for");
        let Earnings { storage, repair, audit, egress, compute } = self.earnings;
        let lines = [
            ("proven storage", storage),
            ("repair", repair),
            ("audits", audit),
            ("bytes served", egress),
            ("compute", compute),
        ];
        let rows: Vec<_> = lines
            .map(|(what, sum)| vec![what.to_owned(), format!("{sum} {}", self.currency)])
            .into();
        page.table(&["work", "#amount"], &rows);
        page.heading("Balance");
        let rows: Vec<_> = self
            .movements
            .iter()
            .map(|row| vec![row.at.to_string(), row.what.clone(), row.amount.to_string()])
            .collect();
        page.table(&["when", "what", "#amount"], &rows);
        page.lines([
            format!("May be spent now: {} {}", self.balance, self.currency),
            format!("Held back now: {} {}", self.held, self.currency),
        ]);
        self.print_disputes(&mut page);
        page.note(&self.rounding);
        page.note("The root of each day is published. The JSON form of this statement holds each hour and a proof that it is under that root.");
        page.finish()
    }

    fn seller_lines(&self) -> Vec<String> {
        let mut lines = vec![self.seller.name.clone()];
        lines.extend(self.seller.address.iter().cloned());
        lines
    }

    fn print_disputes(&self, page: &mut Page) {
        let mut rows = Vec::new();
        for row in self.days.iter().flat_map(|day| &day.hours) {
            let Some(Answer::Disputed { own, ruling, .. }) = &row.answer else { continue };
            let words = differences(&row.work, own).join("; ");
            let ruling = ruling.clone().unwrap_or_else(|| "open".to_owned());
            rows.push(vec![row.hour.to_string(), words, ruling]);
        }
        if !rows.is_empty() {
            page.heading("Disputes");
            page.table(&["hour", "what", "ruling"], &rows);
        }
    }
}

fn answer_word(answer: Option<&Answer>) -> &'static str {
    match answer {
        None => "none",
        Some(Answer::Agreed { .. }) => "agreed",
        Some(Answer::Disputed { ruling: None, .. }) => "disputed",
        Some(Answer::Disputed { ruling: Some(_), .. }) => "ruled",
    }
}

fn work_row(name: &str, work: &Work, earned: String, held_back: Money) -> Vec<String> {
    vec![
        name.to_owned(),
        (work.proven() / u128::from(HOUR_MILLIS)).to_string(),
        work.served.to_string(),
        work.repair.to_string(),
        work.audit.to_string(),
        work.fuel.to_string(),
        earned,
        held_back.to_string(),
    ]
}
