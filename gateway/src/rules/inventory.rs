//! Inventories: what list of a bucket is wanted, and how its lines look
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html>).

use metadata::Entry;
use metadata::records::{Detail, Encryption, LockMode, ReplicationStatus};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use types::{AccountId, BucketName, Timestamp};

/// What a key needs no escape for, in a list.
const PLAIN_IN_KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*');

/// An inventory that a bucket's owner wants.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Inventory {
    /// Its name.
    pub id: String,
    /// Whether it is made.
    pub enabled: bool,
    /// Only keys that begin with this.
    pub filter: Option<String>,
    /// Every version, and not the current ones alone.
    pub all_versions: bool,
    /// Once a week and not once a day.
    pub weekly: bool,
    /// The bucket into which it is written.
    pub target: BucketName,
    /// The account that the client said owns that bucket.
    pub account: Option<String>,
    /// Before the names of what is written.
    pub prefix: Option<String>,
    /// Whether the client asked for SSE-S3; else the lists are under the default of their bucket.
    pub sse_s3: bool,
    /// What stands in a line beside the key, in this order.
    pub fields: Vec<Field>,
}

impl Inventory {
    /// The folder in the target under which everything of it is written, for that bucket; ends without a slash.
    #[must_use]
    pub fn home(&self, bucket: &BucketName) -> String {
        let prefix = self.prefix.as_deref().filter(|prefix| !prefix.is_empty());
        let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        format!("{prefix}{bucket}/{}", self.id)
    }

    /// Whether a bucket of `owner` may be the target: the client may have said whose it must be.
    #[must_use]
    pub fn means(&self, owner: &AccountId) -> bool {
        self.account.as_deref().is_none_or(|account| account == owner.as_str())
    }
}

/// Something that can stand in a line, in the order of AWS's lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are S3's")]
pub enum Field {
    Size,
    LastModifiedDate,
    StorageClass,
    ETag,
    IsMultipartUploaded,
    ReplicationStatus,
    EncryptionStatus,
    ObjectLockRetainUntilDate,
    ObjectLockMode,
    ObjectLockLegalHoldStatus,
    BucketKeyStatus,
    ChecksumAlgorithm,
    ObjectOwner,
}

/// One version, as a line tells it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The bucket.
    pub bucket: &'a BucketName,
    /// The key.
    pub key: &'a str,
    /// The version.
    pub entry: &'a Entry,
    /// Whether it is the current one.
    pub latest: bool,
    /// Its detail, if a field needs it and it has one.
    pub detail: Option<&'a Detail>,
    /// The bucket's owner.
    pub owner: &'a str,
}

impl Field {
    /// Every field, in order.
    pub const ALL: [Self; 13] = [
        Self::Size,
        Self::LastModifiedDate,
        Self::StorageClass,
        Self::ETag,
        Self::IsMultipartUploaded,
        Self::ReplicationStatus,
        Self::EncryptionStatus,
        Self::ObjectLockRetainUntilDate,
        Self::ObjectLockMode,
        Self::ObjectLockLegalHoldStatus,
        Self::BucketKeyStatus,
        Self::ChecksumAlgorithm,
        Self::ObjectOwner,
    ];

