//! Inventory: lists of buckets, written into other buckets once a day or week as AWS lays them out: data files, and a manifest that names them.
//!
//! Whether a list of the present day is there already, its manifest says; so a crash costs nothing but some data files that no manifest names,
//! and a gateway that was off at midnight makes the list when it is back. A list is no snapshot: like AWS's, it is what one walk found.

use std::time::Duration;

use metadata::list_versions::ListedVersion;
use metadata::records::Encryption;
use metadata::{Bucket, Catalog, CatalogError, ConfigKind, Entry, ListQuery};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use types::clock::SharedClock;
use types::{BucketName, MIB, ObjectKey, Timestamp, VersionId};

use super::deliver::Delivery;
use crate::put::PutError;
use crate::rules::inventory::{Inventory, Line};
use crate::s3::{Actor, Deed, Targets};

/// Looks in a day.
const LOOKS_A_DAY: u32 = 24;
/// Between two looks at least, however short a day is.
const LOOK_MIN: Duration = Duration::from_millis(500);
/// Bytes of one data file, about: it is held in memory.
const FILE: usize = 8 * MIB as usize;
/// Versions read at a time.
const PAGE: usize = 1_000;
/// The days of a week, and how many of them 1970 began after a Sunday.
const WEEK: u64 = 7;
const FIRST_SUNDAY: u64 = 3;

/// Why a list could not be made. The next look tries again.
#[derive(Debug, thiserror::Error)]
enum InventoryError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// It could not be written.
    #[error(transparent)]
    Store(#[from] PutError),
    /// Its configuration cannot be read, or a name it makes is no key.
    #[error("{0}")]
    Malformed(String),
    /// The target belongs to another account than was meant, or its policy does not let the list be written.
    #[error("the target does not take it")]
    Refused,
}

/// The worker. Cheap to clone.
#[derive(Clone)]
pub struct InventoryWorker {
    /// Buckets and versions.
    pub catalog: Catalog,
    /// Writes the lists.
    pub delivery: Delivery,
    /// What targets take.
    pub targets: Targets,
    /// The time.
    pub clock: SharedClock,
    /// How long a day is.
    pub day: Duration,
}

/// One list in the making.
struct Making<'a> {
    worker: &'a InventoryWorker,
    inventory: &'a Inventory,
    source: (&'a BucketName, &'a Bucket),
    target: (BucketName, Bucket),
    /// Where its data files go.
    folder: String,
    lines: Vec<u8>,
    files: Vec<File>,
}

/// A data file, as the manifest names it.
#[derive(Serialize)]
struct File {
    key: String,
    size: usize,
    #[serde(rename = "MD5checksum")]
    md5: String,
}

/// `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    source_bucket: &'a str,
    destination_bucket: String,
    version: &'static str,
    creation_timestamp: String,
    file_format: &'static str,
    file_schema: String,
    files: &'a [File],
}

impl InventoryWorker {
    /// Looks until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let pause = (self.day / LOOKS_A_DAY).max(LOOK_MIN);
        let looks = async {
            loop {
                tokio::time::sleep(pause).await;
                if let Err(error) = self.look().await {
                    tracing::warn!(%error, "buckets with inventories cannot be listed");
                }
            }
        };
        tokio::select! {
            () = looks => {}
            () = stop.cancelled() => {}
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        for (name, bucket) in self.catalog.buckets_with(ConfigKind::Inventory).await? {
            for (id, config) in
                self.catalog.bucket_configs(bucket.id, ConfigKind::Inventory).await?
            {
                if let Err(error) = self.make_if_due(&name, &bucket, &config).await {
                    tracing::warn!(bucket = %name, id, %error, "an inventory could not be made; the next look tries again");
                }
            }
        }
        Ok(())
    }

