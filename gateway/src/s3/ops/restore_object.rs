//! RestoreObject: an archived object can be read for some days. That begins at once.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>

use ::http::StatusCode;
use metadata::Catalog;
use metadata::records::Restore;
use s3s::dto::{RestoreObjectInput, RestoreObjectOutput, RestoreRequest};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use crate::s3::authorize::{Authorized, Gate, RestoreObject};
use crate::s3::front::Status;
use crate::s3::{S3Settings, archive, describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<RestoreObjectInput>,
) -> S3Result<S3Response<RestoreObjectOutput>> {
    let input = &request.input;
    let allowed: Authorized<RestoreObject> = gate
        .object(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let now = gate.now();
    let days = days(request.input.restore_request)?;
    let until = archive::until(days, settings.day, now)?;
    let located = catalog.locate_version(allowed.id(), &key, version).await;
    let located = located.map_err(error::catalog)?;
    if !archive::is_archived(settings, &located.entry) {
        return Err(error::refuse(
            S3ErrorCode::InvalidObjectState,
            "Restore is not allowed for the object's current storage class.",
        ));
    }
    let again = archive::restored(&located.detail, now).is_some();
    let at = allowed.at();
    let changed = catalog.change_detail(&at, &key, version, |_, detail| {
        detail.restore = Some(Restore::Until(until));
        Ok(())
    });
    changed.await.map_err(error::catalog)?;
    let mut response = S3Response::new(RestoreObjectOutput::default());
    response.extensions.insert(Status(if again { StatusCode::OK } else { StatusCode::ACCEPTED }));
    Ok(response)
}

/// For how many days. In what tier makes no difference; a selection is another operation.
fn days(wish: Option<RestoreRequest>) -> S3Result<i32> {
    let wish = wish.ok_or_else(error::malformed_xml)?;
    if wish.type_.is_some() || wish.select_parameters.is_some() || wish.output_location.is_some() {
        return Err(error::later("Restoring a selection of an object's content"));
    }
    wish.days.ok_or_else(error::malformed_xml)
}
