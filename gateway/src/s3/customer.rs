//! SSE-C: the customer brings the key with each request.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html>

use ::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata::records::Encryption;
use s3s::{S3ErrorCode, S3Result};
use seal::SealError;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::error;
use crate::digest;
use crate::get::GetError;
use crate::put::CustomerKey;

/// The one algorithm S3 names.
const AES256: &str = "AES256";

/// The key that came with a request: the three headers stand together, and the MD5 guards against a key garbled on the way.
pub(super) fn key(
    algorithm: Option<&str>,
    key: Option<String>,
    md5: Option<&str>,
) -> S3Result<Option<CustomerKey>> {
    let key = key.map(Zeroizing::new);
    if algorithm.is_none() && key.is_none() && md5.is_none() {
        return Ok(None);
    }
    let refuse = |message: &'static str| error::refuse(S3ErrorCode::InvalidArgument, message);
    let algorithm = algorithm.ok_or_else(|| {
        refuse("Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.")
    })?;
    if algorithm != AES256 {
        return Err(error::refuse(
            S3ErrorCode::InvalidEncryptionAlgorithmError,
            "The encryption request you specified is not valid. Supported value: AES256.",
        ));
    }
    let key = key.ok_or_else(|| {
        refuse("Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.")
    })?;
    let md5 = md5.ok_or_else(|| {
        refuse("Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key.")
    })?;
    let bytes = STANDARD.decode(key.as_bytes()).map(Zeroizing::new).unwrap_or_default();
    let exact = <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new);
    let key =
        exact.map_err(|_| refuse("The secret key was invalid for the specified algorithm."))?;
    let computed = digest::md5(key.as_slice());
    if STANDARD.decode(md5).ok().is_none_or(|given| !bool::from(given.ct_eq(&computed))) {
        return Err(refuse(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
        ));
    }
    Ok(Some(CustomerKey { key, md5: computed }))
}

/// How something stored under `key` is encrypted.
pub(super) fn encryption(key: Option<&CustomerKey>) -> Encryption {
    key.map_or(Encryption::Keyring, |key| Encryption::Customer { key_md5: key.md5 })
}

/// Whether `key` is the one an object was stored under. The proof is in opening its data key; this spares HEAD the opening.
pub(super) fn check(stored: &Encryption, key: Option<&CustomerKey>) -> S3Result<()> {
    let wrong = match (stored, key) {
        (Encryption::Keyring | Encryption::SseS3 | Encryption::Kms { .. }, None) => return Ok(()),
        (Encryption::Customer { key_md5 }, Some(key)) if *key_md5 == key.md5 => return Ok(()),
        (Encryption::Customer { .. }, Some(_)) => SealError::WrongCustomerKey,
        (Encryption::Customer { .. }, None) => SealError::CustomerKeyNeeded,
        (Encryption::Keyring | Encryption::SseS3 | Encryption::Kms { .. }, Some(_)) => {
            SealError::OtherWrappingKey
        }
    };
    Err(error::get(GetError::Seal(wrong)))
}

/// As [`check`], for the parts of an upload that was created with or without a key.
pub(super) fn check_part(upload: &Encryption, key: Option<&CustomerKey>) -> S3Result<()> {
    check(upload, key).map_err(|_| {
        error::refuse(
            S3ErrorCode::InvalidRequest,
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.",
        )
    })
}

/// What S3 echoes: the algorithm and the key's MD5.
pub(super) fn echo(encryption: &Encryption) -> (Option<String>, Option<String>) {
    match encryption {
        Encryption::Keyring | Encryption::SseS3 | Encryption::Kms { .. } => (None, None),
        Encryption::Customer { key_md5 } => {
            (Some(AES256.to_owned()), Some(STANDARD.encode(key_md5)))
        }
    }
}

/// As [`echo`], for an answer that the library lets say nothing of it.
pub(super) fn echo_in(headers: &mut HeaderMap, encryption: &Encryption) {
    let (algorithm, md5) = echo(encryption);
    for (name, value) in [("algorithm", algorithm), ("key-md5", md5)] {
        let name = format!("x-amz-server-side-encryption-customer-{name}");
        let header = HeaderName::try_from(name).ok().zip(value.and_then(|text| text.parse().ok()));
        if let Some((name, value)) = header {
            headers.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "pO3upElrwuEXSoFwCfnZPdSsmt/xWeFa0N9KgDijwVs=";
    const MD5: &str = "DWygnHRtgiJ77HCm+1rvHw==";

    fn read(
        algorithm: Option<&str>,
        text: Option<&str>,
        md5: Option<&str>,
    ) -> Result<Option<CustomerKey>, S3ErrorCode> {
        key(algorithm, text.map(str::to_owned), md5).map_err(|error| error.code().clone())
    }

    #[test]
    fn the_three_headers_stand_together() {
        let key = read(Some("AES256"), Some(KEY), Some(MD5)).expect("a key").expect("some");
        assert_eq!(
            echo(&encryption(Some(&key))),
            (Some("AES256".to_owned()), Some(MD5.to_owned()))
        );
        assert!(read(None, None, None).expect("no key").is_none());
        for (algorithm, text, md5) in [
            (None, Some(KEY), Some(MD5)),
            (Some("AES256"), None, Some(MD5)),
            (Some("AES256"), Some(KEY), None),
            (Some("AES256"), Some(KEY), Some("AAAAAAAAAAAAAAAAAAAAAA==")),
            (Some("AES256"), Some("c2hvcnQ="), Some(MD5)),
        ] {
            assert_eq!(read(algorithm, text, md5).err(), Some(S3ErrorCode::InvalidArgument));
        }
        let other = read(Some("AES512"), Some(KEY), Some(MD5));
        assert_eq!(other.err(), Some(S3ErrorCode::InvalidEncryptionAlgorithmError));
    }

    #[test]
    fn an_object_is_read_with_the_key_it_was_stored_under() {
        let key = read(Some("AES256"), Some(KEY), Some(MD5)).expect("a key");
        let own = encryption(key.as_ref());
        let other = Encryption::Customer { key_md5: [0; 16] };
        let code = |stored: &Encryption, key: Option<&CustomerKey>| {
            check(stored, key).err().map(|error| error.code().clone())
        };
        assert_eq!(code(&own, key.as_ref()), None);
        assert_eq!(code(&Encryption::Keyring, None), None);
        assert_eq!(code(&own, None), Some(S3ErrorCode::InvalidRequest));
        assert_eq!(code(&other, key.as_ref()), Some(S3ErrorCode::InvalidRequest));
        assert_eq!(code(&Encryption::Keyring, key.as_ref()), Some(S3ErrorCode::InvalidRequest));
    }
}
