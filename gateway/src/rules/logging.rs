//! Server access logging: where a bucket's log goes, how a request is told in it, and what its objects are named
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>).

use std::fmt;
use std::net::IpAddr;

use metadata::ConfigKind;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use types::{AccountId, BucketName, Timestamp};

use crate::configs::Kept;

/// Milliseconds of a day.
const DAY: u64 = 24 * 3600 * 1000;
/// The most bytes of something that a client says of itself: a longer one is cut.
const SAID_MAX: usize = 2_048;

/// Where the log of a bucket goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Logging {
    /// The bucket into which it is written.
    pub target: BucketName,
    /// That bucket's owner when logging was turned on: a later bucket of another's gets nothing.
    pub owner: AccountId,
    /// Before the names of the objects.
    pub prefix: String,
    /// How they are named; `None` is never said, as [`Naming::Simple`].
    pub naming: Option<Naming>,
}

impl Kept for Logging {
    const KIND: ConfigKind = ConfigKind::Logging;
}

/// How the objects of a log are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Naming {
    /// By the time of delivery alone.
    Simple,
    /// In folders of account, region, bucket and the date of delivery.
    ByDelivery,
    /// The same with the date of the requests; an object then holds those of one day.
    ByEvent,
}

/// What a log tells of: a bucket, by its owner, region and name.
#[derive(Clone, Copy, Debug)]
pub struct Logged<'a> {
    /// Who owns it.
    pub owner: &'a AccountId,
    /// Where it is.
    pub region: &'a str,
    /// Its name.
    pub bucket: &'a BucketName,
}

impl Logging {
    /// The name of an object that is delivered now and tells of requests of that day.
    #[must_use]
    pub fn object_key(&self, of: Logged<'_>, now: Timestamp, day: Day, unique: [u8; 8]) -> String {
        let (prefix, unique) = (&self.prefix, hex::encode_upper(unique));
        let at = match self.naming {
            None | Some(Naming::Simple) => return format!("{prefix}{}-{unique}", stamp(now)),
            Some(Naming::ByDelivery) => now,
            Some(Naming::ByEvent) => Timestamp(day.0 * DAY),
        };
        let Logged { owner, region, bucket } = of;
        let date = moment(at).date();
        let folder = format!("{}/{:02}/{:02}", date.year(), u8::from(date.month()), date.day());
        format!("{prefix}{owner}/{region}/{bucket}/{folder}/{}-{unique}", stamp(at))
    }
}

/// A day, counted from 1970.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Day(u64);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self(time.0 / DAY)
    }
}

/// How a request was signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed {
    /// In its headers.
    Header,
    /// In its query.
    Query,
}

/// One request, as a line of the log tells it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the field of that name in AWS's description")]
pub struct Line<'a> {
    pub owner: &'a AccountId,
    pub bucket: &'a BucketName,
    pub time: Timestamp,
    pub remote: Option<IpAddr>,
    pub requester: Option<&'a str>,
    pub request_id: &'a str,
    pub operation: &'a str,
    /// As it stands in the URL.
    pub key: Option<&'a str>,
    /// Method, target and version.
    pub request: &'a str,
    pub status: u16,
    pub error: Option<&'a str>,
    pub sent: u64,
    pub size: Option<u64>,
    /// Milliseconds.
    pub total: u64,
    /// Milliseconds.
    pub turn_around: u64,
    pub referer: Option<&'a str>,
    pub agent: Option<&'a str>,
    pub version: Option<&'a str>,
    pub host_id: &'a str,
    pub signed: Option<Signed>,
    pub host: Option<&'a str>,
}

impl fmt::Display for Line<'_> {
    /// The line and its end. Cipher suite, TLS version, access point and the need of an access control list are never told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owner, bucket, request_id, operation, status, .. } = self;
        let remote = self.remote.map(|address| address.to_string());
        let sent = (self.sent > 0).then_some(self.sent);
        let (version, how) = match self.signed {
            None => ("-", "-"),
            Some(Signed::Header) => ("SigV4", "AuthHeader"),
            Some(Signed::Query) => ("SigV4", "QueryString"),
        };
        write!(f, "{owner} {bucket} [{}] {} ", clf(self.time), Or(remote.as_deref()))?;
        write!(f, "{} {request_id} {operation} ", Or(self.requester))?;
        write!(f, "{} \"{}\" {status} ", Or(self.key), Said(self.request))?;
        write!(f, "{} {} {} ", Or(self.error), Number(sent), Number(self.size))?;
        write!(f, "{} {} ", self.total, self.turn_around)?;
        write!(f, "\"{}\" \"{}\" ", quoted(self.referer), quoted(self.agent))?;
        write!(f, "{} {} {version} - {how} ", Or(self.version), self.host_id)?;
        writeln!(f, "{} - - -", Or(self.host))
    }
}

