//! Numbers with their unit, as owners write them in `node.toml` and on the command line.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bits per second on the wire, such as `20Mbit` or `800kbit`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BitRate(pub u64);

/// Hundredths, such as `50%`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(pub u8);

/// A time span, such as `90s`, `3min`, `2h` or `1d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// A text that is no such quantity.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct QuantityError {
    text: String,
    what: &'static str,
}

const RATES: [(&str, u64); 4] =
    [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const SPANS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// A whole number and one of these units.
fn parse(text: &str, units: &[(&str, u64)], what: &'static str) -> Result<u64, QuantityError> {
    let fail = || QuantityError { text: text.to_owned(), what };
    let lower = text.trim().to_ascii_lowercase();
    let (digits, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)))
        .ok_or_else(fail)?;
    let number: u64 = digits.trim_end().parse().map_err(|_| fail())?;
    number.checked_mul(factor).ok_or_else(fail)
}

/// The number in the largest unit that leaves it whole.
fn write(
    f: &mut fmt::Formatter<'_>,
    number: u64,
    units: &[(&'static str, &'static str)],
    of: &[(&str, u64)],
) -> fmt::Result {
    let unit = of.iter().find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor));
    let (name, factor) = unit.or(of.last()).copied().unwrap_or(("", 1));
    let shown = units.iter().find(|(plain, _)| *plain == name).map_or(name, |(_, shown)| shown);
    write!(f, "{}{shown}", number / factor)
}

impl FromStr for BitRate {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let lower = text.trim().to_ascii_lowercase();
        let lower = lower.strip_suffix("/s").unwrap_or(&lower);
        parse(lower, &RATES, "a rate; write a whole number and a unit, such as 20Mbit or 800kbit")
            .map(Self)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0, &[("gbit", "Gbit"), ("mbit", "Mbit")], &RATES)
    }
}

impl FromStr for Percent {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let fail = || QuantityError { text: text.to_owned(), what: "a share; write 1% to 100%" };
        let number = text.trim().strip_suffix('%').ok_or_else(fail)?;
        let number = number.trim_end().parse().map_err(|_| fail())?;
        if (1..=100).contains(&number) { Ok(Self(number)) } else { Err(fail()) }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl FromStr for Span {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, &SPANS, "a time span; write a whole number and a unit: 90s, 3min, 2h or 1d")
            .map(|seconds| Self(Duration::from_secs(seconds)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(f, self.0.as_secs(), &[], &SPANS)
    }
}

/// Each is its text in files.
macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = QuantityError;

            fn try_from(text: String) -> Result<Self, QuantityError> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(quantity: $kind) -> Self {
                quantity.to_string()
            }
        }
    )*};
}

as_text!(BitRate, Percent, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_people_write_them_and_back() {
        for (text, bits) in
            [("20Mbit", 20_000_000), ("800 kbit/s", 800_000), ("1Gbit", 1_000_000_000)]
        {
            let rate: BitRate = text.parse().unwrap();
            assert_eq!(rate, BitRate(bits), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate));
        }
        assert_eq!(BitRate(1_500_000).to_string(), "1500kbit");
        assert_eq!("2h".parse(), Ok(Span(Duration::from_secs(7200))));
        assert_eq!(Span(Duration::from_secs(180)).to_string(), "3min");
        assert_eq!(Span(Duration::ZERO).to_string(), "0s");
        assert_eq!("50%".parse(), Ok(Percent(50)));
        for bad in ["", "Mbit", "20", "-1Mbit", "1.5Mbit", "20MB"] {
            assert!(bad.parse::<BitRate>().is_err(), "{bad}");
        }
        assert!("0%".parse::<Percent>().is_err() && "101%".parse::<Percent>().is_err());
    }

    #[test]
    fn a_bad_quantity_is_refused_in_words_that_show_a_good_one() {
        let words = "fast".parse::<BitRate>().unwrap_err().to_string();
        assert!(words.contains("\"fast\"") && words.contains("20Mbit"), "{words}");
    }
}
