//! Bucket configurations on the way of a request: kept in the catalog as JSON, parsed once and remembered for a moment.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metadata::{Catalog, CatalogError, ConfigKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::{BucketId, BucketName};

/// How long a configuration that was looked up is believed. One changed on another gateway may still count this long; one changed here
/// counts at once.
const BELIEVED: Duration = Duration::from_secs(3);
/// Configurations remembered at once; at the limit all are forgotten and looked up anew.
const REMEMBERED: usize = 10_000;

/// A configuration of which a bucket has at most one.
pub trait Kept: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Where it is kept.
    const KIND: ConfigKind;
}

/// Reads and writes bucket configurations. Cheap to clone.
#[derive(Clone)]
pub struct Configs {
    catalog: Catalog,
    known: Arc<Mutex<Memory>>,
}

/// What was looked up lately.
#[derive(Default)]
struct Memory {
    by_bucket: HashMap<(BucketId, ConfigKind), Known>,
    /// Raised by each write here: what was read before one is not remembered after it.
    writes: u64,
}

/// A configuration as it was looked up; `None` if there was none.
#[derive(Clone)]
struct Known {
    config: Option<Arc<dyn Any + Send + Sync>>,
    until: Instant,
}

impl Configs {
    /// Over a catalog.
    #[must_use]
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, known: Arc::default() }
    }

    /// The configuration of a bucket, if it has one.
    ///
    /// # Errors
    /// The engine's; [`CatalogError::Corrupt`] if what is kept cannot be read.
    pub async fn get<C: Kept>(&self, bucket: BucketId) -> Result<Option<Arc<C>>, CatalogError> {
        let at = (bucket, C::KIND);
        let writes = match self.remembered(at) {
            Ok(known) => return Ok(known.config.and_then(|config| config.downcast().ok())),
            Err(writes) => writes,
        };
        let bytes = self.catalog.bucket_config(bucket, C::KIND, "").await?;
        let config = bytes.as_deref().map(parse::<C>).transpose()?.map(Arc::new);
        let any = config.clone().map(|config| config as Arc<dyn Any + Send + Sync>);
        self.remember(at, any, writes);
        Ok(config)
    }

    /// Sets the configuration of a bucket.
    ///
    /// # Errors
    /// As of [`Catalog::put_bucket_config`].
    pub async fn put<C: Kept>(
        &self,
        bucket: &(BucketName, BucketId),
        config: &C,
    ) -> Result<(), CatalogError> {
        let bytes = serde_json::to_vec(config).map_err(|error| corrupt(C::KIND, &error))?;
        let put = self.catalog.put_bucket_config(bucket, C::KIND, "", bytes).await;
        self.forget((bucket.1, C::KIND));
        put
    }

    /// Takes the configuration of a bucket away; it may have none.
    ///
    /// # Errors
    /// As of [`Catalog::delete_bucket_config`].
    pub async fn delete<C: Kept>(
        &self,
        bucket: &(BucketName, BucketId),
    ) -> Result<(), CatalogError> {
        let deleted = self.catalog.delete_bucket_config(bucket, C::KIND, "").await;
        self.forget((bucket.1, C::KIND));
        deleted.map(|_| ())
    }

    /// What is remembered; if nothing is, how many writes there have been.
    fn remembered(&self, at: (BucketId, ConfigKind)) -> Result<Known, u64> {
        let memory = self.memory();
        let known = memory.by_bucket.get(&at).filter(|known| Instant::now() < known.until);
        known.cloned().ok_or(memory.writes)
    }

    fn remember(
        &self,
        at: (BucketId, ConfigKind),
        config: Option<Arc<dyn Any + Send + Sync>>,
        writes: u64,
    ) {
        let mut memory = self.memory();
        if memory.writes != writes {
            return;
        }
        if memory.by_bucket.len() >= REMEMBERED {
            memory.by_bucket.clear();
        }
        memory.by_bucket.insert(at, Known { config, until: Instant::now() + BELIEVED });
    }

    fn forget(&self, at: (BucketId, ConfigKind)) {
        let mut memory = self.memory();
        memory.writes += 1;
        memory.by_bucket.remove(&at);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse<C: Kept>(bytes: &[u8]) -> Result<C, CatalogError> {
    serde_json::from_slice(bytes).map_err(|error| corrupt(C::KIND, &error))
}

fn corrupt(kind: ConfigKind, error: &serde_json::Error) -> CatalogError {
    CatalogError::Corrupt(format!("a bucket's {kind:?} configuration: {error}"))
}
