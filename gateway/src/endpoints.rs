//! Other S3 endpoints into whose buckets versions can be replicated. The operator names them in a file, which is read at the start and which
//! others cannot read, because it holds the keys to them:
//!
//! ```toml
//! [far]                                   # rules of replication name its buckets arn:drystone:s3:far::BUCKET
//! url = "https://s3.far.example"
//! access_key = "…"
//! secret_key = "…"
//! region = "eu-west-1"                    # us-east-1, if nothing is said
//! drystone = true                         # it is a Drystone as well; false, if nothing is said
//! accounts = ["root", "alice"]            # whose buckets may be replicated there; ["root"], if nothing is said; "*" is everybody
//! ```
//!
//! All of them write there under the same key; that is why it must be said who may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Uri;
use serde::Deserialize;
use types::AccountId;

use crate::admin::sigv4::Credentials;
use crate::operator::{self, OperatorError};

/// The longest name of an endpoint.
const NAME_MAX: usize = 64;
/// Everybody.
const ANYBODY: &str = "*";

/// Why the file will not do.
#[derive(Debug, thiserror::Error)]
pub enum EndpointsError {
    /// It cannot be read, or others can.
    #[error("--replica-endpoints: {0}")]
    File(#[from] OperatorError),
    /// It is not there.
    #[error("--replica-endpoints {0}: there is no such file")]
    Missing(PathBuf),
    /// It says something else. What stands there is not repeated: it may be a secret.
    #[error(
        "--replica-endpoints {path}: line {line} is not as it must be; an endpoint has url, access_key and secret_key, and may have region, \
         drystone and accounts"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// A name that no ARN can hold.
    #[error(
        "--replica-endpoints: {0:?} cannot name an endpoint: write 1 to 64 letters, digits, '-' or '_'"
    )]
    Name(String),
    /// A place that is none.
    #[error(
        "--replica-endpoints: the url of {name} must be http://HOST[:PORT] or https://HOST[:PORT], and nothing behind it"
    )]
    Url {
        /// The endpoint.
        name: String,
    },
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: Uri,
    /// Under which key is written there.
    pub credentials: Credentials,
    /// What it calls its region.
    pub region: String,
    /// Whether it takes replicas as what they are ([`crate::upkeep::replicate`]).
    pub drystone: bool,
    /// Whose buckets may be replicated there.
    accounts: Vec<String>,
}

impl Endpoint {
    /// Whether an account's buckets may be replicated there.
    #[must_use]
    pub fn serves(&self, account: &AccountId) -> bool {
        self.accounts.iter().any(|known| known == ANYBODY || known == account.as_str())
    }
}

/// All endpoints, by name. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Endpoints(Arc<BTreeMap<String, Endpoint>>);

impl Endpoints {
    /// Those that a file names; none without a file.
    ///
    /// # Errors
    /// [`EndpointsError`].
    pub fn open(path: Option<&Path>) -> Result<Self, EndpointsError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let bytes = operator::read_secret(path)?;
        let bytes = bytes.ok_or_else(|| EndpointsError::Missing(path.to_owned()))?;
        Self::read(path, &zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The endpoint of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Endpoint> {
        self.0.get(name)
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every URL.
    pub fn urls(&self) -> impl Iterator<Item = &Uri> {
        self.0.values().map(|endpoint| &endpoint.url)
    }

    fn read(path: &Path, text: &str) -> Result<Self, EndpointsError> {
        let given: BTreeMap<String, Given> = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            EndpointsError::Malformed {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
            }
        })?;
        let endpoints = given.into_iter().map(|(name, given)| given.check(name));
        Ok(Self(Arc::new(endpoints.collect::<Result<_, _>>()?)))
    }
}

/// As it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    url: String,
    access_key: String,
    secret_key: zeroize::Zeroizing<String>,
    #[serde(default = "default_region")]
    region: String,
    #[serde(default)]
    drystone: bool,
    #[serde(default = "default_accounts")]
    accounts: Vec<String>,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_accounts() -> Vec<String> {
    vec!["root".to_owned()]
}

impl Given {
    fn check(self, name: String) -> Result<(String, Endpoint), EndpointsError> {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=NAME_MAX).contains(&name.len()) || !name.bytes().all(fine) {
            return Err(EndpointsError::Name(name));
        }
        let bare = |url: &Uri| {
            matches!(url.scheme_str(), Some("http" | "https"))
                && url.host().is_some_and(|host| !host.is_empty())
                && url.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && matches!(url.path(), "" | "/")
                && url.query().is_none()
        };
        let Some(url) = self.url.parse().ok().filter(bare) else {
            return Err(EndpointsError::Url { name });
        };
        let credentials = Credentials { access_key: self.access_key, secret_key: self.secret_key };
        let Self { region, drystone, accounts, .. } = self;
        Ok((name, Endpoint { url, credentials, region, drystone, accounts }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: &str = "[far]\nurl = \"https://s3.far.example\"\naccess_key = \"AK\"\nsecret_key = \"hush-hush\"\n";

    fn read(text: &str) -> Result<Endpoints, EndpointsError> {
        Endpoints::read(Path::new("endpoints.toml"), text)
    }

    #[test]
    fn an_endpoint_is_the_operator_s_own_unless_it_says_otherwise() {
        let (root, alice) = ("root".parse().expect("an id"), "alice".parse().expect("an id"));
        let all = read(FINE).expect("read");
        let far = all.get("far").expect("an endpoint");
        assert_eq!((far.region.as_str(), far.drystone), ("us-east-1", false));
        assert!(far.serves(&root) && !far.serves(&alice));
        assert!(all.get("near").is_none());
        let open = read(&format!("{FINE}accounts = [\"*\"]\n")).expect("read");
        assert!(open.get("far").is_some_and(|far| far.serves(&alice)));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for text in [
            FINE.replace("\"hush-hush\"", "hush-hush"),
            FINE.replace("secret_key", "secret"),
            FINE.replace("https://", ""),
            FINE.replace(".example", ".example/path"),
            FINE.replace("[far]", "[\"f:r\"]"),
            format!("{FINE}colour = \"blue\"\n"),
        ] {
            let error = read(&text).expect_err(&text).to_string();
            assert!(!error.contains("hush"), "{error}");
        }
        let error = read(&FINE.replace("\"hush-hush\"", "7")).expect_err("no text");
        assert!(matches!(error, EndpointsError::Malformed { line: 4, .. }), "{error}");
        assert!(!format!("{:?}", read(FINE).expect("read")).contains("hush"));
    }
}
