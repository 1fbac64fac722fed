//! AWS Signature Version 4 in the `Authorization` header: signing and checking.
//!
//! Follows "Create a signed AWS API request" of the IAM user guide. The payload's SHA-256 is always part of it: what was signed is the
//! whole request. Both ends are here, so that they cannot drift apart; the tests hold them against AWS's own examples.

use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::hmac;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use time::format_description::FormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};
use types::Timestamp;
use zeroize::Zeroizing;

/// How far the signer's clock may be from ours.
pub const SKEW_MAX: Duration = Duration::from_secs(15 * 60);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const PAYLOAD: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const STAMP: &[FormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");
/// RFC 3986 unreserved characters stay as they are.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path, slashes do too.
const PATH: &AsciiSet = &STRICT.remove(b'/');

/// An access key and its secret.
#[derive(Clone)]
pub struct Credentials {
    /// The public half.
    pub access_key: String,
    /// The secret half.
    pub secret_key: Zeroizing<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// What is wrong with a signature.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    /// There is none.
    #[error("the request is not signed; sign it with AWS Signature Version 4")]
    Missing,
    /// It cannot be read.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    /// It was made for something else.
    #[error("the signature is for service {found:?}, not {wanted:?}")]
    OtherService {
        /// What it was made for.
        found: String,
        /// What it should be made for.
        wanted: &'static str,
    },
    /// The signer's clock differs too much, or the request is old.
    #[error("the request was signed at {signed}, more than 15 minutes from now; is a clock wrong?")]
    Skewed {
        /// When the signer thought it was, as it said.
        signed: String,
    },
    /// A header that must be signed is not.
    #[error("the header {0} must be there and signed")]
    Unsigned(String),
    /// The body is not the one that was signed.
    #[error("the body's SHA-256 is not the one in x-amz-content-sha256")]
    OtherPayload,
    /// The signature is not what the secret key gives.
    #[error("the signature does not match; check the secret key")]
    Mismatch,
}

/// Day, region and service that a signing key is good for.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Scope {
    day: String,
    region: String,
    service: String,
}

impl Scope {
    fn text(&self) -> String {
        format!("{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }

    fn signing_key(&self, secret: &str) -> hmac::Key {
        let first = Zeroizing::new(format!("AWS4{secret}"));
        [&self.day, &self.region, &self.service, TERMINATOR].iter().fold(
            hmac::Key::new(hmac::HMAC_SHA256, first.as_bytes()),
            |key, step| {
                hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, step.as_bytes()).as_ref())
            },
        )
    }
}

/// A signature that a request bears, well formed and fresh, but not yet compared.
#[derive(Debug)]
pub struct Claim {
    access_key: String,
    scope: Scope,
    stamp: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
    payload: String,
}

