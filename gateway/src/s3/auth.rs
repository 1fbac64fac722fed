//! Who signed: access keys, looked up in the catalog, their secrets opened with the keyring.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use metadata::Catalog;
use metadata::records::AccessKey;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3ErrorCode, S3Result};
use seal::Keyring;
use subtle::ConstantTimeEq as _;
use types::clock::SharedClock;
use types::{AccountId, Timestamp};

use super::error;
use super::policy::{Asked, Kind, Policy, PolicyError, Verdict};

/// How long a key that was looked up is believed. A key deleted or disabled on another gateway may still sign this long; on this one
/// [`AccessKeys::forget`] ends it at once.
const BELIEVED: Duration = Duration::from_secs(30);
/// Keys remembered at once; at the limit all are forgotten and looked up anew.
const REMEMBERED: usize = 4096;
/// No access key id is longer, in bytes; a longer one is not looked up.
const ID_MAX: usize = 128;

/// Access keys with a short memory, so that not every request opens a secret.
pub(super) struct AccessKeys {
    catalog: Catalog,
    keyring: Arc<Keyring>,
    clock: SharedClock,
    known: Mutex<HashMap<String, (Arc<Signer>, Instant)>>,
}

/// A key as it was looked up.
pub(super) struct Signer {
    /// The key's id.
    pub(super) id: String,
    /// On whose behalf it signs.
    pub(super) account: AccountId,
    /// What its owner calls it.
    pub(super) name: String,
    /// The ARN by which policies name it; the account itself has none.
    pub(super) arn: Option<String>,
    /// The ARN of the role whose session it is.
    pub(super) role: Option<String>,
    /// What narrows it: each of them must allow what it is used for.
    pub(super) policies: Vec<Policy>,
    /// The same as it is stored.
    pub(super) policy: Option<String>,
    /// Whether it is a temporary key.
    pub(super) temporary: bool,
    /// From when on it signs nothing any more.
    pub(super) expires: Option<Timestamp>,
    secret: SecretKey,
    session: Option<[u8; 32]>,
}

impl AccessKeys {
    pub(super) fn new(catalog: Catalog, keyring: Arc<Keyring>, clock: SharedClock) -> Self {
        Self { catalog, keyring, clock, known: Mutex::default() }
    }

    /// The key of that id, if it may sign with the session token that came along.
    ///
    /// # Errors
    /// `InvalidAccessKeyId`, `InvalidToken`, `ExpiredToken`.
    pub(super) async fn signer(&self, id: &str, token: Option<&str>) -> S3Result<Arc<Signer>> {
        let signer = self.find(id).await?;
        signer.check_token(token)?;
        Ok(signer)
    }

    /// Looks the key up anew at its next use.
    pub(super) fn forget(&self, id: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    async fn find(&self, id: &str) -> S3Result<Arc<Signer>> {
        let signer = match self.remembered(id) {
            Some(known) => known,
            None => self.look_up(id).await?,
        };
        // Not when it is looked up, but whenever it is used.
        if signer.expires.is_some_and(|expires| expires <= self.clock.now()) {
            return Err(S3Error::new(if signer.session.is_some() {
                S3ErrorCode::ExpiredToken
            } else {
                S3ErrorCode::InvalidAccessKeyId
            }));
        }
        Ok(signer)
    }

    async fn look_up(&self, id: &str) -> S3Result<Arc<Signer>> {
        let unknown = || S3Error::new(S3ErrorCode::InvalidAccessKeyId);
        if id.is_empty() || id.len() > ID_MAX {
            return Err(unknown());
        }
        let row = self.catalog.access_key(id).await.map_err(error::catalog)?;
        let row = row.filter(|row| row.enabled).ok_or_else(unknown)?;
        let signer = Arc::new(self.open(id, row)?);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id.to_owned(), (Arc::clone(&signer), Instant::now() + BELIEVED));
        Ok(signer)
    }

