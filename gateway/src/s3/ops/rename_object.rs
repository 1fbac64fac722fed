//! RenameObject: an object gets another key in its bucket, in one step. No byte moves.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RenameObject.html>

use metadata::{Catalog, CatalogError, Entry, Rename};
use percent_encoding::percent_decode_str;
use s3s::dto::{ETagCondition, RenameObjectInput, RenameObjectOutput};
use s3s::{S3ErrorCode, S3Request, S3Result};

use crate::changes::Changes;
use crate::s3::authorize::{Authorized, DeleteObject, Gate, GetObject, PutObject};
use crate::s3::conditions::{ReadConditions, Verdict};
use crate::s3::{describe, error, follow};

/// Characters of the longest token.
const TOKEN_MAX: usize = 64;

/// Who renames takes the object away under its present key and writes it under the new one, where others may be allowed to read it: so the
/// right to read it is needed too.
pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    request: S3Request<RenameObjectInput>,
) -> S3Result<RenameObjectOutput> {
    let input = &request.input;
    let source = source(&input.rename_source)?;
    let door = gate.open(&request, &input.bucket, None).await?;
    let (_, found) = door.find::<GetObject>((&source, None)).await?;
    // A renaming that is sent again finds nothing any more.
    let found = found.ok();
    let _: Authorized<DeleteObject> = match &found {
        Some(found) => door.also((&source, None), found)?,
        None => door.object(&source, None).await?,
    };
    let allowed: Authorized<PutObject> = door.object(&input.key, None).await?;
    drop(door);

    let input = request.input;
    let following = follow::changes(changes, &allowed).await?;
    let (source, target) = (describe::key(&source)?, describe::key(&input.key)?);
    let rename = Rename {
        sequel: following.renamed(&source, &target),
        source,
        target,
        token: input.client_token.map(token).transpose()?,
    };
    if rename.source == rename.target {
        let message = "The source and the destination of a rename must differ.";
        return Err(error::refuse(S3ErrorCode::InvalidRequest, message));
    }
    let of_source = ReadConditions {
        if_match: input.source_if_match.as_deref().map(tags).transpose()?,
        if_none_match: input.source_if_none_match.as_deref().map(tags).transpose()?,
        if_modified_since: input.source_if_modified_since,
        if_unmodified_since: input.source_if_unmodified_since,
    };
    let of_target = ReadConditions {
        if_match: input.destination_if_match,
        if_none_match: input.destination_if_none_match,
        if_modified_since: input.destination_if_modified_since,
        if_unmodified_since: input.destination_if_unmodified_since,
    };
    let check = |source: &Entry, target: Option<&Entry>| {
        let found = found.as_ref().ok_or(CatalogError::PreconditionFailed)?;
        super::version::same(&found.entry, source)?;
        met(&of_source, Some(source)).and_then(|()| met(&of_target, target))
    };
    let renamed = catalog.rename_object(&allowed.at(), &rename, check).await;
    renamed.map_err(error::catalog)?;
    Ok(RenameObjectOutput {})
}

/// Nothing meets every condition but the one that asks for a tag.
fn met(conditions: &ReadConditions, object: Option<&Entry>) -> Result<(), CatalogError> {
    match object {
        Some(entry) if conditions.judge(entry) == Verdict::Met => Ok(()),
        None if conditions.if_match.is_none() => Ok(()),
        _ => Err(CatalogError::PreconditionFailed),
    }
}

/// The present key, which comes encoded as in a URL.
fn source(text: &str) -> S3Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.ok().filter(|key| !key.is_empty());
    decoded.map(std::borrow::Cow::into_owned).ok_or_else(|| {
        error::refuse(S3ErrorCode::InvalidArgument, "x-amz-rename-source must be a key.")
    })
}

fn tags(text: &str) -> S3Result<ETagCondition> {
    text.parse().map_err(|_| {
        error::refuse(S3ErrorCode::InvalidArgument, "An entity tag of the source is none.")
    })
}

fn token(text: String) -> S3Result<String> {
    let plain = text.len() <= TOKEN_MAX && text.bytes().all(|byte| byte.is_ascii_graphic());
    if plain {
        Ok(text)
    } else {
        let message = "x-amz-client-token must have at most 64 visible ASCII characters.";
        Err(error::refuse(S3ErrorCode::InvalidArgument, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_key_in_the_form_of_urls() {
        assert_eq!(source("a%2Fb%20c").expect("a key"), "a/b c");
        assert_eq!(source("a/b+c").expect("a key"), "a/b+c");
        for bad in ["", "%FF"] {
            let refused = source(bad).expect_err("no key");
            assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument, "{bad}");
        }
    }

    #[test]
    fn a_token_is_short_and_visible() {
        assert!(token("a".repeat(TOKEN_MAX)).is_ok());
        for bad in ["a".repeat(TOKEN_MAX + 1), "a b".to_owned(), "ä".to_owned()] {
            assert!(token(bad).is_err());
        }
    }
}
