//! Keys as tuples: the order of the encoded bytes is the order of the tuples, element by element.
//!
//! | element | bytes | why |
//! |---|---|---|
//! | unsigned number | big-endian, full width | compares as a number |
//! | `[u8; N]`, ids | as they are | fixed length, so nothing marks the end |
//! | text, byte string | `00` becomes `00 FF`; then `00 00` | an element ends below everything it is a prefix of, so the order of texts is the order of their bytes: for object keys, S3's list order |
//! | [`Inverted`] | big-endian, every bit flipped | the newest first |
//! | [`Rest`] | as they are, to the end | last element only |
//!
//! Nothing in a key says what type an element has: the table knows.

use bytes::Bytes;
use types::{
    AccountId, BucketId, BucketName, Epoch, GroupId, ManifestId, NodeId, ObjectKey, Root,
    SegmentId, SessionId, ShardId, Slot, StreamId, Timestamp, VersionId,
};

use crate::error::KvError;
use crate::scan::successor;

const ESCAPE: u8 = 0x00;
const ESCAPED_ZERO: u8 = 0xff;
const END: u8 = 0x00;

/// A value with an order-preserving form that shows where it ends.
///
/// Laws: `a < b` iff `a.encode() < b.encode()`; `decode(encode(a)) == a`; no encoded form is a prefix of another of the same
/// type, [`Rest`] excepted.
pub trait KeyCodec: Sized {
    /// Appends the encoded form to `out`.
    fn encode_to(&self, out: &mut Vec<u8>);

    /// Takes one off the front of `input`.
    ///
    /// # Errors
    /// [`KvError::MalformedKey`] if there is none.
    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError>;

    /// The encoded form.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.encode_to(&mut out);
        out
    }

    /// Reads back what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// [`KvError::MalformedKey`] if `bytes` is anything else.
    fn decode(mut bytes: &[u8]) -> Result<Self, KvError> {
        let value = Self::decode_from(&mut bytes)?;
        if bytes.is_empty() { Ok(value) } else { Err(malformed("end")) }
    }
}

/// A number whose largest value comes first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Inverted(pub u64);

impl Ord for Inverted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.cmp(&self.0)
    }
}

impl PartialOrd for Inverted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// All bytes to the end of the key, unescaped. Only as the last element.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Rest(pub Bytes);

/// The beginning of keys: whole elements, and at most a piece of the next one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyPrefix(Vec<u8>);

impl KeyPrefix {
    /// The beginning of every key.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The keys that begin with `elements`: one element, or a tuple of several.
    #[must_use]
    pub fn of(elements: &impl KeyCodec) -> Self {
        Self(elements.encode())
    }

    /// Then this element, whole.
    #[must_use]
    pub fn then(mut self, element: &impl KeyCodec) -> Self {
        element.encode_to(&mut self.0);
        self
    }

    /// Then a text or byte string that begins with `start`. Nothing can follow.
    #[must_use]
    pub fn starting_with(mut self, start: impl AsRef<[u8]>) -> Self {
        escape(start.as_ref(), &mut self.0);
        self
    }
}

/// A range of one table's keys.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Span {
    pub(crate) from: Vec<u8>,
    /// Empty: to the table's end.
    pub(crate) to: Vec<u8>,
}

impl Span {
    /// The whole table.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key that begins so.
    #[must_use]
    pub fn of(prefix: &KeyPrefix) -> Self {
        Self { from: prefix.0.clone(), to: successor(&prefix.0) }
    }

    /// Only from `key` on, itself included.
    #[must_use]
    pub fn from_key(self, key: &impl KeyCodec) -> Self {
        self.not_below(key.encode())
    }

    /// Only what comes after `key`.
    #[must_use]
    pub fn after_key(self, key: &impl KeyCodec) -> Self {
        let mut above = key.encode();
        above.push(0);
        self.not_below(above)
    }

    /// Only what comes before `key`.
    #[must_use]
    pub fn before_key(self, key: &impl KeyCodec) -> Self {
        self.below(key.encode())
    }

    /// Only from the first key on that begins with `prefix` or comes after all those.
    #[must_use]
    pub fn from_prefix(self, prefix: &KeyPrefix) -> Self {
        self.not_below(prefix.0.clone())
    }

    /// Only what comes after every key that begins with `prefix`.
    #[must_use]
    pub fn after_prefix(self, prefix: &KeyPrefix) -> Self {
        match successor(&prefix.0) {
            above if above.is_empty() => Self { from: vec![0], to: vec![0] },
            above => self.not_below(above),
        }
    }

    /// Only what comes before every key that begins with `prefix`.
    #[must_use]
    pub fn before_prefix(self, prefix: &KeyPrefix) -> Self {
        if prefix.0.is_empty() {
            return Self { from: vec![0], to: vec![0] };
        }
        self.below(prefix.0.clone())
    }

