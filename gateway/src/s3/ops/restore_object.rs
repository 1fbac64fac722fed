//! RestoreObject: an archived object can be read for some days. That begins at once.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreObject.html>

use ::http::StatusCode;
use metadata::Catalog;
use metadata::records::Restore;
use s3s::dto::{RestoreObjectInput, RestoreObjectOutput, RestoreRequest};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result};

use super::version::{self, Version};
use crate::s3::authorize::{Gate, RestoreObject, Said};
use crate::s3::front::Status;
use crate::s3::{S3Settings, archive, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<RestoreObjectInput>,
) -> S3Result<S3Response<RestoreObjectOutput>> {
    let found: Version<RestoreObject> = version::open(gate, &request, &Said::default()).await?;
    let Version { allowed, key, located, .. } = &found;
    let now = gate.now();
    let days = days(request.input.restore_request)?;
    let until = archive::until(days, settings.day, now)?;
    if !archive::is_archived(settings, &located.entry) {
        return Err(error::refuse(
            S3ErrorCode::InvalidObjectState,
            "Restore is not allowed for the object's current storage class.",
        ));
    }
    let again = archive::restored(&located.detail, now).is_some();
    let at = allowed.at();
    let changed = catalog.change_detail(&at, key, found.id(), |entry, detail| {
        found.is(entry)?;
        detail.restore = Some(Restore::Until(until));
        Ok(())
    });
    changed.await.map_err(|refused| found.failed(refused))?;
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
