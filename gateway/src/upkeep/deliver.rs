//! Objects that upkeep writes into a customer's bucket: lists and logs.

use bytes::Bytes;
use futures::StreamExt as _;
use metadata::records::{ContentHeaders, Detail};
use metadata::{Bucket, Entry, Preconditions, Sequel};
use types::{BucketName, ObjectKey};

use crate::put::{Incoming, PutError, Target, Writer};

/// Stores `bytes` as an object of the bucket's owner.
///
/// # Errors
/// As of [`Writer::put_object`].
pub(super) async fn put(
    writer: &Writer,
    (bucket, row): (&BucketName, &Bucket),
    key: ObjectKey,
    bytes: Vec<u8>,
    kind: &str,
) -> Result<Entry, PutError> {
    let headers =
        ContentHeaders { content_type: Some(kind.to_owned()), ..ContentHeaders::default() };
    let target = Target {
        bucket: (bucket.clone(), row.id),
        key,
        geometry: row.geometry,
        class: None,
        owner: None,
        detail: Detail { headers, ..Detail::default() },
        customer: None,
        preconditions: Preconditions::default(),
        replica: None,
        sequel: Sequel::default(),
    };
    let bytes = Bytes::from(bytes);
    let incoming = Incoming {
        len: bytes.len() as u64,
        body: futures::stream::once(std::future::ready(Ok(bytes))).boxed(),
        content_md5: None,
        checksums: Vec::new(),
        trailer: None,
        slack: 0,
    };
    // Boxed: a PUT is far larger than the rest.
    Box::pin(writer.put_object(target, incoming)).await
}
