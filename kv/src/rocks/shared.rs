//! What all engines of a process share, so that memory has one budget however many there are.

use rocksdb::{Cache, Env, WriteBufferManager};

use crate::error::KvError;

/// One block cache, one budget for write buffers (charged to the cache) and one pool of background threads.
#[derive(Clone)]
pub struct RocksShared {
    pub(super) cache: Cache,
    pub(super) write_buffers: WriteBufferManager,
    pub(super) env: Env,
}

/// The part of the memory that write buffers may take: one in this many bytes.
const WRITE_BUFFER_PART: usize = 4;

impl RocksShared {
    /// Engines that share it take about `memory` bytes together. At the limit cached blocks make room, and an engine that
    /// writes has its write buffer written out early; one that does not write keeps its own, at most
    /// [`RocksOptions::write_buffer`](super::RocksOptions::write_buffer) bytes per family.
    ///
    /// # Errors
    /// [`KvError::Engine`] if the operating system gives no environment.
    pub fn new(memory: usize) -> Result<Self, KvError> {
        let env = Env::new().map_err(|source| KvError::engine("set up its environment", source))?;
        let cache = Cache::new_lru_cache(memory);
        let buffers = memory / WRITE_BUFFER_PART;
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(buffers, false, cache.clone());
        Ok(Self { cache, write_buffers, env })
    }

    /// Bytes that cached blocks and write buffers take now.
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.cache.get_usage()
    }
}

impl std::fmt::Debug for RocksShared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksShared")
            .field("memory_used", &self.memory_used())
            .finish_non_exhaustive()
    }
}
