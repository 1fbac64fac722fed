//! Server-side encryption as a client asks for it: SSE-S3, SSE-KMS with a named key, SSE-C, or the bucket's default.
//!
//! Everything is encrypted anyway. What is asked for decides which key wraps the data key, and whether S3 speaks of it: an answer names an
//! encryption only if the client or the bucket's default asked for one.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html>

use ::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata::records::{ConfigKind, Encryption};
use metadata::{Catalog, CatalogError};
use s3s::{S3Error, S3ErrorCode, S3Result};
use serde::{Deserialize, Serialize};
use types::BucketId;

use super::{customer, error};
use crate::keys::{self, WrappingKeys};
use crate::put::CustomerKey;

/// SSE-S3, as headers call it.
pub(super) const AES256: &str = "AES256";
/// SSE-KMS, as headers call it.
pub(super) const KMS: &str = "aws:kms";
/// The header that asks for either.
const HEADER: &str = "x-amz-server-side-encryption";
/// The longest encryption context, in bytes of base64.
const CONTEXT_MAX: usize = 2048;

/// What a write says of its encryption.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) algorithm: Option<String>,
    pub(super) kms_key: Option<String>,
    pub(super) context: Option<String>,
    pub(super) bucket_key: Option<bool>,
    pub(super) customer_algorithm: Option<String>,
    pub(super) customer_key: Option<String>,
    pub(super) customer_md5: Option<String>,
}

/// Takes [`Asked`] out of a PUT, copy or Create.
macro_rules! asked {
    ($input:expr) => {
        $crate::s3::encryption::Asked {
            algorithm: $input.server_side_encryption.take().map(|name| name.as_str().to_owned()),
            kms_key: $input.ssekms_key_id.take(),
            context: $input.ssekms_encryption_context.take(),
            bucket_key: $input.bucket_key_enabled.take(),
            customer_algorithm: $input.sse_customer_algorithm.take(),
            customer_key: $input.sse_customer_key.take(),
            customer_md5: $input.sse_customer_key_md5.take(),
        }
    };
}
pub(super) use asked;

/// Fills the fields of an answer that tell of an encryption.
macro_rules! show {
    ($output:expr, $encryption:expr) => {{
        let told = $crate::s3::encryption::Told::of($encryption);
        $output.server_side_encryption =
            told.algorithm.map(::s3s::dto::ServerSideEncryption::from_static);
        $output.ssekms_key_id = told.kms_key;
        $output.bucket_key_enabled = told.bucket_key;
        ($output.sse_customer_algorithm, $output.sse_customer_key_md5) =
            $crate::s3::customer::echo($encryption);
    }};
}
pub(super) use show;

/// How an object is to be encrypted, and the customer's key if it is theirs.
#[derive(Clone)]
pub(super) struct Wish {
    pub(super) encryption: Encryption,
    pub(super) customer: Option<CustomerKey>,
}

/// What an answer tells of an encryption, beside SSE-C.
pub(super) struct Told {
    pub(super) algorithm: Option<&'static str>,
    pub(super) kms_key: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

impl Told {
    pub(super) fn of(encryption: &Encryption) -> Self {
        let none = Self { algorithm: None, kms_key: None, bucket_key: None };
        match encryption {
            Encryption::Keyring | Encryption::Customer { .. } => none,
            Encryption::SseS3 => Self { algorithm: Some(AES256), ..none },
            Encryption::Kms { key, bucket_key, .. } => Self {
                algorithm: Some(KMS),
                kms_key: Some(key.clone()),
                bucket_key: bucket_key.then_some(true),
            },
        }
    }
}

/// The encryption context that answers repeat.
pub(super) fn context(encryption: &Encryption) -> Option<String> {
    match encryption {
        Encryption::Kms { context, .. } => context.clone(),
        Encryption::Keyring | Encryption::SseS3 | Encryption::Customer { .. } => None,
    }
}

/// A bucket's default, as it is stored (JSON).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BucketDefault {
    /// `None`: no default, only what is forbidden.
    pub(super) algorithm: Option<DefaultAlgorithm>,
    /// Whether bucket keys are asked for.
    pub(super) bucket_key: bool,
    /// Whether objects under customers' keys (SSE-C) are refused.
    pub(super) block_customer: bool,
}

/// What encrypts objects that ask for nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum DefaultAlgorithm {
    /// SSE-S3.
    Aes256,
    /// SSE-KMS with this key.
    Kms(String),
}

