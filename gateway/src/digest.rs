//! Digests of object bytes: the MD5 that becomes the entity tag, the checksums S3 offers, and how those of parts make up those of a whole.
//!
//! Every value is big-endian, as S3 puts it into base64
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>).

use crc_fast::CrcAlgorithm;
use md5::{Digest, Md5};
use metadata::records::ChecksumAlgorithm;
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use xxhash_rust::xxh3::Xxh3;
use xxhash_rust::xxh64::Xxh64;

/// S3 hashes with seed 0.
const XXH64_SEED: u64 = 0;

/// Computes, in one pass, MD5 and the checksums asked for; nothing else.
pub struct Digester {
    len: u64,
    md5: Md5,
    hashers: Vec<(ChecksumAlgorithm, Hasher)>,
}

/// What a [`Digester`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Bytes seen.
    pub len: u64,
    /// Their MD5.
    pub md5: [u8; 16],
    /// The checksums asked for, each once, in the order asked.
    pub checksums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}

impl Digester {
    /// A digester for MD5 and `algorithms`.
    #[must_use]
    pub fn new(algorithms: &[ChecksumAlgorithm]) -> Self {
        let mut hashers: Vec<(ChecksumAlgorithm, Hasher)> = Vec::with_capacity(algorithms.len());
        for algorithm in algorithms {
            if !hashers.iter().any(|(present, _)| present == algorithm) {
                hashers.push((*algorithm, Hasher::new(*algorithm)));
            }
        }
        Self { len: 0, md5: Md5::new(), hashers }
    }

    /// Takes the next bytes in. The larger the pieces, the faster.
    pub fn update(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        self.md5.update(bytes);
        for (_, hasher) in &mut self.hashers {
            hasher.update(bytes);
        }
    }

    /// The digests of all bytes taken in.
    #[must_use]
    pub fn finish(self) -> Digests {
        let md5: [u8; 16] = self.md5.finalize().into();
        let value =
            |(algorithm, hasher): (ChecksumAlgorithm, Hasher)| (algorithm, hasher.finish(&md5));
        Digests { len: self.len, md5, checksums: self.hashers.into_iter().map(value).collect() }
    }
}

/// One algorithm at work.
enum Hasher {
    Crc(Box<crc_fast::Digest>, usize),
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    /// The entity tag's MD5 serves.
    Md5,
    XxHash64(Xxh64),
    XxHash3(Box<Xxh3>),
    XxHash128(Box<Xxh3>),
}

impl Hasher {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        let crc = |crc: CrcAlgorithm| {
            Self::Crc(Box::new(crc_fast::Digest::new(crc)), size_of_value(algorithm))
        };
        match algorithm {
            ChecksumAlgorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            ChecksumAlgorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            ChecksumAlgorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            ChecksumAlgorithm::Sha1 => Self::Sha1(Sha1::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha512 => Self::Sha512(Sha512::new()),
            ChecksumAlgorithm::Md5 => Self::Md5,
            ChecksumAlgorithm::XxHash64 => Self::XxHash64(Xxh64::new(XXH64_SEED)),
            ChecksumAlgorithm::XxHash3 => Self::XxHash3(Box::new(Xxh3::new())),
            ChecksumAlgorithm::XxHash128 => Self::XxHash128(Box::new(Xxh3::new())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(hasher, _) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
            Self::Md5 => {}
            Self::XxHash64(hasher) => hasher.update(bytes),
            Self::XxHash3(hasher) | Self::XxHash128(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self, md5: &[u8; 16]) -> Vec<u8> {
        match self {
            Self::Crc(hasher, size) => low_bytes(hasher.finalize(), size),
            Self::Sha1(hasher) => hasher.finalize().to_vec(),
            Self::Sha256(hasher) => hasher.finalize().to_vec(),
            Self::Sha512(hasher) => hasher.finalize().to_vec(),
            Self::Md5 => md5.to_vec(),
            Self::XxHash64(hasher) => hasher.digest().to_be_bytes().to_vec(),
            Self::XxHash3(hasher) => hasher.digest().to_be_bytes().to_vec(),
            Self::XxHash128(hasher) => hasher.digest128().to_be_bytes().to_vec(),
        }
    }
}

/// Bytes of a value of `algorithm`.
#[must_use]
pub const fn size_of_value(algorithm: ChecksumAlgorithm) -> usize {
    match algorithm {
        ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c => 4,
        ChecksumAlgorithm::Crc64Nvme | ChecksumAlgorithm::XxHash64 | ChecksumAlgorithm::XxHash3 => {
            8
        }
        ChecksumAlgorithm::Md5 | ChecksumAlgorithm::XxHash128 => 16,
        ChecksumAlgorithm::Sha1 => 20,
        ChecksumAlgorithm::Sha256 => 32,
        ChecksumAlgorithm::Sha512 => 64,
    }
}

/// The checksum of bytes of which only their parts' checksums and lengths are known. Only CRCs can be told so: `None` for any other
/// algorithm, for no parts, or for a value that is none of the algorithm's.
#[must_use]
pub fn combine(algorithm: ChecksumAlgorithm, parts: &[(&[u8], u64)]) -> Option<Vec<u8>> {
    let crc = match algorithm {
        ChecksumAlgorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        ChecksumAlgorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        ChecksumAlgorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1
        | ChecksumAlgorithm::Sha256
        | ChecksumAlgorithm::Sha512
        | ChecksumAlgorithm::Md5
        | ChecksumAlgorithm::XxHash64
        | ChecksumAlgorithm::XxHash3
        | ChecksumAlgorithm::XxHash128 => return None,
    };
    let size = size_of_value(algorithm);
    let mut whole: Option<u64> = None;
    for (value, len) in parts {
        let value = (value.len() == size)
            .then(|| value.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))?;
        whole = Some(match whole {
            None => value,
            // Nothing follows, so nothing changes; the library's arithmetic wants at least one byte.
            Some(before) if *len == 0 => before,
            Some(before) => crc_fast::checksum_combine(crc, before, value, *len),
        });
    }
    whole.map(|value| low_bytes(value, size))
}

/// The composite checksum of a multipart object: the digest of its parts' digests, one after the other.
#[must_use]
pub fn composite(algorithm: ChecksumAlgorithm, parts: &[&[u8]]) -> Vec<u8> {
    let mut md5 = Md5::new();
    let mut hasher = Hasher::new(algorithm);
    for part in parts {
        md5.update(part);
        hasher.update(part);
    }
    hasher.finish(&md5.finalize().into())
}

/// The digest in a multipart object's entity tag: the MD5 of its parts' MD5s.
#[must_use]
pub fn multipart_md5<'a>(parts: impl IntoIterator<Item = &'a [u8; 16]>) -> [u8; 16] {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(part);
    }
    md5.finalize().into()
}

/// The MD5 of `bytes`.
#[must_use]
pub fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

fn low_bytes(value: u64, size: usize) -> Vec<u8> {
    value.to_be_bytes()[8 - size..].to_vec()
}

#[cfg(test)]
mod tests;
