//! Event notifications: which changes a bucket's owner wants told where, and how an event looks
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>).

use std::net::IpAddr;

use metadata::{ConfigKind, Etag};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use types::{AccountId, BucketName, Timestamp, VersionId};

use crate::configs::Kept;

/// What a key needs no escape for, in an event; a space is a plus.
const PLAIN_IN_KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// Something that happens to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are S3's, put together")]
pub enum Event {
    CreatedPut,
    CreatedPost,
    CreatedCopy,
    CreatedCompleteMultipartUpload,
    RemovedDelete,
    RemovedDeleteMarkerCreated,
    TaggingPut,
    TaggingDelete,
    AclPut,
    LifecycleExpirationDelete,
    LifecycleExpirationDeleteMarkerCreated,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 11] = [
        Self::CreatedPut,
        Self::CreatedPost,
        Self::CreatedCopy,
        Self::CreatedCompleteMultipartUpload,
        Self::RemovedDelete,
        Self::RemovedDeleteMarkerCreated,
        Self::TaggingPut,
        Self::TaggingDelete,
        Self::AclPut,
        Self::LifecycleExpirationDelete,
        Self::LifecycleExpirationDeleteMarkerCreated,
    ];

    /// Its name in an event; a configuration says `s3:` before it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreatedPut => "ObjectCreated:Put",
            Self::CreatedPost => "ObjectCreated:Post",
            Self::CreatedCopy => "ObjectCreated:Copy",
            Self::CreatedCompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
            Self::RemovedDelete => "ObjectRemoved:Delete",
            Self::RemovedDeleteMarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Self::TaggingPut => "ObjectTagging:Put",
            Self::TaggingDelete => "ObjectTagging:Delete",
            Self::AclPut => "ObjectAcl:Put",
            Self::LifecycleExpirationDelete => "LifecycleExpiration:Delete",
            Self::LifecycleExpirationDeleteMarkerCreated => {
                "LifecycleExpiration:DeleteMarkerCreated"
            }
        }
    }

    /// Whether a configuration that names `wanted` (`s3:ObjectCreated:*`, `s3:ObjectRemoved:Delete`) wants it.
    #[must_use]
    pub fn is_wanted(self, wanted: &str) -> bool {
        let Some(wanted) = wanted.strip_prefix("s3:") else { return false };
        match wanted.strip_suffix('*') {
            Some(kind) => kind.ends_with(':') && self.name().starts_with(kind),
            None => self.name() == wanted,
        }
    }
}

/// How a destination was written: as a queue, a topic or a function. It makes no difference here but to who reads it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are S3's")]
pub enum Kind {
    Queue,
    Topic,
    Function,
}

/// One thing that a bucket's owner wants told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notification {
    /// Its name.
    pub id: String,
    /// How its destination was written.
    pub kind: Kind,
    /// The destination as it was written.
    pub arn: String,
    /// The webhook that is meant.
    pub webhook: String,
    /// The events, as they were written.
    pub events: Vec<String>,
    /// Only keys that begin with this.
    pub prefix: Option<String>,
    /// Only keys that end with this.
    pub suffix: Option<String>,
}

/// Everything that a bucket's owner wants told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Notifications(pub Vec<Notification>);

impl Kept for Notifications {
    const KIND: ConfigKind = ConfigKind::Notification;
}

impl Notifications {
    /// Whatever wants an event of a key told.
    pub fn of<'a>(&'a self, event: Event, key: &'a str) -> impl Iterator<Item = &'a Notification> {
        self.0.iter().filter(move |wish| wish.wants(event) && wish.is_about(key))
    }

    /// Two wishes that could both want the same event of the same key, which AWS refuses.
    #[must_use]
    pub fn overlap(&self) -> Option<(&Notification, &Notification)> {
        let pairs = self.0.iter().enumerate();
        let mut pairs =
            pairs.flat_map(|(at, one)| self.0[at + 1..].iter().map(move |two| (one, two)));
        pairs.find(|(one, two)| one.overlaps(two))
    }
}

