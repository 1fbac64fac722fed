//! Where the S3 library ends: one line for each operation. What is not here, the library answers with `NotImplemented`.

use metadata::Catalog;
use s3s::{S3, S3Request, S3Response, S3Result, dto};

use super::authorize::Gate;
use super::{S3Settings, ops};
use crate::changes::Changes;
use crate::configs::Configs;
use crate::get::Reader;
use crate::put::Writer;

/// Hands each operation the few things it uses.
#[derive(Clone)]
pub(super) struct Adapter {
    gate: Gate,
    catalog: Catalog,
    configs: Configs,
    changes: Changes,
    writer: Writer,
    reader: Reader,
    settings: std::sync::Arc<S3Settings>,
}

impl Adapter {
    pub(super) fn new(
        gate: Gate,
        (catalog, configs, changes): (Catalog, Configs, Changes),
        (writer, reader): (Writer, Reader),
        settings: S3Settings,
    ) -> Self {
        let settings = std::sync::Arc::new(settings);
        Self { gate, catalog, configs, changes, writer, reader, settings }
    }
}

/// `name: module(handles) input => output`; after `@answers` those that write headers of their own; after `@configurations` with the
/// function's name, because a configuration's operations share a file.
macro_rules! delegate {
    (
        $($name:ident : $($module:ident)::+ ($($handle:ident),+) $input:ident => $output:ident;)+
        @answers
        $($answer:ident : $($by:ident)::+ ($($using:ident),+) $question:ident => $told:ident;)+
        @configurations
        $($config:ident : $($function:ident)::+ ($($with:ident),+) $taken:ident => $given:ident;)+
    ) => {
        #[async_trait::async_trait]
        impl S3 for Adapter {
            $(
                async fn $name(&self, request: S3Request<dto::$input>) -> S3Result<S3Response<dto::$output>> {
                    ops::$($module)::+::run($(&self.$handle),+, request).await.map(S3Response::new)
                }
            )+
            $(
                async fn $answer(&self, request: S3Request<dto::$question>) -> S3Result<S3Response<dto::$told>> {
                    ops::$($by)::+::run($(&self.$using),+, request).await
                }
            )+
            $(
                async fn $config(&self, request: S3Request<dto::$taken>) -> S3Result<S3Response<dto::$given>> {
                    ops::config::$($function)::+($(&self.$with),+, request).await.map(S3Response::new)
                }
            )+
        }
    };
}