impl Claim {
    /// Reads the signature of a request for `service`. Any region will do: it is part of the key, and this API has but one.
    ///
    /// # Errors
    /// All but [`SignatureError::Mismatch`] and [`SignatureError::OtherPayload`].
    pub fn read(
        parts: &Parts,
        service: &'static str,
        now: Timestamp,
    ) -> Result<Self, SignatureError> {
        let text = single(&parts.headers, &AUTHORIZATION)?.ok_or(SignatureError::Missing)?;
        let fields = text
            .strip_prefix(ALGORITHM)
            .ok_or(SignatureError::Malformed("it is not AWS4-HMAC-SHA256"))?;
        let field = |name: &str| {
            fields.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let credential = field("Credential").ok_or(SignatureError::Malformed("no Credential"))?;
        let (access_key, scope) = credential_of(credential)?;
        let headers =
            field("SignedHeaders").ok_or(SignatureError::Malformed("no SignedHeaders"))?;
        let signature = field("Signature").ok_or(SignatureError::Malformed("no Signature"))?;
        let stamp =
            single(&parts.headers, &DATE)?.ok_or(SignatureError::Unsigned(DATE.to_string()))?;
        let payload = single(&parts.headers, &PAYLOAD)?
            .ok_or(SignatureError::Unsigned(PAYLOAD.to_string()))?;
        let claim = Self {
            access_key,
            scope,
            stamp: stamp.to_owned(),
            signed_headers: headers.split(';').map(str::to_owned).collect(),
            signature: hex::decode(signature)
                .map_err(|_| SignatureError::Malformed("the Signature is not hexadecimal"))?,
            payload: payload.to_owned(),
        };
        claim.check(parts, service, now)?;
        Ok(claim)
    }

    /// Who says to have signed.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    fn check(
        &self,
        parts: &Parts,
        service: &'static str,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        if self.scope.service != service {
            return Err(SignatureError::OtherService {
                found: self.scope.service.clone(),
                wanted: service,
            });
        }
        let signed =
            moment(&self.stamp).ok_or(SignatureError::Malformed("x-amz-date is no date"))?;
        if signed.since(now).max(now.since(signed)) > SKEW_MAX {
            return Err(SignatureError::Skewed { signed: self.stamp.clone() });
        }
        if !self.stamp.starts_with(&self.scope.day) {
            return Err(SignatureError::Malformed("its day is not that of x-amz-date"));
        }
        // What is not signed could have been put there by anybody.
        let must =
            parts.headers.keys().filter(|name| name.as_str().starts_with("x-amz-")).chain([&HOST]);
        for name in must {
            if !self.signed_headers.iter().any(|signed| signed == name.as_str()) {
                return Err(SignatureError::Unsigned(name.to_string()));
            }
        }
        match self.signed_headers.iter().find(|name| !parts.headers.contains_key(name.as_str())) {
            Some(absent) => Err(SignatureError::Unsigned(absent.clone())),
            None => Ok(()),
        }
    }

    /// Whether the holder of `secret` signed exactly this request with exactly this body. Takes equally long whatever the signature is.
    ///
    /// # Errors
    /// [`SignatureError::Mismatch`], [`SignatureError::OtherPayload`].
    pub fn verify(&self, secret: &str, parts: &Parts, body: &[u8]) -> Result<(), SignatureError> {
        let names: Vec<&str> = self.signed_headers.iter().map(String::as_str).collect();
        let request = canonical_request(parts, &self.scope.service, &names, &self.payload);
        let wanted = signature(secret, &self.scope, &self.stamp, &request);
        if !bool::from(wanted.as_ref().ct_eq(self.signature.as_slice())) {
            return Err(SignatureError::Mismatch);
        }
        if payload_hash(body) == self.payload { Ok(()) } else { Err(SignatureError::OtherPayload) }
    }
}

/// What stands for the hash of a body that is not covered by the signature.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The service whose paths are signed as they are sent; those of all others are encoded once more.
const S3: &str = "s3";

/// Signs a request that has its `host` header, and every other header that is to be signed. Adds `x-amz-date`, `x-amz-content-sha256` and `authorization`.
pub fn sign(
    parts: &mut Parts,
    body: &[u8],
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: Timestamp,
) {
    sign_payload(parts, &payload_hash(body), credentials, region, service, now);
}

/// As [`sign`], with `payload` in the place of the body's hash: [`UNSIGNED_PAYLOAD`] for one that is not known yet.
pub fn sign_payload(
    parts: &mut Parts,
    payload: &str,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: Timestamp,
) {
    let stamp = stamp(now);
    parts.headers.insert(DATE, ascii(&stamp));
    parts.headers.insert(PAYLOAD, ascii(payload));
    let authorization = authorize(parts, payload, credentials, region, service, &stamp);
    parts.headers.insert(AUTHORIZATION, ascii(&authorization));
}

