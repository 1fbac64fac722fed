//! How many requests a second one client may make: each access key for itself, and each address for what nobody signed.
//!
//! A request is counted once, after its signature was found right and before anything is done for it: whoever merely knows a key's id cannot
//! use up what its owner may. Behind a proxy all unsigned requests have the proxy's address.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::http::Extensions;
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::http::Peer;

/// How many seconds' worth of requests a client that was quiet may make at once.
const BURST: u32 = 2;
/// Clients counted apart, of each kind. At the limit all further ones share one count, until some are quiet.
const COUNTED: usize = 65_536;
/// How often, at most, a full table is searched for clients that are quiet.
const SWEEP: Duration = Duration::from_secs(1);
/// Bits of an IPv6 address that tell one network from another; the rest its owner chooses freely.
const NETWORK: u32 = 64;

/// The counts of all clients.
pub(super) struct Rates(Option<Counts>);

struct Counts {
    keys: Mutex<Table<Box<str>>>,
    addresses: Mutex<Table<IpAddr>>,
}

impl Rates {
    /// So many requests a second for each client; without a number, any.
    pub(super) fn new(limit: Option<NonZeroU32>) -> Self {
        Self(limit.map(|limit| Counts {
            keys: Mutex::new(Table::new(limit)),
            addresses: Mutex::new(Table::new(limit)),
        }))
    }

    /// Counts a request: of the key that signed it, or else of the address it came from.
    ///
    /// # Errors
    /// `SlowDown`.
    pub(super) fn count(&self, key: Option<&str>, extensions: &Extensions) -> S3Result<()> {
        let Some(counts) = &self.0 else { return Ok(()) };
        let now = Instant::now();
        let free = match (key, extensions.get::<Peer>()) {
            (Some(key), _) => lock(&counts.keys).take(key, now),
            (None, Some(peer)) => lock(&counts.addresses).take(&network(peer.address.ip()), now),
            // Made in this process, for no client.
            (None, None) => true,
        };
        if free { Ok(()) } else { Err(S3Error::new(S3ErrorCode::SlowDown)) }
    }
}

/// Lets everybody through to the operations, signed or not, who does not ask too often: each operation asks the gate, which decides.
pub(super) struct AtItsRate(pub(super) Arc<Rates>);

#[async_trait::async_trait]
impl S3Access for AtItsRate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        let key = context.credentials().map(|credentials| credentials.access_key.clone());
        self.0.count(key.as_deref(), context.extensions_mut())
    }
}

/// For each client a moment: when all its requests so far have been paid for, at one per `each`. A client whose moment has passed is as good
/// as one that never came, and is forgotten when place is needed.
struct Table<K> {
    each: Duration,
    /// How far ahead of now a moment may lie for one more request to be free.
    ahead: Duration,
    paid: HashMap<K, Instant>,
    rest: Option<Instant>,
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Table<K> {
    fn new(limit: NonZeroU32) -> Self {
        let each = Duration::from_secs(1) / limit.get();
        let burst = limit.get().saturating_mul(BURST);
        let ahead = each * burst.saturating_sub(1);
        Self { each, ahead, paid: HashMap::new(), rest: None, swept: None }
    }

    /// Whether one more request of this client is free now.
    fn take<Q>(&mut self, client: &Q, now: Instant) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned + ?Sized,
        Q::Owned: Into<K>,
    {
        if let Some(paid) = self.paid.get_mut(client) {
            return take(paid, self.each, self.ahead, now);
        }
        if self.paid.len() >= COUNTED {
            self.sweep(now);
        }
        if self.paid.len() >= COUNTED {
            return take(self.rest.get_or_insert(now), self.each, self.ahead, now);
        }
        self.paid.insert(client.to_owned().into(), now + self.each);
        true
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return;
        }
        self.swept = Some(now);
        self.paid.retain(|_, paid| *paid > now);
    }
}

fn take(paid: &mut Instant, each: Duration, ahead: Duration, now: Instant) -> bool {
    let from = (*paid).max(now);
    let free = from.duration_since(now) <= ahead;
    if free {
        *paid = from + each;
    }
    free
}

/// What counts as one address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (u128::BITS - NETWORK);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

fn lock<K>(table: &Mutex<Table<K>>) -> MutexGuard<'_, Table<K>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(limit: u32) -> Table<Box<str>> {
        Table::new(NonZeroU32::new(limit).expect("not zero"))
    }

    #[test]
    fn a_quiet_client_has_a_burst_and_then_its_rate() {
        let (mut table, now) = (table(10), Instant::now());
        let took =
            |table: &mut Table<Box<str>>, at| (0..100).take_while(|_| table.take("a", at)).count();
        assert_eq!(took(&mut table, now), 20);
        assert!(table.take("b", now), "another client's count is its own");
        assert_eq!(took(&mut table, now + Duration::from_millis(99)), 0);
        assert_eq!(took(&mut table, now + Duration::from_millis(300)), 3);
        assert_eq!(took(&mut table, now + Duration::from_secs(60)), 20);
    }

    #[test]
    fn a_full_table_forgets_the_quiet_and_counts_the_rest_as_one() {
        let (mut table, now) = (table(1), Instant::now());
        for client in 0..COUNTED {
            assert!(table.take(&*client.to_string(), now));
        }
        assert_eq!((0..9).filter(|new| table.take(&*format!("new {new}"), now)).count(), 2);
        assert_eq!(table.paid.len(), COUNTED);
        assert!(table.take("new", now + Duration::from_secs(2)));
        assert_eq!(table.paid.len(), 1);
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
