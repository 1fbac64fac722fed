//! The hourly totals that an invoice's lines are the sums of.

use kv::KeyPrefix;
use serde::Serialize;
use types::AccountId;

use crate::Billing;
use crate::calendar::{Hour, Month};
use crate::error::BillingError;
use crate::quantity::{Item, Usage};
use crate::render::csv_line;
use crate::schema::USAGE_HOURS;

/// An hour of a bucket, behind an invoice's lines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HourOfUse {
    /// The hour.
    pub hour: Hour,
    /// The bucket.
    pub bucket: String,
    /// What was used.
    pub usage: Usage,
}

impl Billing {
    /// The hourly totals behind the invoice's lines.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn hours_of_use(
        &self,
        account: &AccountId,
        month: Month,
    ) -> Result<Vec<HourOfUse>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let mut hours = Vec::new();
        for day in month.days() {
            let prefix = KeyPrefix::of(&day).then(account);
            let rows = USAGE_HOURS.scan(&snap, &prefix, usize::MAX).await?;
            let rows = rows.into_iter().map(|((day, _, bucket, hour), usage)| HourOfUse {
                hour: day.hour(hour),
                bucket: bucket.to_string(),
                usage,
            });
            hours.extend(rows);
        }
        Ok(hours)
    }
}

/// Hours of use as CSV: one line for each, one column for each item, in what it is counted in.
#[must_use]
pub fn hours_to_csv(hours: &[HourOfUse]) -> String {
    let mut out = String::new();
    let head = ["hour".to_owned(), "bucket".to_owned()];
    csv_line(&mut out, head.into_iter().chain(Item::ALL.map(Item::name)));
    for row in hours {
        let counts = Item::ALL.map(|item| row.usage.of(item).to_string());
        csv_line(&mut out, [row.hour.to_string(), row.bucket.clone()].into_iter().chain(counts));
    }
    out
}
