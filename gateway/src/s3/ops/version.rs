//! What the operations on one version of an object have in common: they find it, decide about exactly what was found, and act on that or on nothing.

use metadata::{Catalog, CatalogError, Detail, Entry, Located};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, dto};
use types::{ObjectKey, VersionId};

use crate::changes::Changes;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Door, Gate, OfObject, Said, Which};
use crate::s3::{describe, error, follow};

/// How often a version is looked at and decided about anew because another object took its place meanwhile.
const ATTEMPTS: usize = 3;

/// Which version a request is about.
#[derive(Clone, Copy)]
pub(super) struct Address<'a> {
    pub(super) bucket: &'a str,
    /// The key, and the version that is named.
    pub(super) which: Which<'a>,
    /// Whose the bucket must be.
    pub(super) expected: Option<&'a str>,
}

/// A request that is about a version of an object.
pub(super) trait Addressed {
    fn address(&self) -> Address<'_>;
}

macro_rules! addressed {
    ($($input:ident),+ $(,)?) => {
        $(
            impl Addressed for dto::$input {
                fn address(&self) -> Address<'_> {
                    Address {
                        bucket: &self.bucket,
                        which: (&self.key, self.version_id.as_deref()),
                        expected: self.expected_bucket_owner.as_deref(),
                    }
                }
            }
        )+
    };
}

addressed! {
    DeleteObjectTaggingInput, GetObjectAclInput, GetObjectAttributesInput, GetObjectLegalHoldInput, GetObjectRetentionInput,
    GetObjectTaggingInput, PutObjectAclInput, PutObjectLegalHoldInput, PutObjectRetentionInput, PutObjectTaggingInput, RestoreObjectInput,
}

/// A version on which `A` is allowed, as it was when that was decided.
pub(super) struct Version<A> {
    pub(super) allowed: Authorized<A>,
    pub(super) key: ObjectKey,
    pub(super) located: Located,
    /// Whether the request named it by its id.
    named: bool,
}

/// Opens the version that a request is about, for what its body says is to be done with it.
///
/// # Errors
/// Everything that keeps somebody from a bucket or an object; that there is no such version, or that it is a delete marker.
pub(super) async fn open<A: OfObject, T: Addressed>(
    gate: &Gate,
    request: &S3Request<T>,
    said: &Said,
) -> S3Result<Version<A>> {
    let door = door(gate, request).await?;
    through(&door, request.input.address(), said).await
}

/// Opens the bucket that such a request is about.
///
/// # Errors
/// As of [`Gate::open`].
pub(super) async fn door<'r, T: Addressed>(
    gate: &Gate,
    request: &'r S3Request<T>,
) -> S3Result<Door<'r>> {
    let Address { bucket, expected, .. } = request.input.address();
    gate.open(request, bucket, expected).await
}

/// As [`open`], through a door that is open.
///
/// # Errors
/// As of [`open`].
pub(super) async fn through<A: OfObject>(
    door: &Door<'_>,
    address: Address<'_>,
    said: &Said,
) -> S3Result<Version<A>> {
    let key = describe::key(address.which.0)?;
    let (allowed, look) = door.find_as(address.which, said).await?;
    let located = look.map_err(error::catalog)?;
    Ok(Version { allowed, key, located, named: address.which.1.is_some() })
}

/// Changes what of a version can change, and tells it as `event`; the proof, and the version's row.
///
/// # Errors
/// As of [`open`]; `OperationAborted` if other objects took its place again and again.
pub(super) async fn change<A: OfObject, T: Addressed>(
    gate: &Gate,
    (catalog, changes): (&Catalog, &Changes),
    request: &S3Request<T>,
    said: &Said,
    event: Event,
    edit: impl Fn(&mut Detail) + Send + Sync,
) -> S3Result<(Authorized<A>, Entry)> {
    let mut attempt = 1;
    loop {
        let found: Version<A> = open(gate, request, said).await?;
        let sequel = follow::changes(changes, &found.allowed).await?.written(&found.key, event);
        let seen = &found.located.entry;
        let change = |now: &Entry, detail: &mut Detail| {
            same(seen, now)?;
            edit(detail);
            Ok(())
        };
        let (at, id) = (found.allowed.at(), found.id());
        let changed = catalog.change_detail_then(&at, &found.key, id, change, &sequel).await;
        match changed {
            Ok(entry) => return Ok((found.allowed, entry)),
            Err(CatalogError::PreconditionFailed) if attempt < ATTEMPTS => attempt += 1,
            Err(refused) => return Err(found.failed(refused)),
        }
    }
}