/// The value of the `Authorization` header that signs every header of `parts`.
fn authorize(
    parts: &Parts,
    payload: &str,
    credentials: &Credentials,
    region: &str,
    service: &str,
    stamp: &str,
) -> String {
    let day = stamp.get(..8).unwrap_or(stamp);
    let scope =
        Scope { day: day.to_owned(), region: region.to_owned(), service: service.to_owned() };
    let mut names: Vec<&str> = parts
        .headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| *name != "authorization")
        .collect();
    names.sort_unstable();
    let request = canonical_request(parts, service, &names, payload);
    let signature = signature(&credentials.secret_key, &scope, stamp, &request);
    format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
        credentials.access_key,
        scope.text(),
        names.join(";"),
        hex::encode(signature.as_ref())
    )
}

/// The lower-case hexadecimal SHA-256 of a body.
fn payload_hash(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

fn signature(secret: &str, scope: &Scope, stamp: &str, canonical_request: &str) -> hmac::Tag {
    let hash = hex::encode(Sha256::digest(canonical_request));
    let text = format!("{ALGORITHM}\n{stamp}\n{}\n{hash}", scope.text());
    hmac::sign(&scope.signing_key(secret), text.as_bytes())
}

fn canonical_request(
    parts: &Parts,
    service: &str,
    signed_headers: &[&str],
    payload: &str,
) -> String {
    let path = parts.uri.path();
    let path = if service == S3 {
        path.to_owned()
    } else {
        percent_encode(path.as_bytes(), PATH).to_string()
    };
    let headers: String = signed_headers
        .iter()
        .map(|name| format!("{name}:{}\n", canonical_value(&parts.headers, name)))
        .collect();
    [
        parts.method.as_str(),
        &path,
        &canonical_query(parts.uri.query().unwrap_or("")),
        &headers,
        &signed_headers.join(";"),
        payload,
    ]
    .join("\n")
}

/// All values of one header: trimmed, inner spaces made one, joined by commas.
fn canonical_value(headers: &HeaderMap, name: &str) -> String {
    let value = |value: &HeaderValue| {
        String::from_utf8_lossy(value.as_bytes())
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    headers.get_all(name).iter().map(value).collect::<Vec<_>>().join(",")
}

/// Parameters decoded, strictly encoded again, and sorted by name, then value.
fn canonical_query(query: &str) -> String {
    let strict = |text: &str| {
        let plain: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&plain, STRICT).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (strict(name), strict(value)))
        .collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn credential_of(text: &str) -> Result<(String, Scope), SignatureError> {
    // From the right: an access key may contain slashes, the scope may not.
    let mut fields = text.rsplitn(5, '/');
    let mut next = || fields.next().filter(|field| !field.is_empty());
    match (next(), next(), next(), next(), next()) {
        (Some(TERMINATOR), Some(service), Some(region), Some(day), Some(key)) => Ok((
            key.to_owned(),
            Scope { day: day.to_owned(), region: region.to_owned(), service: service.to_owned() },
        )),
        _ => Err(SignatureError::Malformed(
            "the Credential is not KEY/DAY/REGION/SERVICE/aws4_request",
        )),
    }
}

/// The one value of a header; two would let the signer and us read different ones.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, SignatureError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value
            .to_str()
            .map(Some)
            .map_err(|_| SignatureError::Malformed("a header is not plain text")),
        (Some(_), Some(_)) => Err(SignatureError::Malformed("a header is there twice")),
    }
}

fn stamp(now: Timestamp) -> String {
    // Beyond the year 9999 there is no such stamp; the epoch will be refused as skewed.
    let seconds = i64::try_from(now.seconds()).unwrap_or(0);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(STAMP).expect("every part of the stamp is in a date and time")
}

fn moment(stamp: &str) -> Option<Timestamp> {
    let seconds = PrimitiveDateTime::parse(stamp, STAMP).ok()?.assume_utc().unix_timestamp();
    Some(Timestamp(u64::try_from(seconds).ok()?.checked_mul(1000)?))
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
