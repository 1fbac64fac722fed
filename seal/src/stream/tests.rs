use proptest::prelude::{ProptestConfig, any, proptest};
use zeroize::Zeroizing;

use super::*;

/// Plaintext lengths around the edges of chunks.
const NASTY_LENS: [usize; 10] = [
    0,
    1,
    TAG,
    1000,
    CHUNK_PLAIN - 1,
    CHUNK_PLAIN,
    CHUNK_PLAIN + 1,
    CHUNK,
    2 * CHUNK_PLAIN,
    3 * CHUNK_PLAIN + 7,
];

fn fixed_key() -> DataKey {
    let mut secret = Zeroizing::new([0; 32]);
    secret.iter_mut().zip(0..).for_each(|(byte, value)| *byte = value);
    DataKey::from_parts(CipherId::CHACHA20_POLY1305, secret).expect("a known cipher")
}

fn plain(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

fn seal_stream(cipher: &StreamCipher, plain: &[u8]) -> Vec<Vec<u8>> {
    let count = chunks(plain.len() as u64) as usize;
    (0..count)
        .map(|index| {
            let end = plain.len().min((index + 1) * CHUNK_PLAIN);
            let mut buf = plain[index * CHUNK_PLAIN..end].to_vec();
            buf.extend_from_slice(&[0xaa; TAG]);
            cipher.seal_chunk(index as u32, index + 1 == count, &mut buf).expect("a chunk");
            buf
        })
        .collect()
}

fn open_stream(cipher: &StreamCipher, sealed: &[Vec<u8>]) -> Result<Vec<u8>, SealError> {
    let mut plain = Vec::new();
    for (index, chunk) in sealed.iter().enumerate() {
        let mut buf = chunk.clone();
        plain.extend_from_slice(cipher.open_chunk(
            index as u32,
            index + 1 == sealed.len(),
            &mut buf,
        )?);
    }
    Ok(plain)
}

#[test]
fn what_is_sealed_opens() {
    let cipher = StreamCipher::new(&DataKey::generate());
    for len in NASTY_LENS {
        let sealed = seal_stream(&cipher, &plain(len));
        let bytes: usize = sealed.iter().map(Vec::len).sum();
        assert_eq!(bytes as u64, ciphertext_len(len as u64));
        assert_eq!(plaintext_len(bytes as u64), Ok(len as u64));
        assert_eq!(open_stream(&cipher, &sealed), Ok(plain(len)));
    }
}

#[test]
fn a_stream_cut_short_lengthened_reordered_or_changed_does_not_open() {
    let cipher = StreamCipher::new(&DataKey::generate());
    let sealed = seal_stream(&cipher, &plain(3 * CHUNK_PLAIN));
    let refused = |chunks: &[Vec<u8>]| {
        assert_eq!(open_stream(&cipher, chunks), Err(SealError::Tampered("chunk")));
    };
    refused(&sealed[..2]);
    refused(&sealed[..1]);
    refused(&sealed[1..]);
    refused(&[sealed[0].clone(), sealed[2].clone(), sealed[1].clone()]);
    refused(&[sealed[0].clone(), sealed[0].clone(), sealed[2].clone()]);
    refused(&[sealed.as_slice(), &seal_stream(&cipher, b"")].concat());
    for at in [0, 1000, CHUNK_PLAIN, CHUNK - 1] {
        let mut changed = sealed.clone();
        changed[1][at] ^= 1;
        refused(&changed);
    }
    let other = StreamCipher::new(&DataKey::generate());
    assert_eq!(open_stream(&other, &sealed), Err(SealError::Tampered("chunk")));
}

#[test]
fn chunks_of_impossible_length_are_refused() {
    let cipher = StreamCipher::new(&DataKey::generate());
    for (index, last, len) in [
        (0, false, CHUNK - 1),
        (0, false, CHUNK + 1),
        (0, false, 0),
        (0, true, TAG - 1),
        (0, true, CHUNK + 1),
        (1, true, TAG),
        (1, true, 0),
    ] {
        let refused = SealError::ChunkLength { len, last };
        assert_eq!(cipher.seal_chunk(index, last, &mut vec![0; len]), Err(refused.clone()));
        assert_eq!(cipher.open_chunk(index, last, &mut vec![0; len]).err(), Some(refused));
    }
}

#[test]
fn lengths_that_no_stream_has_are_refused() {
    for cipher in [0, 1, 15, CHUNK as u64 + 1, CHUNK as u64 + TAG as u64, u64::MAX] {
        assert_eq!(plaintext_len(cipher), Err(SealError::StreamLength(cipher)));
    }
    assert_eq!(plaintext_len(ciphertext_len(STREAM_MAX)), Ok(STREAM_MAX));
    assert!(plaintext_len(ciphertext_len(STREAM_MAX + 1)).is_err());
    assert_eq!(ciphertext_len(u64::MAX), u64::MAX);
}

#[test]
fn spans_name_the_chunks_of_a_range() {
    let full = CHUNK_PLAIN as u64;
    let chunk = CHUNK as u64;
    let span = |plain, range| {
        let span = Span::of(plain, &range);
        (span.chunks, span.cipher, span.skip, span.ends_stream)
    };
    assert_eq!(span(0, 0..0), (0..1, 0..16, 0, true));
    assert_eq!(span(1, 0..1), (0..1, 0..17, 0, true));
    assert_eq!(span(full, 0..full), (0..1, 0..chunk, 0, true));
    assert_eq!(span(full + 1, 0..full), (0..1, 0..chunk, 0, false));
    assert_eq!(span(full + 1, full..full + 1), (1..2, chunk..chunk + 17, 0, true));
    assert_eq!(span(3 * full, full - 1..full + 1), (0..2, 0..2 * chunk, full as usize - 1, false));
    assert_eq!(span(10 * full, 5 * full + 3..5 * full + 4), (5..6, 5 * chunk..6 * chunk, 3, false));
}

#[test]
fn the_bytes_of_cipher_1_stay_as_they_are() {
    let cipher = StreamCipher::new(&fixed_key());
    let sealed = |index, last, text: &[u8]| {
        let mut buf = [text, &[0; TAG]].concat();
        cipher.seal_chunk(index, last, &mut buf).expect("a chunk");
        buf
    };
    assert_eq!(hex::encode(sealed(0, true, b"")), GOLDEN_EMPTY);
    assert_eq!(hex::encode(sealed(0, true, b"drystone")), GOLDEN_FIRST);
    assert_eq!(hex::encode(sealed(0x0102_0304, true, b"drystone")), GOLDEN_LATER);
    let full = sealed(1, false, &plain(CHUNK_PLAIN));
    assert_eq!(blake3::hash(&full).to_string(), GOLDEN_FULL);
}

const GOLDEN_EMPTY: &str = "fa0e145e8775eb78c274755606de74fb";
const GOLDEN_FIRST: &str = "0d2e05aa4565d61febcc64f4c15a3c7c301a7c7109f63f76";
const GOLDEN_LATER: &str = "9e29f9b8b5e62b74994b8771279e1fb49be692122df3c6eb";
const GOLDEN_FULL: &str = "fad75fd9b4a0518da5db71a28d184945f31ef3e3aad49664a6b5cc1dbdbfce48";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_opens_alone(len in 1usize..300_000, a in any::<usize>(), b in any::<usize>()) {
        let start = a % len;
        let range = start..start + 1 + b % (len - start);
        let cipher = StreamCipher::new(&fixed_key());
        let text = plain(len);
        let mut sealed = seal_stream(&cipher, &text).concat();
        let span = Span::of(len as u64, &(range.start as u64..range.end as u64));
        let bytes = &mut sealed[span.cipher.start as usize..span.cipher.end as usize];
        let mut opened = Vec::new();
        for (index, chunk) in span.chunks.clone().zip(bytes.chunks_mut(CHUNK)) {
            let last = span.ends_stream && index + 1 == span.chunks.end;
            opened.extend_from_slice(cipher.open_chunk(index, last, chunk).expect("an untouched chunk"));
        }
        assert_eq!(&opened[span.skip..span.skip + range.len()], &text[range]);
    }

    #[test]
    fn lengths_are_each_others_inverse(plain in 0..=STREAM_MAX) {
        assert_eq!(plaintext_len(ciphertext_len(plain)), Ok(plain));
    }
}

#[test]
fn two_implementations_agree() {
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
    let key = fixed_key();
    let other = ChaCha20Poly1305::new(&(*key.secret()).into());
    for len in NASTY_LENS {
        let sealed = seal_stream(&StreamCipher::new(&key), &plain(len));
        let mut opened = Vec::new();
        for (index, mut chunk) in sealed.iter().cloned().enumerate() {
            let mut nonce = [0; 12];
            nonce[7..11].copy_from_slice(&(index as u32).to_be_bytes());
            nonce[11] = u8::from(index + 1 == sealed.len());
            let tag: [u8; TAG] = *chunk.last_chunk().expect("a tag");
            chunk.truncate(chunk.len() - TAG);
            other
                .decrypt_inout_detached(
                    &nonce.into(),
                    b"",
                    chunk.as_mut_slice().into(),
                    &tag.into(),
                )
                .expect("opens");
            opened.extend(chunk);
        }
        assert_eq!(opened, plain(len));
    }
}