impl Notification {
    fn wants(&self, event: Event) -> bool {
        self.events.iter().any(|wanted| event.is_wanted(wanted))
    }

    fn is_about(&self, key: &str) -> bool {
        key.starts_with(self.prefix()) && key.ends_with(self.suffix())
    }

    fn overlaps(&self, other: &Self) -> bool {
        let (p, q) = (self.prefix(), other.prefix());
        let (s, t) = (self.suffix(), other.suffix());
        let keys = (p.starts_with(q) || q.starts_with(p)) && (s.ends_with(t) || t.ends_with(s));
        keys && Event::ALL.iter().any(|event| self.wants(*event) && other.wants(*event))
    }

    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    fn suffix(&self) -> &str {
        self.suffix.as_deref().unwrap_or_default()
    }
}

/// Who asked for a change, as far as an event tells it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The account; none of an anonymous caller, or of upkeep.
    pub account: Option<AccountId>,
    /// Where the request came from.
    pub address: Option<IpAddr>,
    /// The request's id.
    pub request: Option<String>,
}

/// A change, as an event tells it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What happened.
    pub event: Event,
    /// When. Of one key, later changes have later times.
    pub time: Timestamp,
    /// The bucket.
    pub bucket: &'a BucketName,
    /// Its owner.
    pub owner: &'a AccountId,
    /// Where it is.
    pub region: &'a str,
    /// Who asked for it.
    pub origin: &'a Origin,
    /// The key.
    pub key: &'a str,
    /// The version, where the bucket keeps versions.
    pub version: Option<VersionId>,
    /// Size and entity tag, of something that is there.
    pub content: Option<(u64, Etag)>,
}

impl Told<'_> {
    /// The message for one destination: a list of one event.
    #[must_use]
    pub fn message(&self, configuration: &str) -> Vec<u8> {
        let origin = self.origin;
        let principal = origin.account.as_ref().map_or("Anonymous", AccountId::as_str);
        let address = origin.address.map_or_else(|| "127.0.0.1".to_owned(), |ip| ip.to_string());
        let key = utf8_percent_encode(self.key, PLAIN_IN_KEY).to_string().replace("%20", "+");
        let mut object = json!({ "key": key, "sequencer": format!("{:016X}", self.time.0) });
        if let Some((size, etag)) = self.content {
            object["size"] = size.into();
            object["eTag"] = etag.to_string().into();
        }
        if let Some(version) = self.version.filter(|version| *version != VersionId::NULL) {
            object["versionId"] = version.to_string().into();
        }
        let record = json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": self.region,
            "eventTime": rfc3339(self.time),
            "eventName": self.event.name(),
            "userIdentity": { "principalId": principal },
            "requestParameters": { "sourceIPAddress": address },
            "responseElements": { "x-amz-request-id": origin.request.as_deref().unwrap_or_default() },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": configuration,
                "bucket": {
                    "name": self.bucket.as_str(),
                    "ownerIdentity": { "principalId": self.owner.as_str() },
                    "arn": format!("arn:aws:s3:::{}", self.bucket),
                },
                "object": object,
            },
        });
        json!({ "Records": [record] }).to_string().into_bytes()
    }
}

/// What a destination is sent when a configuration names it.
#[must_use]
pub fn test_event(bucket: &BucketName, time: Timestamp, request: &str) -> Vec<u8> {
    let message: Value = json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": rfc3339(time),
        "Bucket": bucket.as_str(),
        "RequestId": request,
        "HostId": "drystone",
    });
    message.to_string().into_bytes()
}

