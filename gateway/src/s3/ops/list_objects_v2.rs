//! ListObjectsV2.

use metadata::{Catalog, ListQuery};
use s3s::dto::{ListObjectsV2Input, ListObjectsV2Output};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, ListBucket};
use crate::s3::listing::{self, Names, Owners, Restorings};
use crate::s3::{S3Settings, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<ListObjectsV2Input>,
) -> S3Result<ListObjectsV2Output> {
    let input = &request.input;
    let allowed: Authorized<ListBucket> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = listing::limit(input.max_keys, "maxKeys")?;
    // An empty token begins at the beginning, as on AWS; any other outweighs start-after.
    let token = input.continuation_token.as_deref().filter(|token| !token.is_empty());
    let after = token.map(listing::read_token).transpose()?.or_else(|| input.start_after.clone());
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after,
        limit: usize::try_from(limit).unwrap_or(0),
        without_taken_down: true,
    };
    let page = catalog.list_objects(allowed.id(), &query).await.map_err(error::catalog)?;

    let mut owners = (input.fetch_owner == Some(true)).then(|| Owners::new(catalog));
    let mut contents = Vec::with_capacity(page.items.len());
    let restorings =
        Restorings::asked(input.optional_object_attributes.as_ref(), catalog, settings, gate.now());
    for item in &page.items {
        let (owners, restorings) = (owners.as_mut(), restorings.as_ref());
        let line = listing::object(&names, allowed.bucket(), item, owners, restorings);
        contents.push(line.await?);
    }
    Ok(ListObjectsV2Output {
        key_count: Some(i32::try_from(page.items.len() + page.prefixes.len()).unwrap_or(i32::MAX)),
        name: Some(input.bucket),
        prefix: Some(names.write(&query.prefix)),
        max_keys: Some(limit),
        continuation_token: input.continuation_token,
        is_truncated: Some(page.next.is_some()),
        next_continuation_token: page.next.as_deref().map(listing::token),
        contents: Some(contents),
        common_prefixes: Some(names.prefixes(&page.prefixes)),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type: input.encoding_type,
        start_after: input.start_after.map(|after| names.write(&after)),
        request_charged: None,
    })
}
