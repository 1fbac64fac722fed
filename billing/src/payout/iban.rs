//! Bank account numbers (IBAN, ISO 13616) and bank codes (BIC, ISO 9362).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The shortest IBAN there is (Norway's).
const IBAN_MIN: usize = 15;
/// The longest one the standard allows.
const IBAN_MAX: usize = 34;
/// Countries whose numbers have a fixed length, where a typing error is likeliest to be made: the SEPA area.
/// Source: SWIFT IBAN registry.
const LENGTHS: [(&str, usize); 40] = [
    ("AD", 24),
    ("AL", 28),
    ("AT", 20),
    ("BE", 16),
    ("BG", 22),
    ("CH", 21),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("EE", 20),
    ("ES", 24),
    ("FI", 18),
    ("FR", 27),
    ("GB", 22),
    ("GI", 23),
    ("GR", 27),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IS", 26),
    ("IT", 27),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MT", 31),
    ("NL", 18),
    ("NO", 15),
    ("PL", 28),
    ("PT", 25),
    ("RO", 24),
    ("RS", 22),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
];

/// Why nothing can be paid to that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayeeError {
    /// Not of the form of an IBAN.
    #[error("{0:?} is not an IBAN; it begins with a country's two letters and two check digits")]
    Form(String),
    /// Too long or too short for its country.
    #[error("an IBAN of {country} has {expected} characters, {iban:?} has {len}")]
    Length {
        /// The number.
        iban: String,
        /// Its country.
        country: String,
        /// How long it should be.
        expected: usize,
        /// How long it is.
        len: usize,
    },
    /// A digit is wrong.
    #[error("the check digits of {0:?} do not fit; a character is mistyped")]
    Check(String),
    /// Not of the form of a BIC.
    #[error("{0:?} is not a BIC; it has 8 or 11 letters and digits, such as DEUTDEFF")]
    Bic(String),
    /// No name, or one that no bank takes.
    #[error("{0:?} cannot be a payee's name; write 1 to 70 characters")]
    Name(String),
}

/// A bank account number whose check digits are right.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Iban(String);

/// A bank's code.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bic(String);

impl Iban {
    /// The number without spaces.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Bic {
    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Iban {
    type Err = PayeeError;

    /// Spaces are left out, small letters made large.
    fn from_str(text: &str) -> Result<Self, PayeeError> {
        let iban: String =
            text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
        let bytes = iban.as_bytes();
        let form = (IBAN_MIN..=IBAN_MAX).contains(&bytes.len())
            && bytes[..2].iter().all(u8::is_ascii_uppercase)
            && bytes[2..4].iter().all(u8::is_ascii_digit)
            && bytes.iter().all(u8::is_ascii_alphanumeric);
        if !form {
            return Err(PayeeError::Form(text.to_owned()));
        }
        let country = &iban[..2];
        let length = LENGTHS.iter().find(|(code, _)| *code == country);
        if let Some((_, expected)) = length.filter(|(_, expected)| *expected != iban.len()) {
            let (country, expected, len) = (country.to_owned(), *expected, iban.len());
            return Err(PayeeError::Length { iban, country, expected, len });
        }
        if remainder(bytes) != 1 {
            return Err(PayeeError::Check(text.to_owned()));
        }
        Ok(Self(iban))
    }
}

/// ISO 7064, MOD 97-10: the first four characters go to the end, letters become 10 to 35, and the number is taken modulo 97.
fn remainder(iban: &[u8]) -> u32 {
    let (head, tail) = iban.split_at(4);
    tail.iter().chain(head).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

impl FromStr for Bic {
    type Err = PayeeError;

    fn from_str(text: &str) -> Result<Self, PayeeError> {
        let bic = text.trim().to_ascii_uppercase();
        let bytes = bic.as_bytes();
        let fine = matches!(bytes.len(), 8 | 11)
            && bytes.iter().all(u8::is_ascii_alphanumeric)
            && bytes[..6].iter().all(u8::is_ascii_uppercase);
        if fine { Ok(Self(bic)) } else { Err(PayeeError::Bic(text.to_owned())) }
    }
}

macro_rules! as_text {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = PayeeError;

            fn try_from(text: String) -> Result<Self, PayeeError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

as_text!(Iban, Bic);

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of the SWIFT registry.
    const GOOD: [&str; 8] = [
        "DE89 3704 0044 0532 0130 00",
        "GB82 WEST 1234 5698 7654 32",
        "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
        "CH93 0076 2011 6238 5295 7",
        "AT61 1904 3002 3457 3201",
        "NL91 ABNA 0417 1643 00",
        "MT84 MALT 0110 0001 2345 MTLC AST0 01S",
    ];

    #[test]
    fn the_examples_of_the_registry_are_right() {
        for text in GOOD {
            let iban: Iban = text.parse().unwrap();
            assert_eq!(iban.as_str(), text.replace(' ', ""));
        }
        assert!("de89370400440532013000".parse::<Iban>().is_ok());
    }

    #[test]
    fn every_single_mistyped_digit_and_every_swap_of_neighbours_is_found() {
        for text in GOOD {
            let iban = text.replace(' ', "");
            for index in 0..iban.len() {
                let mut bytes = iban.clone().into_bytes();
                if bytes[index].is_ascii_digit() {
                    bytes[index] = b'0' + (bytes[index] - b'0' + 1) % 10;
                    let typo = String::from_utf8(bytes.clone()).unwrap();
                    assert!(typo.parse::<Iban>().is_err(), "{typo}");
                }
                let mut bytes = iban.clone().into_bytes();
                if index > 0 && bytes[index] != bytes[index - 1] {
                    bytes.swap(index, index - 1);
                    let typo = String::from_utf8(bytes).unwrap();
                    assert!(typo.parse::<Iban>().is_err(), "{typo}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_iban_is_refused_with_the_reason() {
        assert!(matches!("".parse::<Iban>(), Err(PayeeError::Form(_))));
        assert!(matches!("12893704004405320130".parse::<Iban>(), Err(PayeeError::Form(_))));
        assert!(matches!("DE8937040044053201300ä".parse::<Iban>(), Err(PayeeError::Form(_))));
        assert!(matches!("DE893704004405320130".parse::<Iban>(), Err(PayeeError::Length { .. })));
        assert!(matches!("DE88370400440532013000".parse::<Iban>(), Err(PayeeError::Check(_))));
    }

    #[test]
    fn a_bic_has_eight_or_eleven_characters() {
        for good in ["DEUTDEFF", "deutdeff500"] {
            assert!(good.parse::<Bic>().is_ok(), "{good}");
        }
        for bad in ["", "DEUTDE", "DEUTDEFF5", "1EUTDEFF", "DEUTDEF-"] {
            assert!(bad.parse::<Bic>().is_err(), "{bad}");
        }
    }
}
