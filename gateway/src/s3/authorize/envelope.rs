//! What a request says of itself beside its input, as conditions of policies ask for it.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html#amazons3-policy-keys> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.

use std::borrow::Cow;
use std::net::IpAddr;

use ::http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use s3s::S3Request;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::{AccountId, Timestamp};

use super::caller::{Caller, Signed, Vouched};
use super::said::{self, Said};
use crate::http::Peer;
use crate::s3::policy::{Context, Key, Values};

/// A request without its body.
#[derive(Clone)]
pub(super) struct Envelope<'r> {
    headers: Cow<'r, HeaderMap>,
    uri: Cow<'r, Uri>,
    peer: Option<Peer>,
    /// How it was signed, if that was found out elsewhere.
    signed: Option<Signed>,
}

impl<'r> Envelope<'r> {
    pub(super) fn of<T>(request: &'r S3Request<T>) -> Self {
        Self {
            headers: Cow::Borrowed(&request.headers),
            uri: Cow::Borrowed(&request.uri),
            peer: request.extensions.get::<Peer>().copied(),
            signed: request.extensions.get::<Vouched>().and_then(|vouched| vouched.signed.clone()),
        }
    }

    pub(super) fn into_owned(self) -> Envelope<'static> {
        Envelope {
            headers: Cow::Owned(self.headers.into_owned()),
            uri: Cow::Owned(self.uri.into_owned()),
            peer: self.peer,
            signed: self.signed,
        }
    }

    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// A parameter of the query, as the operation reads it: by its exact name, once decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = self.uri.query()?.split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(key, _)| decode(key) == name).map(|(_, value)| decode(value))
    }

    /// Where it came from.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.peer.map(|peer| peer.address.ip().to_canonical())
    }
}

/// Everything that conditions can ask of one authorisation.
pub(super) struct Facts<'a> {
    pub(super) envelope: &'a Envelope<'a>,
    pub(super) caller: &'a Caller,
    pub(super) now: Timestamp,
    pub(super) region: &'a str,
    /// The bucket's owner.
    pub(super) owner: Option<&'a AccountId>,
    /// The version that is asked for.
    pub(super) version: Option<&'a str>,
    /// The tags of the object that is there.
    pub(super) tags: Option<&'a [(String, String)]>,
    /// What the request says in other places than its headers.
    pub(super) said: &'a Said,
}

impl Context for Facts<'_> {
    fn values(&self, key: &Key) -> Values {
        if let Some(said) = self.said.of(key) {
            return said;
        }
        match key.name().split_once(':') {
            Some(("aws", name)) => self.global(name),
            Some(("s3", name)) => self.of_s3(name, key.item()),
            _ => Values::Absent,
        }
    }
}

impl Facts<'_> {
    fn global(&self, name: &str) -> Values {
        let (envelope, caller) = (self.envelope, self.caller);
        let account = || caller.account().map(AccountId::to_string);
        let value = match name {
            "sourceip" => envelope.address().map(|address| address.to_string()),
            "securetransport" => Some(envelope.peer.is_some_and(|peer| peer.tls).to_string()),
            "currenttime" => rfc3339(self.now),
            "epochtime" => Some(self.now.seconds().to_string()),
            "useragent" => envelope.header("user-agent"),
            "referer" => envelope.header("referer"),
            "requestedregion" => Some(self.region.to_owned()),
            "principalaccount" => account(),
            "principalarn" => caller.arn(),
            "principaltype" => Some(caller.kind().to_owned()),
            "principalisawsservice" | "viaawsservice" => Some("false".to_owned()),
            "userid" => caller.user_id(),
            "username" => caller.user_name().map(str::to_owned),
            "resourceaccount" => self.owner.map(AccountId::to_string),
            _ => None,
        };
        value.into()
    }

    fn of_s3(&self, name: &str, item: Option<&str>) -> Values {
        let envelope = self.envelope;
        let value = match name {
            "prefix" | "delimiter" | "max-keys" => envelope.parameter(name),
            "versionid" => self.version.map(str::to_owned),
            "resourceaccount" => self.owner.map(AccountId::to_string),
            "authtype" => self.auth_type().map(str::to_owned),
            "signatureversion" => self.auth_type().map(|_| "AWS4-HMAC-SHA256".to_owned()),
            "signatureage" => self.signature_age(),
            "x-amz-content-sha256" => envelope
                .header(name)
                .or_else(|| self.presigned().then(|| "UNSIGNED-PAYLOAD".to_owned())),
            "object-lock-mode" | "object-lock-legal-hold" | "object-lock-retain-until-date" => {
                envelope.header(&format!("x-amz-{name}"))
            }
            "object-lock-remaining-retention-days" => self.remaining_days(),
            "if-match" | "if-none-match" => envelope.header(name),
            "existingobjecttag" => self.tags.and_then(|tags| said::tag(tags, item)),
            "requestobjecttag" => self.asked_tags().and_then(|tags| said::tag(&tags, item)),
            "requestobjecttagkeys" => {
                let tags = self.asked_tags().unwrap_or_default();
                return Values::Many(tags.into_iter().map(|(name, _)| name).collect());
            }
            _ if name.starts_with("x-amz-") => {
                // Policies name the source of a copy without a leading slash, however it is written.
                let value = envelope.header(name);
                if name == "x-amz-copy-source" { value.map(plain_source) } else { value }
            }
            _ => None,
        };
        value.into()
    }

    fn asked_tags(&self) -> Option<Vec<(String, String)>> {
        let text = self.envelope.header("x-amz-tagging")?;
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Some(pairs.map(|(name, value)| (decode(name), decode(value))).collect())
    }

    fn presigned(&self) -> bool {
        match &self.envelope.signed {
            Some(signed) => signed.presigned,
            None => self.envelope.parameter("X-Amz-Signature").is_some(),
        }
    }

    fn auth_type(&self) -> Option<&'static str> {
        self.caller.account()?;
        Some(if self.presigned() {
            "REST-QUERY-STRING"
        } else if self.envelope.signed.is_some()
            || self.envelope.headers.contains_key("authorization")
        {
            "REST-HEADER"
        } else {
            "POST"
        })
    }

    /// Milliseconds since the request was signed.
    fn signature_age(&self) -> Option<String> {
        const STAMP: &[time::format_description::FormatItem<'_>] =
            time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
        let envelope = self.envelope;
        let date = envelope.signed.as_ref().and_then(|signed| signed.date.clone());
        let date = date.or_else(|| envelope.parameter("X-Amz-Date"));
        let text = date.or_else(|| envelope.header("x-amz-date"))?;
        let signed = time::PrimitiveDateTime::parse(&text, STAMP).ok()?.assume_utc();
        let signed = u64::try_from(signed.unix_timestamp()).ok()?.checked_mul(1000)?;
        Some(self.now.0.saturating_sub(signed).to_string())
    }

    fn remaining_days(&self) -> Option<String> {
        let text = self.envelope.header("x-amz-object-lock-retain-until-date")?;
        let until = OffsetDateTime::parse(&text, &Rfc3339).ok()?;
        Some(said::remaining_days(until, self.now))
    }
}

fn plain_source(text: String) -> String {
    let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
    decoded.strip_prefix('/').map(str::to_owned).unwrap_or(decoded)
}

fn rfc3339(time: Timestamp) -> Option<String> {
    let seconds = i64::try_from(time.seconds()).ok()?;
    OffsetDateTime::from_unix_timestamp(seconds).ok()?.format(&Rfc3339).ok()
}
