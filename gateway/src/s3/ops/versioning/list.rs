//! ListObjectVersions.

use metadata::list_versions::ListedVersion;
use metadata::{Catalog, ListQuery};
use s3s::dto::{
    self, DeleteMarkerEntry, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3ErrorCode, S3Request, S3Result};
use types::VersionId;

use crate::s3::authorize::{Authorized, Gate, ListBucketVersions};
use crate::s3::listing::{self, Names, Owners};
use crate::s3::{checksum, describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<ListObjectVersionsInput>,
) -> S3Result<ListObjectVersionsOutput> {
    let input = &request.input;
    let allowed: Authorized<ListBucketVersions> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = listing::limit(input.max_keys, "maxKeys")?;
    let key_marker = input.key_marker.filter(|marker| !marker.is_empty());
    let version_marker = marker(key_marker.as_deref(), input.version_id_marker.as_deref())?;
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let query = ListQuery {
        prefix: input.prefix.unwrap_or_default(),
        delimiter: delimiter.clone(),
        after: key_marker.clone(),
        limit: usize::try_from(limit).unwrap_or(0),
        without_taken_down: true,
    };
    let listed = catalog.list_versions(allowed.id(), &query, version_marker).await;
    let (page, last) = listed.map_err(error::catalog)?;

    let mut owners = Owners::new(catalog);
    let (mut versions, mut delete_markers) = (Vec::new(), Vec::new());
    for item in page.items {
        let owner = item.entry.owner.as_ref().unwrap_or(&allowed.bucket().owner);
        let owner = Some(owners.get(owner).await?);
        if item.entry.is_delete_marker() {
            delete_markers.push(shown_marker(&names, item, owner));
        } else {
            versions.push(shown_version(&names, item, owner));
        }
    }
    Ok(ListObjectVersionsOutput {
        name: Some(input.bucket),
        // As in ListObjects: the one name that SDKs do not decode.
        prefix: Some(query.prefix),
        key_marker: Some(names.write(&key_marker.unwrap_or_default())),
        version_id_marker: Some(input.version_id_marker.unwrap_or_default()),
        max_keys: Some(limit),
        is_truncated: Some(page.next.is_some()),
        next_version_id_marker: last.map(|id| id.to_string()),
        next_key_marker: page.next.as_deref().map(|next| names.write(next)),
        common_prefixes: Some(names.prefixes(&page.prefixes)),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type: input.encoding_type,
        versions: Some(versions),
        delete_markers: Some(delete_markers),
        request_charged: None,
    })
}

/// A version's id says where to go on only behind its key.
fn marker(key: Option<&str>, version: Option<&str>) -> S3Result<Option<VersionId>> {
    let version = version.filter(|version| !version.is_empty());
    if version.is_some() && key.is_none() {
        return Err(error::refuse(
            S3ErrorCode::InvalidArgument,
            "A version-id marker cannot be specified without a key marker.",
        ));
    }
    describe::version(version)
}

fn shown_marker(
    names: &Names,
    ListedVersion { key, entry, latest }: ListedVersion,
    owner: Option<dto::Owner>,
) -> DeleteMarkerEntry {
    DeleteMarkerEntry {
        is_latest: Some(latest),
        key: Some(names.write(key.as_str())),
        last_modified: Some(describe::stamp(entry.modified)),
        owner,
        version_id: Some(entry.version.to_string()),
    }
}

fn shown_version(
    names: &Names,
    ListedVersion { key, entry, latest }: ListedVersion,
    owner: Option<dto::Owner>,
) -> ObjectVersion {
    let algorithm =
        |(algorithm, _)| vec![dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))];
    ObjectVersion {
        checksum_algorithm: entry.checksum.map(algorithm),
        checksum_type: entry.checksum.map(|(_, kind)| checksum::type_of(kind)),
        e_tag: Some(describe::etag(&entry.etag)),
        is_latest: Some(latest),
        key: Some(names.write(key.as_str())),
        last_modified: Some(describe::stamp(entry.modified)),
        owner,
        restore_status: None,
        size: Some(describe::signed(entry.size)),
        storage_class: Some(ObjectVersionStorageClass::from(describe::class_name(
            entry.class.as_ref(),
        ))),
        version_id: Some(entry.version.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_marker_needs_a_key_marker() {
        assert_eq!(marker(None, None).expect("none"), None);
        assert_eq!(marker(Some("k"), Some("")).expect("none"), None);
        assert_eq!(marker(Some("k"), Some("null")).expect("one"), Some(VersionId::NULL));
        let alone = marker(None, Some("null")).expect_err("alone");
        assert_eq!(*alone.code(), S3ErrorCode::InvalidArgument);
    }
}
