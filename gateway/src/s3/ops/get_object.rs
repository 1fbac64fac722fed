//! GetObject. The library puts the `response-*` overrides on the answer.

use bytes::Bytes;
use metadata::Located;
use s3s::dto::{GetObjectInput, GetObjectOutput, StreamingBlob};
use s3s::{S3Request, S3Result};

use super::found::{self, Asked};
use crate::configs::Configs;
use crate::get::Reader;
use crate::s3::authorize::{Authorized, Gate, GetObject};
use crate::s3::conditions::ReadConditions;
use crate::s3::metered::{self, Bill};
use crate::s3::{S3Settings, archive, body, customer, encryption, error, expiration};

pub(in crate::s3) async fn run(
    gate: &Gate,
    configs: &Configs,
    reader: &Reader,
    settings: &S3Settings,
    request: S3Request<GetObjectInput>,
) -> S3Result<GetObjectOutput> {
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
    let bill = request.extensions.get::<Bill>().cloned();
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
    let Located { entry, detail, .. } = &found.located;
    archive::check_readable(settings, entry, detail, gate.now())?;
    let len = found.bytes.end - found.bytes.start;
    if let Some(bill) = &bill {
        bill.egress(len, gate.standings()).await?;
    }
    let bytes = if len == 0 {
        StreamingBlob::from(Bytes::new())
    } else {
        let opened = reader.open(&found.located, found.bytes.clone(), customer.as_ref()).await;
        let opened = opened.map_err(error::get)?;
        body::send(metered::counted(opened, bill.as_ref(), reader.metering()), len)
    };
    let mut output = found::output!(GetObjectOutput, &found);
    if input.version_id.is_none() {
        let (entry, detail) = (&found.located.entry, &found.located.detail);
        output.expiration =
            expiration::of(configs, allowed.id(), &input.key, entry, detail).await?;
    }
    output.body = Some(bytes);
    Ok(output)
}
