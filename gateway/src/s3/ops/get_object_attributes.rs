//! GetObjectAttributes: a HEAD that says more, and only what is asked for.

use metadata::Located;
use s3s::dto::{
    self, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectAttributes, ObjectPart, StorageClass,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::found;
use super::version::{self, Addressed as _, Version};
use crate::s3::authorize::{Authorized, Gate, GetObject, GetObjectAttributes, Said};
use crate::s3::{checksum, customer, describe, error, listing};

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetObjectAttributesInput>,
) -> S3Result<GetObjectAttributesOutput> {
    let address = request.input.address();
    let door = version::door(gate, &request).await?;
    let found: Version<GetObjectAttributes> =
        version::through(&door, address, &Said::default()).await?;
    let Version { allowed, located, .. } = found;
    // Attributes tell what a HEAD tells.
    let _: Authorized<GetObject> = door.also(address.which, &located)?;
    drop(door);
    let input = request.input;
    let wanted = Wanted::read(&input.object_attributes)?;
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key,
        input.sse_customer_key_md5.as_deref(),
    )?;
    customer::check(&located.detail.encryption, customer.as_ref())?;

    let limit = listing::limit(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let object_parts = if wanted.parts { parts(&located, marker, limit).await? } else { None };
    let entry = &located.entry;
    Ok(GetObjectAttributesOutput {
        checksum: if wanted.checksum { checksums(&located) } else { None },
        e_tag: wanted.etag.then(|| describe::etag(&entry.etag)),
        last_modified: Some(describe::stamp(entry.modified)),
        object_parts,
        object_size: wanted.size.then(|| describe::signed(entry.size)),
        storage_class: wanted
            .class
            .then(|| StorageClass::from(describe::class_name(entry.class.as_ref()))),
        version_id: describe::version_read(allowed.bucket(), entry.version),
        ..GetObjectAttributesOutput::default()
    })
}

/// Which attributes are asked for.
#[derive(Default)]
struct Wanted {
    etag: bool,
    checksum: bool,
    parts: bool,
    class: bool,
    size: bool,
}

impl Wanted {
    /// The library takes each header for one name; clients write several into one.
    fn read(list: &[ObjectAttributes]) -> S3Result<Self> {
        let mut wanted = Self::default();
        for name in list.iter().flat_map(|names| names.as_str().split(',')).map(str::trim) {
            match name {
                ObjectAttributes::ETAG => wanted.etag = true,
                ObjectAttributes::CHECKSUM => wanted.checksum = true,
                ObjectAttributes::OBJECT_PARTS => wanted.parts = true,
                ObjectAttributes::STORAGE_CLASS => wanted.class = true,
                ObjectAttributes::OBJECT_SIZE => wanted.size = true,
                _ => {
                    return Err(error::refuse(
                        S3ErrorCode::InvalidArgument,
                        "Invalid attribute name specified.",
                    ));
                }
            }
        }
        Ok(wanted)
    }
}

/// The object's checksums.
fn checksums(located: &Located) -> Option<dto::Checksum> {
    let first = located.detail.checksums.first()?;
    let mut shown = dto::Checksum {
        checksum_type: Some(checksum::type_of(first.kind)),
        ..dto::Checksum::default()
    };
    checksum::show!(shown, &located.detail.checksums);
    Some(shown)
}

async fn parts(
    located: &Located,
    marker: i32,
    limit: i32,
) -> S3Result<Option<GetObjectAttributesParts>> {
    let all = found::parts_of(located).await?;
    if all.is_empty() {
        return Ok(None);
    }
    let after = u32::try_from(marker).map_err(|_| S3Error::new(S3ErrorCode::InvalidArgument))?;
    let most = usize::try_from(limit).unwrap_or(0);
    let mut rest = all.iter().filter(|part| part.part > after);
    let page: Vec<_> = rest.by_ref().take(most).collect();
    let number = |part: u32| i32::try_from(part).unwrap_or(i32::MAX);
    let of_object = located.detail.checksums.first().map(|checksum| checksum.algorithm);
    let shown = page.iter().map(|part| {
        let mut shown = ObjectPart {
            part_number: Some(number(part.part)),
            size: Some(describe::signed(part.len)),
            ..ObjectPart::default()
        };
        checksum::show!(
            shown,
            part.checksums.iter().filter(|checksum| Some(checksum.algorithm) == of_object)
        );
        shown
    });
    Ok(Some(GetObjectAttributesParts {
        is_truncated: Some(rest.next().is_some()),
        max_parts: Some(limit),
        next_part_number_marker: Some(page.last().map_or(marker, |part| number(part.part))),
        part_number_marker: Some(marker),
        parts: Some(shown.collect()),
        total_parts_count: i32::try_from(all.len()).ok(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_one_to_a_header_or_all_in_one() {
        let list = [
            ObjectAttributes::from_static("ETag, Checksum"),
            ObjectAttributes::from_static("ObjectSize"),
        ];
        let wanted = Wanted::read(&list).expect("known");
        assert!(wanted.etag && wanted.checksum && wanted.size && !wanted.parts && !wanted.class);
        assert!(Wanted::read(&[ObjectAttributes::from_static("Colour")]).is_err());
    }
}
