//! UploadPartCopy. A whole source of one stream is shared; anything else is read and stored.

use std::ops::Range;

use metadata::records::{Part, Upload};
use metadata::uploads::UploadAt;
use metadata::{Catalog, CatalogError, Located};
use s3s::dto::{CopyPartResult, UploadPartCopyInput, UploadPartCopyOutput};
use s3s::{S3Request, S3Result};

use super::under_way;
use crate::get::Reader;
use crate::put::{CustomerKey, Incoming, PutError, Writer};
use crate::s3::authorize::{Authorized, Gate, PutObject};
use crate::s3::ops::source::{self, Source};
use crate::s3::{S3Settings, archive, checksum, customer, describe, encryption, error, range};

/// Where the copy goes.
struct Place<'a> {
    at: &'a UploadAt,
    upload: &'a Upload,
    number: u32,
    customer: Option<&'a CustomerKey>,
}

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    writer: &Writer,
    reader: &Reader,
    settings: &S3Settings,
    mut request: S3Request<UploadPartCopyInput>,
) -> S3Result<UploadPartCopyOutput> {
    let input = &request.input;
    let allowed: Authorized<PutObject> = gate
        .object(&request, (&input.bucket, &input.key), None, input.expected_bucket_owner.as_deref())
        .await?;
    let fields = source::fields!(request.input);
    let (source, from) = Source::open(gate, &request, fields).await?;
    let input = request.input;
    let number = under_way::part_number(input.part_number)?;
    let at = under_way::at(&allowed, &input.key, &input.upload_id)?;
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key,
        input.sse_customer_key_md5.as_deref(),
    )?;
    let upload = under_way::find(catalog, &at).await?;
    customer::check_part(&upload.detail.encryption, customer.as_ref())?;

    source.check(&from)?;
    archive::check_readable(settings, &from.entry, &from.detail, writer.clock.now())?;
    let asked = input
        .copy_source_range
        .as_deref()
        .map(|text| range::of_copy(text, from.entry.size))
        .transpose()?;
    let bytes = asked.unwrap_or(0..from.entry.size);
    source::check_size(bytes.end - bytes.start)?;
    let place = Place { at: &at, upload: &upload, number, customer: customer.as_ref() };
    let part = match share(writer, &source, &from, &bytes, &place).await? {
        Some(part) => part,
        None => restore(reader, writer, &source, &from, bytes, &place).await?,
    };

    let mut result = CopyPartResult {
        e_tag: Some(describe::part_etag(&part.md5)),
        last_modified: Some(describe::stamp(part.modified)),
        ..CopyPartResult::default()
    };
    checksum::show!(result, under_way::shown(&upload, &part.checksums));
    let mut output = UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: source.version(&from),
        ..UploadPartCopyOutput::default()
    };
    encryption::show!(output, &upload.detail.encryption);
    Ok(output)
}

/// Shares the source's stream, if the whole of it is meant, it is coded as the upload is, and the object's checksum can be had without its bytes.
async fn share(
    writer: &Writer,
    source: &Source,
    from: &Located,
    bytes: &Range<u64>,
    place: &Place<'_>,
) -> S3Result<Option<Part>> {
    let needed = under_way::needed(place.upload);
    let known = from.detail.checksums.iter().any(|has| {
        has.algorithm == needed && has.kind == metadata::records::ChecksumKind::FullObject
    });
    if *bytes != (0..from.entry.size) || from.entry.geometry != place.upload.geometry || !known {
        return Ok(None);
    }
    let Place { at, upload, number, customer } = place;
    match writer.share_part(from, source.customer(), at, upload, *number, *customer).await {
        // A stream that is being collected cannot be shared, but the snapshot we hold can still be read.
        Err(PutError::Catalog(CatalogError::StreamDying(_))) => Ok(None),
        shared => shared.map_err(error::put),
    }
}

async fn restore(
    reader: &Reader,
    writer: &Writer,
    source: &Source,
    from: &Located,
    bytes: Range<u64>,
    place: &Place<'_>,
) -> S3Result<Part> {
    let len = bytes.end - bytes.start;
    let (stream, fault) = source::bytes(reader, source, from, bytes).await?;
    let incoming = Incoming {
        len,
        slack: 0,
        body: stream,
        content_md5: None,
        checksums: vec![(under_way::needed(place.upload), None)],
        trailer: None,
    };
    let Place { at, upload, number, customer } = place;
    let stored = writer.put_part(at, upload, *number, *customer, incoming).await;
    stored.map_err(|failed| fault.blame(failed))
}