    async fn make_if_due(
        &self,
        name: &BucketName,
        bucket: &Bucket,
        config: &[u8],
    ) -> Result<(), InventoryError> {
        let inventory: Inventory = serde_json::from_slice(config)
            .map_err(|error| InventoryError::Malformed(error.to_string()))?;
        if !inventory.enabled {
            return Ok(());
        }
        let target = self.catalog.bucket(&inventory.target).await?;
        let began = began(self.clock.now(), self.day, inventory.weekly);
        let home = inventory.home(name);
        let dated = format!("{home}/{}", folder_name(began, self.day));
        let manifest = key(format!("{dated}/manifest.json"))?;
        match self.catalog.locate(target.id, &manifest).await {
            Ok(_) => return Ok(()),
            Err(CatalogError::NoSuchKey | CatalogError::DeleteMarker { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        // Asked each time: the target's owner may have thought better of it.
        let deed = Deed { actor: Actor::Inventory, source: name, account: &bucket.owner };
        let at = (&inventory.target, &target);
        if !inventory.means(&target.owner)
            || !self.targets.take(&deed, at, manifest.as_str()).await?
        {
            return Err(InventoryError::Refused);
        }
        let making = Making {
            worker: self,
            inventory: &inventory,
            source: (name, bucket),
            target: (inventory.target.clone(), target),
            folder: format!("{home}/data"),
            lines: Vec::new(),
            files: Vec::new(),
        };
        making.make(&dated, began).await
    }
}

impl Making<'_> {
    async fn make(mut self, dated: &str, began: Timestamp) -> Result<(), InventoryError> {
        let (prefix, limit) = (self.inventory.filter.clone().unwrap_or_default(), PAGE);
        let mut query = ListQuery { prefix, limit, ..ListQuery::default() };
        let mut after: Option<VersionId> = None;
        loop {
            let catalog = &self.worker.catalog;
            let (page, last) = catalog.list_versions(self.source.1.id, &query, after).await?;
            for version in &page.items {
                self.tell(version).await?;
            }
            match page.next {
                Some(next) => (query.after, after) = (Some(next), last),
                None => break,
            }
        }
        self.write_lines().await?;
        let manifest = Manifest {
            source_bucket: self.source.0.as_str(),
            destination_bucket: format!("arn:aws:s3:::{}", self.target.0),
            version: "2016-11-30",
            creation_timestamp: began.0.to_string(),
            file_format: "CSV",
            file_schema: self.inventory.schema(),
            files: &self.files,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| InventoryError::Malformed(error.to_string()))?;
        let checksum = hex::encode(<md5::Md5 as md5::Digest>::digest(&text));
        // The manifest last: it says that all is there.
        self.write(format!("{dated}/manifest.checksum"), checksum.into(), "text/plain").await?;
        self.write(format!("{dated}/manifest.json"), text, "application/json").await?;
        tracing::info!(bucket = %self.source.0, id = self.inventory.id, files = self.files.len(), "an inventory was made");
        Ok(())
    }

    async fn tell(&mut self, version: &ListedVersion) -> Result<(), InventoryError> {
        let marker = version.entry.is_delete_marker();
        if !self.inventory.all_versions && (!version.latest || marker) {
            return Ok(());
        }
        let detail = if self.inventory.needs_detail() && !marker {
            let (id, named) = (self.source.1.id, Some(version.entry.version));
            match self.worker.catalog.locate_version(id, &version.key, named).await {
                Ok(located) => Some(located.detail),
                Err(
                    CatalogError::NoSuchKey
                    | CatalogError::NoSuchVersion
                    | CatalogError::DeleteMarker { .. },
                ) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        } else {
            None
        };
        let line = Line {
            bucket: self.source.0,
            key: version.key.as_str(),
            entry: &version.entry,
            latest: version.latest,
            detail: detail.as_ref(),
            owner: self.source.1.owner.as_str(),
        };
        self.lines.extend_from_slice(self.inventory.line(line).as_bytes());
        if self.lines.len() >= FILE { self.write_lines().await } else { Ok(()) }
    }

    /// Writes what there is as one data file.
    async fn write_lines(&mut self) -> Result<(), InventoryError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = gzip(&std::mem::take(&mut self.lines));
        let name = hex::encode(types::entropy::random_bytes::<16>());
        let (key, size) = (format!("{}/{name}.csv.gz", self.folder), lines.len());
        let entry = self.write(key.clone(), lines, "application/x-gzip").await?;
        self.files.push(File { key, size, md5: hex::encode(entry.etag.md5) });
        Ok(())
    }

    async fn write(
        &self,
        name: String,
        bytes: Vec<u8>,
        kind: &str,
    ) -> Result<Entry, InventoryError> {
        let (bucket, row) = &self.target;
        let asked = self.inventory.sse_s3.then_some(Encryption::SseS3);
        let put = self.worker.delivery.put((bucket, row), key(name)?, bytes, (kind, asked));
        Ok(put.await?)
    }
}

fn key(name: String) -> Result<ObjectKey, InventoryError> {
    name.parse().map_err(|_| InventoryError::Malformed(format!("{name:?} is no key")))
}

/// When the present day or week began; weeks begin on Sundays.
fn began(now: Timestamp, day: Duration, weekly: bool) -> Timestamp {
    let day = u64::try_from(day.as_millis()).unwrap_or(u64::MAX).max(1);
    let days = now.0 / day;
    let into = if weekly { (days + WEEK - FIRST_SUNDAY) % WEEK } else { 0 };
    Timestamp((days - into.min(days)) * day)
}

/// The folder of a list: its time, to the minute, or to the millisecond where days are short.
fn folder_name(began: Timestamp, day: Duration) -> String {
    let seconds = i64::try_from(began.seconds()).unwrap_or(i64::MAX);
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (date, hour, minute) = (moment.date(), moment.hour(), moment.minute());
    if day >= Duration::from_secs(3600) {
        return format!("{date}T{hour:02}-{minute:02}Z");
    }
    format!("{date}T{hour:02}-{minute:02}-{:02}-{:03}Z", moment.second(), began.0 % 1000)
}

/// A gzip file (RFC 1952) that holds the bytes as they are, in stored blocks (RFC 1951, 3.2.4): every reader of gzip takes it, and the shards
/// of incompressible ciphertext would gain nothing but time from less.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    const BLOCK: usize = 65_535;
    let mut file = Vec::with_capacity(bytes.len() + bytes.len() / BLOCK * 5 + 64);
    file.extend_from_slice(&HEAD);
    let blocks = bytes.len().div_ceil(BLOCK);
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        file.push(u8::from(number + 1 == blocks));
        file.extend_from_slice(&len.to_le_bytes());
        file.extend_from_slice(&(!len).to_le_bytes());
        file.extend_from_slice(block);
    }
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes);
    file.extend_from_slice(&u32::try_from(crc).unwrap_or_default().to_le_bytes());
    file.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn days_begin_at_midnight_and_weeks_on_sunday() {
        // 2023-11-14 22:13:20 UTC, a Tuesday.
        let now = Timestamp(1_700_000_000_000);
        assert_eq!(folder_name(began(now, DAY, false), DAY), "2023-11-14T00-00Z");
        assert_eq!(folder_name(began(now, DAY, true), DAY), "2023-11-12T00-00Z");
        let short = Duration::from_millis(2500);
        assert_eq!(folder_name(began(now, short, false), short), "2023-11-14T22-13-20-000Z");
    }

    #[test]
    fn a_gzip_file_has_its_parts_where_they_belong() {
        let file = gzip(b"123456789");
        assert_eq!(&file[10..15], [1, 9, 0, 0xf6, 0xff]);
        assert_eq!(&file[15..24], b"123456789");
        // The check value of CRC-32.
        assert_eq!(&file[24..28], 0xcbf4_3926_u32.to_le_bytes());
        assert_eq!(&file[28..], 9_u32.to_le_bytes());
    }
}
