//! This gateway's licence to store, and the stream ids it gives out.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use metadata::{Catalog, CatalogError};
use types::entropy::random_u64;
use types::{SessionId, StreamId};

/// How long a lease holds without renewal.
pub const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(15);

/// A leased session. Serials count up from a random number, so that ids are unique within the session and their first bytes spread.
pub struct Session {
    id: SessionId,
    next: AtomicU64,
    ended: AtomicBool,
}

impl Session {
    /// Begins a session.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn begin(catalog: &Catalog, gateway: &str) -> Result<Self, CatalogError> {
        let id = catalog.begin_session(gateway, LEASE).await?;
        Ok(Self { id, next: AtomicU64::new(random_u64()), ended: AtomicBool::new(false) })
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// A stream id that was never given out before.
    #[must_use]
    pub fn new_stream(&self) -> StreamId {
        StreamId { session: self.id, serial: self.next.fetch_add(SERIAL_STRIDE, Ordering::Relaxed) }
    }

    /// Whether the lease was lost: nothing can be committed any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Renews the lease.
    ///
    /// # Errors
    /// [`CatalogError::SessionEnded`] if it ran out; the gateway must stop then.
    pub async fn renew(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        let renewed = catalog.renew_session(self.id, LEASE).await;
        if matches!(renewed, Err(CatalogError::SessionEnded)) {
            self.ended.store(true, Ordering::Relaxed);
        }
        renewed
    }

    /// Ends it: from now on, what it wrote and the catalog does not know is garbage.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn end(&self, catalog: &Catalog) -> Result<(), CatalogError> {
        self.ended.store(true, Ordering::Relaxed);
        catalog.end_session(self.id).await
    }
}

/// An odd number near 2⁶⁴/φ: counting by it visits every serial once and spreads neighbours over the key space.
const SERIAL_STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;
