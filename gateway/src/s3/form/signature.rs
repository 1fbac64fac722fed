//! Who signed a form's policy.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html>

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use s3s::{S3Error, S3ErrorCode, S3Result};
use time::PrimitiveDateTime;
use time::macros::format_description;
use types::Timestamp;

use super::fields::Form;
use super::{error, invalid};
use crate::s3::{CLOCK_SKEW, PRESIGNED_MAX};

/// The one algorithm of the present.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// A policy and its signature, not verified yet.
#[derive(Clone, Copy)]
pub(super) enum Signed<'a> {
    /// Signature version 4.
    V4 { policy: &'a str, credential: Credential<'a>, date: &'a str, signature: &'a str },
    /// Signature version 2, which some old programs still make.
    V2 { policy: &'a str, access_key: &'a str, signature: &'a str },
}

/// `AKID/20130524/us-east-1/s3/aws4_request`.
#[derive(Clone, Copy)]
pub(super) struct Credential<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
}

impl<'a> Signed<'a> {
    /// The signature of a form, if it has one; `v2` lets old ones pass.
    ///
    /// # Errors
    /// `InvalidArgument` for a half-signed form; `InvalidRequest` for version 2 if that is not allowed.
    pub(super) fn of(form: &'a Form, v2: bool) -> S3Result<Option<Self>> {
        if form.get("x-amz-signature").is_some() || form.get("x-amz-algorithm").is_some() {
            return Self::v4(form).map(Some);
        }
        let old = ["signature", "awsaccesskeyid", "policy"];
        if old.iter().all(|name| form.get(name).is_none()) {
            return Ok(None);
        }
        if !v2 {
            return Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ));
        }
        Ok(Some(Self::V2 {
            policy: form.need("policy")?,
            access_key: form.need("awsaccesskeyid")?,
            signature: form.need("signature")?,
        }))
    }

    fn v4(form: &'a Form) -> S3Result<Self> {
        if form.need("x-amz-algorithm")? != ALGORITHM {
            return Err(invalid("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let credential = Credential::parse(form.need("x-amz-credential")?)
            .ok_or_else(|| invalid("The Credential is malformed."))?;
        Ok(Self::V4 {
            policy: form.need("policy")?,
            credential,
            date: form.need("x-amz-date")?,
            signature: form.need("x-amz-signature")?,
        })
    }

    /// The policy, in base64.
    pub(super) fn policy(&self) -> &'a str {
        match self {
            Self::V4 { policy, .. } | Self::V2 { policy, .. } => policy,
        }
    }

    /// Who claims to have signed.
    pub(super) fn access_key(&self) -> &'a str {
        match self {
            Self::V4 { credential, .. } => credential.access_key,
            Self::V2 { access_key, .. } => access_key,
        }
    }

    /// Whether the owner of `secret` signed it. How long the policy holds is said by the policy; a signing key is good for a week.
    ///
    /// # Errors
    /// `SignatureDoesNotMatch`, `AccessDenied`.
    pub(super) fn verify(&self, secret: &[u8], now: Timestamp) -> S3Result<()> {
        let wrong = || S3Error::new(S3ErrorCode::SignatureDoesNotMatch);
        match *self {
            Self::V4 { policy, credential, date, signature } => {
                credential.check(date, now)?;
                let signature = hex::decode(signature).map_err(|_| wrong())?;
                let key = credential.signing_key(secret);
                hmac::verify(&key, policy.as_bytes(), &signature).map_err(|_| wrong())
            }
            Self::V2 { policy, signature, .. } => {
                let signature = STANDARD.decode(signature).map_err(|_| wrong())?;
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
                hmac::verify(&key, policy.as_bytes(), &signature).map_err(|_| wrong())
            }
        }
    }
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.rsplitn(5, '/').collect();
        let [end, service, region, date, access_key] = parts.as_slice() else { return None };
        let known = *end == "aws4_request" && *service == "s3" && !region.is_empty();
        (known && !access_key.is_empty()).then_some(Self { access_key, date, region })
    }

    fn check(self, stamp: &str, now: Timestamp) -> S3Result<()> {
        let format = format_description!("[year][month][day]T[hour][minute][second]Z");
        let time = PrimitiveDateTime::parse(stamp, format)
            .ok()
            .and_then(|time| u64::try_from(time.assume_utc().unix_timestamp()).ok())
            .ok_or_else(|| invalid("X-Amz-Date must be formatted via ISO8601 Long format"))?;
        if !stamp.starts_with(self.date) || self.date.len() != 8 {
            return Err(S3Error::new(S3ErrorCode::SignatureDoesNotMatch));
        }
        let made = Timestamp(time.saturating_mul(1000));
        let (skew, life) = (u64::from(CLOCK_SKEW), u64::from(PRESIGNED_MAX));
        if made.since(now) > Duration::from_secs(skew) {
            return Err(S3Error::new(S3ErrorCode::RequestTimeTooSkewed));
        }
        if now.since(made) > Duration::from_secs(life) {
            return Err(error::refuse(
                S3ErrorCode::AccessDenied,
                "The signature is older than a week.",
            ));
        }
        Ok(())
    }

    fn signing_key(self, secret: &[u8]) -> hmac::Key {
        let begin = zeroize::Zeroizing::new([b"AWS4", secret].concat());
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &begin);
        for part in [self.date, self.region, "s3", "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    fn form(fields: &[(&str, &str)]) -> Form {
        let mut form = Form::default();
        for (name, value) in fields {
            form.add((*name).to_owned(), (*value).to_owned()).expect("once");
        }
        form
    }

    fn code<T>(result: S3Result<T>) -> Option<S3ErrorCode> {
        result.err().map(|error| error.code().clone())
    }

    /// The date of the credential and of its form.
    fn signed(date: &str, stamp: &str, spoil: bool) -> Form {
        let credential = format!("AKID/{date}/us-east-1/s3/aws4_request");
        let key = Credential::parse(&credential).expect("one").signing_key(SECRET);
        let mut signature = hex::encode(hmac::sign(&key, b"cG9saWN5"));
        if spoil {
            signature = signature.chars().rev().collect();
        }
        form(&[
            ("policy", "cG9saWN5"),
            ("x-amz-algorithm", ALGORITHM),
            ("x-amz-credential", &credential),
            ("x-amz-date", stamp),
            ("x-amz-signature", &signature),
        ])
    }

    #[test]
    fn the_owner_of_the_secret_signs_for_a_week() {
        const DAY: u64 = 24 * 3600 * 1000;
        let day = Timestamp(1_700_000_000_000);
        let good = signed("20231114", "20231114T221320Z", false);
        let verify = |form: &Form, now| {
            code(Signed::of(form, false).expect("signed").expect("signed").verify(SECRET, now))
        };
        assert_eq!(verify(&good, day), None);
        assert_eq!(verify(&good, Timestamp(day.0 + 6 * DAY)), None);
        assert_eq!(verify(&good, Timestamp(day.0 + 8 * DAY)), Some(S3ErrorCode::AccessDenied));
        let early = Timestamp(day.0 - DAY);
        assert_eq!(verify(&good, early), Some(S3ErrorCode::RequestTimeTooSkewed));
        let spoilt = signed("20231114", "20231114T221320Z", true);
        assert_eq!(verify(&spoilt, day), Some(S3ErrorCode::SignatureDoesNotMatch));
        let other_day = signed("20231113", "20231114T221320Z", false);
        assert_eq!(verify(&other_day, day), Some(S3ErrorCode::SignatureDoesNotMatch));
    }

    #[test]
    fn version_2_passes_only_where_it_is_allowed() {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, SECRET);
        let signature = STANDARD.encode(hmac::sign(&key, b"cG9saWN5"));
        let old = [("policy", "cG9saWN5"), ("awsaccesskeyid", "AKID"), ("signature", &signature)];
        assert_eq!(code(Signed::of(&form(&old), false)), Some(S3ErrorCode::InvalidRequest));
        let whole = form(&old);
        let signed = Signed::of(&whole, true).expect("allowed").expect("signed");
        assert_eq!(code(signed.verify(SECRET, Timestamp(0))), None);
        assert_eq!(
            code(signed.verify(b"other", Timestamp(0))),
            Some(S3ErrorCode::SignatureDoesNotMatch)
        );
        let half = form(&old[..2]);
        assert_eq!(code(Signed::of(&half, true)), Some(S3ErrorCode::InvalidArgument));
        assert!(Signed::of(&form(&[("key", "k")]), false).expect("anonymous").is_none());
    }
}
