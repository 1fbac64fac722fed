//! Objects that upkeep writes into a customer's bucket: lists and logs.

use bytes::Bytes;
use futures::StreamExt as _;
use metadata::records::{ContentHeaders, Detail, Encryption};
use metadata::{Bucket, Entry, Preconditions};
use types::{BucketName, ObjectKey};

use crate::changes::Changes;
use crate::put::{Incoming, PutError, Target, Writer};
use crate::rules::notification::{Event, Origin};
use crate::s3::unasked_encryption;

/// Writes them. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    /// Stores the bytes.
    pub writer: Writer,
    /// What follows: they are events for the bucket's owner as anybody's objects are.
    pub changes: Changes,
}

impl Delivery {
    /// Stores `bytes` as an object of the bucket's owner; without an `encryption` it is the bucket's default.
    ///
    /// # Errors
    /// As of [`Writer::put_object`].
    pub(super) async fn put(
        &self,
        (bucket, row): (&BucketName, &Bucket),
        key: ObjectKey,
        bytes: Vec<u8>,
        (kind, encryption): (&str, Option<Encryption>),
    ) -> Result<Entry, PutError> {
        let headers =
            ContentHeaders { content_type: Some(kind.to_owned()), ..ContentHeaders::default() };
        let encryption = match encryption {
            Some(encryption) => encryption,
            None => unasked_encryption(&self.writer.catalog, row.id).await?,
        };
        let mut detail = Detail { headers, encryption, ..Detail::default() };
        let at = (bucket.clone(), row.id);
        let following = self.changes.of(&at, &row.owner, Origin::default).await?;
        let sequel = following.created(&key, Event::CreatedPut, &mut detail);
        let target = Target {
            bucket: at,
            key,
            geometry: row.geometry,
            class: None,
            owner: None,
            detail,
            customer: None,
            preconditions: Preconditions::default(),
            replica: None,
            sequel,
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
        Box::pin(self.writer.put_object(target, incoming)).await
    }
}
