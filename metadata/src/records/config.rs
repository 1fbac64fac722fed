//! The kinds of configuration a bucket can have beside its row.

use kv::{KeyCodec, KvError};

/// A kind of bucket configuration. The number is stored, as part of the key: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are S3's")]
pub enum ConfigKind {
    Policy,
    Cors,
    Lifecycle,
    Website,
    Tagging,
    Encryption,
    Notification,
    Logging,
    Inventory,
    Metrics,
    Analytics,
    IntelligentTiering,
    Replication,
    PublicAccessBlock,
    RequestPayment,
    Accelerate,
    /// A limit on the bytes and objects in the bucket; not S3's.
    Quota,
}

impl ConfigKind {
    /// Every kind, in the order of its numbers.
    pub const ALL: [Self; 17] = [
        Self::Policy,
        Self::Cors,
        Self::Lifecycle,
        Self::Website,
        Self::Tagging,
        Self::Encryption,
        Self::Notification,
        Self::Logging,
        Self::Inventory,
        Self::Metrics,
        Self::Analytics,
        Self::IntelligentTiering,
        Self::Replication,
        Self::PublicAccessBlock,
        Self::RequestPayment,
        Self::Accelerate,
        Self::Quota,
    ];
}

impl KeyCodec for ConfigKind {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        let number = usize::from(u8::decode_from(input)?);
        Self::ALL.get(number).copied().ok_or(KvError::MalformedKey { expected: "ConfigKind" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_number_of_its_place() {
        for (number, kind) in (0_u8..).zip(ConfigKind::ALL) {
            assert_eq!(kind as u8, number);
            assert_eq!(ConfigKind::decode(&kind.encode()).ok(), Some(kind));
        }
        assert!(ConfigKind::decode(&[17]).is_err());
    }
}
