//! What a condition compares with, read once.

use std::cmp::Ordering;
use std::net::IpAddr;

use time::format_description::well_known::Iso8601;
use time::macros::format_description;
use time::{Date, OffsetDateTime, PrimitiveDateTime, UtcOffset};

use super::pattern::Pattern;

/// A value of a condition.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Operand {
    /// For String… and Arn… operators.
    Text(Pattern),
    /// For Numeric… operators.
    Number(f64),
    /// For Date… operators: seconds since the epoch.
    Moment(f64),
    /// For Bool and Null.
    Truth(bool),
    /// For IpAddress and NotIpAddress.
    Network(Network),
    /// For BinaryEquals: base64, compared as it is written.
    Bytes(Box<str>),
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Network {
    /// `10.0.0.0/8`, `2001:db8::/32`, or one address.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// Whether `other` is one of them. An IPv4 address in IPv6 clothes is an IPv4 address.
    pub(super) fn contains(&self, other: IpAddr) -> bool {
        match (self.address.to_canonical(), other.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same_start(
                u128::from(u32::from(own)),
                u128::from(u32::from(other)),
                32,
                self.prefix,
            ),
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_start(u128::from(own), u128::from(other), 128, self.prefix)
            }
            _ => false,
        }
    }
}

fn same_start(own: u128, other: u128, bits: u8, prefix: u8) -> bool {
    let ignored = u32::from(bits.saturating_sub(prefix));
    own.checked_shr(ignored).unwrap_or(0) == other.checked_shr(ignored).unwrap_or(0)
}

/// A number, as policies and requests write it.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A moment, as W3C writes ISO 8601 (a date, or date and time with a zone), or as seconds since the epoch.
pub(super) fn moment(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let day = format_description!("[year]-[month]-[day]");
    let time = OffsetDateTime::parse(text, &Iso8601::DEFAULT)
        .or_else(|_| {
            PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc)
        })
        .or_else(|_| {
            Date::parse(text, day).map(|day| day.midnight().assume_offset(UtcOffset::UTC))
        });
    time.ok().map(|time| time.unix_timestamp_nanos() as f64 / 1e9)
}

/// `true` or `false`, in any case.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// How two numbers stand; those that were read are finite, so there is always an order.
pub(super) fn order(left: f64, right: f64) -> Ordering {
    left.total_cmp(&right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_like_it() {
        let holds = |network: &str, address: &str| {
            Network::read(network)
                .expect("a network")
                .contains(address.parse().expect("an address"))
        };
        assert!(holds("203.0.113.0/24", "203.0.113.200"));
        assert!(!holds("203.0.113.0/24", "203.0.114.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(holds("192.0.2.1", "::ffff:192.0.2.1"));
        for bad in ["", "1.2.3", "1.2.3.4/33", "::1/129", "1.2.3.4/-1", "1.2.3.4/"] {
            assert_eq!(Network::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_moment_is_a_date_or_seconds() {
        assert_eq!(moment("1970-01-02"), Some(86_400.0));
        assert_eq!(moment("1970-01-01T00:01:00Z"), Some(60.0));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Some(0.0));
        assert_eq!(moment("1500000000"), Some(1_500_000_000.0));
        assert_eq!(moment("yesterday"), None);
    }
}
