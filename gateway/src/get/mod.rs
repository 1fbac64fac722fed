//! GET: stream ← open ← gather ← locate. PUT read backwards.
//!
//! ```text
//! catalog ─ locate ─▶ extents ─▶ windows of rows ─ gather ─▶ VerifiedSlice ×k ─ open ─▶ plaintext ─ stream ─▶ client
//! ```
//!
//! No byte leaves [`open`] that was not verified against its shard's root and its chunk's tag.

pub mod gather;
pub mod locate;
pub mod open;
mod run;
pub mod stream;

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use metadata::{Catalog, CatalogError, Located, LocatedBody};

use crate::keys::{KeyError, WrappingKeys};
use crate::metering::{Metering, Purpose};
use crate::nodes::Nodes;
use crate::nodes::facts::{Facts, facts};

/// A response's body.
pub type Body = BoxStream<'static, Result<Bytes, GetError>>;

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A customer's key is missing, superfluous or wrong.
    #[error(transparent)]
    Seal(#[from] ::seal::SealError),
    /// The key that wraps the data key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Fewer than k shards of a segment can be had now.
    #[error("segment {segment}: only {found} of {needed} shards can be had")]
    TooFewShards {
        /// Which segment.
        segment: types::SegmentId,
        /// How many were found.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// The erasure code or the layout refused: a defect, or rows that contradict each other.
    #[error(transparent)]
    Codec(#[from] codec::CodecError),
}

/// Reads what customers stored. Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    pub(crate) catalog: Catalog,
    pub(crate) keys: Arc<WrappingKeys>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) budget: Arc<stream::ReadAhead>,
    pub(crate) metering: Arc<Metering>,
    /// What its reads are for, which decides out of what nodes are paid for them.
    pub(crate) purpose: Purpose,
}

impl Reader {
    /// Where an object's shards are, and how many there are left of them.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn facts(&self, located: &Located) -> Result<Facts, GetError> {
        let extents = match located.body().await? {
            LocatedBody::Inline(_) => Vec::new(),
            LocatedBody::Extents(extents) => extents,
        };
        Ok(facts(&self.catalog, &self.nodes, &extents).await?)
    }
}
