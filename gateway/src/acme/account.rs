//! The binding of an account to one that the operator has with the authority elsewhere (RFC 8555, 7.3.4): commercial authorities ask for it.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use instant_acme::ExternalAccountKey;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// Keys come with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the authority gave the operator: `KEY_ID:BASE64URL`. Any text at first, so that no parser's message quotes a secret.
#[derive(Clone)]
pub struct BindingText(Zeroizing<String>);

/// A text that is no such thing. The text is a secret and not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an external account is written KEY_ID:BASE64URL, as the certificate authority gives both")]
pub struct BindingError;

impl BindingText {
    /// The key.
    ///
    /// # Errors
    /// [`BindingError`], if the text is none.
    pub(super) fn key(&self) -> Result<ExternalAccountKey, BindingError> {
        let (id, secret) = self.0.trim().rsplit_once(':').ok_or(BindingError)?;
        let secret = BASE64.decode(secret).map(Zeroizing::new).map_err(|_| BindingError)?;
        if id.is_empty() || secret.is_empty() {
            return Err(BindingError);
        }
        Ok(ExternalAccountKey::new(id.to_owned(), &secret))
    }
}

impl FromStr for BindingText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for BindingText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BindingText")
    }
}

impl<'de> Deserialize<'de> for BindingText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_account_is_an_id_and_a_key_and_is_not_told() {
        let text = |text: &str| text.parse::<BindingText>().expect("any text");
        assert!(text("kid-1:c2VjcmV0").key().is_ok());
        assert!(text("kid:1:c2VjcmV0X_-=").key().is_err(), "bits are left over");
        assert!(text("kid:1:c2VjcmV0XzE=").key().is_ok());
        for bad in ["", "kid", "kid:", ":c2VjcmV0", "kid:a b"] {
            assert!(text(bad).key().is_err(), "{bad}");
        }
        assert!(!format!("{:?}", text("kid-1:c2VjcmV0")).contains("c2Vj"));
    }
}
