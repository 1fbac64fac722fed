//! PutBucketVersioning. MFA delete is refused: a switch that nothing checks would be a promise broken.

use metadata::records::Versioning;
use metadata::{Catalog, CatalogError};
use s3s::dto::{
    BucketVersioningStatus, MFADelete, PutBucketVersioningInput, PutBucketVersioningOutput,
    VersioningConfiguration,
};
use s3s::{S3ErrorCode, S3Request, S3Result};

use crate::configs::Configs;
use crate::rules::replication::Replication;
use crate::s3::authorize::{Authorized, Gate, PutBucketVersioning};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    request: S3Request<PutBucketVersioningInput>,
) -> S3Result<PutBucketVersioningOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketVersioning> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let versioning = wanted(&request.input.versioning_configuration)?;
    let replicated = configs.get::<Replication>(allowed.id()).await.map_err(error::catalog)?;
    if replicated.is_some() && versioning != Versioning::Enabled {
        return Err(error::refuse(
            S3ErrorCode::InvalidBucketState,
            "A replication configuration is present on this bucket, so you cannot change the versioning state. To change the versioning state, first delete the replication configuration.",
        ));
    }
    let at = allowed.at();
    let changed = catalog.change_bucket(&at, |bucket| {
        // A locked version must not be overwritten by a version `null`.
        if bucket.lock.is_some() && versioning != Versioning::Enabled {
            return Err(CatalogError::Locked);
        }
        bucket.versioning = versioning;
        Ok(())
    });
    match changed.await {
        Ok(_) => Ok(PutBucketVersioningOutput {}),
        Err(CatalogError::Locked) => Err(error::refuse(
            S3ErrorCode::InvalidBucketState,
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
        )),
        Err(refused) => Err(error::catalog(refused)),
    }
}

fn wanted(asked: &VersioningConfiguration) -> S3Result<Versioning> {
    let illegal =
        |message| Err(error::refuse(S3ErrorCode::IllegalVersioningConfigurationException, message));
    match asked.mfa_delete.as_ref().map(MFADelete::as_str) {
        None | Some(MFADelete::DISABLED) => {}
        Some(MFADelete::ENABLED) => return Err(error::later("MFA delete")),
        Some(_) => return illegal("The MFA delete status is unknown."),
    }
    match asked.status.as_ref().map(BucketVersioningStatus::as_str) {
        Some(BucketVersioningStatus::ENABLED) => Ok(Versioning::Enabled),
        Some(BucketVersioningStatus::SUSPENDED) => Ok(Versioning::Suspended),
        None | Some(_) => illegal("The Versioning element must be specified"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_kept_is_promised() {
        let ask = |status: Option<&'static str>, mfa: Option<&'static str>| {
            let configuration = VersioningConfiguration {
                status: status.map(BucketVersioningStatus::from_static),
                mfa_delete: mfa.map(MFADelete::from_static),
            };
            wanted(&configuration).map_err(|error| error.code().clone())
        };
        assert_eq!(ask(Some("Enabled"), Some("Disabled")), Ok(Versioning::Enabled));
        assert_eq!(ask(Some("Suspended"), None), Ok(Versioning::Suspended));
        assert_eq!(ask(Some("Enabled"), Some("Enabled")), Err(S3ErrorCode::NotImplemented));
        let illegal = S3ErrorCode::IllegalVersioningConfigurationException;
        assert_eq!(ask(None, None), Err(illegal.clone()));
        assert_eq!(ask(Some("enabled"), None), Err(illegal));
    }
}
