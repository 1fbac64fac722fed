//! The bytes of the logs, and why they stand in this order.
//!
//! Every record begins on a multiple of [`ALIGN`], so that a reader which lost its way (a torn record, a bad sector) finds the next one by
//! looking at one place in each page. All numbers are little-endian. Checksums are BLAKE3 keyed with the store's own random key and cut to
//! 16 bytes: stored ciphertext, whoever chose it, cannot pose as a record. The place (file number and offset) is hashed in too, so that a
//! page that was written to the wrong place, or left behind by an older file, is not believed.
//!
//! **Put**: header, body, trailer. The header is first because it says how far to jump; the trailer is last because it is the commit mark:
//! a record without a valid trailer never happened.
//!
//! ```text
//! header    0   8  magic "drystPUT"   a scan rejects a page by its first eight bytes
//!           8  16  checksum           of the place and of all that follows it, before anything is believed
//!          24   8  body length        the next jump
//!          32   4  epoch
//!          36  29  shard id
//!          65   1  zero
//!          66   2  label length       the only length that must be bounded before it is used
//!          68   …  label
//! body      …   …  the shard
//! trailer   0   8  magic "drystEND"
//!           8  16  checksum           of the header's checksum and of all that follows: a trailer fits one header only
//!          24   8  sequence           which of several records of one shard counts: the highest
//!          32   8  commit             the number of the commit that wrote this record
//!          40   8  durable            every commit up to this one was on disk before this record was written
//!          48   8  stored at          milliseconds since 1970
//!          56  32  root
//!          88   …  outboard           its length follows from the body's
//! ```
//!
//! **Notice** (drops): one block, because it is written in one piece.
//!
//! ```text
//!           0   8  magic "drystOUT"
//!           8  16  checksum
//!          24   8  commit
//!          32   8  durable
//!          40   8  revision           the highest revision seen
//!          48   4  count
//!          52  45  each: shard id 29, sequence 8, dropped at 8
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{Epoch, Root, ShardId, Timestamp};

/// The only format there is; a log with a higher number is refused.
pub(crate) const FORMAT: u32 = 1;
/// Records begin on multiples of this: one page, the unit in which disks tear.
pub(crate) const ALIGN: u64 = 4096;
/// Bytes of a put header before its label.
pub(crate) const HEADER_FIXED: usize = 68;
/// The longest label, in bytes; a longer one is refused before anything is reserved.
pub(crate) const LABEL_MAX: usize = 512;
/// Bytes of a trailer before its outboard.
const TRAILER_FIXED: usize = 88;
/// Bytes of a notice before its entries.
pub(crate) const NOTICE_FIXED: usize = 52;
/// Bytes of one entry of a notice.
pub(crate) const DROP_LEN: usize = 45;
/// The most entries in one notice (184 KiB); more are written as several.
pub(crate) const NOTICE_DROPS_MAX: usize = 4096;

const _: () = assert!(HEADER_FIXED + LABEL_MAX <= ALIGN as usize, "one page holds any header");

const PUT: &[u8; 8] = b"drystPUT";
const END: &[u8; 8] = b"drystEND";
const OUT: &[u8; 8] = b"drystOUT";
const LOG: &[u8; 8] = b"drystLOG";
const CHECKED_FROM: usize = 24;

/// A checksum of this module.
pub(crate) type Checksum = [u8; 16];

/// The store's random key: what makes its checksums its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoreKey(pub(crate) [u8; 32]);

/// Where a record begins.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Place {
    /// The log file's number, from 1.
    pub file: u32,
    /// Bytes from the file's start; a multiple of 4096.
    pub offset: u64,
}

/// What is known of a shard before its bytes come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PutHeader {
    pub(crate) shard: ShardId,
    pub(crate) epoch: Epoch,
    pub(crate) len: u64,
    pub(crate) label: Bytes,
}

/// What is known once they have come. See the module for the meaning of the fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trailer {
    pub(crate) sequence: u64,
    pub(crate) commit: u64,
    pub(crate) durable: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) root: Root,
    pub(crate) outboard: Vec<u8>,
}

/// One drop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DropEntry {
    pub(crate) shard: ShardId,
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
}

/// A batch of drops, and the highest revision seen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Notice {
    pub(crate) commit: u64,
    pub(crate) durable: u64,
    pub(crate) revision: u64,
    pub(crate) drops: Vec<DropEntry>,
}

/// `len` rounded up to the next multiple of [`ALIGN`].
pub(crate) fn aligned(len: u64) -> u64 {
    len.next_multiple_of(ALIGN)
}

/// Bytes of the outboard of a body of `len` bytes.
pub(crate) fn outboard_len(len: u64) -> u64 {
    codec::hash::Outboard::encoded_len(len) as u64
}

