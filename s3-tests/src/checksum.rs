//! Every checksum that S3 knows, computed apart from the gateway.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};
use xxhash_rust::xxh64::xxh64;

/// An algorithm of `x-amz-checksum-…`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
pub enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

impl Algorithm {
    /// All that AWS lists.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// Its header.
    #[must_use]
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// Its name as `x-amz-checksum-algorithm` has it.
    #[must_use]
    pub fn name(self) -> String {
        self.header().trim_start_matches("x-amz-checksum-").to_uppercase()
    }

    /// The checksum, big-endian.
    #[must_use]
    pub fn raw(self, bytes: &[u8]) -> Vec<u8> {
        let crc = |algorithm| crc_fast::checksum(algorithm, bytes);
        match self {
            Self::Crc32 => (crc(CrcAlgorithm::Crc32IsoHdlc) as u32).to_be_bytes().to_vec(),
            Self::Crc32c => (crc(CrcAlgorithm::Crc32Iscsi) as u32).to_be_bytes().to_vec(),
            Self::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme).to_be_bytes().to_vec(),
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::XxHash64 => xxh64(bytes, 0).to_be_bytes().to_vec(),
            Self::XxHash3 => xxh3_64(bytes).to_be_bytes().to_vec(),
            Self::XxHash128 => xxh3_128(bytes).to_be_bytes().to_vec(),
        }
    }

    /// The checksum as headers have it.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> String {
        base64(&self.raw(bytes))
    }
}

/// Base64 with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// A body's `Content-MD5`.
#[must_use]
pub fn content_md5(bytes: &[u8]) -> String {
    Algorithm::Md5.of(bytes)
}

/// A body's ETag: its MD5 in hexadecimal and quotes.
#[must_use]
pub fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex::encode(Md5::digest(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of CRC algorithms, and the published ones of the hashes.
    #[test]
    fn every_algorithm_gives_its_published_value_for_123456789() {
        for (algorithm, expected) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Algorithm::XxHash64, "8cb841db40e6ae83"),
        ] {
            assert_eq!(hex::encode(algorithm.raw(b"123456789")), expected, "{algorithm:?}");
        }
    }
}
