//! The installation's currency: what a bank can move of it, and how an amount is written.

use serde::{Deserialize, Serialize};

use crate::money::{Money, MoneyError};

/// Digits of a micro-unit.
const MICRO_DIGITS: u8 = 6;

/// A currency by ISO 4217.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Currency {
    code: String,
    exponent: u8,
}

/// Why there is no such currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// Not three capital letters.
    #[error("{0:?} is not a currency code; write three capital letters, such as EUR")]
    Code(String),
    /// More digits than a micro-unit has.
    #[error("a currency has at most {MICRO_DIGITS} digits after the point, not {0}")]
    Exponent(u8),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    code: String,
    exponent: u8,
}

impl Currency {
    /// The currency `code`, of which banks move units of 10^−`exponent`: 2 for the euro, 0 for the yen, 3 for the dinar.
    ///
    /// # Errors
    /// See [`CurrencyError`].
    pub fn new(code: &str, exponent: u8) -> Result<Self, CurrencyError> {
        if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(CurrencyError::Code(code.to_owned()));
        }
        if exponent > MICRO_DIGITS {
            return Err(CurrencyError::Exponent(exponent));
        }
        Ok(Self { code: code.to_owned(), exponent })
    }

    /// The euro.
    #[must_use]
    pub fn euro() -> Self {
        Self { code: "EUR".to_owned(), exponent: 2 }
    }

    /// Its three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Digits after the point that a bank knows.
    #[must_use]
    pub const fn exponent(&self) -> u8 {
        self.exponent
    }

    /// The largest amount that a bank can move and that is not above `amount`. The rest is less than one of the bank's
    /// smallest units and stays where it is.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn floor(&self, amount: Money) -> Result<Money, MoneyError> {
        let unit = self.unit();
        amount
            .micros()
            .div_euclid(unit)
            .checked_mul(unit)
            .map(Money::from_micros)
            .ok_or(MoneyError::Overflow)
    }

    /// `amount` with just the digits a bank knows, as in `12.34`.
    ///
    /// # Errors
    /// [`MoneyError::Malformed`] if it has more than those.
    pub fn bank_text(&self, amount: Money) -> Result<String, MoneyError> {
        if amount.micros() % self.unit() != 0 {
            return Err(MoneyError::Malformed(amount.to_string()));
        }
        let text = amount.to_string();
        let dropped = usize::from(MICRO_DIGITS - self.exponent);
        let kept = &text[..text.len() - dropped];
        Ok(kept.strip_suffix('.').unwrap_or(kept).to_owned())
    }

    /// The micro-units of what a bank counts in.
    fn unit(&self) -> i128 {
        10_i128.pow(u32::from(MICRO_DIGITS - self.exponent))
    }
}

impl TryFrom<Fields> for Currency {
    type Error = CurrencyError;

    fn try_from(fields: Fields) -> Result<Self, CurrencyError> {
        Self::new(&fields.code, fields.exponent)
    }
}

impl From<Currency> for Fields {
    fn from(currency: Currency) -> Self {
        Self { code: currency.code, exponent: currency.exponent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bank_is_told_only_digits_it_knows() {
        let amount: Money = "12.345678".parse().unwrap();
        for (exponent, text) in [(0, "12"), (2, "12.34"), (3, "12.345"), (6, "12.345678")] {
            let currency = Currency::new("EUR", exponent).unwrap();
            let floor = currency.floor(amount).unwrap();
            assert_eq!(currency.bank_text(floor).unwrap(), text);
        }
        assert!(Currency::euro().bank_text(amount).is_err());
    }

    #[test]
    fn a_code_is_three_capital_letters() {
        for code in ["", "EU", "eur", "EURO", "E1R"] {
            assert_eq!(Currency::new(code, 2), Err(CurrencyError::Code(code.to_owned())));
        }
        assert_eq!(Currency::new("EUR", 7), Err(CurrencyError::Exponent(7)));
    }
}
