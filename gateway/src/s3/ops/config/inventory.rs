//! What PutBucketInventoryConfiguration takes and the others show: the wire's form of [`Inventory`].

use ::http::StatusCode;
use metadata::{Catalog, CatalogError};
use s3s::dto::{
    InventoryConfiguration, InventoryDestination, InventoryEncryption, InventoryFilter,
    InventoryFormat, InventoryFrequency, InventoryIncludedObjectVersions, InventoryOptionalField,
    InventoryS3BucketDestination, InventorySchedule, PutBucketInventoryConfigurationInput, SSES3,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::target;
use crate::rules::inventory::{Field, Inventory};
use crate::s3::authorize::{Actor, Authorized, Deed, Gate, PutInventoryConfiguration};
use crate::s3::error;

/// Before the name of a target bucket.
const ARN: &str = "arn:aws:s3:::";

/// Checks a configuration and gives what is kept of it.
pub(super) fn write(given: &InventoryConfiguration) -> S3Result<Vec<u8>> {
    let kept = parse(given)?;
    serde_json::to_vec(&kept).map_err(|_| error::malformed_xml())
}

/// The target must take the lists. It is asked again for each.
pub(super) async fn check(
    gate: &Gate,
    catalog: &Catalog,
    request: &S3Request<PutBucketInventoryConfigurationInput>,
    allowed: &Authorized<PutInventoryConfiguration>,
) -> S3Result<()> {
    let wanted = parse(&request.input.inventory_configuration)?;
    let row = match catalog.bucket(&wanted.target).await {
        Ok(row) => row,
        Err(CatalogError::NoSuchBucket(_)) => {
            return Err(refused("The destination bucket does not exist."));
        }
        Err(failed) => return Err(error::catalog(failed)),
    };
    let account = &allowed.bucket().owner;
    let deed = Deed { actor: Actor::Inventory, source: allowed.name(), account };
    let prefix = format!("{}/", wanted.home(allowed.name()));
    let to = (&wanted.target, &row);
    if wanted.means(&row.owner) && target::takes(gate, request, &deed, to, &prefix).await? {
        return Ok(());
    }
    Err(refused(
        "The destination bucket belongs to another account, or its policy does not let lists be written.",
    ))
}

/// Shows what is kept.
pub(super) fn read(kept: &[u8]) -> S3Result<InventoryConfiguration> {
    let kept: Inventory = serde_json::from_slice(kept).map_err(|error| {
        tracing::error!(%error, "an inventory that is kept cannot be read");
        S3Error::new(S3ErrorCode::InternalError)
    })?;
    Ok(show(&kept))
}

fn parse(given: &InventoryConfiguration) -> S3Result<Inventory> {
    let to = &given.destination.s3_bucket_destination;
    if to.format.as_str() != InventoryFormat::CSV {
        return Err(error::later("An inventory in another format than CSV"));
    }
    if to.encryption.as_ref().is_some_and(|encryption| encryption.ssekms.is_some()) {
        return Err(error::later("An inventory under a named key"));
    }
    let target = to.bucket.strip_prefix(ARN).unwrap_or(&to.bucket);
    let target = target.parse().map_err(|_| refused("The destination bucket is no bucket."))?;
    let field = |name: &InventoryOptionalField| {
        let known = Field::ALL.into_iter().find(|field| field.name() == name.as_str());
        known.ok_or_else(|| error::later("This field of an inventory"))
    };
    let fields = given.optional_fields.iter().flatten();
    let mut fields: Vec<Field> = fields.map(field).collect::<S3Result<_>>()?;
    fields.sort();
    fields.dedup();
    Ok(Inventory {
        id: given.id.clone(),
        enabled: given.is_enabled,
        filter: given.filter.as_ref().map(|filter| filter.prefix.clone()),
        all_versions: match given.included_object_versions.as_str() {
            InventoryIncludedObjectVersions::ALL => true,
            InventoryIncludedObjectVersions::CURRENT => false,
            _ => return Err(error::malformed_xml()),
        },
        weekly: match given.schedule.frequency.as_str() {
            InventoryFrequency::WEEKLY => true,
            InventoryFrequency::DAILY => false,
            _ => return Err(error::malformed_xml()),
        },
        target,
        account: to.account_id.clone(),
        prefix: to.prefix.clone(),
        sse_s3: to.encryption.as_ref().is_some_and(|encryption| encryption.sses3.is_some()),
        fields,
    })
}

fn refused(message: &'static str) -> S3Error {
    error::custom("InvalidS3DestinationBucket", StatusCode::BAD_REQUEST, message)
}

fn show(kept: &Inventory) -> InventoryConfiguration {
    let versions = if kept.all_versions {
        InventoryIncludedObjectVersions::ALL
    } else {
        InventoryIncludedObjectVersions::CURRENT
    };
    let often = if kept.weekly { InventoryFrequency::WEEKLY } else { InventoryFrequency::DAILY };
    let field = |field: &Field| InventoryOptionalField::from_static(field.name());
    InventoryConfiguration {
        destination: InventoryDestination {
            s3_bucket_destination: InventoryS3BucketDestination {
                account_id: kept.account.clone(),
                bucket: format!("{ARN}{}", kept.target),
                encryption: kept
                    .sse_s3
                    .then_some(InventoryEncryption { ssekms: None, sses3: Some(SSES3 {}) }),
                format: InventoryFormat::from_static(InventoryFormat::CSV),
                prefix: kept.prefix.clone(),
            },
        },
        filter: kept.filter.clone().map(|prefix| InventoryFilter { prefix }),
        id: kept.id.clone(),
        included_object_versions: InventoryIncludedObjectVersions::from_static(versions),
        is_enabled: kept.enabled,
        optional_fields: (!kept.fields.is_empty()).then(|| kept.fields.iter().map(field).collect()),
        schedule: InventorySchedule { frequency: InventoryFrequency::from_static(often) },
    }
}