impl<A> Version<A> {
    /// Its id, to be named when it is changed: a newer one may be somebody else's.
    pub(super) fn id(&self) -> Option<VersionId> {
        Some(self.located.entry.version)
    }

    /// Whether it is still there when it is changed. Where no versions are kept, another object has the same id. An append keeps the
    /// manifest and changes the time, a move to another class the other way round.
    ///
    /// # Errors
    /// [`CatalogError::PreconditionFailed`], which [`Self::failed`] tells as what it is.
    pub(super) fn is(&self, now: &Entry) -> Result<(), CatalogError> {
        same(&self.located.entry, now)
    }

    /// What is told of a change that failed.
    pub(super) fn failed(&self, refused: CatalogError) -> S3Error {
        told(refused, self.named)
    }
}

/// Whether an object that was found is the one that is there.
///
/// # Errors
/// [`CatalogError::PreconditionFailed`].
pub(super) fn same(found: &Entry, now: &Entry) -> Result<(), CatalogError> {
    let unmoved = found.manifest == now.manifest;
    if unmoved || (found.version == now.version && found.modified == now.modified) {
        Ok(())
    } else {
        Err(CatalogError::PreconditionFailed)
    }
}

/// What is told of a change of a version that failed; of a version that was not named, that the key is gone.
fn told(refused: CatalogError, named: bool) -> S3Error {
    match refused {
        CatalogError::PreconditionFailed => error::refuse(
            S3ErrorCode::OperationAborted,
            "The object was replaced while it was to be changed. Please try again.",
        ),
        CatalogError::NoSuchVersion if !named => error::catalog(CatalogError::NoSuchKey),
        refused => error::catalog(refused),
    }
}

#[cfg(test)]
mod tests {
    use metadata::{Body, Etag};
    use types::{GeometryName, ManifestId, Timestamp};

    use super::*;

    #[test]
    fn an_object_that_took_another_s_place_is_not_the_one_that_was_found() {
        let found = Entry {
            version: VersionId::NULL,
            manifest: ManifestId::random(),
            modified: Timestamp(5),
            size: 1,
            etag: Etag { md5: [1; 16], parts: 0 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            checksum: None,
            body: Body::Inline,
        };
        let elsewhere = |modified| Entry {
            manifest: ManifestId::random(),
            modified: Timestamp(modified),
            ..found.clone()
        };
        assert!(same(&found, &found).is_ok());
        assert!(
            same(&found, &Entry { modified: Timestamp(6), ..found.clone() }).is_ok(),
            "appended to"
        );
        assert!(same(&found, &elsewhere(5)).is_ok(), "moved to another class");
        let replaced = same(&found, &elsewhere(6));
        assert!(matches!(replaced, Err(CatalogError::PreconditionFailed)));
    }

    #[test]
    fn a_change_that_failed_is_told_as_what_was_asked_for() {
        for (refused, named, code) in [
            (CatalogError::PreconditionFailed, true, S3ErrorCode::OperationAborted),
            (CatalogError::NoSuchVersion, true, S3ErrorCode::NoSuchVersion),
            (CatalogError::NoSuchVersion, false, S3ErrorCode::NoSuchKey),
            (CatalogError::Locked, false, S3ErrorCode::AccessDenied),
        ] {
            assert_eq!(*told(refused, named).code(), code);
        }
    }
}
