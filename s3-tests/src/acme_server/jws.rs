//! Signed requests: the accounts' keys and the nonces.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Problem;

/// A request whose signature is right.
#[derive(Debug)]
pub(super) struct Jws {
    /// Null for what only asks.
    pub(super) payload: Value,
    account: Option<String>,
    key: Key,
}

/// The keys of all accounts, by URL, and the nonces that were not used yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    accounts: HashMap<String, Key>,
    nonces: HashSet<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Key {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

#[derive(Deserialize)]
struct Flat {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    nonce: String,
    url: String,
    kid: Option<String>,
    jwk: Option<Key>,
}

fn malformed(why: impl ToString) -> Problem {
    (400, "malformed", why.to_string())
}

impl Jws {
    /// The account that signed.
    pub(super) fn account(&self) -> Result<&str, Problem> {
        self.account.as_deref().ok_or((403, "unauthorized", "sign with an account".to_owned()))
    }
}

impl Keys {
    /// A new nonce.
    pub(super) fn nonce(&mut self) -> String {
        let nonce = random();
        self.nonces.insert(nonce.clone());
        nonce
    }

    /// Checks a request that was posted to `url`.
    pub(super) fn verify(&mut self, body: &[u8], url: &str) -> Result<Jws, Problem> {
        let flat: Flat = serde_json::from_slice(body).map_err(malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(malformed);
        let head: Head = serde_json::from_slice(&decode(&flat.protected)?).map_err(malformed)?;
        if !self.nonces.remove(&head.nonce) {
            return Err((400, "badNonce", "unknown, or used before".to_owned()));
        }
        if head.alg != "ES256" {
            return Err((400, "badSignatureAlgorithm", head.alg));
        }
        if head.url != url {
            return Err((403, "unauthorized", format!("{} was signed for {url}", head.url)));
        }
        let (account, key) = match (head.kid, head.jwk) {
            (Some(kid), None) => {
                let key = self.accounts.get(&kid).cloned();
                (Some(kid), key.ok_or((400, "accountDoesNotExist", "who?".to_owned()))?)
            }
            (None, Some(key)) => (None, key),
            _ => return Err(malformed("either kid or jwk")),
        };
        let point = [vec![4], decode(&key.x)?, decode(&key.y)?].concat();
        let signed = format!("{}.{}", flat.protected, flat.payload);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decode(&flat.signature)?)
            .map_err(|_| (403, "unauthorized", "the signature is wrong".to_owned()))?;
        let payload = decode(&flat.payload)?;
        let payload = match payload.as_slice() {
            [] => Value::Null,
            bytes => serde_json::from_slice(bytes).map_err(malformed)?,
        };
        Ok(Jws { payload, account, key })
    }

    /// Checks that a new account is bound to the external one of that name and key (RFC 8555, 7.3.4).
    pub(super) fn check_binding(
        jws: &Jws,
        (id, secret): (&str, &[u8]),
        url: &str,
    ) -> Result<(), Problem> {
        let none = || (403, "externalAccountRequired", "bind the account".to_owned());
        let binding = jws.payload.get("externalAccountBinding").ok_or_else(none)?;
        let flat: Flat = serde_json::from_value(binding.clone()).map_err(malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(malformed);
        let head: Value = serde_json::from_slice(&decode(&flat.protected)?).map_err(malformed)?;
        let key: Key = serde_json::from_slice(&decode(&flat.payload)?).map_err(malformed)?;
        if head["alg"] != "HS256" || head["kid"] != id || head["url"] != url {
            return Err(malformed("the binding's header"));
        }
        if (key.x, key.y) != (jws.key.x.clone(), jws.key.y.clone()) {
            return Err(malformed("the binding is for another key"));
        }
        let signed = format!("{}.{}", flat.protected, flat.payload);
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
        ring::hmac::verify(&secret, signed.as_bytes(), &decode(&flat.signature)?)
            .map_err(|_| (403, "unauthorized", "the binding's signature is wrong".to_owned()))
    }

    /// Keeps a new account's key.
    pub(super) fn keep(&mut self, account: &str, jws: &Jws) -> Result<(), Problem> {
        if jws.account.is_some() || jws.key.crv != "P-256" || jws.key.kty != "EC" {
            return Err(malformed("a new account signs with its own key on P-256"));
        }
        self.accounts.insert(account.to_owned(), jws.key.clone());
        Ok(())
    }

    /// What proves control for a challenge's token: the token and the key's thumbprint (RFC 7638), hashed.
    pub(super) fn proof(&self, account: &str, token: &str) -> Option<[u8; 32]> {
        let Key { crv, kty, x, y } = self.accounts.get(account)?;
        let canonical = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}","y":"{y}"}}"#);
        let thumb = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.as_bytes()));
        Some(Sha256::digest(format!("{token}.{thumb}").as_bytes()).into())
    }
}

/// A name that nobody guesses.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).expect("randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}
