//! Access keys: what they may look like, how new ones are made, and how their secrets are sealed.
//!
//! The secret lies in the catalog sealed under the keyring, for the purpose `access-key/ID`, so that one key's secret cannot be put in another's place.

use metadata::records::AccessKey;
use seal::{Keyring, SealError};
use types::entropy::{random_below, random_bytes};
use types::{AccountId, Timestamp};
use zeroize::Zeroizing;

/// Characters of an access key; AWS has 16 to 128.
const ACCESS_KEY_LEN: std::ops::RangeInclusive<usize> = 3..=128;
/// Characters of a secret key.
const SECRET_KEY_LEN: std::ops::RangeInclusive<usize> = 8..=128;
/// How made access keys begin.
const PREFIX: &str = "DS";
/// Random characters after it: 90 bits.
const RANDOM: usize = 18;
/// As in AWS's ids: easy to read aloud.
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A new, unguessable access key and its secret.
#[must_use]
pub fn generate() -> (String, Zeroizing<String>) {
    use base64::Engine as _;
    let random = (0..RANDOM).map(|_| char::from(ALPHABET[random_below(32) as usize]));
    let secret = Zeroizing::new(random_bytes::<30>());
    // Thirty bytes are forty characters, as AWS's secrets have.
    let secret = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(*secret);
    (PREFIX.chars().chain(random).collect(), Zeroizing::new(secret))
}

/// Whether a pair that somebody brings can be used: the access key goes into headers and URLs, so it is plain; the secret is printable.
///
/// # Errors
/// What is wrong, in words; never quotes the secret.
pub fn check(access_key: &str, secret_key: &str) -> Result<(), &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !ACCESS_KEY_LEN.contains(&access_key.len()) || !access_key.bytes().all(plain) {
        return Err("an access key has 3 to 128 letters, digits, '-', '_' or '.'");
    }
    if !SECRET_KEY_LEN.contains(&secret_key.len())
        || !secret_key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err("a secret key has 8 to 128 printable ASCII characters without spaces");
    }
    Ok(())
}

/// The record of an access key, with its secret sealed.
#[must_use]
pub fn seal(
    keyring: &Keyring,
    access_key: &str,
    secret_key: &str,
    account: AccountId,
    now: Timestamp,
) -> AccessKey {
    let sealed_secret = keyring.seal_secret(&purpose(access_key), secret_key.as_bytes());
    AccessKey {
        account,
        sealed_secret,
        created: now,
        name: String::new(),
        policy: None,
        expires: None,
        enabled: true,
        session: None,
    }
}

/// The secret of an access key.
///
/// # Errors
/// [`SealError`] if the record was tampered with or another keyring sealed it.
pub fn open(
    keyring: &Keyring,
    access_key: &str,
    key: &AccessKey,
) -> Result<Zeroizing<String>, SealError> {
    let bytes = keyring.open_secret(&purpose(access_key), &key.sealed_secret)?;
    // Lossy never strikes: only what passed `check` is sealed.
    Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
}

fn purpose(access_key: &str) -> String {
    format!("access-key/{access_key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_keys_pass_their_own_check_and_differ() {
        let (access, secret) = generate();
        assert_eq!(check(&access, &secret), Ok(()));
        assert_eq!((access.len(), secret.len()), (20, 40));
        assert_ne!(generate().0, access);
        assert_ne!(*generate().1, *secret);
    }

    #[test]
    fn a_sealed_secret_opens_for_its_own_access_key_only() {
        let keyring = Keyring::generate();
        let account: AccountId = "alice".parse().expect("an id");
        let key = seal(&keyring, "AKIA1", "wJalrXUtnFEMI/K7", account, Timestamp(0));
        assert_eq!(*open(&keyring, "AKIA1", &key).expect("opens"), "wJalrXUtnFEMI/K7");
        assert!(open(&keyring, "AKIA2", &key).is_err());
    }

    #[test]
    fn keys_that_break_headers_are_refused() {
        assert!(check("a/b", "longenough").is_err());
        assert!(check("ab", "longenough").is_err());
        assert!(check("abc", "short").is_err());
        assert!(check("abc", "with spaces in it").is_err());
        assert!(
            check(
                "0555b35654ad1656d804",
                "h7GhxuBLTrlhVUyxSPUKUV8r/2EI4ngqJxD7iBdBYLhwluN30JaT3Q=="
            )
            .is_ok()
        );
    }
}