    fn remembered(&self, id: &str) -> Option<Arc<Signer>> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (signer, until) = all.get(id)?;
        (Instant::now() < *until).then(|| Arc::clone(signer))
    }

    fn open(&self, id: &str, row: AccessKey) -> S3Result<Signer> {
        let internal = || S3Error::new(S3ErrorCode::InternalError);
        let sealed = &row.sealed_secret;
        let secret =
            self.keyring.open_secret(&format!("access-key/{id}"), sealed).map_err(|error| {
                tracing::error!(%error, id, "an access key's secret cannot be opened");
                internal()
            })?;
        // Checked when it was stored. One that cannot be read must not count as one that narrows nothing.
        let policies = row.policy.as_deref().map(policies).transpose();
        let policies = policies.map_err(|error| {
            tracing::error!(%error, id, "an access key's policy cannot be read");
            internal()
        })?;
        Ok(Signer {
            id: id.to_owned(),
            arn: arn(&row),
            role: role(&row),
            account: row.account,
            name: row.name,
            policies: policies.unwrap_or_default(),
            policy: row.policy,
            temporary: row.session.is_some(),
            secret: SecretKey::from(std::str::from_utf8(&secret).map_err(|_| internal())?),
            expires: row.expires,
            session: row.session,
        })
    }
}

impl Signer {
    /// What it signs with.
    pub(super) fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// Whether it stands for a session of a role.
    pub(super) fn is_of_role(&self) -> bool {
        self.role.is_some()
    }

    /// Its unique id: the account's for the account itself, and of a session what AssumeRole told
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable>).
    pub(super) fn user_id(&self) -> String {
        match self.name.split_once('/') {
            Some((_, session)) if self.is_of_role() => format!("{}:{session}", self.id),
            _ if self.arn.is_some() => self.id.clone(),
            _ => self.account.to_string(),
        }
    }

    /// What its policies say together; `None` if nothing narrows it.
    pub(super) fn says(&self, asked: &Asked<'_>) -> Option<Verdict> {
        if self.policies.is_empty() {
            return None;
        }
        let mut together = Verdict::Allow;
        for policy in &self.policies {
            match policy.evaluate(asked) {
                Verdict::Deny => return Some(Verdict::Deny),
                Verdict::Silent => together = Verdict::Silent,
                Verdict::Allow => {}
            }
        }
        Some(together)
    }

    /// A temporary key is nothing without its token, and no other key has one.
    fn check_token(&self, token: Option<&str>) -> S3Result<()> {
        match (&self.session, token) {
            (None, None) => Ok(()),
            (Some(digest), Some(token)) => {
                let given = blake3::hash(token.as_bytes());
                if bool::from(given.as_bytes().ct_eq(digest)) {
                    Ok(())
                } else {
                    Err(S3Error::new(S3ErrorCode::InvalidToken))
                }
            }
            (None, Some(_)) => Err(S3Error::new(S3ErrorCode::InvalidToken)),
            (Some(_), None) => Err(S3Error::new(S3ErrorCode::InvalidAccessKeyId)),
        }
    }
}

/// The policies of a key: one, or a list of the texts of several.
fn policies(text: &str) -> Result<Vec<Policy>, PolicyError> {
    if !text.trim_start().starts_with('[') {
        return Ok(vec![Policy::read(text, Kind::Key)?]);
    }
    let texts: Vec<String> =
        serde_json::from_str(text).map_err(|error| PolicyError::Json(error.to_string()))?;
    texts.iter().map(|text| Policy::read(text, Kind::Key)).collect()
}

/// A policy that allows only what both allow, as a key keeps it.
pub(super) fn narrowed(own: Option<&str>, further: Option<String>) -> Option<String> {
    let (Some(own), Some(further)) = (own, &further) else {
        return further.or_else(|| own.map(str::to_owned));
    };
    let mut texts: Vec<String> = serde_json::from_str(own).unwrap_or_else(|_| vec![own.to_owned()]);
    texts.push(further.clone());
    Some(serde_json::json!(texts).to_string())
}

/// How policies name a key: a temporary one as the role's session that it is, a named one as a user of its account.
fn arn(row: &AccessKey) -> Option<String> {
    let (account, name) = (&row.account, &row.name);
    match (role_name(row), name.is_empty()) {
        (_, true) => None,
        (Some(_), false) => Some(format!("arn:aws:sts::{account}:assumed-role/{name}")),
        (None, false) => Some(format!("arn:aws:iam::{account}:user/{name}")),
    }
}

/// How policies name the role of a session: who means the role means all its sessions.
fn role(row: &AccessKey) -> Option<String> {
    Some(format!("arn:aws:iam::{}:role/{}", row.account, role_name(row)?))
}

/// A session of a role is named ROLE/SESSION, and no other key has a slash in its name.
fn role_name(row: &AccessKey) -> Option<&str> {
    row.session?;
    Some(row.name.split_once('/')?.0)
}

/// What the library asks while it checks a signature.
pub(super) struct Signers(pub(super) Arc<AccessKeys>);

#[async_trait::async_trait]
impl S3Auth for Signers {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(self.0.find(access_key).await?.secret.clone())
    }
}