/// A bucket's default, if it has one.
pub(super) async fn default_of(
    catalog: &Catalog,
    bucket: BucketId,
) -> S3Result<Option<BucketDefault>> {
    let stored = catalog.bucket_config(bucket, ConfigKind::Encryption, "").await;
    let Some(stored) = stored.map_err(error::catalog)? else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|error| {
        tracing::error!(%error, "a bucket's encryption configuration cannot be read");
        S3Error::new(S3ErrorCode::InternalError)
    })
}

/// How an object is encrypted that asks for nothing.
///
/// # Errors
/// The engine's; [`CatalogError::Corrupt`] if the bucket's default cannot be read.
pub(crate) async fn unasked(
    catalog: &Catalog,
    bucket: BucketId,
) -> Result<Encryption, CatalogError> {
    let stored = catalog.bucket_config(bucket, ConfigKind::Encryption, "").await?;
    let default = stored.as_deref().map(serde_json::from_slice::<BucketDefault>).transpose();
    let default = default.map_err(|error| {
        CatalogError::Corrupt(format!("a bucket's encryption configuration: {error}"))
    })?;
    Ok(of_default(default))
}

fn of_default(default: Option<BucketDefault>) -> Encryption {
    match default {
        None | Some(BucketDefault { algorithm: None, .. }) => Encryption::Keyring,
        Some(BucketDefault { algorithm: Some(DefaultAlgorithm::Aes256), .. }) => Encryption::SseS3,
        Some(BucketDefault { algorithm: Some(DefaultAlgorithm::Kms(key)), bucket_key, .. }) => {
            Encryption::Kms { key, context: None, bucket_key }
        }
    }
}

impl Asked {
    /// How the object is to be encrypted: as it asks, else as its bucket does by default.
    ///
    /// # Errors
    /// `InvalidArgument` for headers that contradict each other; `AccessDenied` for SSE-C where the bucket refuses it;
    /// `KMS.NotFoundException`, `KMS.DisabledException`.
    pub(super) async fn wish(
        self,
        catalog: &Catalog,
        keys: &WrappingKeys,
        bucket: BucketId,
    ) -> S3Result<Wish> {
        let own = self.own()?;
        let default = default_of(catalog, bucket).await?;
        if let Some(wish) = own {
            let refused = default.is_some_and(|default| default.block_customer);
            if refused && wish.customer.is_some() {
                let message = "Server-side encryption with customer-provided keys (SSE-C) is blocked for this bucket.";
                return Err(error::refuse(S3ErrorCode::AccessDenied, message));
            }
            return wish.usable(keys).await;
        }
        Wish { encryption: of_default(default), customer: None }.usable(keys).await
    }

    /// What the headers themselves ask for.
    fn own(self) -> S3Result<Option<Wish>> {
        let customer = customer::key(
            self.customer_algorithm.as_deref(),
            self.customer_key,
            self.customer_md5.as_deref(),
        )?;
        let kms_only = self.kms_key.is_some() || self.context.is_some();
        let Some(algorithm) = self.algorithm else {
            if kms_only {
                return Err(invalid(
                    "x-amz-server-side-encryption must be aws:kms when a KMS key or context is given.",
                ));
            }
            let encryption = customer::encryption(customer.as_ref());
            return Ok(customer.map(|customer| Wish { encryption, customer: Some(customer) }));
        };
        if customer.is_some() {
            return Err(invalid(
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
            ));
        }
        let encryption = match algorithm.as_str() {
            AES256 if kms_only => {
                return Err(invalid("The encryption parameters are not applicable to AES256."));
            }
            AES256 => Encryption::SseS3,
            KMS => Encryption::Kms {
                key: key_name(self.kms_key)?,
                context: self.context.map(check_context).transpose()?,
                bucket_key: self.bucket_key.unwrap_or(false),
            },
            "aws:kms:dsse" => return Err(error::later("Dual-layer encryption (aws:kms:dsse)")),
            _ => return Err(invalid("The encryption method specified is not supported")),
        };
        Ok(Some(Wish { encryption, customer: None }))
    }
}

impl Wish {
    async fn usable(self, keys: &WrappingKeys) -> S3Result<Self> {
        if let Encryption::Kms { key, .. } = &self.encryption {
            keys.usable(key).await.map_err(error::key)?;
        }
        Ok(self)
    }
}

