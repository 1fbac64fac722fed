//! Into a bucket of another endpoint: what is sent, and in which steps.
//!
//! | the version | is sent |
//! |---|---|
//! | put whole | as one PUT of its bytes as they are read, under its MD5 and its checksum |
//! | of parts | as the same parts, so that its entity tag stays; where those are smaller than S3 takes them, in parts of [`PART`] |
//! | a delete marker | as a DELETE |
//!
//! Memory: what the reader reads ahead ([`crate::get::stream`]), however large the version is.

use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, EXPIRES,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use metadata::records::{Checksum, ChecksumKind, Detail, Encryption, Extent};
use metadata::{CatalogError, Located, LocatedBody};
use percent_encoding::utf8_percent_encode;
use types::MIB;

use super::ReplicationError;
use super::client::{Client, ClientError, Payload, Place, STRICT};
use super::worker::ReplicationWorker;
use crate::changes::Replicate;
use crate::metering::Payer;
use crate::rules::replication::Destination;
use crate::s3::checksum_name;

/// Bytes of a part where the version's own parts will not do.
const PART: u64 = 64 * MIB;
/// Bytes of the smallest part but the last that S3 takes.
const PART_MIN: u64 = 5 * MIB;
/// By this another Drystone knows a replica. In the query, because a signature covers all of that.
const REPLICA: &str = "drystone-replica";

/// Sends a version or a delete marker.
pub(super) async fn replicate(
    worker: &ReplicationWorker,
    client: &Client,
    task: &Replicate,
    to: &Destination,
) -> Result<(), ReplicationError> {
    let sending = Sending {
        worker,
        client,
        task,
        to,
        place: Place { bucket: to.bucket.as_str(), key: task.key.as_str() },
        version: task.version.to_string(),
    };
    if !client.is_drystone() && !sending.is_newest().await? {
        return Ok(());
    }
    if task.marker { sending.marker().await } else { sending.version().await }
}

/// A version on its way.
struct Sending<'a> {
    worker: &'a ReplicationWorker,
    client: &'a Client,
    task: &'a Replicate,
    to: &'a Destination,
    place: Place<'a>,
    /// Its id.
    version: String,
}

