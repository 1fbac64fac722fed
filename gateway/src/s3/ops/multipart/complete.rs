//! CompleteMultipartUpload: the chosen parts become the object. No byte moves.

use metadata::records::{
    Checksum, ChecksumAlgorithm, ChecksumKind, Encryption, Part, ReplicationStatus, Upload,
};
use metadata::uploads::{Completion, UploadAt};
use metadata::{Catalog, CatalogError, Entry, Etag, Located};
use s3s::dto::{
    ChecksumType, CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    ServerSideEncryption,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result};
use types::MIB;

use super::under_way::{self, PARTS_MAX};
use crate::changes::Changes;
use crate::digest;
use crate::put::Writer;
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Gate, PutObject, ReplicateObject};
use crate::s3::encryption::Told;
use crate::s3::{checksum, conditions, customer, describe, error, follow, replica};

/// Every part but the last has at least this many bytes.
const PART_MIN: u64 = 5 * MIB;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    writer: &Writer,
    request: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let input = &request.input;
    let expected = input.expected_bucket_owner.as_deref();
    let door = gate.open(&request, &input.bucket, expected).await?;
    let allowed: Authorized<PutObject> = door.object(&input.key, None).await?;
    let replica = replica::asked(&request.uri, gate.now())?;
    if replica.is_some() {
        let _: Authorized<ReplicateObject> = door.object(&input.key, None).await?;
    }
    drop(door);
    let mut input = request.input;
    let at = under_way::at(&allowed, &input.key, &input.upload_id)?;
    let chosen = read_choice(&mut input)?;
    let upload = match catalog.upload(&at).await {
        Ok(upload) => upload,
        Err(CatalogError::NoSuchUpload) => return repeated(catalog, &at, input).await,
        Err(failed) => return Err(error::catalog(failed)),
    };
    check_customer(&mut input, &upload)?;
    let stored = catalog.parts(at.2, 0, PARTS_MAX as usize).await.map_err(error::catalog)?;
    let parts = choose(&chosen, &stored)?;
    let checksums = object_checksums(&upload, &parts);
    check_claims(&mut input, &upload, &parts, &checksums)?;

    let following = follow::changes(changes, &allowed).await?;
    let mut detail = upload.detail.clone();
    let sequel = if replica.is_some() {
        detail.replication = Some(ReplicationStatus::Replica);
        following.replicated(&at.1)
    } else {
        following.created(&at.1, Event::CreatedCompleteMultipartUpload, &mut detail)
    };
    let completion = Completion {
        parts: parts.iter().map(|(number, part)| (*number, part.md5)).collect(),
        etag: Etag {
            md5: digest::multipart_md5(parts.iter().map(|(_, part)| &part.md5)),
            parts: u32::try_from(parts.len()).unwrap_or(PARTS_MAX),
        },
        checksums,
        preconditions: conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref()),
        replication: detail.replication,
        replica,
        sequel,
    };
    let size = parts.iter().fold(0_u64, |size, (_, part)| size.saturating_add(part.len));
    writer.quotas.admit(at.0, size).map_err(|full| error::put(full.into()))?;
    let done = catalog.complete_upload(writer.session.id(), &allowed.at(), &at, &completion).await;
    let entry = done.map_err(error::catalog)?;
    Ok(respond(input, &entry, &completion.checksums, &upload.detail.encryption))
}

/// A part as the client names it.
struct Choice {
    number: u32,
    md5: Option<[u8; 16]>,
    checksums: Vec<(ChecksumAlgorithm, String)>,
}

/// The client's list: not empty, in ascending order. A number named twice means its last entry: a client that resent a part names both.
fn read_choice(input: &mut CompleteMultipartUploadInput) -> S3Result<Vec<Choice>> {
    let named = input.multipart_upload.take().and_then(|list| list.parts).unwrap_or_default();
    if named.is_empty() || named.len() > PARTS_MAX as usize {
        return Err(S3Error::new(S3ErrorCode::MalformedXML));
    }
    let mut choices: Vec<Choice> = Vec::with_capacity(named.len());
    for part in named {
        let choice = read_part(part)?;
        match choices.last_mut() {
            Some(last) if last.number > choice.number => {
                return Err(S3Error::new(S3ErrorCode::InvalidPartOrder));
            }
            Some(last) if last.number == choice.number => *last = choice,
            _ => choices.push(choice),
        }
    }
    Ok(choices)
}

fn read_part(mut part: CompletedPart) -> S3Result<Choice> {
    let malformed = || S3Error::new(S3ErrorCode::MalformedXML);
    let number = under_way::part_number(part.part_number.ok_or_else(malformed)?)?;
    let etag = part.e_tag.take().ok_or_else(malformed)?;
    let md5 = hex::decode(etag.value()).ok().and_then(|bytes| bytes.try_into().ok());
    Ok(Choice { number, md5, checksums: checksum::given!(part) })
}

/// The stored parts that are meant; the commit looks at them once more.
fn choose<'a>(chosen: &[Choice], stored: &'a [(u32, Part)]) -> S3Result<Vec<(u32, &'a Part)>> {
    let mut parts = Vec::with_capacity(chosen.len());
    for choice in chosen {
        let at = stored.binary_search_by_key(&choice.number, |(number, _)| *number);
        let found = at.ok().map(|at| &stored[at].1);
        let fits =
            |part: &&Part| choice.md5 == Some(part.md5) && checksums_fit(&choice.checksums, part);
        let part = found
            .filter(fits)
            .ok_or_else(|| error::catalog(CatalogError::InvalidPart(choice.number)))?;
        parts.push((choice.number, part));
    }
    let (_, all_but_last) =
        parts.split_last().ok_or_else(|| S3Error::new(S3ErrorCode::MalformedXML))?;
    if all_but_last.iter().any(|(_, part)| part.len < PART_MIN) {
        return Err(S3Error::new(S3ErrorCode::EntityTooSmall));
    }
    Ok(parts)
}

