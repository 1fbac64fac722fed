//! What all listings share: limits, opaque tokens, URL encoding, owners.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metadata::{Bucket, Catalog, CatalogError, Entry};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto;
use s3s::{S3ErrorCode, S3Result};
use types::{AccountId, ObjectKey, Timestamp};

use super::{S3Settings, archive, checksum, describe, error};

/// The most entries in one page, and how many a client gets that asks for none in particular.
pub(super) const PAGE: i32 = 1000;

/// What stays as it is in `encoding-type=url`: letters, digits, and what cannot be misread.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The first byte of a token: the format of what follows.
const TOKEN_FORMAT: u8 = 1;

/// How many entries to list at most.
///
/// # Errors
/// `InvalidArgument` if negative.
pub(super) fn limit(asked: Option<i32>, what: &str) -> S3Result<i32> {
    match asked {
        None => Ok(PAGE),
        Some(0..) => Ok(asked.unwrap_or(PAGE).min(PAGE)),
        Some(_) => Err(error::refuse(
            S3ErrorCode::InvalidArgument,
            format!("Argument {what} must be an integer between 0 and 2147483647"),
        )),
    }
}

/// A token that says where the next page begins, in words that mean nothing to the client.
pub(super) fn token(after: &str) -> String {
    URL_SAFE_NO_PAD.encode([&[TOKEN_FORMAT], after.as_bytes()].concat())
}

/// What [`token`] said.
///
/// # Errors
/// `InvalidArgument` if it is no token of ours.
pub(super) fn read_token(token: &str) -> S3Result<String> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let after = bytes.strip_prefix(&[TOKEN_FORMAT])?;
        String::from_utf8(after.to_vec()).ok()
    };
    read().ok_or_else(|| {
        error::refuse(S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect")
    })
}

/// Writes names plainly, or URL-encoded if the client asked for that.
pub(super) struct Names(bool);

impl Names {
    /// # Errors
    /// `InvalidArgument` for an encoding other than `url`.
    pub(super) fn new(encoding: Option<&dto::EncodingType>) -> S3Result<Self> {
        match encoding.map(dto::EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(dto::EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(error::refuse(
                S3ErrorCode::InvalidArgument,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(super) fn write(&self, name: &str) -> String {
        if self.0 {
            Cow::from(utf8_percent_encode(name, PLAIN)).into_owned()
        } else {
            name.to_owned()
        }
    }

    pub(super) fn prefixes(&self, prefixes: &[String]) -> Vec<dto::CommonPrefix> {
        prefixes
            .iter()
            .map(|prefix| dto::CommonPrefix { prefix: Some(self.write(prefix)) })
            .collect()
    }
}

/// Accounts by id as listings show them, each looked up once.
pub(super) struct Owners<'a> {
    catalog: &'a Catalog,
    known: HashMap<AccountId, dto::Owner>,
}

impl<'a> Owners<'a> {
    pub(super) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, known: HashMap::new() }
    }

    pub(super) async fn get(&mut self, id: &AccountId) -> S3Result<dto::Owner> {
        if let Some(owner) = self.known.get(id) {
            return Ok(owner.clone());
        }
        let account = self.catalog.account(id).await.map_err(error::catalog)?;
        let owner = dto::Owner {
            display_name: account.map(|account| account.name),
            id: Some(id.as_str().to_owned()),
        };
        self.known.insert(id.clone(), owner.clone());
        Ok(owner)
    }
}

/// Looks up what a listing tells of restorings, if a client asks for that.
pub(super) struct Restorings<'a> {
    catalog: &'a Catalog,
    settings: &'a S3Settings,
    now: Timestamp,
}

impl<'a> Restorings<'a> {
    /// For a client that sent these `x-amz-optional-object-attributes`.
    pub(super) fn asked(
        attributes: Option<&dto::OptionalObjectAttributesList>,
        catalog: &'a Catalog,
        settings: &'a S3Settings,
        now: Timestamp,
    ) -> Option<Self> {
        let wanted = dto::OptionalObjectAttributes::RESTORE_STATUS;
        let asked = attributes.into_iter().flatten().any(|name| name.as_str() == wanted);
        asked.then_some(Self { catalog, settings, now })
    }