/// Bytes from a put record's start to its body.
pub(crate) fn body_at(label_len: usize) -> u64 {
    (HEADER_FIXED + label_len) as u64
}

/// Bytes of a trailer behind a body of `len` bytes.
pub(crate) fn trailer_len(len: u64) -> u64 {
    TRAILER_FIXED as u64 + outboard_len(len)
}

/// Bytes that a put record takes up in its log, alignment included.
pub(crate) fn put_span(label_len: usize, len: u64) -> u64 {
    aligned(body_at(label_len) + len + trailer_len(len))
}

/// Bytes that a notice takes up in its log, alignment included.
pub(crate) fn notice_span(drops: usize) -> u64 {
    aligned((NOTICE_FIXED + drops * DROP_LEN) as u64)
}

impl StoreKey {
    fn checksum(&self, context: &[u8], bytes: &[u8]) -> Checksum {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(context).update(bytes);
        let mut checksum = [0; 16];
        checksum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        checksum
    }

    /// Writes the checksum of everything behind it into `record`.
    fn close(&self, context: &[u8], record: &mut [u8]) -> Checksum {
        let checksum = self.checksum(context, &record[CHECKED_FROM..]);
        record[8..CHECKED_FROM].copy_from_slice(&checksum);
        checksum
    }

    fn opens(&self, context: &[u8], record: &[u8]) -> Option<Checksum> {
        let checksum = self.checksum(context, &record[CHECKED_FROM..]);
        (record[8..CHECKED_FROM] == checksum).then_some(checksum)
    }
}

impl Place {
    fn context(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.file.to_le_bytes());
        bytes[4..].copy_from_slice(&self.offset.to_le_bytes());
        bytes
    }
}

impl PutHeader {
    /// The header as it stands at `place`, and its checksum.
    pub(crate) fn encode(&self, key: &StoreKey, place: Place) -> (Vec<u8>, Checksum) {
        debug_assert!(self.label.len() <= LABEL_MAX);
        let mut bytes = Vec::with_capacity(HEADER_FIXED + self.label.len());
        bytes.extend_from_slice(PUT);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&self.len.to_le_bytes());
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&self.shard.to_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&(self.label.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&self.label);
        let checksum = key.close(&place.context(), &mut bytes);
        (bytes, checksum)
    }

    /// Reads the header that begins `page`, if there is an undamaged one that belongs at `place`.
    pub(crate) fn decode(key: &StoreKey, place: Place, page: &[u8]) -> Option<(Self, Checksum)> {
        if page.len() < HEADER_FIXED || page[..8] != *PUT {
            return None;
        }
        let label_len = usize::from(u16::from_le_bytes(array(page, 66)?));
        if label_len > LABEL_MAX {
            return None;
        }
        let bytes = page.get(..HEADER_FIXED + label_len)?;
        let checksum = key.opens(&place.context(), bytes)?;
        let header = Self {
            shard: ShardId::from_bytes(array(bytes, 36)?),
            epoch: Epoch(u32::from_le_bytes(array(bytes, 32)?)),
            len: u64::from_le_bytes(array(bytes, 24)?),
            label: Bytes::copy_from_slice(&bytes[HEADER_FIXED..]),
        };
        Some((header, checksum))
    }

    /// See [`put_span`].
    pub(crate) fn span(&self) -> u64 {
        put_span(self.label.len(), self.len)
    }

    /// Bytes from the record's start to its trailer.
    pub(crate) fn trailer_at(&self) -> u64 {
        body_at(self.label.len()) + self.len
    }
}

impl Trailer {
    /// The trailer that closes the record whose header has `header` as its checksum.
    pub(crate) fn encode(&self, key: &StoreKey, header: &Checksum) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_FIXED + self.outboard.len());
        bytes.extend_from_slice(END);
        bytes.extend_from_slice(&[0; 16]);
        for number in [self.sequence, self.commit, self.durable, self.stored_at.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.root.as_bytes());
        bytes.extend_from_slice(&self.outboard);
        key.close(header, &mut bytes);
        bytes
    }

    /// Reads `bytes`, which are exactly as long as the trailer should be.
    pub(crate) fn decode(key: &StoreKey, header: &Checksum, bytes: &[u8]) -> Option<Self> {
        if bytes.len() < TRAILER_FIXED || bytes[..8] != *END {
            return None;
        }
        key.opens(header, bytes)?;
        Some(Self {
            sequence: u64::from_le_bytes(array(bytes, 24)?),
            commit: u64::from_le_bytes(array(bytes, 32)?),
            durable: u64::from_le_bytes(array(bytes, 40)?),
            stored_at: Timestamp(u64::from_le_bytes(array(bytes, 48)?)),
            root: Root(array(bytes, 56)?),
            outboard: bytes[TRAILER_FIXED..].to_vec(),
        })
    }
}

