//! A batch as a table, for people and for banks that take one.

use types::AccountId;

use super::Payout;
use crate::Currency;
use crate::error::BillingError;
use crate::render::csv_line;

/// The id by which a payout is known from end to end: the batch and its number in it. At most 35 characters, as the bank's file wants.
pub(super) fn end_to_end(batch: &str, number: u32) -> String {
    let number = number.to_string();
    // A long name is cut; the whole one is the file's message id.
    let room = super::BATCH_NAME_MAX - 1 - number.len();
    format!("{}-{number}", &batch[..batch.len().min(room)])
}

/// The batch as CSV (RFC 4180, UTF-8): one payout a line.
///
/// # Errors
/// [`BillingError::Money`] if an amount is none a bank can move.
pub fn to_csv(
    batch: &str,
    payouts: &[(AccountId, Payout)],
    currency: &Currency,
) -> Result<String, BillingError> {
    let mut out = String::new();
    let head = [
        "end_to_end_id",
        "account",
        "name",
        "iban",
        "bic",
        "amount",
        "currency",
        "state",
        "reason",
    ];
    csv_line(&mut out, head);
    for (account, payout) in payouts {
        let bic = payout.payee.bic.as_ref().map_or("", super::Bic::as_str);
        csv_line(
            &mut out,
            [
                &end_to_end(batch, payout.number),
                account.as_str(),
                &payout.payee.name,
                payout.payee.iban.as_str(),
                bic,
                &currency.bank_text(payout.amount)?,
                currency.code(),
                &payout.state.to_string(),
                payout.reason.as_deref().unwrap_or(""),
            ],
        );
    }
    Ok(out)
}
