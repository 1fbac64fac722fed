//! ListBuckets: the caller's own, in pages if asked.

use metadata::{Bucket, Catalog};
use s3s::dto::{ListBucketsInput, ListBucketsOutput};
use s3s::{S3ErrorCode, S3Request, S3Result, dto};
use types::BucketName;

use crate::s3::authorize::{Authorized, Gate, ListAllMyBuckets};
use crate::s3::listing::{self, Owners};
use crate::s3::{S3Settings, describe, error};

/// The most buckets in a page, and in an answer that is not paged.
const PAGE: i32 = 10_000;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    settings: &S3Settings,
    request: S3Request<ListBucketsInput>,
) -> S3Result<ListBucketsOutput> {
    let allowed: Authorized<ListAllMyBuckets, ()> = gate.account(&request).await?;
    let input = request.input;
    let limit = input.max_buckets.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        let message = "Argument max-buckets must be an integer between 1 and 10000";
        return Err(error::refuse(S3ErrorCode::InvalidArgument, message));
    }
    let after = input.continuation_token.as_deref().map(listing::read_token).transpose()?;
    let elsewhere = input.bucket_region.as_ref().is_some_and(|region| *region != settings.region);
    let mut buckets = if elsewhere {
        Vec::new()
    } else {
        catalog.buckets_of(allowed.caller()).await.map_err(error::catalog)?
    };
    let prefix = input.prefix.as_deref().unwrap_or_default();
    buckets.retain(|(name, _)| {
        name.as_str().starts_with(prefix)
            && after.as_deref().is_none_or(|after| name.as_str() > after)
    });
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = buckets.len() > limit;
    buckets.truncate(limit);
    let last = buckets.last().filter(|_| more);
    Ok(ListBucketsOutput {
        continuation_token: last.map(|(name, _)| listing::token(name.as_str())),
        buckets: Some(buckets.iter().map(|bucket| shown(bucket, settings)).collect()),
        owner: Some(Owners::new(catalog).get(allowed.caller()).await?),
        prefix: input.prefix,
    })
}

fn shown((name, bucket): &(BucketName, Bucket), settings: &S3Settings) -> dto::Bucket {
    dto::Bucket {
        bucket_arn: None,
        bucket_region: Some(settings.region.clone()),
        creation_date: Some(describe::stamp(bucket.created)),
        name: Some(name.as_str().to_owned()),
    }
}