impl Notice {
    /// The notice as it stands at `place`.
    pub(crate) fn encode(&self, key: &StoreKey, place: Place) -> Vec<u8> {
        debug_assert!(self.drops.len() <= NOTICE_DROPS_MAX);
        let mut bytes = Vec::with_capacity(NOTICE_FIXED + self.drops.len() * DROP_LEN);
        bytes.extend_from_slice(OUT);
        bytes.extend_from_slice(&[0; 16]);
        for number in [self.commit, self.durable, self.revision] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.drops.len() as u32).to_le_bytes());
        for drop in &self.drops {
            bytes.extend_from_slice(&drop.shard.to_bytes());
            bytes.extend_from_slice(&drop.sequence.to_le_bytes());
            bytes.extend_from_slice(&drop.at.0.to_le_bytes());
        }
        key.close(&place.context(), &mut bytes);
        bytes
    }

    /// How many bytes must be read to decode the notice that begins `page`; `None` if there is none.
    pub(crate) fn encoded_len(page: &[u8]) -> Option<usize> {
        if page.len() < NOTICE_FIXED || page[..8] != *OUT {
            return None;
        }
        let count = u32::from_le_bytes(array(page, 48)?) as usize;
        (count <= NOTICE_DROPS_MAX).then_some(NOTICE_FIXED + count * DROP_LEN)
    }

    /// Reads `bytes`, of the length that [`Self::encoded_len`] gave.
    pub(crate) fn decode(key: &StoreKey, place: Place, bytes: &[u8]) -> Option<Self> {
        if bytes.len() < NOTICE_FIXED {
            return None;
        }
        key.opens(&place.context(), bytes)?;
        let drops = bytes[NOTICE_FIXED..]
            .chunks_exact(DROP_LEN)
            .map(|entry| {
                Some(DropEntry {
                    shard: ShardId::from_bytes(array(entry, 0)?),
                    sequence: u64::from_le_bytes(array(entry, 29)?),
                    at: Timestamp(u64::from_le_bytes(array(entry, 37)?)),
                })
            })
            .collect::<Option<_>>()?;
        Some(Self {
            commit: u64::from_le_bytes(array(bytes, 24)?),
            durable: u64::from_le_bytes(array(bytes, 32)?),
            revision: u64::from_le_bytes(array(bytes, 40)?),
            drops,
        })
    }
}

/// The first page of every log: what it is, and a second copy of the store's key.
///
/// ```text
///  0  8  magic "drystLOG"
///  8  4  format             before anything whose meaning a format may change
/// 12  4  file number        a renamed file is noticed
/// 16 32  the store's key    so that the logs alone rebuild everything
/// 48 16  checksum           plain BLAKE3 of the 48 bytes before: there is no key yet when it is read
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LogHead {
    pub(crate) format: u32,
    pub(crate) number: u32,
    pub(crate) key: StoreKey,
}

