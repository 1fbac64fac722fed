//! An amount of money: a whole number of micro-units (10⁻⁶) of the currency that the installation is configured with.
//!
//! One installation counts in one currency, so an amount does not carry it.
//!
//! Laws:
//! - *A printed amount reads back as itself.*
//! - *Sums are exact or refused*: no operation rounds, wraps or saturates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Micro-units in one unit of the currency.
const MICROS: u128 = 1_000_000;
/// Digits that a micro-unit needs after the point.
const FRACTION_DIGITS: usize = 6;

/// An amount, positive or negative, exact to the micro-unit.
///
/// It is written as a decimal with six digits after the point (`12.340000`): so in text formats, such as JSON, where a
/// number would lose digits in many a reader. Binary formats hold the micro-units as an `i128`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i128);

/// Why there is no such amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not an amount, or has digits below the micro-unit: nothing is rounded in silence.
    #[error(
        "{0:?} is not an amount; write digits, and at most six of them after the point, such as 12.34"
    )]
    Malformed(String),
    /// The result has more than 127 bits. No currency has that much: some input was wrong.
    #[error("the amount is too large to count")]
    Overflow,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of so many micro-units.
    #[must_use]
    pub const fn from_micros(micros: i128) -> Self {
        Self(micros)
    }

    /// The amount in micro-units.
    #[must_use]
    pub const fn micros(self) -> i128 {
        self.0
    }

    /// Whether something is owed the wrong way round.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// `self` + `other`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// `self` − `other`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// `self` · `factor`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn times(self, factor: i128) -> Result<Self, MoneyError> {
        self.0.checked_mul(factor).map(Self).ok_or(MoneyError::Overflow)
    }

    /// −`self`: the other side of a posting.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`]
    pub fn negated(self) -> Result<Self, MoneyError> {
        self.0.checked_neg().map(Self).ok_or(MoneyError::Overflow)
    }

    /// All of them together; [`Money::ZERO`] if there are none.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], also if only a sum on the way there is too large.
    pub fn total(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:0FRACTION_DIGITS$}", size / MICROS, size % MICROS)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Money({self})")
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads `-`?, digits, and at most six digits after a point: no plus sign, no separators, no exponent.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let malformed = || MoneyError::Malformed(text.to_owned());
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match unsigned.split_once('.') {
            Some((whole, fraction)) if (1..=FRACTION_DIGITS).contains(&fraction.len()) => {
                (whole, fraction)
            }
            None => (unsigned, ""),
            Some(_) => return Err(malformed()),
        };
        if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        // The sign goes along digit by digit, so that the most negative amount can be read as well.
        let sign = if unsigned.len() < text.len() { -1 } else { 1 };
        let padding = FRACTION_DIGITS - fraction.len();
        whole
            .bytes()
            .chain(fraction.bytes())
            .chain(std::iter::repeat_n(b'0', padding))
            .try_fold(0_i128, |sum, digit| {
                sum.checked_mul(10)?.checked_add(sign * i128::from(digit - b'0'))
            })
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
        } else {
            i128::deserialize(deserializer).map(Self)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_printed_amount_reads_back_as_itself(micros in any::<i128>()) {
            let money = Money::from_micros(micros);
            prop_assert_eq!(money.to_string().parse(), Ok(money));
            let json = serde_json::to_string(&money).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), money);
            let bytes = postcard::to_stdvec(&money).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Money>(&bytes).unwrap(), money);
        }

        #[test]
        fn sums_are_exact_or_refused(a in any::<i128>(), b in any::<i128>()) {
            let (x, y) = (Money::from_micros(a), Money::from_micros(b));
            match x.plus(y) {
                Ok(sum) => {
                    prop_assert_eq!(sum.minus(y), Ok(x));
                    prop_assert_eq!(Money::total([y, x]), Ok(sum));
                }
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::Overflow);
                    prop_assert!(a.checked_add(b).is_none());
                }
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "[-+.0-9e ]{0,50}") {
            if let Ok(money) = text.parse::<Money>() {
                prop_assert_eq!(money.to_string().parse(), Ok(money));
            }
        }
    }

    #[test]
    fn amounts_are_written_with_six_digits() {
        for (micros, text) in [
            (0, "0.000000"),
            (1, "0.000001"),
            (-1, "-0.000001"),
            (12_340_000, "12.340000"),
            (-1_000_000, "-1.000000"),
            (i128::MAX, "170141183460469231731687303715884.105727"),
            (i128::MIN, "-170141183460469231731687303715884.105728"),
        ] {
            assert_eq!(Money::from_micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Money::from_micros(micros)));
        }
    }

    #[test]
    fn short_amounts_are_understood() {
        for (text, micros) in
            [("7", 7_000_000), ("12.34", 12_340_000), ("-0.5", -500_000), ("007", 7_000_000)]
        {
            assert_eq!(text.parse(), Ok(Money::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "+1",
            "--1",
            "1e3",
            "1,000",
            " 1",
            "1 ",
            "1.2.3",
            "0.0000001",
            "-.5",
            "٣",
        ] {
            assert_eq!(
                text.parse::<Money>(),
                Err(MoneyError::Malformed(text.to_owned())),
                "{text}"
            );
        }
        assert_eq!(
            "170141183460469231731687303715884.105728".parse::<Money>(),
            Err(MoneyError::Overflow)
        );
        assert!(
            serde_json::from_str::<Money>("12.34").is_err(),
            "a JSON number has lost digits already"
        );
    }

    #[test]
    fn the_ends_of_the_range_are_refused_not_wrapped() {
        let (most, least) = (Money::from_micros(i128::MAX), Money::from_micros(i128::MIN));
        assert_eq!(most.plus(Money::from_micros(1)), Err(MoneyError::Overflow));
        assert_eq!(least.negated(), Err(MoneyError::Overflow));
        assert_eq!(most.times(2), Err(MoneyError::Overflow));
        assert_eq!(Money::from_micros(-3).times(4), Ok(Money::from_micros(-12)));
    }

    #[test]
    fn the_stored_bytes_of_an_amount_are_these() {
        for (micros, golden) in [(0, "00"), (-1, "01"), (12_340_000, "c0ace20b")] {
            let bytes = postcard::to_stdvec(&Money::from_micros(micros)).unwrap();
            assert_eq!(hex::encode(bytes), golden);
        }
    }
}