/// A word of a line, or the dash for none.
struct Or<'a>(Option<&'a str>);

impl fmt::Display for Or<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.filter(|text| !text.is_empty()) {
            None => f.write_str("-"),
            Some(text) => {
                let spaced = |c: char| if c == ' ' { '+' } else { c };
                let text: String = text.chars().map(spaced).collect();
                write!(f, "{}", Said(&text))
            }
        }
    }
}

struct Number(Option<u64>);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("-"),
            Some(number) => write!(f, "{number}"),
        }
    }
}

fn quoted(text: Option<&str>) -> Said<'_> {
    Said(text.filter(|text| !text.is_empty()).unwrap_or("-"))
}

/// What a client said: nothing in it can end its field or the line.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, c) in self.0.char_indices() {
            if at >= SAID_MAX {
                return f.write_str("...");
            }
            match c {
                '"' => f.write_str("%22")?,
                c if c.is_control() => write!(f, "%{:02X}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

/// What of a request names its operation.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The method.
    pub method: &'a str,
    /// The query, which may be empty.
    pub query: &'a str,
    /// Whether it is about a key.
    pub key: bool,
    /// Whether it names the source of a copy.
    pub copy: bool,
}

/// Parameters that make a request one about something else than bucket or object, and what it is then about.
const RESOURCES: [(&str, &str); 32] = [
    ("accelerate", "ACCELERATE"),
    ("acl", "ACL"),
    ("analytics", "ANALYTICS"),
    ("attributes", "OBJECT_ATTRIBUTES"),
    ("cors", "CORS"),
    ("delete", "MULTI_OBJECT_DELETE"),
    ("encryption", "ENCRYPTION"),
    ("intelligent-tiering", "INTELLIGENT_TIERING"),
    ("inventory", "INVENTORY"),
    ("legal-hold", "OBJECT_LOCK_LEGALHOLD"),
    ("lifecycle", "LIFECYCLE"),
    ("location", "LOCATION"),
    ("logging", "LOGGING_STATUS"),
    ("metrics", "METRICS"),
    ("notification", "NOTIFICATION"),
    ("object-lock", "OBJECT_LOCK_CONFIGURATION"),
    ("ownershipControls", "OWNERSHIP_CONTROLS"),
    ("partNumber", "PART"),
    ("policy", "BUCKETPOLICY"),
    ("policyStatus", "POLICY_STATUS"),
    ("publicAccessBlock", "PUBLIC_ACCESS_BLOCK"),
    ("replication", "REPLICATION"),
    ("requestPayment", "REQUEST_PAYMENT"),
    ("restore", "OBJECT_RESTORE"),
    ("retention", "OBJECT_LOCK_RETENTION"),
    ("tagging", "TAGGING"),
    ("torrent", "TORRENT"),
    ("uploadId", "UPLOAD"),
    ("uploads", "UPLOADS"),
    ("versioning", "VERSIONING"),
    ("versions", "BUCKETVERSIONS"),
    ("website", "WEBSITE"),
];

impl Named<'_> {
    /// The operation, as AWS's logs name it: `REST.METHOD.RESOURCE`.
    #[must_use]
    pub fn operation(&self) -> String {
        let Self { method, query, key, copy } = *self;
        if method == "OPTIONS" {
            return "REST.OPTIONS.PREFLIGHT".to_owned();
        }
        let asks = |name: &str| {
            query.split('&').any(|pair| pair.split('=').next().is_some_and(|asked| asked == name))
        };
        let plain = if key { "OBJECT" } else { "BUCKET" };
        // The number of a part of a GET names no part of an upload.
        let read_part = |name: &str| name == "partNumber" && !asks("uploadId");
        let found = RESOURCES.iter().find(|(name, _)| asks(name) && !read_part(name));
        let resource = match found {
            Some((_, "TAGGING")) if key => "OBJECT_TAGGING",
            Some((_, resource)) => resource,
            None if method == "POST" => "OBJECT",
            None => plain,
        };
        let method = if copy && method == "PUT" { "COPY" } else { method };
        format!("REST.{method}.{resource}")
    }
}