impl Sending<'_> {
    /// Whether it is what its key is now. Of a newer one the endpoint learns by another task.
    async fn is_newest(&self) -> Result<bool, CatalogError> {
        match self.worker.catalog.locate(self.task.bucket.1, &self.task.key).await {
            Ok(located) => Ok(located.entry.version == self.task.version),
            Err(CatalogError::DeleteMarker { version, .. }) => Ok(version == self.task.version),
            Err(CatalogError::NoSuchKey) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What names the replica in a query: nothing, for an endpoint that would not understand.
    fn replica(&self) -> Vec<(&'static str, &str)> {
        self.client.is_drystone().then_some((REPLICA, self.version.as_str())).into_iter().collect()
    }

    async fn marker(&self) -> Result<(), ReplicationError> {
        let query = self.replica();
        let sent = self.client.send(Method::DELETE, self.place, &query, HeaderMap::new(), None);
        sent.await?.expect_success()?;
        Ok(())
    }

    async fn version(&self) -> Result<(), ReplicationError> {
        let (bucket, key) = (self.task.bucket.1, &self.task.key);
        let found = self.worker.catalog.locate_version(bucket, key, Some(self.task.version)).await;
        let located = match found {
            Ok(located) => located,
            // Deleted before it could be replicated.
            Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        located.check_not_taken_down().await?;
        let there =
            if self.client.is_drystone() { self.is_there().await? } else { self.task.changed };
        if there && self.retag(&located.detail).await? {
            return Ok(());
        }
        match self.upload(&located).await {
            // Another gateway was faster, or the answer to the last try was lost.
            Err(ReplicationError::Remote(ClientError::Status { status, .. }))
                if status == StatusCode::PRECONDITION_FAILED && self.is_there().await? =>
            {
                Ok(())
            }
            sent => sent,
        }
    }

    /// Whether the other Drystone has this very version.
    async fn is_there(&self) -> Result<bool, ReplicationError> {
        let query = [("versionId", self.version.as_str())];
        let asked = self.client.send(Method::HEAD, self.place, &query, HeaderMap::new(), None);
        let answer = asked.await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            // A delete marker of that id.
            StatusCode::METHOD_NOT_ALLOWED => Ok(true),
            _ => Ok(answer.expect_success().map(|_| true)?),
        }
    }

    /// Gives what is there the version's tags; whether it was there.
    async fn retag(&self, detail: &Detail) -> Result<bool, ReplicationError> {
        let version = ("versionId", self.version.as_str());
        let mut query = vec![("tagging", "")];
        query.extend(self.client.is_drystone().then_some(version));
        let (method, document) = if detail.tags.is_empty() {
            (Method::DELETE, None)
        } else {
            (Method::PUT, Some(Payload::Text(tagging(&detail.tags))))
        };
        let sent = self.client.send(method, self.place, &query, HeaderMap::new(), document);
        match sent.await?.expect_success() {
            Ok(_) => Ok(true),
            Err(ClientError::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn upload(&self, located: &Located) -> Result<(), ReplicationError> {
        let headers = headers(&located.detail, self.to.class.as_deref())?;
        match parts(located).await? {
            None => self.put(located, headers).await,
            Some(parts) => self.put_parts(located, headers, &parts).await,
        }
    }

    /// One PUT of everything.
    async fn put(&self, located: &Located, mut headers: HeaderMap) -> Result<(), ReplicationError> {
        if located.entry.etag.parts == 0 {
            let md5 = BASE64.encode(located.entry.etag.md5);
            insert(&mut headers, HeaderName::from_static("content-md5"), &md5)?;
        }
        let full = |checksum: &&Checksum| checksum.kind == ChecksumKind::FullObject;
        put_checksum(&mut headers, located.detail.checksums.iter().find(full))?;
        let body = self.payload(located, 0..located.entry.size).await?;
        let query = self.replica();
        let sent = self.client.send(Method::PUT, self.place, &query, headers, Some(body));
        sent.await?.expect_success()?;
        Ok(())
    }

    async fn put_parts(
        &self,
        located: &Located,
        mut headers: HeaderMap,
        parts: &[Part],
    ) -> Result<(), ReplicationError> {
        if let Some(checksum) = located.detail.checksums.first() {
            let kind = match checksum.kind {
                ChecksumKind::FullObject => "FULL_OBJECT",
                ChecksumKind::Composite { .. } => "COMPOSITE",
            };
            let name = checksum_name(checksum.algorithm);
            insert(&mut headers, HeaderName::from_static("x-amz-checksum-algorithm"), name)?;
            insert(&mut headers, HeaderName::from_static("x-amz-checksum-type"), kind)?;
        }
        let begun = self.client.send(Method::POST, self.place, &[("uploads", "")], headers, None);
        let upload = begun.await?.expect_success()?.element("UploadId")?;
        let sent = self.send_parts(located, parts, &upload).await;
        if sent.is_err() {
            let query = [("uploadId", upload.as_str())];
            let aborted =
                self.client.send(Method::DELETE, self.place, &query, HeaderMap::new(), None);
            if let Err(error) = aborted.await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "an upload of a replica was left behind at its endpoint");
            }
        }
        sent
    }

    async fn send_parts(
        &self,
        located: &Located,
        parts: &[Part],
        upload: &str,
    ) -> Result<(), ReplicationError> {
        let mut list = String::new();
        for part in parts {
            let number = part.number.to_string();
            let query = [("partNumber", number.as_str()), ("uploadId", upload)];
            let mut headers = HeaderMap::new();
            put_checksum(&mut headers, part.checksum.as_ref())?;
            let body = self.payload(located, part.range.clone()).await?;
            let sent = self.client.send(Method::PUT, self.place, &query, headers, Some(body));
            let etag = sent.await?.expect_success()?.header("etag")?;
            let checksum = part.checksum.as_ref().map_or_else(String::new, |checksum| {
                let (name, value) =
                    (checksum_name(checksum.algorithm), BASE64.encode(&checksum.value));
                format!("<Checksum{name}>{value}</Checksum{name}>")
            });
            let etag = escaped(&etag);
            list += &format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>{checksum}</Part>"
            );
        }
        let document = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
        let mut query = self.replica();
        query.push(("uploadId", upload));
        let body = Some(Payload::Text(document.into_bytes()));
        let done = self.client.send(Method::POST, self.place, &query, HeaderMap::new(), body);
        // An error can come late, behind a status of success.
        done.await?.expect_success()?.expect_no_error()?;
        Ok(())
    }

    async fn payload(
        &self,
        located: &Located,
        range: Range<u64>,
    ) -> Result<Payload, ReplicationError> {
        let len = range.end - range.start;
        if len == 0 {
            return Ok(Payload::Text(Vec::new()));
        }
        let reader = self.worker.recoder.reader.for_customers();
        let (metering, payer) = (Arc::clone(reader.metering()), self.payer().await?);
        let body = reader.open(located, range, None).await?;
        let counted = body.inspect_ok(move |bytes| metering.egress(&payer, bytes.len() as u64));
        Ok(Payload::Stream(counted.boxed(), len))
    }

    /// Who pays for bytes that leave: the owner of the bucket they are of.
    async fn payer(&self) -> Result<Arc<Payer>, CatalogError> {
        let (name, bucket) = &self.task.bucket;
        let account = self.worker.catalog.bucket(name).await?.owner;
        Ok(Arc::new(Payer { account, bucket: *bucket, key: None }))
    }
}

/// A part that is sent.
#[derive(Clone, PartialEq, Debug)]
struct Part {
    number: u32,
    range: Range<u64>,
    /// Its checksum, where its bytes are those of a part that has one.
    checksum: Option<Checksum>,
}

/// The parts of a version; `None` if it is sent whole.
async fn parts(located: &Located) -> Result<Option<Vec<Part>>, CatalogError> {
    if located.entry.etag.parts == 0 {
        return Ok(None);
    }
    Ok(match located.body().await? {
        LocatedBody::Inline(_) => None,
        LocatedBody::Extents(extents) => Some(cut(&extents, located.detail.checksums.first())),
    })
}

/// The parts that extents are of, or others where S3 would not take those. `whole` is the checksum of the object.
fn cut(extents: &[Extent], whole: Option<&Checksum>) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut from = 0;
    for extent in extents {
        let range = from..from + extent.len;
        from = range.end;
        let same = |has: &&Checksum| whole.is_some_and(|whole| whole.algorithm == has.algorithm);
        match parts.last_mut() {
            Some(last) if last.number == extent.part => {
                last.range.end = range.end;
                // It was the checksum of a piece.
                last.checksum = None;
            }
            _ => parts.push(Part {
                number: extent.part,
                range,
                checksum: extent.checksums.iter().find(same).cloned(),
            }),
        }
    }
    let small = |part: &Part| part.range.end - part.range.start < PART_MIN;
    let all_but_last = &parts[..parts.len().saturating_sub(1)];
    if !all_but_last.iter().any(small) {
        return parts;
    }
    let starts = (0..from).step_by(PART as usize);
    (1..)
        .zip(starts)
        .map(|(number, start)| Part {
            number,
            range: start..from.min(start + PART),
            checksum: None,
        })
        .collect()
}

