//! Decompression, told by a body's first bytes: gzip (RFC 1952), Zstandard (RFC 8878), or none.
//!
//! The decoders are synchronous: each runs on a blocking thread of its own between two pipes of fixed size, and ends when either side goes away.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, LazyLock};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, DuplexStream};
use tokio::sync::Semaphore;
use tokio_util::io::SyncIoBridge;
use types::{KIB, MIB};

/// Bytes between a decoder and who reads from it.
const PIPE: usize = 256 * KIB as usize;
/// The largest window of Zstandard: what its format recommends that every decoder takes.
const WINDOW_MAX: u64 = 8 * MIB;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A reader of plain bytes.
pub type Plain = Box<dyn AsyncRead + Send + Unpin>;

/// The plain bytes of `reader`, whichever way they are compressed.
///
/// # Errors
/// If nothing can be read; [`io::ErrorKind::ResourceBusy`] if too many decoders run.
pub async fn decompress(reader: DuplexStream) -> io::Result<Plain> {
    let mut reader = tokio::io::BufReader::new(reader);
    // All of a small body, and of any other far more than this looks at.
    let start = reader.fill_buf().await?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(run(reader, |bytes| Ok(MultiGzDecoder::new(bytes)))?));
    }
    if start.starts_with(&ZSTD) {
        return Ok(Box::new(run(reader, Frames::new)?));
    }
    Ok(Box::new(reader))
}

type Bridge = BufReader<SyncIoBridge<tokio::io::BufReader<DuplexStream>>>;

/// Decoders that may run at once. Each holds a thread of the pool that sealing and digests need too, for as long as its client takes.
const DECODERS: usize = 32;
static PLACES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(DECODERS)));

/// Runs a decoder; what it gives. If it fails, its output ends early, which no archive survives.
fn run<D: Read>(
    reader: tokio::io::BufReader<DuplexStream>,
    decoder: impl FnOnce(Bridge) -> io::Result<D> + Send + 'static,
) -> io::Result<DuplexStream> {
    let place = Arc::clone(&PLACES).try_acquire_owned().map_err(|_| io::ErrorKind::ResourceBusy)?;
    let (near, far) = tokio::io::duplex(PIPE);
    let bridge = SyncIoBridge::new(reader);
    let mut out = SyncIoBridge::new(far);
    tokio::task::spawn_blocking(move || {
        let _place = place;
        let copied = decoder(BufReader::new(bridge))
            .and_then(|mut decoder| io::copy(&mut decoder, &mut out));
        if let Err(error) = copied {
            tracing::debug!(%error, "an archive's decompression ended early");
        }
    });
    Ok(near)
}

/// Frames of Zstandard, one after another.
struct Frames<R: BufRead> {
    /// `None` only while the next frame begins.
    frame: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> io::Result<Self> {
        let frame = StreamingDecoder::new_with_max_window_size(source, WINDOW_MAX);
        Ok(Self { frame: Some(frame.map_err(io::Error::other)?) })
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let got = frame.read(buf)?;
            if got > 0 || buf.is_empty() {
                return Ok(got);
            }
            let source = self.frame.take().map(StreamingDecoder::into_inner);
            let Some(mut source) = source else { return Ok(0) };
            if source.fill_buf()?.is_empty() {
                return Ok(0);
            }
            *self = Self::new(source)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn plain(bytes: &[u8]) -> Vec<u8> {
        let (mut far, near) = tokio::io::duplex(1024);
        let bytes = bytes.to_vec();
        let sender = tokio::spawn(async move { far.write_all(&bytes).await });
        let mut read = Vec::new();
        let mut reader = decompress(near).await.expect("a start");
        reader.read_to_end(&mut read).await.expect("an end");
        drop(reader);
        drop(sender.await);
        read
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn bodies_are_told_by_their_first_bytes() {
        let text = b"the quick brown fox ".repeat(5_000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).expect("written");
        assert_eq!(plain(&gzip.finish().expect("ended")).await, text);
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let frame = ruzstd::encoding::compress_to_vec(text.as_slice(), level);
        assert_eq!(plain(&[&frame[..], &frame].concat()).await, [&text[..], &text].concat());
        assert_eq!(plain(&text).await, text);
        assert_eq!(plain(b"").await, b"");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_broken_body_ends_early() {
        assert_eq!(plain(&[0x1f, 0x8b, 1, 2, 3]).await, b"");
        assert_eq!(plain(&ZSTD).await, b"");
    }
}
