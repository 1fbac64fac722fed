//! An invoice as JSON, CSV and a page.

use super::{Invoice, InvoiceLine};
use crate::error::BillingError;
use crate::render::{Page, csv_line};

impl Invoice {
    /// The invoice as JSON.
    ///
    /// # Errors
    /// [`BillingError::Document`]
    pub fn to_json(&self) -> Result<String, BillingError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Its lines as CSV; tax and total follow.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        csv_line(
            &mut out,
            ["item", "from", "to", "quantity", "priced", "unit", "price", "amount", "currency"],
        );
        for line in &self.lines {
            csv_line(
                &mut out,
                [
                    line.name.clone(),
                    line.from.to_string(),
                    line.to.to_string(),
                    line.quantity.to_string(),
                    line.priced.to_string(),
                    line.unit.clone(),
                    line.price.to_string(),
                    line.amount.to_string(),
                    self.currency.clone(),
                ],
            );
        }
        for (name, amount) in [("net", self.net), ("tax", self.tax), ("total", self.total)] {
            let amount = amount.to_string();
            csv_line(&mut out, [name, "", "", "", "", "", "", &amount, &self.currency]);
        }
        out
    }

    /// The invoice as a page to print.
    #[must_use]
    pub fn to_html(&self) -> String {
        let title = match self.number {
            Some(number) => format!("Invoice {number}"),
            None => "Draft of an invoice".to_owned(),
        };
        let mut page = Page::new(&title);
        let mut from = vec![self.seller.name.clone()];
        from.extend(self.seller.address.iter().cloned());
        from.push(self.seller.tax_id.clone());
        page.lines(from);
        let mut to = vec![self.bill_to.name.clone()];
        to.extend(self.bill_to.address.iter().cloned());
        to.push(self.bill_to.tax_id.clone());
        to.push(format!("Account {}", self.account));
        page.lines(to);
        let issued = self.issued.map_or_else(|| "not issued".to_owned(), |day| day.to_string());
        page.lines([format!("Month: {}", self.month), format!("Issued: {issued}")]);
        let mut rows: Vec<Vec<String>> = self.lines.iter().map(line_row).collect();
        for (name, amount) in [
            ("Net".to_owned(), self.net),
            (format!("Tax {}", self.bill_to.tax_note), self.tax),
            ("Total".to_owned(), self.total),
        ] {
            rows.push(vec![name, String::new(), String::new(), String::new(), amount.to_string()]);
        }
        let amount = format!("#{}", self.currency);
        page.table(&["what", "days", "#quantity", "#price", &amount], &rows);
        page.heading("Balance");
        let rows: Vec<_> = self
            .movements
            .iter()
            .map(|row| vec![row.at.to_string(), row.what.clone(), row.amount.to_string()])
            .collect();
        page.table(&["when", "what", &amount], &rows);
        page.lines([
            format!("Unused money: {} {}", self.balance, self.currency),
            format!("Owed: {} {}", self.owed, self.currency),
        ]);
        page.note(&self.rounding);
        page.finish()
    }
}

fn line_row(line: &InvoiceLine) -> Vec<String> {
    // Thousandths are for reading; the exact quantity is in the JSON and CSV forms.
    let thousandths = line.quantity.saturating_mul(1_000) / line.priced.max(1);
    let quantity = format!("{}.{:03}", thousandths / 1_000, thousandths.abs() % 1_000);
    vec![
        format!("{}, {}", line.name, line.unit),
        format!("{} to {}", line.from, line.to),
        quantity,
        line.price.to_string(),
        line.amount.to_string(),
    ]
}
