//! A GET's start: one snapshot gives the entry, its detail and everything needed to open the bytes, so that a delete a moment
//! later takes nothing away from a read that has begun.

use kv::Snap;
use seal::wrap::WrappedKey;
use types::{BucketId, ObjectKey, StreamId, VersionId};

use crate::commit::Inline;
use crate::records::{Body, Detail, Entry, Extent};
use crate::schema::{DETAILS, EXTENTS, INLINE, OBJECTS, WRAPS};
use crate::versions::pick;
use crate::{Catalog, CatalogError};

/// An object as one snapshot saw it.
pub struct Located {
    /// The list row.
    pub entry: Entry,
    /// Headers, metadata, checksums.
    pub detail: Detail,
    pub(crate) bucket: BucketId,
    pub(crate) key: ObjectKey,
    pub(crate) snap: Snap,
}

/// Where the bytes of a located object are, with the keys to open them.
pub enum LocatedBody {
    /// The ciphertext itself, its wrap filled in.
    Inline(Inline),
    /// Extents in object order.
    Extents(Vec<Extent>),
}

impl Catalog {
    /// The current version of a key.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchKey`]; [`CatalogError::DeleteMarker`].
    pub async fn locate(&self, bucket: BucketId, key: &ObjectKey) -> Result<Located, CatalogError> {
        self.locate_version(bucket, key, None).await
    }

    /// A version of a key; the current one without an id.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchKey`], [`CatalogError::NoSuchVersion`]; [`CatalogError::DeleteMarker`].
    pub async fn locate_version(
        &self,
        bucket: BucketId,
        key: &ObjectKey,
        version: Option<VersionId>,
    ) -> Result<Located, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let at = (bucket, key.clone());
        let present = OBJECTS.get(&snap, &at).await?;
        let entry = match version {
            None => present.ok_or(CatalogError::NoSuchKey)?,
            Some(version) => {
                pick(&snap, &at, version, present).await?.ok_or(CatalogError::NoSuchVersion)?.entry
            }
        };
        let entry = entry.with_bytes(version.is_some())?;
        let detail = DETAILS.get(&snap, &entry.manifest).await?;
        let detail = detail.ok_or_else(|| entry.without_detail())?;
        Ok(Located { entry, detail, bucket, key: at.1, snap })
    }
}

impl Located {
    /// Where the bytes are.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] if rows are missing.
    pub async fn body(&self) -> Result<LocatedBody, CatalogError> {
        let manifest = self.entry.manifest;
        let gone = |what| CatalogError::Corrupt(format!("manifest {manifest} has no {what}"));
        match self.entry.body {
            Body::Inline => {
                let mut inline =
                    INLINE.get(&self.snap, &manifest).await?.ok_or_else(|| gone("inline bytes"))?;
                inline.wrap = Some(self.wrap(inline.stream).await?);
                Ok(LocatedBody::Inline(inline))
            }
            Body::Extents { pages } => {
                let mut extents = Vec::new();
                for page in 0..pages {
                    let page = EXTENTS.get(&self.snap, &(manifest, page)).await?;
                    extents.extend(page.ok_or_else(|| gone("page of extents"))?);
                }
                Ok(LocatedBody::Extents(extents))
            }
            Body::DeleteMarker => Err(gone("bytes, for it is a delete marker")),
        }
    }

    /// The wrapped data key of one of the object's streams.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] if it is not there.
    pub async fn wrap(&self, stream: StreamId) -> Result<WrappedKey, CatalogError> {
        let manifest = self.entry.manifest;
        WRAPS.get(&self.snap, &(manifest, stream)).await?.ok_or_else(|| {
            CatalogError::Corrupt(format!("manifest {manifest} has no key for stream {stream}"))
        })
    }
}