fn moment(time: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// `2006-01-02-15-04-05`
fn stamp(time: Timestamp) -> String {
    let time = moment(time);
    let (hour, minute, second) = time.to_hms();
    format!("{}-{hour:02}-{minute:02}-{second:02}", time.date())
}

/// `02/Jan/2006:15:04:05 +0000`
fn clf(time: Timestamp) -> String {
    let time = moment(time);
    let (hour, minute, second) = time.to_hms();
    let month = &time.month().to_string()[..3];
    let (day, year) = (time.day(), time.year());
    format!("{day:02}/{month}/{year}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14 22:13:20 UTC.
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn named<T: std::str::FromStr<Err: fmt::Debug>>(text: &str) -> T {
        text.parse().expect("a name")
    }

    #[test]
    fn a_line_has_awss_fields_and_nothing_a_client_says_can_break_it() {
        let (owner, bucket) = (named("alice"), named("photos"));
        let line = Line {
            owner: &owner,
            bucket: &bucket,
            time: NOW,
            remote: Some(IpAddr::from([192, 0, 2, 3])),
            requester: Some("alice"),
            request_id: "3E57427F3E57427F",
            operation: "REST.GET.OBJECT",
            key: Some("a%20b"),
            request: "GET /photos/a%20b?versionId=null HTTP/1.1",
            status: 404,
            error: Some("NoSuchKey"),
            sent: 113,
            size: None,
            total: 7,
            turn_around: 5,
            referer: None,
            agent: Some("a \"quoted\"\nagent"),
            version: None,
            host_id: "abc=",
            signed: Some(Signed::Header),
            host: Some("s3.example.com"),
        };
        assert_eq!(
            line.to_string(),
            "alice photos [14/Nov/2023:22:13:20 +0000] 192.0.2.3 alice 3E57427F3E57427F REST.GET.OBJECT a%20b \
             \"GET /photos/a%20b?versionId=null HTTP/1.1\" 404 NoSuchKey 113 - 7 5 \"-\" \"a %22quoted%22%0Aagent\" - abc= SigV4 - \
             AuthHeader s3.example.com - - -\n"
        );
        let bare =
            Line { remote: None, requester: None, sent: 0, signed: None, host: None, ..line };
        let bare = bare.to_string();
        assert!(bare.contains("+0000] - - 3E57427F3E57427F "), "{bare}");
        assert!(bare.ends_with(" - abc= - - - - - - -\n"), "{bare}");
    }

    #[test]
    fn operations_are_named_by_method_and_parameter() {
        for (method, query, key, copy, name) in [
            ("GET", "", true, false, "REST.GET.OBJECT"),
            ("GET", "partNumber=1", true, false, "REST.GET.OBJECT"),
            ("GET", "list-type=2&prefix=a", false, false, "REST.GET.BUCKET"),
            ("GET", "logging", false, false, "REST.GET.LOGGING_STATUS"),
            ("PUT", "tagging", true, false, "REST.PUT.OBJECT_TAGGING"),
            ("PUT", "tagging=", false, false, "REST.PUT.TAGGING"),
            ("PUT", "", true, true, "REST.COPY.OBJECT"),
            ("PUT", "partNumber=1&uploadId=x", true, true, "REST.COPY.PART"),
            ("POST", "uploads", true, false, "REST.POST.UPLOADS"),
            ("POST", "uploadId=x", true, false, "REST.POST.UPLOAD"),
            ("POST", "delete", false, false, "REST.POST.MULTI_OBJECT_DELETE"),
            ("POST", "", false, false, "REST.POST.OBJECT"),
            ("OPTIONS", "", true, false, "REST.OPTIONS.PREFLIGHT"),
        ] {
            assert_eq!(Named { method, query, key, copy }.operation(), name);
        }
    }

    #[test]
    fn objects_are_named_by_delivery_or_by_the_day_of_the_requests() {
        let (owner, bucket) = (named("alice"), named("photos"));
        let of = Logged { owner: &owner, region: "us-east-1", bucket: &bucket };
        let yesterday = Day::of(Timestamp(NOW.0 - DAY));
        let key = |naming| {
            let logging = Logging {
                target: named("logs"),
                owner: named("alice"),
                prefix: "l/".to_owned(),
                naming,
            };
            logging.object_key(of, NOW, yesterday, [0xab; 8])
        };
        let unique = "ABABABABABABABAB";
        assert_eq!(key(None), format!("l/2023-11-14-22-13-20-{unique}"));
        assert_eq!(
            key(Some(Naming::ByDelivery)),
            format!("l/alice/us-east-1/photos/2023/11/14/2023-11-14-22-13-20-{unique}")
        );
        assert_eq!(
            key(Some(Naming::ByEvent)),
            format!("l/alice/us-east-1/photos/2023/11/13/2023-11-13-00-00-00-{unique}")
        );
    }
}