impl LogHead {
    /// Bytes of the head; the rest of its page is zero.
    pub(crate) const LEN: usize = 64;

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(LOG);
        bytes.extend_from_slice(&self.format.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.key.0);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(&checksum.as_bytes()[..16]);
        bytes
    }

    /// Reads a head. One of a newer format is returned without a look at its checksum, so that it can be refused in words.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < Self::LEN || bytes[..8] != *LOG {
            return None;
        }
        let format = u32::from_le_bytes(array(bytes, 8)?);
        let whole = blake3::hash(&bytes[..48]).as_bytes()[..16] == bytes[48..Self::LEN];
        (whole || format > FORMAT).then_some(Self {
            format,
            number: u32::from_le_bytes(array(bytes, 12)?),
            key: StoreKey(array(bytes, 16)?),
        })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};
    use types::{GroupId, SegmentId, SessionId, Slot, StreamId};

    use super::*;

    const KEY: StoreKey = StoreKey([7; 32]);
    const PLACE: Place = Place { file: 3, offset: 8192 };

    fn shard() -> ShardId {
        ShardId {
            group: GroupId(0x0102),
            segment: SegmentId {
                stream: StreamId { session: SessionId(0x0304), serial: 0x0506 },
                index: 9,
            },
            slot: Slot(5),
        }
    }

    fn header() -> PutHeader {
        PutHeader {
            shard: shard(),
            epoch: Epoch(2),
            len: 40_000,
            label: Bytes::from_static(b"label"),
        }
    }

    fn trailer() -> Trailer {
        Trailer {
            sequence: 11,
            commit: 12,
            durable: 10,
            stored_at: Timestamp(1_700_000_000_000),
            root: Root([0xab; 32]),
            outboard: vec![0xcd; 4],
        }
    }

    fn notice() -> Notice {
        Notice {
            commit: 13,
            durable: 12,
            revision: 99,
            drops: vec![DropEntry { shard: shard(), sequence: 14, at: Timestamp(15) }],
        }
    }

    #[test]
    fn the_golden_bytes_of_every_record_never_change() {
        let (put, checksum) = header().encode(&KEY, PLACE);
        let head = LogHead { format: FORMAT, number: 3, key: KEY };
        let all = [
            ("put", hex::encode(&put)),
            ("end", hex::encode(trailer().encode(&KEY, &checksum))),
            ("out", hex::encode(notice().encode(&KEY, PLACE))),
            ("log", hex::encode(head.encode())),
        ];
        for ((name, bytes), golden) in all.iter().zip(GOLDEN) {
            assert_eq!(bytes, golden, "{name}");
        }
    }

    const GOLDEN: [&str; 4] = [
        "647279737450555402bed06398d7e4b16d2bb807757d8fe2409c0000000000000200000000000000000001020000000000000304000000000000050600000009050005006c6162656c",
        "6472797374454e4477e7d05a37833dc9902a7df0812568600b000000000000000c000000000000000a000000000000000068e5cf8b010000ababababababababababababababababababababababababababababababababcdcdcdcd",
        "64727973744f5554719b25d49831ff035fb2cc34d8c6c8a00d000000000000000c0000000000000063000000000000000100000000000000000001020000000000000304000000000000050600000009050e000000000000000f00000000000000",
        "64727973744c4f4701000000030000000707070707070707070707070707070707070707070707070707070707070707aecf417a4d5a1c8d50a72d4372b2f7f6",
    ];

    #[test]
    fn a_record_is_believed_only_whole_and_where_it_belongs() {
        let (put, checksum) = header().encode(&KEY, PLACE);
        assert_eq!(PutHeader::decode(&KEY, PLACE, &put), Some((header(), checksum)));
        let elsewhere = Place { offset: 4096, ..PLACE };
        assert_eq!(PutHeader::decode(&KEY, elsewhere, &put), None);
        assert_eq!(PutHeader::decode(&StoreKey([8; 32]), PLACE, &put), None);

        let end = trailer().encode(&KEY, &checksum);
        assert_eq!(Trailer::decode(&KEY, &checksum, &end), Some(trailer()));
        assert_eq!(Trailer::decode(&KEY, &[0; 16], &end), None);

        let out = notice().encode(&KEY, PLACE);
        assert_eq!(Notice::encoded_len(&out), Some(out.len()));
        assert_eq!(Notice::decode(&KEY, PLACE, &out), Some(notice()));
        assert_eq!(Notice::decode(&KEY, elsewhere, &out), None);
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let (put, checksum) = header().encode(&KEY, PLACE);
        let end = trailer().encode(&KEY, &checksum);
        let out = notice().encode(&KEY, PLACE);
        let flipped = |bytes: &[u8], bit: usize| {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        };
        for bit in 0..put.len() * 8 {
            assert_eq!(PutHeader::decode(&KEY, PLACE, &flipped(&put, bit)), None, "{bit}");
        }
        for bit in 0..end.len() * 8 {
            assert_eq!(Trailer::decode(&KEY, &checksum, &flipped(&end, bit)), None, "{bit}");
        }
        for bit in 0..out.len() * 8 {
            let bytes = flipped(&out, bit);
            let believed = Notice::encoded_len(&bytes)
                .filter(|len| *len <= bytes.len())
                .and_then(|len| Notice::decode(&KEY, PLACE, &bytes[..len]));
            assert_eq!(believed, None, "{bit}");
        }
    }

    #[test]
    fn a_head_of_a_newer_format_is_told_apart_from_garbage() {
        let mut bytes = LogHead { format: FORMAT, number: 3, key: KEY }.encode();
        assert_eq!(LogHead::decode(&bytes).map(|head| head.format), Some(FORMAT));
        bytes[20] ^= 1;
        assert_eq!(LogHead::decode(&bytes), None);
        bytes[8] = 2;
        assert_eq!(LogHead::decode(&bytes).map(|head| head.format), Some(2));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0usize..4) {
            let mut bytes = bytes;
            if bytes.len() >= 8 {
                bytes[..8].copy_from_slice([PUT, END, OUT, LOG][magic]);
            }
            assert!(PutHeader::decode(&KEY, PLACE, &bytes).is_none());
            assert!(Trailer::decode(&KEY, &[0; 16], &bytes).is_none());
            let _ = Notice::encoded_len(&bytes);
            assert!(Notice::decode(&KEY, PLACE, &bytes).is_none());
            let _ = LogHead::decode(&bytes);
        }
    }
}
