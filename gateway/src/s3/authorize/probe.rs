//! A whole authorisation by itself, so that a bench can say what one costs: from the access key to the proof, as operations ask for it.

use std::sync::Arc;

use ::http::{Extensions, HeaderMap, HeaderValue, Method, Uri};
use billing::{Billing, Rules};
use metadata::{AccountingClock, Catalog, CatalogError, Located};
use s3s::auth::{Credentials, SecretKey};
use s3s::{S3Request, S3Result};
use seal::Keyring;
use types::clock::SharedClock;
use types::{AccountId, VersionId};

use super::actions::GetObject;
use super::{Authorized, Gate, Targets};
use crate::http::{Peer, RequestId};
use crate::s3::auth::AccessKeys;
use crate::secrets;
use crate::standing::Standings;

/// The access key that asks.
const ACCESS: &str = "probe-access";

/// Asks for objects of one bucket with one access key. For benches alone.
#[doc(hidden)]
pub struct Probe {
    gate: Gate,
    secret: SecretKey,
    bucket: String,
}

#[doc(hidden)]
impl Probe {
    /// Makes a key of `account` and asks with it.
    ///
    /// # Errors
    /// If the key cannot be made.
    pub async fn new(
        catalog: Catalog,
        clock: SharedClock,
        account: AccountId,
        bucket: &str,
    ) -> Result<Self, CatalogError> {
        let keyring = Arc::new(Keyring::generate());
        let (_, secret) = secrets::generate();
        let key = secrets::seal(&keyring, ACCESS, &secret, account, clock.now());
        catalog.create_access_key(ACCESS, &key).await?;
        let keys = Arc::new(AccessKeys::new(catalog.clone(), keyring, Arc::clone(&clock)));
        let targets = Targets::new(catalog.clone());
        let books = Billing::new(Arc::clone(catalog.engine()), Rules::default());
        let accounting = AccountingClock::WALL;
        let standings = Arc::new(Standings::new(books, Arc::clone(&clock), accounting, false));
        let gate = Gate::new(catalog, keys, &targets, standings, clock, "us-east-1");
        Ok(Self { gate, secret: SecretKey::from(secret.as_str()), bucket: bucket.to_owned() })
    }

    /// A request as the library hands it over, with the headers of an SDK.
    #[must_use]
    pub fn request(&self, method: Method, key: &str) -> S3Request<()> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "s3.example.com"),
            ("user-agent", "aws-sdk-rust/1.3 os/linux lang/rust"),
            ("x-amz-date", "20261128T120000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            (
                "authorization",
                "AWS4-HMAC-SHA256 Credential=probe-access/20261128/us-east-1/s3/aws4_request",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut extensions = Extensions::new();
        extensions.insert(RequestId::new());
        extensions.insert(Peer { address: ([192, 0, 2, 77], 40_000).into(), tls: true });
        let uri = Uri::try_from(format!("/{}/{key}", self.bucket)).unwrap_or_default();
        S3Request {
            input: (),
            method,
            uri,
            headers,
            extensions,
            credentials: Some(Credentials {
                access_key: ACCESS.to_owned(),
                secret_key: self.secret.clone(),
            }),
            region: None,
            service: None,
            trailing_headers: None,
        }
    }

    /// Whether the object may be read, in the version that is named: decided, and found.
    pub async fn get(
        &self,
        request: &S3Request<()>,
        key: &str,
        version: Option<VersionId>,
    ) -> bool {
        let version = version.map(|version| version.to_string());
        let at = (self.bucket.as_str(), key);
        let read: S3Result<(Authorized<GetObject>, Located)> =
            self.gate.read(request, at, version.as_deref(), None).await;
        read.is_ok()
    }

    /// Whether the object may be written.
    pub async fn put(&self, request: &S3Request<()>, key: &str) -> bool {
        match self.gate.open(request, &self.bucket, None).await {
            Ok(door) => door.write(key).await.is_ok(),
            Err(_) => false,
        }
    }
}
