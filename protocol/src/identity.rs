//! Who is who: Ed25519 keys, the operator's root, and what the root allows other keys to do.
//!
//! A node is its key. The root key stays offline; it signs short-lived [`Grant`]s for the keys that work online, and a floor
//! under which the serials of grants are no longer valid. Every signature is made over a domain of its own, so that none can
//! be passed off as another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use types::clock::SharedClock;
use types::{NodeId, Timestamp};
use zeroize::Zeroizing;

use crate::limits::CLOCK_SKEW;

/// What a signature is for. The text is hashed into it: never change one, add another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// The root over a [`Grant`].
    Grant,
    /// The root over the floor of serials.
    Floor,
    /// A revision key over a revision.
    Revision,
    /// A node over the Merkle root of a batch of receipts.
    Receipt,
}

impl Domain {
    const fn text(self) -> &'static str {
        match self {
            Self::Grant => "drystone 2026 grant v1",
            Self::Floor => "drystone 2026 serial floor v1",
            Self::Revision => "drystone 2026 revision v1",
            Self::Receipt => "drystone 2026 receipt batch v1",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.text().as_bytes(), &[0], bytes].concat()
    }
}

/// An Ed25519 public key (RFC 8032), raw.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The id of the node that has this key.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(*blake3::hash(&self.0).as_bytes())
    }

    /// Whether `signature` is this key's over `bytes` in `domain`.
    #[must_use]
    pub fn signed(&self, domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
        self.signed_raw(&domain.message(bytes), &signature.0)
    }

    /// Without a domain: for TLS, which has its own.
    pub(crate) fn signed_raw(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::NotPublic)?;
        Ok(Self(bytes))
    }
}

/// An Ed25519 signature: 64 bytes, sent raw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", hex::encode(self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (left, right) = self.0.split_at(32);
        let half = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).unwrap_or_default();
        (half(left), half(right)).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (left, right) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&left);
        bytes[32..].copy_from_slice(&right);
        Ok(Self(bytes))
    }
}

/// Why bytes are not a key.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a PKCS#8 document with an Ed25519 key pair.
    #[error("not a PKCS#8 document of an Ed25519 key")]
    NotPkcs8,
    /// Not 64 hexadecimal digits.
    #[error("not a public key of 64 hexadecimal digits")]
    NotPublic,
}

/// An Ed25519 key pair. Cheap to clone; the secret is wiped with the last clone and never shown by `Debug`.
#[derive(Clone)]
pub struct SecretKey(Arc<Pair>);

struct Pair {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// A PKCS#8 v2 document (RFC 5958, RFC 8410) is this, the seed, [`PKCS8_PUBLIC`] and the public key.
const PKCS8_SEED: [u8; 16] = [
    0x30, 0x53, 0x02, 0x01, 0x01, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const PKCS8_PUBLIC: [u8; 5] = [0xa1, 0x23, 0x03, 0x21, 0x00];

impl SecretKey {
    /// A new key that nobody can guess.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(&Zeroizing::new(types::entropy::random_bytes()))
    }

    /// The key of a 32-byte secret seed (RFC 8032). The same seed makes the same key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pair =
            Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed");
        let pkcs8 =
            [&PKCS8_SEED, seed.as_slice(), &PKCS8_PUBLIC, pair.public_key().as_ref()].concat();
        Self(Arc::new(Pair { pair, pkcs8: Zeroizing::new(pkcs8) }))
    }

