//! Append: bytes are added to the end of an object.
//!
//! | the object | becomes |
//! |---|---|
//! | none, or an empty one | an object that is put whole |
//! | inline, and small enough still | inline, written anew |
//! | inline | two parts: its bytes and the new ones, each a stream |
//! | on nodes | what it was, and a stream more as its last part; nothing is moved |
//!
//! Its entity tag becomes the MD5 of the tag before and the MD5 of the new bytes, with the number of parts: for two parts that is the tag of a
//! multipart object.

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use metadata::append::Append;
use metadata::commit::Inline;
use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind};
use metadata::{Body, CatalogError, Entry, Etag, Extent, Located, LocatedBody, NewBody, NewObject};
use seal::stream::StreamCipher;
use types::{BucketId, BucketName, ObjectKey};

use super::commit::{Footing, uncancelled};
use super::ingest::{Ingest, Ingested};
use super::store::{Stored, StreamPlan};
use super::{CustomerKey, INLINE_MAX, Incoming, PutError, Target, Writer};
use crate::digest;

/// What is appended to.
pub struct Appending<'a> {
    /// The bucket by name, and the identity it had when the request began.
    pub bucket: (BucketName, BucketId),
    /// The key.
    pub key: ObjectKey,
    /// The object as it was seen.
    pub object: &'a Located,
    /// The customer's key, if the object is under one.
    pub customer: Option<CustomerKey>,
    /// What must hold of the present object, its size among it.
    pub preconditions: metadata::Preconditions,
    /// What it leaves to do.
    pub sequel: metadata::Sequel<Entry>,
}

impl Writer {
    /// Adds bytes to the end of an object that is there.
    ///
    /// # Errors
    /// [`PutError`]; the object is as it was then.
    pub async fn append_object(
        &self,
        to: Appending<'_>,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        match to.object.body().await? {
            LocatedBody::Extents(_) => self.append_stream(to, incoming).await,
            LocatedBody::Inline(inline) => {
                let before = self.open_inline(&to, inline).await?;
                let whole = (before.len() as u64).saturating_add(incoming.len);
                if before.is_empty() {
                    Box::pin(self.put_as(Footing::Grown, to.target(), incoming)).await
                } else if whole <= INLINE_MAX {
                    self.append_small(to, before, incoming).await
                } else {
                    self.append_large(to, before, incoming).await
                }
            }
        }
    }

    /// The new bytes become a stream, and it the object's last part.
    async fn append_stream(
        &self,
        to: Appending<'_>,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        self.quotas.admit(to.bucket.1, incoming.len)?;
        let stored = self.store_stream(to.plan(), incoming).await?;
        let (seen, detail) = (&to.object.entry, &to.object.detail);
        let new = &stored.ingested;
        let append = Append {
            seen: seen.clone(),
            stream: stored.commit.clone(),
            len: new.len,
            wrap: stored.wrap.clone(),
            part_checksums: new.checksums.clone(),
            etag: lengthened(&seen.etag, &new.md5),
            checksums: joined(&detail.checksums, seen.size, &new.checksums, new.len),
            bucket: to.bucket,
            key: to.key,
            preconditions: to.preconditions,
            sequel: to.sequel,
        };
        let writer = self.clone();
        uncancelled(async move {
            let session = writer.session.id();
            let committed = writer.catalog.append_object(session, &append).await;
            writer.conclude(committed, stored.abandon, stored.durables)
        })
        .await
    }

    /// What was said of the new bytes is compared first; then all of them are put.
    async fn append_small(
        &self,
        to: Appending<'_>,
        before: Bytes,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        let mut ingest = Ingest::new(incoming);
        let mut digester = ingest.digester();
        let mut whole = BytesMut::from(&before[..]);
        for piece in ingest.batch(INLINE_MAX as usize + 1).await?.pieces {
            digester.update(&piece);
            whole.extend_from_slice(&piece);
        }
        let Ingested { checksums, .. } = ingest.finish(digester.finish()).await?;
        let algorithms = checksums.into_iter().map(|checksum| checksum.algorithm);
        let incoming = in_memory(whole.freeze(), algorithms);
        Box::pin(self.put_as(Footing::Grown, to.target(), incoming)).await
    }

    /// The bytes before become a stream too.
    async fn append_large(
        &self,
        to: Appending<'_>,
        before: Bytes,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        self.quotas.admit(to.bucket.1, incoming.len)?;
        let algorithms: Vec<ChecksumAlgorithm> =
            incoming.checksums.iter().map(|(algorithm, _)| *algorithm).collect();
        let new = self.store_stream(to.plan(), incoming).await?;
        let old = self.store_stream(to.plan(), in_memory(before, algorithms)).await?;
        let object = both(to, &old, &new);
        let writer = self.clone();
        uncancelled(async move {
            let committed = Footing::Grown.commit(&writer, &object).await;
            new.abandon.conclude(&committed);
            let entry = writer.conclude(committed, old.abandon, old.durables)?;
            for durable in new.durables {
                durable.settle(&writer.catalog, &writer.pending);
            }
            Ok(entry)
        })
        .await
    }

    async fn open_inline(&self, to: &Appending<'_>, inline: Inline) -> Result<Bytes, PutError> {
        let key = self.unwrap(to.object, inline.stream, to.customer.as_ref()).await?;
        let mut bytes = BytesMut::from(&inline.cipher[..]);
        let len = StreamCipher::new(&key).open_chunk(0, true, &mut bytes)?.len();
        bytes.truncate(len);
        Ok(bytes.freeze())
    }
}

