//! The format record: which layout an engine's folder has, and how an older one becomes the newest.
//!
//! The record lies in the database itself, in a family of its own, so that every checkpoint carries it.

use std::path::Path;

use rocksdb::{ColumnFamily, DB, WriteBatch, WriteOptions};

use crate::error::KvError;

/// The format number of folders that this program writes.
///
/// 1: keys and values as [`Table`](crate::Table) and [`KeyCodec`](crate::KeyCodec) write them.
pub const FORMAT: u32 = 1;

/// The family that holds the record and nothing else.
pub(crate) const FAMILY: &str = "kv.format";
/// The record's key; its value is the format number, big-endian.
const KEY: &[u8] = b"format";

/// Adds to a batch what makes a folder of one format a folder of the next.
type Step = fn(&DB, &mut WriteBatch) -> Result<(), KvError>;

/// `STEPS[i]` leads from format i + 1 to i + 2. Its length is checked by its type: a new format needs a step.
const STEPS: [Step; FORMAT as usize - 1] = [];

/// Checks the record of the folder `path`, writes one if the folder is new, and runs the steps that are missing, each in one
/// atomic batch with its number.
pub(crate) fn bring_up_to_date(db: &DB, path: &Path) -> Result<(), KvError> {
    let column = db.cf_handle(FAMILY).ok_or(KvError::UnknownFamily(FAMILY))?;
    let record =
        db.get_cf(column, KEY).map_err(|error| KvError::engine("read its format", error))?;
    let found = match record {
        Some(bytes) => <[u8; 4]>::try_from(bytes)
            .map(u32::from_be_bytes)
            .map_err(|_| KvError::UnknownFormat(path.to_path_buf()))?,
        // Nothing was ever written: the folder is new.
        None if db.latest_sequence_number() == 0 => {
            return write(db, column, WriteBatch::default(), FORMAT);
        }
        None => 0,
    };
    match found {
        0 => Err(KvError::UnknownFormat(path.to_path_buf())),
        1..=FORMAT => {
            (found..FORMAT).zip(&STEPS[found as usize - 1..]).try_for_each(|(from, step)| {
                let mut batch = WriteBatch::default();
                step(db, &mut batch)?;
                tracing::info!(path = %path.display(), from, to = from + 1, "store migrated");
                write(db, column, batch, from + 1)
            })
        }
        found => Err(KvError::NewerFormat { path: path.to_path_buf(), found, supported: FORMAT }),
    }
}

fn write(
    db: &DB,
    column: &ColumnFamily,
    mut batch: WriteBatch,
    format: u32,
) -> Result<(), KvError> {
    batch.put_cf(column, KEY, format.to_be_bytes());
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.write_opt(batch, &options).map_err(|error| KvError::engine("write its format", error))?;
    // Otherwise this one write would hold back the write-ahead log from being cut.
    db.flush_cf(column).map_err(|error| KvError::engine("write its format", error))
}