/// The name of a KMS key: itself, or at the end of an ARN.
pub(super) fn key_name(given: Option<String>) -> S3Result<String> {
    let given = given.filter(|name| !name.is_empty());
    let given = given
        .ok_or_else(|| invalid("aws:kms needs the name of a key: there is no default one."))?;
    let name = match given.strip_prefix("arn:") {
        Some(arn) => arn.rsplit('/').next().unwrap_or_default(),
        None => given.as_str(),
    };
    // A name that no key can have is one that no key has.
    keys::check_name(name).map_err(|_| error::key(keys::KeyError::NoSuchKey(name.to_owned())))?;
    Ok(name.to_owned())
}

/// Base64 of a JSON object of strings.
fn check_context(context: String) -> S3Result<String> {
    let flat = |bytes: Vec<u8>| {
        serde_json::from_slice::<std::collections::BTreeMap<String, String>>(&bytes).ok()
    };
    let good =
        context.len() <= CONTEXT_MAX && STANDARD.decode(&context).ok().and_then(flat).is_some();
    if good {
        Ok(context)
    } else {
        Err(invalid("The encryption context is not base64 of a flat JSON object."))
    }
}

/// Reads do not ask for an encryption: the object has one.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn refuse_on_read(headers: &HeaderMap) -> S3Result<()> {
    if headers.contains_key(HEADER) {
        return Err(invalid(
            "x-amz-server-side-encryption header is not supported for this operation.",
        ));
    }
    Ok(())
}

fn invalid(message: &'static str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(algorithm: Option<&str>, kms_key: Option<&str>) -> Asked {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Asked { algorithm: text(algorithm), kms_key: text(kms_key), ..Asked::default() }
    }

    fn own(asked: Asked) -> Result<Option<Encryption>, S3ErrorCode> {
        let own = asked.own().map_err(|error| error.code().clone())?;
        Ok(own.map(|wish| wish.encryption))
    }

    #[test]
    fn headers_that_contradict_each_other_are_refused() {
        let kms =
            |key: &str| Encryption::Kms { key: key.to_owned(), context: None, bucket_key: false };
        assert_eq!(own(asked(None, None)), Ok(None));
        assert_eq!(own(asked(Some("AES256"), None)), Ok(Some(Encryption::SseS3)));
        assert_eq!(own(asked(Some("aws:kms"), Some("k1"))), Ok(Some(kms("k1"))));
        let arn = "arn:aws:kms:us-east-1:111122223333:key/k1";
        assert_eq!(own(asked(Some("aws:kms"), Some(arn))), Ok(Some(kms("k1"))));
        for (algorithm, key) in [
            (Some("aws:kms"), None),
            (Some("AES256"), Some("k1")),
            (None, Some("k1")),
            (Some("aes:kms"), None),
            (Some("AES192"), None),
        ] {
            assert_eq!(own(asked(algorithm, key)), Err(S3ErrorCode::InvalidArgument));
        }
        let both = Asked {
            customer_algorithm: Some("AES256".to_owned()),
            customer_key: Some("pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=".to_owned()),
            customer_md5: Some("DWygnHRtgiJ77HCm+1rvHw==".to_owned()),
            ..asked(Some("AES256"), None)
        };
        assert_eq!(own(both), Err(S3ErrorCode::InvalidArgument));
        let bad_context = Asked { context: Some("e30".to_owned()), ..asked(Some(KMS), Some("k")) };
        assert_eq!(own(bad_context), Err(S3ErrorCode::InvalidArgument));
    }

    #[test]
    fn only_what_was_asked_for_is_told() {
        assert_eq!(Told::of(&Encryption::Keyring).algorithm, None);
        assert_eq!(Told::of(&Encryption::SseS3).algorithm, Some("AES256"));
        let kms = Encryption::Kms { key: "k".to_owned(), context: None, bucket_key: true };
        let told = Told::of(&kms);
        assert_eq!(
            (told.algorithm, told.kms_key.as_deref(), told.bucket_key),
            (Some("aws:kms"), Some("k"), Some(true))
        );
    }

    #[test]
    fn a_default_survives_its_stored_form() {
        let stored = r#"{"algorithm":{"Kms":"k1"},"bucket_key":true,"block_customer":false}"#;
        let default: BucketDefault = serde_json::from_str(stored).expect("reads");
        assert_eq!(default.algorithm, Some(DefaultAlgorithm::Kms("k1".to_owned())));
        assert_eq!(serde_json::to_string(&default).expect("writes"), stored);
    }
}