/// `2006-01-02T15:04:05.000Z`
fn rfc3339(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = moment.to_hms();
    format!("{}T{hour:02}:{minute:02}:{second:02}.{:03}Z", moment.date(), time.0 % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(events: &[&str], prefix: &str, suffix: &str) -> Notification {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Notification {
            id: "one".to_owned(),
            kind: Kind::Queue,
            arn: "arn:drystone:webhook:us-east-1::hook".to_owned(),
            webhook: "hook".to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            prefix: some(prefix),
            suffix: some(suffix),
        }
    }

    #[test]
    fn events_are_wanted_by_name_or_by_kind() {
        let put = Event::CreatedPut;
        for (wanted, is) in [
            ("s3:ObjectCreated:*", true),
            ("s3:ObjectCreated:Put", true),
            ("s3:ObjectCreated:Post", false),
            ("s3:ObjectRemoved:*", false),
            ("ObjectCreated:Put", false),
            ("s3:*", false),
            ("s3:ObjectC*", false),
        ] {
            assert_eq!(put.is_wanted(wanted), is, "{wanted}");
        }
    }

    #[test]
    fn a_wish_is_about_keys_with_its_prefix_and_suffix() {
        let all = Notifications(vec![wish(&["s3:ObjectCreated:*"], "in/", ".jpg")]);
        let told = |event, key| all.of(event, key).count();
        assert_eq!(told(Event::CreatedCopy, "in/a.jpg"), 1);
        assert_eq!(told(Event::CreatedCopy, "out/a.jpg"), 0);
        assert_eq!(told(Event::CreatedCopy, "in/a.png"), 0);
        assert_eq!(told(Event::RemovedDelete, "in/a.jpg"), 0);
    }

    #[test]
    fn wishes_overlap_if_one_event_of_one_key_could_be_told_twice() {
        let created = ["s3:ObjectCreated:*"];
        for (one, two, overlap) in [
            (wish(&created, "a", ""), wish(&["s3:ObjectCreated:Put"], "ab", ""), true),
            (wish(&created, "a", ""), wish(&created, "b", ""), false),
            (wish(&created, "a", ".jpg"), wish(&created, "", "g"), true),
            (wish(&created, "a", ".jpg"), wish(&created, "a", ".png"), false),
            (wish(&created, "", ""), wish(&["s3:ObjectRemoved:*"], "", ""), false),
        ] {
            assert_eq!(Notifications(vec![one, two]).overlap().is_some(), overlap);
        }
    }

    #[test]
    fn an_event_looks_as_awss_do() {
        let (bucket, owner) = ("photos".parse().expect("a name"), "alice".parse().expect("an id"));
        let time = Timestamp(1_700_000_000_123);
        let version = VersionId::at(time);
        let origin = Origin {
            account: Some("bob".parse().expect("an id")),
            address: Some(IpAddr::from([192, 0, 2, 3])),
            request: Some("C3D13FE58DE4C810".to_owned()),
        };
        let told = Told {
            event: Event::CreatedPut,
            time,
            bucket: &bucket,
            owner: &owner,
            region: "us-east-1",
            origin: &origin,
            key: "a b/ü.jpg",
            version: Some(version),
            content: Some((5, Etag { md5: [0xab; 16], parts: 2 })),
        };
        let message: Value = serde_json::from_slice(&told.message("one")).expect("JSON");
        let expected = json!({ "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2023-11-14T22:13:20.123Z",
            "eventName": "ObjectCreated:Put",
            "userIdentity": { "principalId": "bob" },
            "requestParameters": { "sourceIPAddress": "192.0.2.3" },
            "responseElements": { "x-amz-request-id": "C3D13FE58DE4C810" },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": "one",
                "bucket": {
                    "name": "photos",
                    "ownerIdentity": { "principalId": "alice" },
                    "arn": "arn:aws:s3:::photos",
                },
                "object": {
                    "key": "a+b/%C3%BC.jpg",
                    "size": 5,
                    "eTag": "abababababababababababababababab-2",
                    "versionId": version.to_string(),
                    "sequencer": "0000018BCFE5687B",
                },
            },
        }]});
        assert_eq!(message, expected);
    }
}