/// What describes the version beside its bytes.
fn headers(detail: &Detail, class: Option<&str>) -> Result<HeaderMap, ClientError> {
    let kept = &detail.headers;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (CONTENT_TYPE, &kept.content_type),
        (CONTENT_ENCODING, &kept.content_encoding),
        (CONTENT_DISPOSITION, &kept.content_disposition),
        (CONTENT_LANGUAGE, &kept.content_language),
        (CACHE_CONTROL, &kept.cache_control),
        (EXPIRES, &kept.expires),
        (HeaderName::from_static("x-amz-website-redirect-location"), &kept.website_redirect),
    ] {
        if let Some(value) = value {
            insert(&mut headers, name, value)?;
        }
    }
    for (name, value) in &detail.user {
        let name = HeaderName::try_from(format!("x-amz-meta-{name}"))
            .map_err(|error| ClientError::Request(error.into()))?;
        insert(&mut headers, name, &in_ascii(value))?;
    }
    if !detail.tags.is_empty() {
        let strict = |text: &str| utf8_percent_encode(text, STRICT).to_string();
        let tags = detail.tags.iter().map(|(key, value)| [strict(key), strict(value)].join("="));
        let tags = tags.collect::<Vec<_>>().join("&");
        insert(&mut headers, HeaderName::from_static("x-amz-tagging"), &tags)?;
    }
    if detail.encryption == Encryption::SseS3 {
        insert(&mut headers, HeaderName::from_static("x-amz-server-side-encryption"), "AES256")?;
    }
    if let Some(class) = class {
        insert(&mut headers, HeaderName::from_static("x-amz-storage-class"), class)?;
    }
    Ok(headers)
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), ClientError> {
    let value = HeaderValue::from_bytes(value.as_bytes())
        .map_err(|error| ClientError::Request(error.into()))?;
    headers.insert(name, value);
    Ok(())
}

