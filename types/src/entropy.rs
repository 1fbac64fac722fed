//! The only way to be random.

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// If the operating system has no randomness to give: nothing can be kept secret then.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the place where randomness comes from")]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides randomness");
    bytes
}

/// A uniformly random 64-bit number.
#[must_use]
pub fn random_u64() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// A random number in `0..bound`, biased by at most `bound` / 2⁶⁴. Zero for an empty range.
#[must_use]
pub fn random_below(bound: u64) -> u64 {
    let wide = u128::from(random_u64()) * u128::from(bound);
    u64::try_from(wide >> 64).unwrap_or(0)
}