fn checksums_fit(named: &[(ChecksumAlgorithm, String)], part: &Part) -> bool {
    named.iter().all(|(algorithm, text)| {
        let stored = part.checksums.iter().find(|checksum| checksum.algorithm == *algorithm);
        stored.is_some_and(|stored| checksum::encode(stored) == *text)
    })
}

/// What follows for the whole from its parts' checksums: nothing, if one part has none of the algorithm.
fn object_checksums(upload: &Upload, parts: &[(u32, &Part)]) -> Vec<Checksum> {
    let (algorithm, full) = upload.checksum.unwrap_or((checksum::DEFAULT, true));
    let of = |part: &'_ Part| {
        part.checksums.iter().find(|has| has.algorithm == algorithm).map(|has| has.value.clone())
    };
    let values: Option<Vec<(Vec<u8>, u64)>> =
        parts.iter().map(|(_, part)| Some((of(part)?, part.len))).collect();
    let Some(values) = values else { return Vec::new() };
    let whole = if full {
        let values: Vec<(&[u8], u64)> =
            values.iter().map(|(value, len)| (value.as_slice(), *len)).collect();
        digest::combine(algorithm, &values).map(|value| (ChecksumKind::FullObject, value))
    } else {
        let values: Vec<&[u8]> = values.iter().map(|(value, _)| value.as_slice()).collect();
        let parts = u32::try_from(values.len()).unwrap_or(PARTS_MAX);
        Some((ChecksumKind::Composite { parts }, digest::composite(algorithm, &values)))
    };
    whole.map(|(kind, value)| Checksum { algorithm, kind, value }).into_iter().collect()
}

/// What the client says of the whole must hold.
fn check_claims(
    input: &mut CompleteMultipartUploadInput,
    upload: &Upload,
    parts: &[(u32, &Part)],
    checksums: &[Checksum],
) -> S3Result<()> {
    for (algorithm, text) in checksum::given!(input) {
        let known = checksums.iter().find(|checksum| checksum.algorithm == algorithm);
        let bare = text.rsplit_once('-').map_or(text.as_str(), |(value, _)| value);
        let same = known.map(checksum::encode).is_some_and(|known| {
            // A composite may come with or without its number of parts.
            known == text
                || known.rsplit_once('-').is_some_and(|(value, _)| value == bare && bare == text)
        });
        if !same {
            return Err(S3Error::new(S3ErrorCode::BadDigest));
        }
    }
    let full = upload.checksum.is_none_or(|(_, full)| full);
    let wrong = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
        None => false,
        Some(ChecksumType::FULL_OBJECT) => !full,
        Some(ChecksumType::COMPOSITE) => full,
        Some(_) => true,
    };
    if wrong {
        return Err(error::refuse(
            S3ErrorCode::InvalidRequest,
            "The upload was created using another checksum type than the one in the complete request.",
        ));
    }
    let size: u64 = parts.iter().map(|(_, part)| part.len).sum();
    if input.mpu_object_size.is_some_and(|announced| u64::try_from(announced) != Ok(size)) {
        return Err(error::refuse(
            S3ErrorCode::InvalidRequest,
            "The provided 'x-amz-mp-object-size' header does not match the size of the object.",
        ));
    }
    Ok(())
}

/// The key is not needed here; one that comes must be the upload's.
/// An upload under a customer's key is completed with it. Its object carries a checksum, and then AWS asks for the key too.
fn check_customer(input: &mut CompleteMultipartUploadInput, upload: &Upload) -> S3Result<()> {
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.take(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    customer::check_part(&upload.detail.encryption, customer.as_ref())
}

/// A Complete that went through and is asked for again, because its answer was lost, answers the same.
async fn repeated(
    catalog: &Catalog,
    at: &UploadAt,
    input: CompleteMultipartUploadInput,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    match catalog.locate(at.0, &at.1).await {
        Ok(Located { entry, detail, .. }) if entry.manifest == at.2 => {
            Ok(respond(input, &entry, &detail.checksums, &detail.encryption))
        }
        Ok(_) | Err(CatalogError::NoSuchKey | CatalogError::DeleteMarker { .. }) => {
            Err(S3Error::new(S3ErrorCode::NoSuchUpload))
        }
        Err(failed) => Err(error::catalog(failed)),
    }
}

fn respond(
    input: CompleteMultipartUploadInput,
    entry: &Entry,
    checksums: &[Checksum],
    encryption: &Encryption,
) -> S3Response<CompleteMultipartUploadOutput> {
    let told = Told::of(encryption);
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("/{}/{}", input.bucket, input.key)),
        bucket: Some(input.bucket),
        key: Some(input.key),
        e_tag: Some(describe::etag(&entry.etag)),
        checksum_type: checksums.first().map(|checksum| checksum::type_of(checksum.kind)),
        version_id: describe::version_written(entry.version),
        server_side_encryption: told.algorithm.map(ServerSideEncryption::from_static),
        ssekms_key_id: told.kms_key,
        bucket_key_enabled: told.bucket_key,
        ..CompleteMultipartUploadOutput::default()
    };
    checksum::show!(output, checksums);
    let mut response = S3Response::new(output);
    customer::echo_in(&mut response.headers, encryption);
    response
}

#[cfg(test)]
mod tests;
