//! Receipts: what a node signs for what it fsynced. One Ed25519 signature covers a whole batch, through its Merkle root, and
//! each entry proves that it is in the batch.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use types::merkle::{self, InclusionProof, MerkleRoot};
use types::{Root, ShardId};

use crate::identity::{Domain, PublicKey, SecretKey, Signature};
use crate::limits::{RECEIPT_BATCH_MAX, RECEIPTS_REMEMBERED};
use crate::message::{Dropped, LogPosition};

/// What one receipt stands for. The order is signed: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReceiptEntry {
    /// A shard was taken and fsynced.
    Stored {
        /// Which.
        shard: ShardId,
        /// Its root.
        root: Root,
        /// Bytes.
        len: u64,
        /// Where.
        position: LogPosition,
    },
    /// A revision's drops were recorded and fsynced.
    Dropped {
        /// The BLAKE3 hash of the revision's signed body.
        revision: [u8; 32],
        /// For each of its shards, in its order.
        outcomes: Vec<Dropped>,
        /// Where.
        position: LogPosition,
    },
}

impl ReceiptEntry {
    /// The leaf of the Merkle tree: the postcard form.
    fn to_bytes(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("an entry has no part that postcard cannot write")
    }
}

/// A node's signature over a batch, and the proof that one entry is in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The Merkle root of the batch's entries.
    pub batch: MerkleRoot,
    /// The node's, in [`Domain::Receipt`], over the root.
    pub signature: Signature,
    /// From the entry to the root.
    pub proof: InclusionProof,
}

impl Receipt {
    /// Whether this is the receipt of `key` for `entry`. Costs one signature check; see [`ReceiptChecker`].
    ///
    /// # Errors
    /// Says in words what is wrong.
    pub fn verify(&self, key: &PublicKey, entry: &ReceiptEntry) -> Result<(), &'static str> {
        self.verify_inclusion(entry)?;
        self.verify_signature(key)
    }

    pub(crate) fn check(&self) -> Result<(), &'static str> {
        // A proof of more levels than a count of 32 bits has cannot be true; refuse it before it costs hashing.
        if self.proof.siblings.len() <= 32 { Ok(()) } else { Err("a proof that is too long") }
    }

    fn verify_inclusion(&self, entry: &ReceiptEntry) -> Result<(), &'static str> {
        if merkle::verify(&self.batch, &entry.to_bytes(), &self.proof) {
            Ok(())
        } else {
            Err("it is not for what was done")
        }
    }

    fn verify_signature(&self, key: &PublicKey) -> Result<(), &'static str> {
        if key.signed(Domain::Receipt, &self.batch, &self.signature) {
            Ok(())
        } else {
            Err("its signature does not hold")
        }
    }
}

/// The node's end: signs batches.
#[derive(Clone, Debug)]
pub struct ReceiptSigner(SecretKey);

impl ReceiptSigner {
    /// Signs with the node's key.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self(key)
    }

    /// One receipt per entry, in order. Call it once per fsync, with everything the fsync made durable; it makes one signature
    /// per [`RECEIPT_BATCH_MAX`] entries.
    #[must_use]
    pub fn sign(&self, entries: &[ReceiptEntry]) -> Vec<Receipt> {
        entries.chunks(RECEIPT_BATCH_MAX).flat_map(|batch| self.sign_batch(batch)).collect()
    }

    /// The receipt of an entry whose fsync made nothing else durable.
    #[must_use]
    pub fn sign_one(&self, entry: &ReceiptEntry) -> Receipt {
        let batch = merkle::root(&[entry.to_bytes()]);
        // The one leaf is the root's only child: there is nothing beside it to prove it with.
        let proof = InclusionProof { index: 0, count: 1, siblings: Vec::new() };
        Receipt { batch, signature: self.0.sign(Domain::Receipt, &batch), proof }
    }

    fn sign_batch(&self, entries: &[ReceiptEntry]) -> Vec<Receipt> {
        let leaves: Vec<Vec<u8>> = entries.iter().map(ReceiptEntry::to_bytes).collect();
        let batch = merkle::root(&leaves);
        let signature = self.0.sign(Domain::Receipt, &batch);
        let proofs = (0..leaves.len()).filter_map(|index| merkle::prove(&leaves, index));
        proofs.map(|proof| Receipt { batch, signature, proof }).collect()
    }
}

