//! HeadObject: GET without the bytes. The library overrides no headers here, so `response-*` is done below.
//!
//! Who sends `x-drystone-durability` (with any value) is told in a header of the same name how many shards of the object are where.

use http::{HeaderName, HeaderValue};
use s3s::dto::{self, HeadObjectInput, HeadObjectOutput};
use s3s::{S3Request, S3Response, S3Result};

use super::found::{self, Asked};
use crate::configs::Configs;
use crate::get::Reader;
use crate::s3::authorize::{Authorized, Gate, GetObject};
use crate::s3::conditions::ReadConditions;
use crate::s3::{customer, encryption, error, expiration};

/// Asks for, and tells, where the object's shards are.
const DURABILITY: HeaderName = HeaderName::from_static("x-drystone-durability");

pub(in crate::s3) async fn run(
    gate: &Gate,
    configs: &Configs,
    reader: &Reader,
    request: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let input = &request.input;
    let (allowed, located): (Authorized<GetObject>, _) = gate
        .read(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    encryption::refuse_on_read(&request.headers)?;
    found::refuse_strangers_overrides(&allowed, &request.uri)?;
    let durability = request.headers.contains_key(&DURABILITY);
    let input = request.input;
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key,
        input.sse_customer_key_md5.as_deref(),
    )?;
    let asked = Asked {
        conditions: ReadConditions {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        },
        range: input.range,
        part: input.part_number,
        customer: customer.as_ref(),
        checksum_mode: input.checksum_mode.as_ref(),
        now: gate.now(),
    };
    let found = found::find(&allowed, located, asked).await?;
    let mut output = found::output!(HeadObjectOutput, &found);
    if input.version_id.is_none() {
        let (entry, detail) = (&found.located.entry, &found.located.detail);
        output.expiration =
            expiration::of(configs, allowed.id(), &input.key, entry, detail).await?;
    }
    let output = HeadObjectOutput {
        cache_control: input.response_cache_control.or(output.cache_control),
        content_disposition: input.response_content_disposition.or(output.content_disposition),
        content_encoding: input.response_content_encoding.or(output.content_encoding),
        content_language: input.response_content_language.or(output.content_language),
        content_type: input.response_content_type.or(output.content_type),
        expires: input.response_expires.as_ref().and_then(http_date).or(output.expires),
        ..output
    };
    let mut response = S3Response::new(output);
    if durability {
        let facts = reader.facts(&found.located).await.map_err(error::get)?;
        let value = HeaderValue::try_from(facts.to_string());
        response.headers.extend(value.ok().map(|value| (DURABILITY, value)));
    }
    Ok(response)
}

fn http_date(time: &dto::Timestamp) -> Option<String> {
    let mut text = Vec::new();
    time.format(dto::TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}
