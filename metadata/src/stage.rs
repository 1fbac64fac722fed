//! Staging: a version with so many extents that they do not fit one transaction is written ahead, page by page, and becomes visible by a
//! commit as small as any other.
//!
//! The manifest is fresh, so nobody else writes under its id. A release row of the kind `Staged` is put with the first page and taken
//! away by the commit; collect turns one that was left behind into an ordinary release.

use std::time::Duration;

use seal::wrap::WrappedKey;
use types::{ManifestId, SessionId};

use crate::commit::{NewBody, NewObject};
use crate::garbage::Release;
use crate::records::Extent;
use crate::rows::{EXTENT_BYTES_PER_COMMIT, count, paged, refer_page, size_of};
use crate::schema::RELEASES;
use crate::{Catalog, CatalogError};

/// Extents that a commit takes along in its own transaction, if their checksums are not too large for it: with references and wraps below half of what
/// one may write.
pub(crate) const EXTENTS_PER_COMMIT: usize = 1_000;
/// How long after its first page a staged version may be committed. It takes a second.
const STAGED_FOR: Duration = Duration::from_secs(600);

impl Catalog {
    /// Writes the extents of `new` ahead of its commit if they are many; whether it did.
    pub(crate) async fn stage(
        &self,
        session: SessionId,
        new: &NewObject,
    ) -> Result<bool, CatalogError> {
        let NewBody::Extents { extents, .. } = &new.body else { return Ok(false) };
        let bytes: usize = extents.iter().map(|(extent, _)| size_of(extent)).sum();
        if extents.len() <= EXTENTS_PER_COMMIT && bytes <= EXTENT_BYTES_PER_COMMIT {
            return Ok(false);
        }
        let pages = paged(extents, |(extent, _)| extent);
        let until = self.now().plus(STAGED_FOR);
        let release = Release::Staged { until, pages: count(&pages) };
        for (number, page) in (0..).zip(pages) {
            let staged = self.stage_page(session, new, number, page, &release).await;
            if let Err(refused) = staged {
                self.give_up_staged(new.manifest).await;
                return Err(refused);
            }
        }
        Ok(true)
    }

    async fn stage_page(
        &self,
        session: SessionId,
        new: &NewObject,
        number: u32,
        page: &[(Extent, WrappedKey)],
        release: &Release,
    ) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            self.check_session(&tx, session).await?;
            let at = (new.manifest, Release::STAGED);
            if number == 0 {
                RELEASES.put(&tx, &at, release);
            } else if RELEASES.get_shared(&tx, &at).await?.is_none() {
                return Err(too_late(page));
            }
            let NewBody::Extents { streams, .. } = &new.body else { return Ok(()) };
            refer_page(&tx, new.manifest, number, page, streams).await
        })
        .await
    }

    /// Leaves to collect what was staged for a commit that was refused.
    pub(crate) async fn give_up_staged(&self, manifest: ManifestId) {
        if let Err(error) = self.unstage(manifest).await {
            tracing::warn!(%manifest, %error, "a staged version could not be given up; it will be once its time is over");
        }
    }

    /// Turns what was staged into an ordinary release, unless it was committed.
    pub(crate) async fn unstage(&self, manifest: ManifestId) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let at = (manifest, Release::STAGED);
            if let Some(Release::Staged { pages, .. }) = RELEASES.get_for_update(&tx, &at).await? {
                RELEASES.delete(&tx, &at);
                self.put_release(&tx, manifest, &Release::Version { pages });
            }
            Ok(())
        })
        .await
    }
}

/// What is said to a commit that collect overtook: the copy must begin anew.
pub(crate) fn too_late(extents: &[(Extent, WrappedKey)]) -> CatalogError {
    match extents.first() {
        Some((extent, _)) => CatalogError::StreamDying(extent.stream),
        None => CatalogError::Corrupt("a version without extents was staged".to_owned()),
    }
}