/// The gateway's end: checks the receipts of one node and remembers the latest batches, so that each signature is checked once.
#[derive(Debug)]
pub struct ReceiptChecker {
    key: PublicKey,
    /// Roots whose signature held, oldest first; at most [`RECEIPTS_REMEMBERED`].
    known: Mutex<VecDeque<(MerkleRoot, Signature)>>,
}

impl ReceiptChecker {
    /// Checks receipts of the node with this key.
    #[must_use]
    pub fn new(key: PublicKey) -> Self {
        Self { key, known: Mutex::new(VecDeque::with_capacity(RECEIPTS_REMEMBERED)) }
    }

    /// Whether `receipt` is the node's for `entry`.
    ///
    /// # Errors
    /// Says in words what is wrong.
    pub fn check(&self, receipt: &Receipt, entry: &ReceiptEntry) -> Result<(), &'static str> {
        receipt.verify_inclusion(entry)?;
        let batch = (receipt.batch, receipt.signature);
        if self.known.lock().unwrap_or_else(PoisonError::into_inner).contains(&batch) {
            return Ok(());
        }
        receipt.verify_signature(&self.key)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == RECEIPTS_REMEMBERED {
            known.pop_front();
        }
        known.push_back(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{GroupId, SegmentId, SessionId, Slot, StreamId};

    fn entry(serial: u64) -> ReceiptEntry {
        let stream = StreamId { session: SessionId(1), serial };
        let shard =
            ShardId { group: GroupId(2), segment: SegmentId { stream, index: 0 }, slot: Slot(3) };
        let position = LogPosition { file: 4, offset: serial };
        ReceiptEntry::Stored { shard, root: Root::of(&serial.to_be_bytes()), len: 64, position }
    }

    #[test]
    fn every_entry_of_a_batch_gets_a_receipt_that_holds_for_it_alone() {
        let key = SecretKey::from_seed(&[1; 32]);
        let entries: Vec<_> = (0..RECEIPT_BATCH_MAX as u64 + 3).map(entry).collect();
        let receipts = ReceiptSigner::new(key.clone()).sign(&entries);
        let checker = ReceiptChecker::new(key.public());
        assert_eq!(receipts.len(), entries.len());
        for (receipt, entry) in receipts.iter().zip(&entries) {
            assert_eq!(checker.check(receipt, entry), Ok(()));
            assert_eq!(receipt.verify(&key.public(), entry), Ok(()));
        }
        assert_eq!(checker.known.lock().unwrap().len(), 2);
        assert!(checker.check(&receipts[0], &entries[1]).is_err());
    }

    #[test]
    fn an_entry_that_is_signed_alone_gets_the_receipt_of_a_batch_of_one() {
        let signer = ReceiptSigner::new(SecretKey::from_seed(&[1; 32]));
        assert_eq!(vec![signer.sign_one(&entry(1))], signer.sign(&[entry(1)]));
    }

    #[test]
    fn a_known_batch_root_does_not_excuse_a_false_signature() {
        let key = SecretKey::from_seed(&[1; 32]);
        let receipts = ReceiptSigner::new(key.clone()).sign(&[entry(1)]);
        let checker = ReceiptChecker::new(key.public());
        checker.check(&receipts[0], &entry(1)).unwrap();
        let mut forged = receipts[0].clone();
        forged.signature.0[5] ^= 1;
        assert_eq!(checker.check(&forged, &entry(1)), Err("its signature does not hold"));
        let other = ReceiptChecker::new(SecretKey::from_seed(&[2; 32]).public());
        assert_eq!(other.check(&receipts[0], &entry(1)), Err("its signature does not hold"));
    }

    #[test]
    fn the_checker_remembers_a_bounded_number_of_batches() {
        let key = SecretKey::from_seed(&[1; 32]);
        let (signer, checker) =
            (ReceiptSigner::new(key.clone()), ReceiptChecker::new(key.public()));
        for serial in 0..2 * RECEIPTS_REMEMBERED as u64 {
            checker.check(&signer.sign(&[entry(serial)])[0], &entry(serial)).unwrap();
        }
        assert_eq!(checker.known.lock().unwrap().len(), RECEIPTS_REMEMBERED);
    }
}