    fn not_below(mut self, from: Vec<u8>) -> Self {
        self.from = self.from.max(from);
        self
    }

    fn below(mut self, to: Vec<u8>) -> Self {
        self.to = if self.to.is_empty() { to } else { self.to.min(to) };
        self
    }
}

impl From<KeyPrefix> for Span {
    fn from(prefix: KeyPrefix) -> Self {
        Self::of(&prefix)
    }
}

impl From<&KeyPrefix> for Span {
    fn from(prefix: &KeyPrefix) -> Self {
        Self::of(prefix)
    }
}

fn malformed(expected: &'static str) -> KvError {
    KvError::MalformedKey { expected }
}

fn take<const N: usize>(input: &mut &[u8], expected: &'static str) -> Result<[u8; N], KvError> {
    let (taken, rest) = input.split_first_chunk::<N>().ok_or_else(|| malformed(expected))?;
    *input = rest;
    Ok(*taken)
}

fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for (i, piece) in bytes.split(|byte| *byte == ESCAPE).enumerate() {
        if i > 0 {
            out.extend_from_slice(&[ESCAPE, ESCAPED_ZERO]);
        }
        out.extend_from_slice(piece);
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    escape(bytes, out);
    out.extend_from_slice(&[ESCAPE, END]);
}

fn decode_bytes(input: &mut &[u8]) -> Result<Vec<u8>, KvError> {
    let mut bytes = Vec::new();
    loop {
        let zero = input.iter().position(|byte| *byte == ESCAPE);
        let zero = zero.ok_or_else(|| malformed("end of text"))?;
        bytes.extend_from_slice(&input[..zero]);
        *input = &input[zero + 1..];
        match take::<1>(input, "end of text")? {
            [END] => return Ok(bytes),
            [ESCAPED_ZERO] => bytes.push(0),
            _ => return Err(malformed("escaped zero")),
        }
    }
}

macro_rules! number_keys {
    ($($type:ty),+) => {$(
        impl KeyCodec for $type {
            fn encode_to(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }

            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                take(input, stringify!($type)).map(Self::from_be_bytes)
            }
        }
    )+};
}

number_keys!(u8, u16, u32, u64, u128);

/// Types that wrap one element.
macro_rules! wrapped_keys {
    ($($type:ident),+) => {$(
        impl KeyCodec for $type {
            fn encode_to(&self, out: &mut Vec<u8>) {
                self.0.encode_to(out);
            }

            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                KeyCodec::decode_from(input).map(Self)
            }
        }
    )+};
}

wrapped_keys!(
    NodeId, BucketId, VersionId, ManifestId, SessionId, GroupId, Epoch, Slot, Root, Timestamp
);

/// Types with a fixed number of bytes in order.
macro_rules! packed_keys {
    ($($type:ident),+) => {$(
        impl KeyCodec for $type {
            fn encode_to(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_bytes());
            }

            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                take(input, stringify!($type)).map(Self::from_bytes)
            }
        }
    )+};
}

packed_keys!(StreamId, SegmentId, ShardId);

/// Types that are a text of a certain form.
macro_rules! text_keys {
    ($($type:ident),+) => {$(
        impl KeyCodec for $type {
            fn encode_to(&self, out: &mut Vec<u8>) {
                encode_bytes(self.as_str().as_bytes(), out);
            }

            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                Self::try_from(String::decode_from(input)?).map_err(|_| malformed(stringify!($type)))
            }
        }
    )+};
}

text_keys!(AccountId, BucketName, ObjectKey);

impl<const N: usize> KeyCodec for [u8; N] {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        take(input, "bytes")
    }
}

impl KeyCodec for bool {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        match take(input, "bool")? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(malformed("bool")),
        }
    }
}

impl KeyCodec for String {
    fn encode_to(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        Self::from_utf8(decode_bytes(input)?).map_err(|_| malformed("text"))
    }
}

impl KeyCodec for Vec<u8> {
    fn encode_to(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        decode_bytes(input)
    }
}

impl KeyCodec for Bytes {
    fn encode_to(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        decode_bytes(input).map(Self::from)
    }
}

impl KeyCodec for Inverted {
    fn encode_to(&self, out: &mut Vec<u8>) {
        (!self.0).encode_to(out);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        u64::decode_from(input).map(|number| Self(!number))
    }
}

impl KeyCodec for Rest {
    fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        Ok(Self(Bytes::copy_from_slice(std::mem::take(input))))
    }
}

macro_rules! tuple_keys {
    ($($name:ident $at:tt),*) => {
        impl<$($name: KeyCodec),*> KeyCodec for ($($name,)*) {
            #[allow(unused_variables, reason = "the empty tuple writes nothing")]
            fn encode_to(&self, out: &mut Vec<u8>) {
                $(self.$at.encode_to(out);)*
            }

            #[allow(unused_variables, reason = "the empty tuple reads nothing")]
            fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
                Ok(($($name::decode_from(input)?,)*))
            }
        }
    };
}

