//! The table of geometries: how many shards, and how many of them must be where.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How a segment is cut: any `k` of its `n` shards give it back.
///
/// Invariant: `1 ≤ k < w ≤ r ≤ n ≤ 256`, asserted at compile time for every row of [`GEOMETRIES`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Geometry {
    /// Its name in configuration, records and storage classes.
    pub name: GeometryName,
    /// Data shards; this many of any kind rebuild the segment.
    pub k: usize,
    /// All shards, data and parity.
    pub n: usize,
    /// A write is acknowledged when this many shards are on disk.
    pub w: usize,
    /// Repair when fewer than this many slots are not lost.
    pub r: usize,
}

/// The names of the table's rows. The discriminants are stored: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum GeometryName {
    /// Six nodes on one machine: the embedded default.
    Local = 0,
    /// Small networks.
    Home = 1,
    /// Idle PCs that are online about three quarters of the time.
    Wide = 2,
}

/// Units, and with them shards, are multiples of this many bytes.
const UNIT_ALIGN: u64 = 64;

/// Every geometry there is, in the order of [`GeometryName`].
pub const GEOMETRIES: [Geometry; 3] = [
    Geometry { name: GeometryName::Local, k: 4, n: 6, w: 5, r: 6 },
    Geometry { name: GeometryName::Home, k: 10, n: 24, w: 18, r: 20 },
    Geometry { name: GeometryName::Wide, k: 32, n: 88, w: 76, r: 80 },
];

const _: () = {
    let mut i = 0;
    while i < GEOMETRIES.len() {
        let g = GEOMETRIES[i];
        assert!(g.name as usize == i);
        assert!(1 <= g.k && g.k < g.w && g.w <= g.r && g.r <= g.n && g.n <= 256);
        i += 1;
    }
};

impl Geometry {
    /// Parity shards.
    #[must_use]
    pub const fn m(&self) -> usize {
        self.n - self.k
    }

    /// Bytes of each shard of a segment of so many ciphertext bytes (`codec::layout` tells why).
    #[must_use]
    pub const fn shard_len(&self, segment: u64) -> u64 {
        segment.div_ceil(self.k as u64).next_multiple_of(UNIT_ALIGN)
    }

    /// How many members must be online for a group to take new segments: ⌊(w + n) / 2⌋.
    #[must_use]
    pub const fn open_members(&self) -> usize {
        usize::midpoint(self.w, self.n)
    }
}

impl GeometryName {
    /// The row of the table.
    #[must_use]
    pub const fn geometry(self) -> Geometry {
        GEOMETRIES[self as usize]
    }

    /// The name in lower case, as configuration spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Home => "home",
            Self::Wide => "wide",
        }
    }
}

impl fmt::Display for GeometryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is in no row of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown geometry {0:?}; there are local, home and wide")]
pub struct UnknownGeometry(String);

impl FromStr for GeometryName {
    type Err = UnknownGeometry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        GEOMETRIES
            .iter()
            .map(|geometry| geometry.name)
            .find(|name| name.as_str() == text)
            .ok_or_else(|| UnknownGeometry(text.to_owned()))
    }
}
