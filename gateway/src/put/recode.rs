//! Recode: a version moves to another storage class. If that class codes as the version is coded already, only its name changes; else the
//! bytes are read and stored anew, and the version's rows change over to them in one transaction.
//!
//! The version stays what it was for everybody: id, time, entity tag, checksums, tags, lock.

use std::sync::Arc;

use metadata::list_versions::ListedVersion;
use metadata::recode::{RECODED_EXTENTS_MAX, Recoded};
use metadata::records::{Encryption, StreamRow, StreamState};
use metadata::{Catalog, CatalogError, Extent, Located, LocatedBody, StreamCommit};
use types::{BucketId, BucketName, GeometryName, ManifestId};

use super::store::{Stored, StreamPlan};
use super::{BodyError, Incoming, PutError, Writer};
use crate::get::{GetError, Reader};

/// Why a version could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum RecodeError {
    /// The class is not configured any more.
    #[error("the storage class {0} is not configured")]
    Class(String),
    /// Its bytes could not be read.
    #[error("its bytes cannot be read")]
    Read(#[from] GetError),
    /// They could not be stored.
    #[error("its bytes cannot be stored")]
    Store(#[from] PutError),
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Moves versions. Cheap to clone.
#[derive(Clone)]
pub struct Recoder {
    /// The catalog.
    pub catalog: Catalog,
    /// Reads the bytes.
    pub reader: Reader,
    /// Stores them.
    pub writer: Writer,
    /// The classes by name, and how they are coded.
    pub classes: Arc<[(String, GeometryName)]>,
}

impl Recoder {
    /// Moves a version, if it is still there. One under a customer's key (SSE-C) can be moved only where its bytes stay as they are; else it
    /// stays. So does one of more than [`RECODED_EXTENTS_MAX`] parts.
    ///
    /// # Errors
    /// [`RecodeError`]; the version is as it was then.
    pub async fn move_to(
        &self,
        bucket: &(BucketName, BucketId),
        version: &ListedVersion,
        class: &str,
    ) -> Result<(), RecodeError> {
        let known = self.classes.iter().find(|(name, _)| name == class);
        let (class, geometry) = known.ok_or_else(|| RecodeError::Class(class.to_owned()))?;
        let (entry, key) = (&version.entry, &version.key);
        let found = self.catalog.locate_version(bucket.1, key, Some(entry.version)).await;
        let located = match found {
            Ok(located)
                if located.entry.manifest == entry.manifest
                    && located.entry.modified == entry.modified =>
            {
                located
            }
            // Somebody was faster.
            Ok(_) | Err(CatalogError::NoSuchKey | CatalogError::NoSuchVersion) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let extents = match located.body().await? {
            LocatedBody::Extents(extents) if entry.geometry != *geometry => extents,
            // Inline bytes are not coded at all.
            LocatedBody::Extents(_) | LocatedBody::Inline(_) => {
                self.catalog.change_class(bucket, version, class, *geometry).await?;
                return Ok(());
            }
        };
        // Nobody reads it, not even to move it.
        match located.check_not_taken_down().await {
            Err(CatalogError::TakenDown) => return Ok(()),
            checked => checked?,
        }
        let sealed = matches!(located.detail.encryption, Encryption::Customer { .. });
        if sealed || extents.len() > RECODED_EXTENTS_MAX {
            tracing::debug!(bucket = %bucket.0, sealed, parts = extents.len(), "a version cannot be moved and stays");
            return Ok(());
        }
        self.recode(bucket, version, &located, &extents, (class, *geometry)).await
    }

    /// Stores each extent as a stream of its own, so that parts stay parts, and changes the version over.
    async fn recode(
        &self,
        bucket: &(BucketName, BucketId),
        version: &ListedVersion,
        located: &Located,
        extents: &[Extent],
        (class, geometry): (&str, GeometryName),
    ) -> Result<(), RecodeError> {
        let mut new = Vec::with_capacity(extents.len());
        let mut from = 0;
        for extent in extents {
            let stored = self.store(bucket.1, version, located, from, extent, geometry).await?;
            from += extent.len;
            new.push((Extent { stream: stored.id, offset: 0, ..extent.clone() }, stored));
        }
        let recoded = Recoded {
            manifest: ManifestId::random(),
            geometry,
            class: class.to_owned(),
            extents: new
                .iter()
                .map(|(extent, stored)| (extent.clone(), stored.wrap.clone()))
                .collect(),
            streams: new.iter().map(|(_, stored)| stored.commit.clone()).collect(),
        };
        // To its end even if upkeep is stopped: half-way, nobody could say whether it happened, and the new shards would be dropped.
        let (this, bucket, version) = (self.clone(), bucket.clone(), version.clone());
        let commit =
            tokio::spawn(async move { this.change_over(&bucket, &version, recoded, new).await });
        commit.await.unwrap_or(Err(PutError::ShuttingDown.into()))
    }

    async fn change_over(
        &self,
        bucket: &(BucketName, BucketId),
        version: &ListedVersion,
        recoded: Recoded,
        new: Vec<(Extent, Stored)>,
    ) -> Result<(), RecodeError> {
        let session = self.writer.session.id();
        let committed = self.catalog.recode_version(session, bucket, version, recoded).await;
        for (_, stored) in new {
            stored.abandon.conclude(&committed);
            if committed.is_ok() {
                for durable in stored.durables {
                    durable.settle(&self.catalog, &self.writer.pending);
                }
            }
        }
        match committed {
            Ok(()) | Err(CatalogError::PreconditionFailed) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn store(
        &self,
        bucket: BucketId,
        version: &ListedVersion,
        located: &Located,
        from: u64,
        extent: &Extent,
        geometry: GeometryName,
    ) -> Result<Stored, RecodeError> {
        use futures::StreamExt as _;
        let bytes = self.reader.open(located, from..from + extent.len, None).await?;
        let body = bytes.map(|piece| piece.map_err(|error| BodyError::Broken(error.to_string())));
        let incoming = Incoming {
            len: extent.len,
            body: body.boxed(),
            content_md5: None,
            checksums: Vec::new(),
            trailer: None,
            slack: 0,
        };
        let plan = StreamPlan {
            bucket,
            key: &version.key,
            geometry,
            encryption: &located.detail.encryption,
            customer: None,
        };
        let mut stored = self.writer.store_stream(plan, incoming).await?;
        // Its segments ahead, so that the change-over fits one transaction however many parts there are.
        let rows = &mut stored.commit;
        let ahead = StreamCommit {
            row: StreamRow { state: StreamState::Writing, ..rows.row.clone() },
            segments: std::mem::take(&mut rows.segments),
            id: rows.id,
            first: rows.first,
        };
        rows.first = rows.row.segments;
        self.catalog.commit_segments(self.writer.session.id(), &ahead).await?;
        Ok(stored)
    }
}