tuple_keys!();
tuple_keys!(A 0);
tuple_keys!(A 0, B 1);
tuple_keys!(A 0, B 1, C 2);
tuple_keys!(A 0, B 1, C 2, D 3);
tuple_keys!(A 0, B 1, C 2, D 3, E 4);

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    type Sample = (Vec<u8>, u32, String, Inverted, [u8; 3]);

    /// Few different bytes, so that prefixes, zeros and equal elements are common.
    fn sample() -> impl proptest::strategy::Strategy<Value = Sample> {
        use proptest::strategy::Strategy as _;
        let byte = || proptest::sample::select(vec![0_u8, 1, 0x7f, 0xfe, 0xff]);
        let letter = proptest::sample::select(vec!['\0', '\u{1}', 'a', 'é', '\u{10ffff}']);
        (
            proptest::collection::vec(byte(), 0..4),
            0..3_u32,
            proptest::collection::vec(letter, 0..4),
            any::<u64>(),
            any::<[u8; 3]>(),
        )
            .prop_map(|(bytes, number, letters, inverted, array)| {
                (bytes, number, letters.into_iter().collect(), Inverted(inverted), array)
            })
    }

    proptest! {
        #[test]
        fn encoded_keys_sort_as_tuples_and_read_back(a in sample(), b in sample()) {
            prop_assert_eq!(a.encode().cmp(&b.encode()), a.cmp(&b));
            prop_assert_eq!(Sample::decode(&a.encode()).ok(), Some(a));
        }

        #[test]
        fn a_prefix_spans_exactly_the_keys_that_begin_with_it(a in sample(), b in sample(), cut in 0..4_usize) {
            let within = |span: &Span, key: &Sample| {
                let key = key.encode();
                key >= span.from && (span.to.is_empty() || key < span.to)
            };
            let whole = Span::of(&KeyPrefix::of(&a.0).then(&a.1));
            prop_assert!(within(&whole, &a));
            prop_assert_eq!(within(&whole, &b), a.0 == b.0 && a.1 == b.1);
            let start = &a.0[..cut.min(a.0.len())];
            let open = Span::of(&KeyPrefix::new().starting_with(start));
            prop_assert_eq!(within(&open, &b), b.0.starts_with(start));
            let past = Span::all().after_prefix(&KeyPrefix::new().starting_with(start));
            prop_assert_eq!(within(&past, &b), !b.0.starts_with(start) && b.0.as_slice() > start);
            prop_assert_eq!(within(&Span::all().after_key(&a), &b), b > a);
            prop_assert_eq!(within(&Span::all().from_key(&a).before_key(&b), &b), false);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in any::<Vec<u8>>()) {
            if let Ok(key) = Sample::decode(&bytes) {
                prop_assert_eq!(key.encode(), bytes);
            }
        }
    }

    #[test]
    fn stored_keys_keep_their_bytes() {
        let object: ObjectKey = "a/\u{0}b".parse().expect("a key");
        let bucket = BucketId([0x11; 16]);
        let golden: [(Vec<u8>, &str); 8] = [
            (
                (bucket, object, Inverted(1)).encode(),
                concat!("11111111111111111111111111111111", "612f00ff620000", "fffffffffffffffe"),
            ),
            ((SessionId(1), Slot(2), Epoch(3)).encode(), "00000000000000010200000003"),
            (
                StreamId { session: SessionId(1), serial: 2 }.encode(),
                "00000000000000010000000000000002",
            ),
            (
                SegmentId { stream: StreamId { session: SessionId(1), serial: 2 }, index: 3 }
                    .encode(),
                "0000000000000001000000000000000200000003",
            ),
            (("x".to_owned(), true).encode(), "78000001"),
            ((GroupId(7), Rest(Bytes::from_static(b"\0\xff"))).encode(), "000000000000000700ff"),
            (Timestamp(0x0102).encode(), "0000000000000102"),
            (("".to_owned(), 5_u16).encode(), "00000005"),
        ];
        for (bytes, hex) in golden {
            let shown: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, hex);
        }
    }

    #[test]
    fn object_keys_sort_in_list_order() {
        let mut keys: Vec<ObjectKey> =
            ["b", "a\u{0}", "a", "a/b", "a!", "é", "a\u{0}\u{0}", "Z", "\u{ffff}", "\u{10000}"]
                .map(|text| text.parse().expect("a key"))
                .to_vec();
        keys.sort_by_key(KeyCodec::encode);
        assert!(keys.is_sorted_by_key(|key| key.as_str().as_bytes().to_vec()));
    }
}