impl Appending<'_> {
    fn plan(&self) -> StreamPlan<'_> {
        StreamPlan {
            bucket: self.bucket.1,
            key: &self.key,
            geometry: self.object.entry.geometry,
            encryption: &self.object.detail.encryption,
            customer: self.customer.as_ref(),
        }
    }

    /// The object written anew, if it is still the one that was seen.
    fn target(self) -> Target {
        let Entry { geometry, class, owner, manifest, .. } = self.object.entry.clone();
        let mut preconditions = self.preconditions;
        preconditions.manifest = Some(manifest);
        Target {
            bucket: self.bucket,
            key: self.key,
            geometry,
            class,
            owner,
            detail: self.object.detail.clone(),
            customer: self.customer,
            preconditions,
            replica: None,
            sequel: self.sequel,
        }
    }
}

/// An object of two parts.
fn both(to: Appending<'_>, old: &Stored, new: &Stored) -> NewObject {
    let extent = |stored: &Stored, part| Extent {
        stream: stored.id,
        offset: 0,
        len: stored.ingested.len,
        part,
        checksums: stored.ingested.checksums.clone(),
    };
    let body = NewBody::Extents {
        extents: vec![(extent(old, 1), old.wrap.clone()), (extent(new, 2), new.wrap.clone())],
        streams: vec![old.commit.clone(), new.commit.clone()],
    };
    let (first, second) = (&old.ingested, &new.ingested);
    let etag = lengthened(&Etag { md5: first.md5, parts: 0 }, &second.md5);
    let checksums = joined(&first.checksums, first.len, &second.checksums, second.len);
    let size = first.len.saturating_add(second.len);
    let mut object = super::commit::new_object(to.target(), size, etag, body);
    object.detail.checksums = checksums;
    object
}

/// Bytes that are there already, with the checksums to compute of them.
fn in_memory(bytes: Bytes, algorithms: impl IntoIterator<Item = ChecksumAlgorithm>) -> Incoming {
    Incoming {
        len: bytes.len() as u64,
        slack: 0,
        body: futures::stream::once(std::future::ready(Ok(bytes))).boxed(),
        content_md5: None,
        checksums: algorithms.into_iter().map(|algorithm| (algorithm, None)).collect(),
        trailer: None,
    }
}

/// The entity tag of an object that got another part.
fn lengthened(before: &Etag, part: &[u8; 16]) -> Etag {
    Etag { md5: digest::multipart_md5([&before.md5, part]), parts: before.parts.max(1) + 1 }
}

/// The checksums of a whole of which both halves' are known: CRCs of all bytes. Others end with the append.
fn joined(before: &[Checksum], len: u64, part: &[Checksum], part_len: u64) -> Vec<Checksum> {
    let full = |checksum: &&Checksum| checksum.kind == ChecksumKind::FullObject;
    let join = |first: &Checksum| {
        let same = |checksum: &&Checksum| checksum.algorithm == first.algorithm;
        let second = part.iter().filter(full).find(same)?;
        let values = [(first.value.as_slice(), len), (second.value.as_slice(), part_len)];
        let value = digest::combine(first.algorithm, &values)?;
        Some(Checksum { algorithm: first.algorithm, kind: ChecksumKind::FullObject, value })
    };
    before.iter().filter(full).filter_map(join).collect()
}

/// Whether what a request says of an object's size holds of it, before any of its bytes are taken in.
///
/// # Errors
/// [`CatalogError::TooManyParts`]; those of [`metadata::Preconditions::check`].
pub fn check(
    preconditions: &metadata::Preconditions,
    present: Option<&Entry>,
) -> Result<(), CatalogError> {
    preconditions.check(present)?;
    match present {
        Some(Entry { body: Body::Extents { .. }, etag, .. })
            if etag.parts >= metadata::append::APPENDED_PARTS_MAX =>
        {
            Err(CatalogError::TooManyParts)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digester;

    fn checksums(bytes: &[u8], algorithms: &[ChecksumAlgorithm]) -> Vec<Checksum> {
        let mut digester = Digester::new(algorithms);
        digester.update(bytes);
        let full =
            |(algorithm, value)| Checksum { algorithm, kind: ChecksumKind::FullObject, value };
        digester.finish().checksums.into_iter().map(full).collect()
    }

    #[test]
    fn crcs_of_the_whole_follow_and_others_end() {
        let crcs = [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Crc32];
        let all = [crcs[0], crcs[1], ChecksumAlgorithm::Sha256];
        let (first, second) = (b"first and ".as_slice(), b"second".as_slice());
        let (before, part) = (checksums(first, &all), checksums(second, &all));
        let whole = checksums(b"first and second", &crcs);
        let lens = (first.len() as u64, second.len() as u64);
        assert_eq!(joined(&before, lens.0, &part, lens.1), whole);
        let none = joined(&before, lens.0, &checksums(second, &all[2..]), lens.1);
        assert_eq!(none, [], "no checksum of the same algorithm");
        assert_eq!(joined(&before, lens.0, &checksums(b"", &crcs), 0), before[..2]);
    }

    #[test]
    fn the_tag_of_two_parts_is_that_of_a_multipart_object() {
        let (first, second) = (digest::md5(b"a"), digest::md5(b"b"));
        let two = lengthened(&Etag { md5: first, parts: 0 }, &second);
        assert_eq!(two, Etag { md5: digest::multipart_md5([&first, &second]), parts: 2 });
        assert_eq!(lengthened(&two, &second).parts, 3);
    }
}
