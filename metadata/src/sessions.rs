//! Sessions: the leases under which gateways store.

use std::time::Duration;

use kv::Tx;
use types::entropy::random_u64;
use types::{SessionId, Timestamp};

use crate::records::{Session, SessionState};
use crate::schema::SESSIONS;
use crate::{Catalog, CatalogError};

/// The end of a lease that was taken away: no gateway renews it any more.
const TAKEN: Timestamp = Timestamp(0);

impl Catalog {
    /// Begins a session. Its id is random, so that a catalog that was rolled back to an older state never mistakes it for one it knew.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn begin_session(
        &self,
        gateway: &str,
        lease: Duration,
    ) -> Result<SessionId, CatalogError> {
        let id = SessionId(random_u64());
        let now = self.now();
        let session = &Session {
            gateway: gateway.to_owned(),
            started: now,
            state: SessionState::Leased { until: now.plus(lease) },
            fencing: 1,
        };
        kv::transact(&*self.kv, |tx| async move {
            if SESSIONS.get_for_update(&tx, &id).await?.is_some() {
                return Err(CatalogError::Exists("session"));
            }
            SESSIONS.put(&tx, &id, session);
            Ok(id)
        })
        .await
    }

    /// Prolongs a lease. One that ran out, because its gateway slept, is renewed too as long as nobody has taken it away: what a session wrote
    /// counts as garbage only once the session has ended, and [`Self::end_session`] takes the lease away first.
    ///
    /// # Errors
    /// [`CatalogError::SessionEnded`].
    pub async fn renew_session(&self, id: SessionId, lease: Duration) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let now = self.now();
            let session =
                SESSIONS.get_for_update(&tx, &id).await?.ok_or(CatalogError::SessionEnded)?;
            match session.state {
                SessionState::Leased { until } if until != TAKEN => {}
                _ => return Err(CatalogError::SessionEnded),
            }
            let state = SessionState::Leased { until: now.plus(lease) };
            SESSIONS.put(&tx, &id, &Session { state, fencing: session.fencing + 1, ..session });
            Ok(())
        })
        .await
    }

    /// Ends a session: from now on, what it wrote and the catalog does not know is garbage.
    ///
    /// In three steps, so that a crash between any two is made good by ending it again: the lease is taken away, which stops every commit; the
    /// streams it left unfinished are given up; then it counts as ended.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn end_session(&self, id: SessionId) -> Result<(), CatalogError> {
        let taken = SessionState::Leased { until: TAKEN };
        self.change_session(id, taken).await?;
        for stream in self.unfinished_streams(id).await? {
            self.abandon_stream(stream).await?;
        }
        self.change_session(id, SessionState::Ended { at: self.now() }).await
    }

    /// Puts a session that has not ended into another state.
    async fn change_session(&self, id: SessionId, state: SessionState) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            if let Some(session) = SESSIONS.get_for_update(&tx, &id).await?
                && !matches!(session.state, SessionState::Ended { .. })
            {
                SESSIONS.put(&tx, &id, &Session { state, ..session });
            }
            Ok(())
        })
        .await
    }

    /// Every session ever begun that is still remembered.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn sessions(&self) -> Result<Vec<(SessionId, Session)>, CatalogError> {
        self.all(&SESSIONS).await
    }

    /// What the catalog knows of a session.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, CatalogError> {
        Ok(SESSIONS.latest(&*self.kv, &id).await?)
    }

    /// Every commit of a stream passes here: the session must be leased, and stay so until the commit.
    pub(crate) async fn check_session(&self, tx: &Tx, id: SessionId) -> Result<(), CatalogError> {
        match SESSIONS.get_shared(tx, &id).await?.map(|session| session.state) {
            Some(SessionState::Leased { until }) if self.now() < until => Ok(()),
            _ => Err(CatalogError::SessionEnded),
        }
    }
}
