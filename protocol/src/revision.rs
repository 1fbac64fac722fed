//! Revisions: signed statements about shards that nobody but a key with the root's grant can make. Losing a gateway's link key
//! therefore loses no data.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{ShardId, Timestamp};

use crate::identity::{
    Domain, GrantedKey, PublicKey, Role, Signature, SignedGrant, Trust, TrustError,
};
use crate::limits::DROPS_MAX;
use crate::message::{decode_exactly, wire_bytes};

/// A statement about shards.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Revision {
    /// Counts up over all revisions of an installation; a node remembers the highest it has seen.
    pub number: u64,
    /// When it was signed.
    pub created: Timestamp,
    /// What is stated.
    pub action: Action,
}

/// What a revision states. Lock, unlock and block will follow. The order is signed: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Action {
    /// These shards are garbage; at most [`DROPS_MAX`].
    Drop(Vec<ShardId>),
}

/// A revision as it is sent and stored: what was signed, byte for byte, and by whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedRevision {
    /// The postcard form of the [`Revision`].
    #[serde(with = "wire_bytes")]
    pub body: Bytes,
    /// The root's permission for the signing key.
    pub grant: SignedGrant,
    /// That key's, in [`Domain::Revision`], over the body.
    pub signature: Signature,
}

/// A revision whose signature and grant hold. Only [`SignedRevision::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedRevision {
    revision: Revision,
    signed: SignedRevision,
}

impl Revision {
    /// Signs the revision.
    ///
    /// # Errors
    /// If it names more than [`DROPS_MAX`] shards, or none.
    pub fn sign(&self, key: &GrantedKey) -> Result<SignedRevision, TrustError> {
        self.check()?;
        let body =
            postcard::to_stdvec(self).expect("a revision has no part that postcard cannot write");
        let signature = key.key.sign(Domain::Revision, &body);
        Ok(SignedRevision { body: body.into(), grant: key.grant.clone(), signature })
    }

    fn check(&self) -> Result<(), TrustError> {
        let Action::Drop(shards) = &self.action;
        if (1..=DROPS_MAX).contains(&shards.len()) {
            Ok(())
        } else {
            Err(TrustError::Unreadable("a revision names 1 to 4096 shards"))
        }
    }
}

impl SignedRevision {
    /// Checks the signature, and the grant against the pinned root at this time.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn verify(self, trust: &Trust) -> Result<VerifiedRevision, TrustError> {
        trust.check(&self.grant, Role::Revision)?;
        self.open()
    }

    /// Reads back a revision that was verified when it was stored: its signature still must hold, its grant may have expired.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn reopen(self, root: &PublicKey) -> Result<VerifiedRevision, TrustError> {
        if !self.grant.signed_by(root) {
            return Err(TrustError::OtherRoot);
        }
        if self.grant.grant.role != Role::Revision {
            return Err(TrustError::OtherRole(self.grant.grant.role));
        }
        self.open()
    }

    /// The hash by which a receipt names this revision.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.body).as_bytes()
    }

    fn open(self) -> Result<VerifiedRevision, TrustError> {
        if !self.grant.grant.key.signed(Domain::Revision, &self.body, &self.signature) {
            return Err(TrustError::BadSignature);
        }
        let revision: Revision = decode_exactly(&self.body)
            .ok_or(TrustError::Unreadable("not a revision this version knows"))?;
        revision.check()?;
        Ok(VerifiedRevision { revision, signed: self })
    }
}

impl VerifiedRevision {
    /// What is stated.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The signed form, to be stored.
    #[must_use]
    pub fn signed(&self) -> &SignedRevision {
        &self.signed
    }

    /// The shards to drop.
    #[must_use]
    pub fn drops(&self) -> &[ShardId] {
        let Action::Drop(shards) = &self.revision.action;
        shards
    }
}

#[cfg(test)]
#[path = "revision_tests.rs"]
mod tests;
