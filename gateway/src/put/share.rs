//! Share: a copy that moves no data. The copy refers to the source's streams, under the same data keys wrapped anew.

use metadata::commit::Inline;
use metadata::records::{Encryption, Part, Upload};
use metadata::uploads::UploadAt;
use metadata::{Entry, Located, LocatedBody, NewBody};
use seal::DataKey;
use types::{BucketId, StreamId};

use super::commit::new_object;
use super::{CustomerKey, PutError, Target, Writer};

impl Writer {
    /// Copies an object of the same geometry: its extents are shared, its keys re-wrapped.
    ///
    /// # Errors
    /// [`metadata::CatalogError::StreamDying`] if the source is being collected: locate it again, or move the data.
    pub async fn share_object(
        &self,
        source: &Located,
        source_key: Option<&CustomerKey>,
        target: Target,
    ) -> Result<Entry, PutError> {
        self.quotas.admit(target.bucket.1, source.entry.size)?;
        let under = Under {
            bucket: target.bucket.1,
            encryption: &target.detail.encryption,
            customer: target.customer.as_ref(),
        };
        let body = match source.body().await? {
            LocatedBody::Inline(inline) => {
                let wrap = self.rewrap(source, inline.stream, source_key, &under).await?;
                NewBody::Inline(Inline { wrap: Some(wrap), ..inline })
            }
            LocatedBody::Extents(extents) => {
                let mut shared = Vec::with_capacity(extents.len());
                for extent in extents {
                    let wrap = self.rewrap(source, extent.stream, source_key, &under).await?;
                    shared.push((extent, wrap));
                }
                NewBody::Extents { extents: shared, streams: Vec::new() }
            }
        };
        let mut new = new_object(target, source.entry.size, source.entry.etag, body);
        new.detail.checksums.clone_from(&source.detail.checksums);
        Ok(self.catalog.commit_object(self.session.id(), &new).await?)
    }

    /// Makes a whole object a part of an upload without moving it. `None` if its bytes are not one stream of the upload's
    /// geometry: then they must be moved.
    ///
    /// # Errors
    /// As [`Self::share_object`].
    pub async fn share_part(
        &self,
        source: &Located,
        source_key: Option<&CustomerKey>,
        at: &UploadAt,
        upload: &Upload,
        number: u32,
        customer: Option<&CustomerKey>,
    ) -> Result<Option<Part>, PutError> {
        self.quotas.check(at.0, source.entry.size)?;
        let LocatedBody::Extents(extents) = source.body().await? else { return Ok(None) };
        let [extent] = extents.as_slice() else { return Ok(None) };
        // A part's entity tag is the MD5 of its bytes, which a multipart object's is not; and a checksum the upload was
        // announced with must be known of the part.
        let checksums_fit = upload.checksum.is_none_or(|(algorithm, _)| {
            source.detail.checksums.iter().any(|checksum| checksum.algorithm == algorithm)
        });
        if source.entry.geometry != upload.geometry
            || source.entry.etag.parts != 0
            || !checksums_fit
        {
            return Ok(None);
        }
        let under = Under { bucket: at.0, encryption: &upload.detail.encryption, customer };
        let wrap = self.rewrap(source, extent.stream, source_key, &under).await?;
        let part = Part {
            stream: extent.stream,
            offset: extent.offset,
            len: extent.len,
            md5: source.entry.etag.md5,
            modified: self.clock.now(),
            checksums: source.detail.checksums.clone(),
        };
        self.catalog.commit_part(self.session.id(), at, number, &part, &wrap, None).await?;
        Ok(Some(part))
    }

    async fn rewrap(
        &self,
        source: &Located,
        stream: StreamId,
        source_key: Option<&CustomerKey>,
        under: &Under<'_>,
    ) -> Result<seal::WrappedKey, PutError> {
        let key = self.unwrap(source, stream, source_key).await?;
        let under = self.keys.wrap(under.bucket, under.encryption, under.customer).await?;
        Ok(seal::wrap(&key, stream, &under))
    }

    pub(super) async fn unwrap(
        &self,
        source: &Located,
        stream: StreamId,
        customer: Option<&CustomerKey>,
    ) -> Result<DataKey, PutError> {
        let wrapped = source.wrap(stream).await?;
        let under = self.keys.unwrap(wrapped.wrapping(), customer).await?;
        Ok(seal::unwrap(&wrapped, stream, &under)?)
    }
}

/// What a copy's data keys are wrapped under.
struct Under<'a> {
    bucket: BucketId,
    encryption: &'a Encryption,
    customer: Option<&'a CustomerKey>,
}
