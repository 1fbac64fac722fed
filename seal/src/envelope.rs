//! The envelope around labels and secrets: small records sealed under a key that is derived from the keyring.
//!
//! | bytes | what | why there |
//! |---|---|---|
//! | 1 | format, 1 | first, so that any later format can differ in everything else |
//! | 4 | keyring key's number, big-endian | in clear: it says which key opens the rest |
//! | 24 | nonce, random | XChaCha20's are long enough to be random for ever |
//! | n | ciphertext | |
//! | 16 | tag | over ciphertext, format, key number and context |

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use types::entropy::random_bytes;
use zeroize::Zeroizing;

use crate::error::SealError;
use crate::key::Secret;
use crate::stream::TAG;
use crate::wrap::NONCE;

const FORMAT: u8 = 1;
const HEAD: usize = 1 + 4;

/// Bytes that an envelope adds.
pub(crate) const OVERHEAD: usize = HEAD + NONCE + TAG;

/// Seals `plain`; only the same `context` opens it.
pub(crate) fn seal(key: &Secret, key_id: u32, context: &[u8], plain: &[u8]) -> Vec<u8> {
    seal_with_nonce(key, key_id, context, plain, random_bytes())
}

pub(crate) fn seal_with_nonce(
    key: &Secret,
    key_id: u32,
    context: &[u8],
    plain: &[u8],
    nonce: [u8; NONCE],
) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(OVERHEAD + plain.len());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&key_id.to_be_bytes());
    let aad = [sealed.as_slice(), context].concat();
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let tag = XChaCha20Poly1305::new(&(**key).into())
        .encrypt_inout_detached(&nonce.into(), &aad, (&mut sealed[HEAD + NONCE..]).into())
        .expect("a small record is within the cipher's limit");
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens an envelope with the key that `key_of` gives for its number. `what` names it in errors.
pub(crate) fn open(
    what: &'static str,
    sealed: &[u8],
    context: &[u8],
    key_of: impl FnOnce(u32) -> Result<Secret, SealError>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let tampered = SealError::Tampered(what);
    match sealed.first() {
        Some(&FORMAT) => {}
        Some(&newer) if newer > FORMAT => {
            let (found, known) = (newer.into(), FORMAT.into());
            return Err(SealError::NewerFormat { what, found, known });
        }
        _ => return Err(tampered),
    }
    let Some((head, rest)) = sealed.split_first_chunk::<HEAD>() else { return Err(tampered) };
    let Some((nonce, rest)) = rest.split_first_chunk::<NONCE>() else { return Err(tampered) };
    let Some((text, tag)) = rest.split_last_chunk::<TAG>() else { return Err(tampered) };
    let [_, id @ ..] = *head;
    let key = key_of(u32::from_be_bytes(id))?;
    let mut plain = Zeroizing::new(text.to_vec());
    XChaCha20Poly1305::new(&(*key).into())
        .decrypt_inout_detached(
            &(*nonce).into(),
            &[head.as_slice(), context].concat(),
            plain.as_mut_slice().into(),
            &(*tag).into(),
        )
        .map_err(|_| tampered)?;
    Ok(plain)
}