    /// As S3 calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "Size",
            Self::LastModifiedDate => "LastModifiedDate",
            Self::StorageClass => "StorageClass",
            Self::ETag => "ETag",
            Self::IsMultipartUploaded => "IsMultipartUploaded",
            Self::ReplicationStatus => "ReplicationStatus",
            Self::EncryptionStatus => "EncryptionStatus",
            Self::ObjectLockRetainUntilDate => "ObjectLockRetainUntilDate",
            Self::ObjectLockMode => "ObjectLockMode",
            Self::ObjectLockLegalHoldStatus => "ObjectLockLegalHoldStatus",
            Self::BucketKeyStatus => "BucketKeyStatus",
            Self::ChecksumAlgorithm => "ChecksumAlgorithm",
            Self::ObjectOwner => "ObjectOwner",
        }
    }

    /// Whether telling it takes the version's detail, which is not in the list row.
    fn needs_detail(self) -> bool {
        matches!(
            self,
            Self::ReplicationStatus
                | Self::EncryptionStatus
                | Self::ObjectLockRetainUntilDate
                | Self::ObjectLockMode
                | Self::ObjectLockLegalHoldStatus
                | Self::BucketKeyStatus
        )
    }

    fn tell(self, line: Line<'_>) -> String {
        let (entry, detail) = (line.entry, line.detail);
        let retention = detail.and_then(|detail| detail.lock.retention);
        let told = |is: bool| is.to_string();
        match self {
            Self::Size => entry.size.to_string(),
            Self::LastModifiedDate => moment(entry.modified),
            Self::StorageClass => entry.class.clone().unwrap_or_else(|| "STANDARD".to_owned()),
            Self::ETag => entry.etag.to_string(),
            Self::IsMultipartUploaded => told(entry.etag.parts > 0),
            Self::ReplicationStatus => match detail.and_then(|detail| detail.replication) {
                None => String::new(),
                Some(ReplicationStatus::Pending) => "PENDING".to_owned(),
                Some(ReplicationStatus::Completed) => "COMPLETED".to_owned(),
                Some(ReplicationStatus::Failed) => "FAILED".to_owned(),
                Some(ReplicationStatus::Replica) => "REPLICA".to_owned(),
            },
            Self::EncryptionStatus => match detail.map(|detail| &detail.encryption) {
                None => String::new(),
                Some(Encryption::Keyring | Encryption::SseS3) => "SSE-S3".to_owned(),
                Some(Encryption::Kms { .. }) => "SSE-KMS".to_owned(),
                Some(Encryption::Customer { .. }) => "SSE-C".to_owned(),
            },
            Self::ObjectLockRetainUntilDate => {
                retention.map_or_else(String::new, |held| moment(held.until))
            }
            Self::ObjectLockMode => match retention.map(|held| held.mode) {
                None => String::new(),
                Some(LockMode::Governance) => "GOVERNANCE".to_owned(),
                Some(LockMode::Compliance) => "COMPLIANCE".to_owned(),
            },
            Self::ObjectLockLegalHoldStatus => {
                let held = detail.and_then(|detail| detail.lock.legal_hold);
                held.map_or_else(String::new, |held| if held { "ON" } else { "OFF" }.to_owned())
            }
            Self::BucketKeyStatus => match detail.map(|detail| &detail.encryption) {
                Some(Encryption::Kms { bucket_key: true, .. }) => "ENABLED".to_owned(),
                Some(_) => "DISABLED".to_owned(),
                None => String::new(),
            },
            Self::ChecksumAlgorithm => entry
                .checksum
                .map_or_else(String::new, |(algorithm, _)| format!("{algorithm:?}").to_uppercase()),
            Self::ObjectOwner => {
                entry.owner.as_ref().map_or(line.owner, types::AccountId::as_str).to_owned()
            }
        }
    }
}

impl Inventory {
    /// The names of a line's columns.
    #[must_use]
    pub fn schema(&self) -> String {
        let mut names = vec!["Bucket", "Key"];
        if self.all_versions {
            names.extend(["VersionId", "IsLatest", "IsDeleteMarker"]);
        }
        names.extend(self.fields.iter().map(|field| field.name()));
        names.join(", ")
    }

    /// Whether a line needs the version's detail.
    #[must_use]
    pub fn needs_detail(&self) -> bool {
        self.fields.iter().any(|field| field.needs_detail())
    }

    /// One line of the list, with its end.
    #[must_use]
    pub fn line(&self, line: Line<'_>) -> String {
        let key = utf8_percent_encode(line.key, PLAIN_IN_KEY).to_string();
        let mut columns = vec![line.bucket.to_string(), key];
        if self.all_versions {
            let version = line.entry.version;
            let shown =
                if version == types::VersionId::NULL { String::new() } else { version.to_string() };
            columns.extend([
                shown,
                line.latest.to_string(),
                line.entry.is_delete_marker().to_string(),
            ]);
        }
        columns.extend(self.fields.iter().map(|field| field.tell(line)));
        let quoted: Vec<String> =
            columns.iter().map(|column| format!("\"{}\"", column.replace('"', "\"\""))).collect();
        quoted.join(",") + "\n"
    }
}

/// A time as S3 writes it, to the second.
fn moment(time: Timestamp) -> String {
    use time::format_description::well_known::Rfc3339;
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).ok();
    let text = moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_default();
    text.replace('Z', ".000Z")
}

#[cfg(test)]
mod tests {
    use metadata::{Body, Etag};
    use types::{GeometryName, ManifestId, VersionId};

    use super::*;

    #[test]
    fn a_line_tells_what_the_schema_names() {
        let inventory = Inventory {
            id: "all".to_owned(),
            enabled: true,
            filter: None,
            all_versions: true,
            weekly: false,
            target: "lists".parse().expect("a name"),
            account: None,
            prefix: None,
            sse_s3: false,
            fields: vec![Field::Size, Field::LastModifiedDate, Field::ETag, Field::ObjectLockMode],
        };
        let entry = Entry {
            version: VersionId::NULL,
            manifest: ManifestId::random(),
            modified: Timestamp(1_700_000_000_999),
            size: 7,
            etag: Etag { md5: [0; 16], parts: 0 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            checksum: None,
            body: Body::Inline,
        };
        let bucket = "photos".parse().expect("a name");
        let line = Line {
            bucket: &bucket,
            key: "a b/\"c\"",
            entry: &entry,
            latest: true,
            detail: None,
            owner: "me",
        };
        assert_eq!(
            inventory.schema(),
            "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, ObjectLockMode"
        );
        assert_eq!(
            inventory.line(line),
            "\"photos\",\"a%20b/%22c%22\",\"\",\"true\",\"false\",\"7\",\"2023-11-14T22:13:20.000Z\",\
             \"00000000000000000000000000000000\",\"\"\n"
        );
    }
}