fn put_checksum(headers: &mut HeaderMap, checksum: Option<&Checksum>) -> Result<(), ClientError> {
    let Some(checksum) = checksum else { return Ok(()) };
    let name = checksum_name(checksum.algorithm).to_ascii_lowercase();
    let name = HeaderName::try_from(format!("x-amz-checksum-{name}"))
        .map_err(|error| ClientError::Request(error.into()))?;
    insert(headers, name, &BASE64.encode(&checksum.value))
}

/// A value of user metadata as it travels: what is not ASCII as RFC 2047 has it.
fn in_ascii(value: &str) -> String {
    let plain = value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if plain { value.to_owned() } else { format!("=?UTF-8?B?{}?=", BASE64.encode(value)) }
}

fn tagging(tags: &[(String, String)]) -> Vec<u8> {
    let tag = |(key, value): &(String, String)| {
        format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escaped(key), escaped(value))
    };
    let tags: String = tags.iter().map(tag).collect();
    format!("<Tagging><TagSet>{tags}</TagSet></Tagging>").into_bytes()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use metadata::records::{ChecksumAlgorithm, ContentHeaders};
    use types::{SessionId, StreamId};

    use super::*;

    fn extent(part: u32, len: u64) -> Extent {
        let stream = StreamId { session: SessionId(1), serial: u64::from(part) };
        let value = vec![u8::try_from(part).expect("small")];
        let checksum =
            Checksum { algorithm: ChecksumAlgorithm::Crc32, kind: ChecksumKind::FullObject, value };
        Extent { stream, offset: 0, len, part, checksums: vec![checksum] }
    }

    #[test]
    fn parts_stay_parts_where_s3_takes_them() {
        let whole = extent(9, 0).checksums.remove(0);
        let extents = [extent(2, PART_MIN), extent(5, MIB), extent(5, MIB), extent(7, 1)];
        let sizes = |parts: &[Part]| {
            parts
                .iter()
                .map(|part| (part.number, part.range.end - part.range.start))
                .collect::<Vec<_>>()
        };
        // A part of two pieces is one part, whose checksum nobody knows.
        let large = [extent(2, PART_MIN), extent(5, 3 * MIB), extent(5, 3 * MIB), extent(7, 1)];
        let parts = cut(&large, Some(&whole));
        assert_eq!(sizes(&parts), [(2, PART_MIN), (5, 6 * MIB), (7, 1)]);
        assert_eq!(parts[1].checksum, None);
        assert_eq!(parts[2].checksum.as_ref().map(|sum| sum.value.as_slice()), Some(&[7][..]));
        assert_eq!(parts[1].range, PART_MIN..PART_MIN + 6 * MIB);
        // A small one in the middle: cut anew.
        let parts = cut(&extents, Some(&whole));
        assert_eq!(sizes(&parts), [(1, 7 * MIB + 1)]);
        let parts = cut(&[extent(1, 1), extent(2, PART)], None);
        assert_eq!(sizes(&parts), [(1, PART), (2, 1)]);
    }

    #[test]
    fn what_describes_a_version_travels_in_headers() {
        let kept = ContentHeaders {
            content_type: Some("text/plain".to_owned()),
            ..ContentHeaders::default()
        };
        let detail = Detail {
            headers: kept,
            user: vec![("a".to_owned(), "b c".to_owned()), ("u".to_owned(), "ü".to_owned())],
            tags: vec![("team".to_owned(), "a b&c".to_owned())],
            ..Detail::default()
        };
        let headers = headers(&detail, Some("COOL")).expect("headers");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("x-amz-meta-a", "b c"),
            ("x-amz-meta-u", "=?UTF-8?B?w7w=?="),
            ("x-amz-tagging", "team=a%20b%26c"),
            ("x-amz-storage-class", "COOL"),
        ] {
            assert_eq!(headers.get(name).and_then(|value| value.to_str().ok()), Some(value));
        }
        assert_eq!(headers.len(), 5);
        let document = tagging(&[("a<".to_owned(), "b&".to_owned())]);
        let document = String::from_utf8(document).expect("text");
        assert!(document.contains("<Key>a&lt;</Key><Value>b&amp;</Value>"), "{document}");
    }
}