    /// Reads what [`Self::pkcs8`] gave.
    ///
    /// # Errors
    /// If the bytes are no PKCS#8 v2 document of an Ed25519 key, or its halves do not fit.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| KeyError::NotPkcs8)?;
        Ok(Self(Arc::new(Pair { pair, pkcs8: Zeroizing::new(bytes.to_vec()) })))
    }

    /// The key as a PKCS#8 v2 document, for a file that only its owner can read.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.0.pkcs8
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.pair.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs `bytes` in `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        Signature(self.sign_raw(&domain.message(bytes)))
    }

    /// Without a domain: for X.509.
    pub(crate) fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes.copy_from_slice(self.0.pair.sign(message).as_ref());
        bytes
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

/// A node's identity: its key, and the id that follows from it.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    key: SecretKey,
    id: NodeId,
}

impl NodeIdentity {
    /// A new identity.
    #[must_use]
    pub fn generate() -> Self {
        SecretKey::generate().into()
    }

    /// Reads what `key().pkcs8()` gave.
    ///
    /// # Errors
    /// As [`SecretKey::from_pkcs8`].
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_pkcs8(bytes).map(Self::from)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.key
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }
}

impl From<SecretKey> for NodeIdentity {
    fn from(key: SecretKey) -> Self {
        let id = key.public().node_id();
        Self { key, id }
    }
}

/// One installation: every node and gateway under one root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub [u8; 16]);

impl ClusterId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(types::entropy::random_bytes())
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterId({self})")
    }
}

impl FromStr for ClusterId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::NotPublic)?;
        Ok(Self(bytes))
    }
}

/// What a key may do. The discriminants are signed: append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Be a gateway towards nodes.
    Link,
    /// Sign revisions: lock, unlock, block, drop.
    Revision,
}

/// The root's permission for one key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// What for.
    pub role: Role,
    /// For whom.
    pub key: PublicKey,
    /// Counts up over all grants of a root, so that a floor can revoke old ones.
    pub serial: u64,
    /// Valid from here on, give or take [`CLOCK_SKEW`].
    pub not_before: Timestamp,
    /// Valid before this.
    pub not_after: Timestamp,
}

/// A grant and the root's signature over its postcard form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedGrant {
    /// The grant.
    pub grant: Grant,
    /// The root's, in [`Domain::Grant`].
    pub signature: Signature,
}

impl SignedGrant {
    /// Whether this root signed it; says nothing about its time, role and serial.
    pub(crate) fn signed_by(&self, root: &PublicKey) -> bool {
        root.signed(Domain::Grant, &grant_bytes(&self.grant), &self.signature)
    }
}

/// The root's word that grants below a serial are void.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedFloor {
    /// The lowest serial that is still valid.
    pub serial: u64,
    /// The root's, in [`Domain::Floor`], over the serial as 8 big-endian bytes.
    pub signature: Signature,
}

/// The operator's root key. Kept offline but for the moments it signs.
#[derive(Clone, Debug)]
pub struct RootKey(SecretKey);

impl RootKey {
    /// A new root.
    #[must_use]
    pub fn generate() -> Self {
        Self(SecretKey::generate())
    }

    /// Reads what `key().pkcs8()` gave.
    ///
    /// # Errors
    /// As [`SecretKey::from_pkcs8`].
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        SecretKey::from_pkcs8(bytes).map(Self)
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SecretKey {
        &self.0
    }

    /// What nodes pin.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.0.public()
    }

    /// Signs a grant.
    #[must_use]
    pub fn grant(&self, grant: Grant) -> SignedGrant {
        let signature = self.0.sign(Domain::Grant, &grant_bytes(&grant));
        SignedGrant { grant, signature }
    }

    /// Declares every grant below `serial` void.
    #[must_use]
    pub fn floor(&self, serial: u64) -> SignedFloor {
        SignedFloor { serial, signature: self.0.sign(Domain::Floor, &serial.to_be_bytes()) }
    }
}

impl From<SecretKey> for RootKey {
    fn from(key: SecretKey) -> Self {
        Self(key)
    }
}

/// A key with the root's permission for it: a gateway's link key or a revision key.
#[derive(Clone, Debug)]
pub struct GrantedKey {
    /// The key.
    pub key: SecretKey,
    /// The permission.
    pub grant: SignedGrant,
}

fn grant_bytes(grant: &Grant) -> Vec<u8> {
    postcard::to_stdvec(grant).expect("a grant has no part that postcard cannot write")
}

/// Why a peer or a signature is not trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TrustError {
    /// The certificate is not an X.509 certificate of an Ed25519 key.
    #[error("the certificate is not one of an Ed25519 key")]
    BadCertificate,
    /// The gateway's certificate carries no grant.
    #[error("the certificate carries no grant of a root")]
    NoGrant,
    /// The pinned root did not sign this.
    #[error("not signed by the pinned root key")]
    OtherRoot,
    /// The grant is for another key.
    #[error("the grant is for another key")]
    OtherKey,
    /// The grant is for another purpose.
    #[error("the grant is for the role {0:?}")]
    OtherRole(Role),
    /// The grant's time has not come.
    #[error("the grant is not valid yet; is this machine's clock right?")]
    NotYet,
    /// The grant's time is over.
    #[error("the grant has expired")]
    Expired,
    /// The root has declared the grant void.
    #[error("the grant's serial {serial} is below the floor {floor}")]
    Revoked {
        /// The grant's.
        serial: u64,
        /// The lowest that is valid.
        floor: u64,
    },
    /// A signature does not hold.
    #[error("the signature does not hold")]
    BadSignature,
    /// What was signed cannot be read.
    #[error("what was signed cannot be read: {0}")]
    Unreadable(&'static str),
}

/// What a node believes: the pinned root, the floor of serials, and the time.
pub struct Trust {
    root: PublicKey,
    floor: AtomicU64,
    clock: SharedClock,
}

impl Trust {
    /// Trusts `root`, and grants from serial `floor` on.
    #[must_use]
    pub fn new(root: PublicKey, floor: u64, clock: SharedClock) -> Self {
        Self { root, floor: AtomicU64::new(floor), clock }
    }

    /// The pinned root.
    #[must_use]
    pub fn root(&self) -> PublicKey {
        self.root
    }

    /// The lowest valid serial; store it, so that a restart does not forget it.
    #[must_use]
    pub fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// Learns a floor. It never sinks.
    ///
    /// # Errors
    /// If the root did not sign it.
    pub fn raise_floor(&self, floor: &SignedFloor) -> Result<(), TrustError> {
        if !self.root.signed(Domain::Floor, &floor.serial.to_be_bytes(), &floor.signature) {
            return Err(TrustError::OtherRoot);
        }
        self.floor.fetch_max(floor.serial, Ordering::AcqRel);
        Ok(())
    }

    /// Whether the root allows the key of `signed` to act as `role` now.
    ///
    /// # Errors
    /// Says what is wrong with the grant.
    pub fn check(&self, signed: &SignedGrant, role: Role) -> Result<(), TrustError> {
        let grant = &signed.grant;
        if !signed.signed_by(&self.root) {
            return Err(TrustError::OtherRoot);
        }
        if grant.role != role {
            return Err(TrustError::OtherRole(grant.role));
        }
        let floor = self.floor();
        if grant.serial < floor {
            return Err(TrustError::Revoked { serial: grant.serial, floor });
        }
        let now = self.clock.now();
        if now.plus(CLOCK_SKEW) < grant.not_before {
            return Err(TrustError::NotYet);
        }
        if now >= grant.not_after {
            return Err(TrustError::Expired);
        }
        Ok(())
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("root", &self.root)
            .field("floor", &self.floor())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
