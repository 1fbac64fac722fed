//! Webhooks: where the operator lets events be sent, each by a name that configurations of buckets use.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};

/// The longest name.
const NAME_MAX: usize = 64;

/// A webhook's name: letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookName(String);

/// Where a webhook is: an `http` or `https` URL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookUrl(Uri);

/// A text that is no webhook's name or place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// No name.
    #[error("{0:?} cannot name a webhook: write 1 to 64 letters, digits, '-' or '_'")]
    Name(String),
    /// No URL.
    #[error(
        "{0:?} is no place for a webhook: write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH"
    )]
    Url(String),
}

impl WebhookName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl WebhookUrl {
    /// The URL.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for WebhookName {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(fine) {
            Ok(Self(text.to_owned()))
        } else {
            Err(WebhookError::Name(text.to_owned()))
        }
    }
}

impl FromStr for WebhookUrl {
    type Err = WebhookError;

    fn from_str(text: &str) -> Result<Self, WebhookError> {
        let wrong = || WebhookError::Url(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let spoken = matches!(uri.scheme_str(), Some("http" | "https"));
        if spoken && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(Self(uri))
        } else {
            Err(wrong())
        }
    }
}

macro_rules! as_text {
    ($($type:ident),+) => {$(
        impl TryFrom<String> for $type {
            type Error = WebhookError;

            fn try_from(text: String) -> Result<Self, WebhookError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.0.to_string()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )+};
}

as_text!(WebhookName, WebhookUrl);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_a_plain_name_and_a_url() {
        assert!("orders-2_b".parse::<WebhookName>().is_ok());
        for bad in ["", "a:b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<WebhookName>().is_err(), "{bad}");
        }
        let url: WebhookUrl = "http://127.0.0.1:8000/in?x=1".parse().expect("a URL");
        assert_eq!(url.to_string(), "http://127.0.0.1:8000/in?x=1");
        assert!("https://example.com/".parse::<WebhookUrl>().is_ok());
        for bad in ["", "127.0.0.1:8000", "https:///in", "/in", "ftp://example.com/"] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
