//! ListObjects, the first version, which pages by marker.

use metadata::{Catalog, ListQuery};
use s3s::dto::{ListObjectsInput, ListObjectsOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, ListBucket};
use crate::s3::listing::{self, Names, Owners, Restorings};
use crate::s3::{S3Settings, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<ListObjectsInput>,
) -> S3Result<ListObjectsOutput> {
    let input = &request.input;
    let allowed: Authorized<ListBucket> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = listing::limit(input.max_keys, "maxKeys")?;
    let marker = input.marker.unwrap_or_default();
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after: Some(marker.clone()).filter(|marker| !marker.is_empty()),
        limit: usize::try_from(limit).unwrap_or(0),
        without_taken_down: true,
    };
    let page = catalog.list_objects(allowed.id(), &query).await.map_err(error::catalog)?;

    let mut owners = Owners::new(catalog);
    let mut contents = Vec::with_capacity(page.items.len());
    let restorings =
        Restorings::asked(input.optional_object_attributes.as_ref(), catalog, settings, gate.now());
    for item in &page.items {
        let (owners, restorings) = (Some(&mut owners), restorings.as_ref());
        let line = listing::object(&names, allowed.bucket(), item, owners, restorings);
        contents.push(line.await?);
    }
    Ok(ListObjectsOutput {
        name: Some(input.bucket),
        // SDKs decode every name but this one: it is echoed as it came.
        prefix: Some(query.prefix.clone()),
        marker: Some(names.write(&marker)),
        max_keys: Some(limit),
        is_truncated: Some(page.next.is_some()),
        // Without a delimiter the last key is the marker, and S3 says nothing.
        next_marker: page
            .next
            .as_deref()
            .filter(|_| delimiter.is_some())
            .map(|next| names.write(next)),
        contents: Some(contents),
        common_prefixes: Some(names.prefixes(&page.prefixes)),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type: input.encoding_type,
        request_charged: None,
    })
}
