//! The id by which a client and the operator's log speak of the same request.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use types::entropy::random_bytes;

/// The header that carries the id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
/// The header that carries the longer id, which AWS support asks for too.
const ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");

/// Sixteen hexadecimal digits, as AWS's look. In the extensions of every request the door hands on.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; 8]);

impl RequestId {
    /// A new one. Random, so that ids of several gateways do not meet.
    #[must_use]
    pub fn new() -> Self {
        Self(random_bytes())
    }

    /// Puts both headers on an answer, in place of any that are there; the longer id.
    pub(crate) fn mark(self, headers: &mut HeaderMap, door: DoorId) -> String {
        headers.insert(REQUEST_ID, ascii(self.to_string()));
        let mut long = [0; 32];
        long[..24].copy_from_slice(&door.0);
        long[24..].copy_from_slice(&self.0);
        let long = STANDARD.encode(long);
        headers.insert(ID_2, ascii(long.clone()));
        long
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

/// Tells the doors and runs of gateways apart in `x-amz-id-2`.
#[derive(Clone, Copy)]
pub(crate) struct DoorId([u8; 24]);

impl DoorId {
    pub(crate) fn new() -> Self {
        Self(random_bytes())
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hexadecimal and base64 are valid in a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_sixteen_capital_hexadecimal_digits() {
        assert_eq!(RequestId([0, 1, 2, 3, 0xab, 0xcd, 0xef, 0xff]).to_string(), "00010203ABCDEFFF");
    }

    #[test]
    fn both_headers_are_set_once_and_the_long_one_ends_with_the_id() {
        let id = RequestId::new();
        let mut headers = HeaderMap::new();
        headers.append(REQUEST_ID, HeaderValue::from_static("other"));
        id.mark(&mut headers, DoorId([7; 24]));
        let all: Vec<_> = headers.get_all(REQUEST_ID).iter().collect();
        assert_eq!(all, [id.to_string().as_str()]);
        let long = STANDARD.decode(headers[ID_2].as_bytes()).expect("base64");
        assert_eq!(long[..24], [7; 24]);
        assert_eq!(long[24..], id.0);
    }

    #[test]
    fn two_ids_differ() {
        assert_ne!(RequestId::new(), RequestId::new());
    }
}