    /// What is told of an object: nothing of one that is not archived, or not restored.
    async fn of(
        &self,
        bucket: &Bucket,
        key: &ObjectKey,
        entry: &Entry,
    ) -> S3Result<Option<dto::RestoreStatus>> {
        if !archive::is_archived(self.settings, entry) {
            return Ok(None);
        }
        match self.catalog.locate_version(bucket.id, key, Some(entry.version)).await {
            Ok(located) => {
                let until = archive::restored(&located.detail, self.now);
                Ok(until.map(|until| dto::RestoreStatus {
                    is_restore_in_progress: Some(false),
                    restore_expiry_date: Some(describe::stamp(until)),
                }))
            }
            Err(
                CatalogError::NoSuchKey
                | CatalogError::NoSuchVersion
                | CatalogError::DeleteMarker { .. },
            ) => Ok(None),
            Err(failed) => Err(error::catalog(failed)),
        }
    }
}

/// An object's line in a listing.
pub(super) async fn object(
    names: &Names,
    bucket: &Bucket,
    (key, entry): &(ObjectKey, Entry),
    owners: Option<&mut Owners<'_>>,
    restorings: Option<&Restorings<'_>>,
) -> S3Result<dto::Object> {
    let restore_status = match restorings {
        Some(restorings) => restorings.of(bucket, key, entry).await?,
        None => None,
    };
    let owner = match owners {
        Some(owners) => Some(owners.get(entry.owner.as_ref().unwrap_or(&bucket.owner)).await?),
        None => None,
    };
    let algorithm =
        |(algorithm, _)| vec![dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))];
    Ok(dto::Object {
        checksum_algorithm: entry.checksum.map(algorithm),
        checksum_type: entry.checksum.map(|(_, kind)| checksum::type_of(kind)),
        e_tag: Some(describe::etag(&entry.etag)),
        key: Some(names.write(key.as_str())),
        last_modified: Some(describe::stamp(entry.modified)),
        owner,
        restore_status,
        size: Some(describe::signed(entry.size)),
        storage_class: Some(dto::ObjectStorageClass::from(describe::class_name(
            entry.class.as_ref(),
        ))),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::*;

    proptest! {
        #[test]
        fn a_token_says_where_it_was_made(after in any::<String>()) {
            assert_eq!(read_token(&token(&after)).expect("ours"), after);
        }
    }

    #[test]
    fn a_foreign_token_is_refused() {
        for token in ["", "foo", "AmZvbw", "!", "Af8"] {
            assert_eq!(
                *read_token(token).expect_err("foreign").code(),
                S3ErrorCode::InvalidArgument,
                "{token}"
            );
        }
    }

    #[test]
    fn url_encoding_keeps_slashes_and_hides_plus_and_space() {
        let names = Names::new(Some(&dto::EncodingType::from_static("url"))).expect("url");
        assert_eq!(names.write("quux ab/a+b"), "quux%20ab/a%2Bb");
        assert_eq!(names.write("ü\n"), "%C3%BC%0A");
        assert_eq!(Names::new(None).expect("plain").write("a b+"), "a b+");
        assert!(Names::new(Some(&dto::EncodingType::from_static("base64"))).is_err());
    }

    #[test]
    fn a_page_has_at_most_a_thousand_entries() {
        assert_eq!(limit(None, "maxKeys").ok(), Some(1000));
        assert_eq!(limit(Some(0), "maxKeys").ok(), Some(0));
        assert_eq!(limit(Some(5000), "maxKeys").ok(), Some(1000));
        assert!(limit(Some(-1), "maxKeys").is_err());
    }
}
