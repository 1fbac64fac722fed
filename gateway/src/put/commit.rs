//! Commit: the only point of no return. Everything before can be undone by forgetting it.

use bytes::Bytes;
use metadata::commit::Inline;
use metadata::records::{Part, Upload};
use metadata::uploads::UploadAt;
use metadata::{CatalogError, Entry, Etag, Extent, NewBody, NewObject};
use seal::stream::StreamCipher;
use seal::{CHUNK_PLAIN, DataKey, TAG};
use types::ManifestId;

use super::abandon::Abandon;
use super::ingest::Ingest;
use super::scatter::Durable;
use super::store::StreamPlan;
use super::{CustomerKey, INLINE_MAX, Incoming, PutError, Target, Writer};

const _: () = assert!(INLINE_MAX <= CHUNK_PLAIN as u64, "an inline object is one chunk");

/// What an object is written on.
#[derive(Clone, Copy)]
pub(super) enum Footing {
    /// Nothing: it is new, with all that it carries.
    Fresh,
    /// One that was appended to: what it carries beside its bytes stays what it is at the moment of the commit.
    Grown,
}

impl Footing {
    pub(super) async fn commit(
        self,
        writer: &Writer,
        new: &NewObject,
    ) -> Result<Entry, CatalogError> {
        match self {
            Self::Fresh => writer.catalog.commit_object(writer.session.id(), new).await,
            Self::Grown => writer.catalog.regrow_object(writer.session.id(), new).await,
        }
    }
}

impl Writer {
    /// Stores an object and makes it the current version of its key.
    ///
    /// # Errors
    /// [`PutError`]; the old object is untouched then.
    pub async fn put_object(&self, target: Target, incoming: Incoming) -> Result<Entry, PutError> {
        // Boxed: it is far larger than the rest of whatever asks for it.
        Box::pin(self.put_as(Footing::Fresh, target, incoming)).await
    }

    /// Stores an object whole, on that footing.
    pub(super) async fn put_as(
        &self,
        footing: Footing,
        target: Target,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        self.quotas.admit(target.bucket.1, incoming.len)?;
        if incoming.len <= INLINE_MAX {
            return self.put_inline(footing, target, incoming).await;
        }
        let plan = StreamPlan {
            bucket: target.bucket.1,
            key: &target.key,
            geometry: target.geometry,
            encryption: &target.detail.encryption,
            customer: target.customer.as_ref(),
        };
        let stored = self.store_stream(plan, incoming).await?;
        let extent = Extent {
            stream: stored.id,
            offset: 0,
            len: stored.ingested.len,
            part: 0,
            checksums: Vec::new(),
        };
        let body =
            NewBody::Extents { extents: vec![(extent, stored.wrap)], streams: vec![stored.commit] };
        let etag = Etag { md5: stored.ingested.md5, parts: 0 };
        let mut new = new_object(target, stored.ingested.len, etag, body);
        new.detail.checksums = stored.ingested.checksums;
        let writer = self.clone();
        uncancelled(async move {
            let committed = footing.commit(&writer, &new).await;
            writer.conclude(committed, stored.abandon, stored.durables)
        })
        .await
    }

    /// Stores one part of an upload.
    ///
    /// # Errors
    /// [`PutError`]; an earlier part of the same number is untouched then.
    pub async fn put_part(
        &self,
        at: &UploadAt,
        upload: &Upload,
        number: u32,
        customer: Option<&CustomerKey>,
        incoming: Incoming,
    ) -> Result<Part, PutError> {
        // It counts once the upload is completed.
        self.quotas.check(at.0, incoming.len)?;
        let plan = StreamPlan {
            bucket: at.0,
            key: &at.1,
            geometry: upload.geometry,
            encryption: &upload.detail.encryption,
            customer,
        };
        let stored = self.store_stream(plan, incoming).await?;
        let part = Part {
            stream: stored.id,
            offset: 0,
            len: stored.len,
            md5: stored.ingested.md5,
            modified: self.clock.now(),
            checksums: stored.ingested.checksums,
        };
        let (writer, at) = (self.clone(), at.clone());
        uncancelled(async move {
            let session = writer.session.id();
            let (wrap, stream) = (&stored.wrap, Some(&stored.commit));
            let committed =
                writer.catalog.commit_part(session, &at, number, &part, wrap, stream).await;
            writer.conclude(committed, stored.abandon, stored.durables)?;
            Ok(part)
        })
        .await
    }

    /// Small objects live in the metadata: one chunk of ciphertext, one transaction.
    async fn put_inline(
        &self,
        footing: Footing,
        target: Target,
        incoming: Incoming,
    ) -> Result<Entry, PutError> {
        let len = incoming.len;
        let mut ingest = Ingest::new(incoming);
        let mut digester = ingest.digester();
        let mut cipher = Vec::with_capacity(INLINE_MAX as usize + TAG);
        for piece in ingest.batch(INLINE_MAX as usize + 1).await?.pieces {
            digester.update(&piece);
            cipher.extend_from_slice(&piece);
        }
        let ingested = ingest.finish(digester.finish()).await?;
        let (key, stream) = (DataKey::generate(), self.session.new_stream());
        cipher.resize(cipher.len() + TAG, 0);
        StreamCipher::new(&key).seal_chunk(0, true, &mut cipher)?;
        let encryption = &target.detail.encryption;
        let under = self.keys.wrap(target.bucket.1, encryption, target.customer.as_ref()).await?;
        let wrap = Some(seal::wrap(&key, stream, &under));
        let body = NewBody::Inline(Inline { stream, wrap, cipher: Bytes::from(cipher) });
        let mut new = new_object(target, len, Etag { md5: ingested.md5, parts: 0 }, body);
        new.detail.checksums = ingested.checksums;
        Ok(footing.commit(self, &new).await?)
    }

    /// What follows a commit: stragglers are seen to if it succeeded, the stream is abandoned if it was refused.
    pub(super) fn conclude<T>(
        &self,
        committed: Result<T, CatalogError>,
        abandon: Abandon,
        durables: Vec<Durable>,
    ) -> Result<T, PutError> {
        abandon.conclude(&committed);
        if committed.is_ok() {
            for durable in durables {
                durable.settle(&self.catalog, &self.pending);
            }
        }
        Ok(committed?)
    }
}

/// Runs a commit to its end even if the request is cancelled: half-way, nobody could say whether it happened.
pub(super) async fn uncancelled<T: Send + 'static>(
    commit: impl Future<Output = Result<T, PutError>> + Send + 'static,
) -> Result<T, PutError> {
    tokio::spawn(commit).await.unwrap_or(Err(PutError::ShuttingDown))
}

/// A new version under a fresh manifest.
pub(crate) fn new_object(target: Target, size: u64, etag: Etag, body: NewBody) -> NewObject {
    NewObject {
        bucket: target.bucket,
        key: target.key,
        manifest: ManifestId::random(),
        size,
        etag,
        geometry: target.geometry,
        class: target.class,
        owner: target.owner,
        detail: target.detail,
        body,
        preconditions: target.preconditions,
        replica: target.replica,
        sequel: target.sequel,
    }
}