delegate! {
    list_buckets: list_buckets(gate, catalog, settings) ListBucketsInput => ListBucketsOutput;
    create_bucket: create_bucket(gate, catalog, settings) CreateBucketInput => CreateBucketOutput;
    head_bucket: head_bucket(gate, settings) HeadBucketInput => HeadBucketOutput;
    get_bucket_location: get_bucket_location(gate, settings) GetBucketLocationInput => GetBucketLocationOutput;
    delete_bucket: delete_bucket(gate, catalog) DeleteBucketInput => DeleteBucketOutput;
    put_bucket_encryption: put_bucket_encryption(gate, catalog, writer) PutBucketEncryptionInput => PutBucketEncryptionOutput;
    get_bucket_encryption: get_bucket_encryption(gate, catalog) GetBucketEncryptionInput => GetBucketEncryptionOutput;
    delete_bucket_encryption: delete_bucket_encryption(gate, catalog) DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput;

    get_bucket_versioning: versioning::get(gate) GetBucketVersioningInput => GetBucketVersioningOutput;
    put_bucket_versioning: versioning::put(gate, catalog, configs) PutBucketVersioningInput => PutBucketVersioningOutput;
    list_object_versions: versioning::list(gate, catalog) ListObjectVersionsInput => ListObjectVersionsOutput;

    get_object_lock_configuration: lock::get_configuration(gate) GetObjectLockConfigurationInput => GetObjectLockConfigurationOutput;
    put_object_lock_configuration: lock::put_configuration(gate, catalog) PutObjectLockConfigurationInput => PutObjectLockConfigurationOutput;
    get_object_retention: lock::get_retention(gate) GetObjectRetentionInput => GetObjectRetentionOutput;
    put_object_retention: lock::put_retention(gate, catalog) PutObjectRetentionInput => PutObjectRetentionOutput;
    get_object_legal_hold: lock::get_legal_hold(gate) GetObjectLegalHoldInput => GetObjectLegalHoldOutput;
    put_object_legal_hold: lock::put_legal_hold(gate, catalog) PutObjectLegalHoldInput => PutObjectLegalHoldOutput;

    get_object_tagging: tagging::get(gate) GetObjectTaggingInput => GetObjectTaggingOutput;
    put_object_tagging: tagging::put(gate, catalog, changes) PutObjectTaggingInput => PutObjectTaggingOutput;
    delete_object_tagging: tagging::delete(gate, catalog, changes) DeleteObjectTaggingInput => DeleteObjectTaggingOutput;
    get_bucket_tagging: tagging::get_bucket(gate, catalog) GetBucketTaggingInput => GetBucketTaggingOutput;
    put_bucket_tagging: tagging::put_bucket(gate, catalog) PutBucketTaggingInput => PutBucketTaggingOutput;
    delete_bucket_tagging: tagging::delete_bucket(gate, catalog) DeleteBucketTaggingInput => DeleteBucketTaggingOutput;

    list_objects: list_objects(gate, catalog, settings) ListObjectsInput => ListObjectsOutput;
    list_objects_v2: list_objects_v2(gate, catalog, settings) ListObjectsV2Input => ListObjectsV2Output;

    put_object: put_object(gate, catalog, configs, changes, writer, settings) PutObjectInput => PutObjectOutput;
    copy_object: copy_object(gate, catalog, changes, writer, reader, settings) CopyObjectInput => CopyObjectOutput;
    get_object: get_object(gate, configs, reader, settings) GetObjectInput => GetObjectOutput;
    get_object_attributes: get_object_attributes(gate) GetObjectAttributesInput => GetObjectAttributesOutput;
    delete_object: delete_object(gate, catalog, changes) DeleteObjectInput => DeleteObjectOutput;
    delete_objects: delete_objects(gate, catalog, changes) DeleteObjectsInput => DeleteObjectsOutput;
    rename_object: rename_object(gate, catalog, changes) RenameObjectInput => RenameObjectOutput;

    get_bucket_acl: access::get_bucket_acl(gate, catalog) GetBucketAclInput => GetBucketAclOutput;
    put_bucket_acl: access::put_bucket_acl(gate, catalog) PutBucketAclInput => PutBucketAclOutput;
    get_object_acl: access::get_object_acl(gate, catalog) GetObjectAclInput => GetObjectAclOutput;
    put_object_acl: access::put_object_acl(gate, catalog, changes) PutObjectAclInput => PutObjectAclOutput;
    get_bucket_policy: access::get_policy(gate, catalog) GetBucketPolicyInput => GetBucketPolicyOutput;
    put_bucket_policy: access::put_policy(gate, catalog) PutBucketPolicyInput => PutBucketPolicyOutput;
    delete_bucket_policy: access::delete_policy(gate, catalog) DeleteBucketPolicyInput => DeleteBucketPolicyOutput;
    get_bucket_policy_status: access::get_policy_status(gate) GetBucketPolicyStatusInput => GetBucketPolicyStatusOutput;
    get_public_access_block: access::get_block(gate, catalog) GetPublicAccessBlockInput => GetPublicAccessBlockOutput;
    put_public_access_block: access::put_block(gate, catalog) PutPublicAccessBlockInput => PutPublicAccessBlockOutput;
    delete_public_access_block: access::delete_block(gate, catalog) DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput;
    get_bucket_ownership_controls: access::get_ownership(gate) GetBucketOwnershipControlsInput => GetBucketOwnershipControlsOutput;
    put_bucket_ownership_controls: access::put_ownership(gate, catalog) PutBucketOwnershipControlsInput => PutBucketOwnershipControlsOutput;
    delete_bucket_ownership_controls: access::delete_ownership(gate, catalog) DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput;
    get_bucket_request_payment: access::get_payment(gate, catalog) GetBucketRequestPaymentInput => GetBucketRequestPaymentOutput;
    put_bucket_request_payment: access::put_payment(gate, catalog) PutBucketRequestPaymentInput => PutBucketRequestPaymentOutput;

    create_multipart_upload: multipart::create(gate, catalog, configs, writer, settings) CreateMultipartUploadInput => CreateMultipartUploadOutput;
    upload_part: multipart::upload_part(gate, catalog, writer) UploadPartInput => UploadPartOutput;
    upload_part_copy: multipart::upload_part_copy(gate, catalog, writer, reader, settings) UploadPartCopyInput => UploadPartCopyOutput;
    list_parts: multipart::list_parts(gate, catalog) ListPartsInput => ListPartsOutput;
    list_multipart_uploads: multipart::list_uploads(gate, catalog) ListMultipartUploadsInput => ListMultipartUploadsOutput;
    abort_multipart_upload: multipart::abort(gate, catalog) AbortMultipartUploadInput => AbortMultipartUploadOutput;

    @answers
    head_object: head_object(gate, configs, reader) HeadObjectInput => HeadObjectOutput;
    restore_object: restore_object(gate, catalog, settings) RestoreObjectInput => RestoreObjectOutput;
    complete_multipart_upload: multipart::complete(gate, catalog, changes, writer) CompleteMultipartUploadInput => CompleteMultipartUploadOutput;

    @configurations
    put_bucket_cors: cors::put(gate, configs) PutBucketCorsInput => PutBucketCorsOutput;
    get_bucket_cors: cors::get(gate, configs) GetBucketCorsInput => GetBucketCorsOutput;
    delete_bucket_cors: cors::delete(gate, configs) DeleteBucketCorsInput => DeleteBucketCorsOutput;
    put_bucket_lifecycle_configuration: lifecycle::put(gate, configs, settings) PutBucketLifecycleConfigurationInput => PutBucketLifecycleConfigurationOutput;
    get_bucket_lifecycle_configuration: lifecycle::get(gate, configs) GetBucketLifecycleConfigurationInput => GetBucketLifecycleConfigurationOutput;
    delete_bucket_lifecycle: lifecycle::delete(gate, configs) DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput;
    put_bucket_website: website::put(gate, configs) PutBucketWebsiteInput => PutBucketWebsiteOutput;
    get_bucket_website: website::get(gate, configs) GetBucketWebsiteInput => GetBucketWebsiteOutput;
    delete_bucket_website: website::delete(gate, configs) DeleteBucketWebsiteInput => DeleteBucketWebsiteOutput;
    put_bucket_inventory_configuration: named::inventories::put(gate, catalog) PutBucketInventoryConfigurationInput => PutBucketInventoryConfigurationOutput;
    get_bucket_inventory_configuration: named::inventories::get(gate, catalog) GetBucketInventoryConfigurationInput => GetBucketInventoryConfigurationOutput;
    delete_bucket_inventory_configuration: named::inventories::delete(gate, catalog) DeleteBucketInventoryConfigurationInput => DeleteBucketInventoryConfigurationOutput;
    list_bucket_inventory_configurations: named::inventories::list(gate, catalog) ListBucketInventoryConfigurationsInput => ListBucketInventoryConfigurationsOutput;
    put_bucket_metrics_configuration: named::metrics::put(gate, catalog) PutBucketMetricsConfigurationInput => PutBucketMetricsConfigurationOutput;
    get_bucket_metrics_configuration: named::metrics::get(gate, catalog) GetBucketMetricsConfigurationInput => GetBucketMetricsConfigurationOutput;
    delete_bucket_metrics_configuration: named::metrics::delete(gate, catalog) DeleteBucketMetricsConfigurationInput => DeleteBucketMetricsConfigurationOutput;
    list_bucket_metrics_configurations: named::metrics::list(gate, catalog) ListBucketMetricsConfigurationsInput => ListBucketMetricsConfigurationsOutput;
    put_bucket_analytics_configuration: named::analytics::put(gate, catalog) PutBucketAnalyticsConfigurationInput => PutBucketAnalyticsConfigurationOutput;
    get_bucket_analytics_configuration: named::analytics::get(gate, catalog) GetBucketAnalyticsConfigurationInput => GetBucketAnalyticsConfigurationOutput;
    delete_bucket_analytics_configuration: named::analytics::delete(gate, catalog) DeleteBucketAnalyticsConfigurationInput => DeleteBucketAnalyticsConfigurationOutput;
    list_bucket_analytics_configurations: named::analytics::list(gate, catalog) ListBucketAnalyticsConfigurationsInput => ListBucketAnalyticsConfigurationsOutput;
    put_bucket_intelligent_tiering_configuration: named::tiering::put(gate, catalog) PutBucketIntelligentTieringConfigurationInput => PutBucketIntelligentTieringConfigurationOutput;
    get_bucket_intelligent_tiering_configuration: named::tiering::get(gate, catalog) GetBucketIntelligentTieringConfigurationInput => GetBucketIntelligentTieringConfigurationOutput;
    delete_bucket_intelligent_tiering_configuration: named::tiering::delete(gate, catalog) DeleteBucketIntelligentTieringConfigurationInput => DeleteBucketIntelligentTieringConfigurationOutput;
    list_bucket_intelligent_tiering_configurations: named::tiering::list(gate, catalog) ListBucketIntelligentTieringConfigurationsInput => ListBucketIntelligentTieringConfigurationsOutput;
    put_bucket_logging: logging::put(gate, catalog, configs) PutBucketLoggingInput => PutBucketLoggingOutput;
    get_bucket_logging: logging::get(gate, configs) GetBucketLoggingInput => GetBucketLoggingOutput;
    put_bucket_notification_configuration: notification::put(gate, catalog, configs, settings) PutBucketNotificationConfigurationInput => PutBucketNotificationConfigurationOutput;
    get_bucket_notification_configuration: notification::get(gate, configs) GetBucketNotificationConfigurationInput => GetBucketNotificationConfigurationOutput;
    put_bucket_replication: replication::put(gate, catalog, configs, settings) PutBucketReplicationInput => PutBucketReplicationOutput;
    get_bucket_replication: replication::get(gate, configs) GetBucketReplicationInput => GetBucketReplicationOutput;
    delete_bucket_replication: replication::delete(gate, configs) DeleteBucketReplicationInput => DeleteBucketReplicationOutput;
    put_bucket_accelerate_configuration: switches::put_acceleration(gate, configs) PutBucketAccelerateConfigurationInput => PutBucketAccelerateConfigurationOutput;
    get_bucket_accelerate_configuration: switches::get_acceleration(gate, configs) GetBucketAccelerateConfigurationInput => GetBucketAccelerateConfigurationOutput;
}
