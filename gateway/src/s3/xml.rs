//! Bucket configurations that are kept as the XML that they are.

use s3s::xml::{Deserialize, Deserializer, Serialize, Serializer};
use s3s::{S3Error, S3ErrorCode, S3Result};

use super::error;

/// The document.
pub(super) fn write<T: Serialize>(value: &T) -> S3Result<Vec<u8>> {
    let mut bytes = Vec::new();
    value.serialize(&mut Serializer::new(&mut bytes)).map_err(|_| error::malformed_xml())?;
    Ok(bytes)
}

/// Reads what [`write`] made.
pub(super) fn read<T: for<'xml> Deserialize<'xml>>(bytes: &[u8]) -> S3Result<T> {
    T::deserialize(&mut Deserializer::new(bytes)).map_err(|error| {
        tracing::error!(%error, "a bucket configuration that is kept cannot be read");
        S3Error::new(S3ErrorCode::InternalError)
    })
}
