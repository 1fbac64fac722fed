//! PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration, DeleteBucketLifecycle.

mod parse;
mod show;

use s3s::dto::{
    DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, TransitionDefaultMinimumObjectSize as Minimum,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::configs::Configs;
use crate::rules::lifecycle::Lifecycle;
use crate::s3::authorize::{
    Authorized, Gate, GetLifecycleConfiguration, PutLifecycleConfiguration,
};
use crate::s3::{S3Settings, error};

pub(in crate::s3) async fn put(
    gate: &Gate,
    configs: &Configs,
    settings: &S3Settings,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> S3Result<PutBucketLifecycleConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutLifecycleConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    let small_stay =
        match input.transition_default_minimum_object_size.as_ref().map(Minimum::as_str) {
            None | Some(Minimum::VARIES_BY_STORAGE_CLASS) => false,
            Some(Minimum::ALL_STORAGE_CLASSES_128K) => true,
            Some(_) => return Err(S3Error::new(S3ErrorCode::InvalidArgument)),
        };
    let rules = input.lifecycle_configuration.ok_or_else(error::malformed_xml)?.rules;
    let known = |class: &str| settings.classes.iter().any(|(name, _)| name == class);
    let lifecycle = Lifecycle { rules: parse::rules(rules, known)?, small_stay };
    configs.put(&allowed.at(), &lifecycle).await.map_err(error::catalog)?;
    Ok(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(minimum(small_stay)),
    })
}

pub(in crate::s3) async fn get(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> S3Result<GetBucketLifecycleConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<GetLifecycleConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let lifecycle = configs.get::<Lifecycle>(allowed.id()).await.map_err(error::catalog)?;
    let lifecycle =
        lifecycle.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchLifecycleConfiguration))?;
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(lifecycle.rules.iter().map(show::rule).collect()),
        transition_default_minimum_object_size: Some(minimum(lifecycle.small_stay)),
    })
}

pub(in crate::s3) async fn delete(
    gate: &Gate,
    configs: &Configs,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> S3Result<DeleteBucketLifecycleOutput> {
    let input = &request.input;
    let allowed: Authorized<PutLifecycleConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    configs.delete::<Lifecycle>(&allowed.at()).await.map_err(error::catalog)?;
    Ok(DeleteBucketLifecycleOutput {})
}

fn minimum(small_stay: bool) -> Minimum {
    let name = if small_stay {
        Minimum::ALL_STORAGE_CLASSES_128K
    } else {
        Minimum::VARIES_BY_STORAGE_CLASS
    };
    Minimum::from_static(name)
}
