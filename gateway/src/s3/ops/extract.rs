//! A PUT of an archive whose files become objects: `x-amz-meta-snowball-auto-extract: true`, as AWS Snowball and MinIO take it.
//!
//! The archive is read as it comes and kept nowhere. Each file is a PUT of its own, allowed by itself; so what was stored before something is
//! refused stays. <https://docs.aws.amazon.com/snowball/latest/developer-guide/batching-small-files.html>

use std::io;

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use metadata::records::ContentHeaders;
use s3s::dto::{Metadata, PutObjectInput, PutObjectOutput};
use s3s::{S3Error, S3ErrorCode, S3Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use types::{GIB, KIB};

use crate::changes::Following;
use crate::put::ingest::{Ingest, Ingested};
use crate::put::{BodyError, Incoming, PUT_MAX, PutError, Target, Writer};
use crate::rules::notification::Event;
use crate::s3::authorize::Door;
use crate::s3::body::Fault;
use crate::s3::{checksum, describe, error};
use crate::unpack::plain::{Plain, decompress};
use crate::unpack::tar::{File, Tar, TarError};

/// The user metadata that asks for it, and what else belongs to it.
const ASKS: &str = "snowball-auto-extract";
const OPTIONS: &str = "minio-snowball-";
const PREFIX: &str = "minio-snowball-prefix";
const IGNORE_ERRORS: &str = "minio-snowball-ignore-errors";
/// Says that the body is to be taken as it is, not decompressed.
const DECOMPRESS: &str = "x-amz-decompress";

/// The most files of one archive; the next one is refused.
const FILES_MAX: u64 = 100_000;
/// The most bytes of an archive's files together: so much can hide in a small body.
const FILES_BYTES_MAX: u64 = 100 * GIB;
/// The most bytes that are read once decompressed, with headers and what is passed over; what comes after them is not there.
const READ_MAX: u64 = FILES_BYTES_MAX + FILES_MAX * 2 * KIB;
/// Bytes of the archive on their way from the client to the tar reader.
const PIPE: usize = 256 * KIB as usize;
/// Bytes read at a time.
const STEP: usize = 64 * KIB as usize;
/// Pieces of a file on their way to be stored.
const PIECES: usize = 4;

/// What is asked for.
pub(super) struct Unpack {
    /// What each file's key begins with: empty, or ending with `/`.
    base: String,
    /// Whether the body is decompressed.
    decompress: bool,
}

impl Unpack {
    /// Reads what a PUT says of it.
    ///
    /// # Errors
    /// `InvalidArgument`; `InvalidRequest` for an append.
    pub(super) fn asked(input: &PutObjectInput, headers: &HeaderMap) -> S3Result<Option<Self>> {
        let told = |name: &str| input.metadata.as_ref().and_then(|all: &Metadata| all.get(name));
        if !told(ASKS).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        if input.write_offset_bytes.is_some() {
            let message = "An archive cannot be appended and extracted at once.";
            return Err(error::refuse(S3ErrorCode::InvalidRequest, message));
        }
        if told(IGNORE_ERRORS).is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(error::later("Passing over an archive's files that cannot be stored"));
        }
        let decompress = match headers.get(DECOMPRESS).map(::http::HeaderValue::as_bytes) {
            None => true,
            Some(b"none") => false,
            Some(_) => {
                let message = "x-amz-decompress can only be none.";
                return Err(error::refuse(S3ErrorCode::InvalidArgument, message));
            }
        };
        let base = match told(PREFIX) {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => prefix.clone(),
            Some(prefix) => format!("{prefix}/"),
            None => folder(&input.key).to_owned(),
        };
        Ok(Some(Self { base, decompress }))
    }

    /// A file's key.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that leaves its folder or is no key.
    fn key(&self, path: &[u8]) -> S3Result<String> {
        let refused = || {
            error::refuse(
                S3ErrorCode::InvalidArgument,
                "The archive has a path that is absolute, leaves its folder or is not UTF-8.",
            )
        };
        let path = std::str::from_utf8(path).map_err(|_| refused())?;
        let mut key = self.base.clone();
        let mut names = path.split('/').filter(|name| *name != ".").peekable();
        if path.starts_with('/') || path.contains('\0') || names.peek().is_none() {
            return Err(refused());
        }
        while let Some(name) = names.next() {
            if name.is_empty() || name == ".." {
                return Err(refused());
            }
            key.push_str(name);
            key.push_str(if names.peek().is_some() { "/" } else { "" });
        }
        Ok(key)
    }
}

/// Everything up to the last `/` of a key.
fn folder(key: &str) -> &str {
    key.rfind('/').map_or("", |at| &key[..=at])
}

/// Stores an archive's files. `target` says how; its key is the archive's.
pub(super) async fn run(
    writer: &Writer,
    door: &Door<'_>,
    unpack: &Unpack,
    following: &Following,
    mut target: Target,
    (incoming, fault): (Incoming, Fault),
) -> S3Result<PutObjectOutput> {
    target.detail.user.retain(|(name, _)| name != ASKS && !name.starts_with(OPTIONS));
    target.detail.headers = describe::keep(ContentHeaders {
        cache_control: target.detail.headers.cache_control.take(),
        expires: target.detail.headers.expires.take(),
        ..ContentHeaders::default()
    });
    let (far, near) = tokio::io::duplex(PIPE);
    let (pumped, stored) = futures::future::join(
        pump(incoming, far),
        store(writer, door, unpack, (following, &target), near),
    )
    .await;
    // A body that broke off is why the archive did.
    let archive = match pumped {
        Err(failed) => return Err(fault.blame(failed)),
        Ok(archive) => archive,
    };
    stored?;
    let whole = archive.ok_or_else(|| S3Error::new(S3ErrorCode::IncompleteBody))?;
    Ok(PutObjectOutput {
        e_tag: Some(describe::part_etag(&whole.md5)),
        ..PutObjectOutput::default()
    })
}

/// Hands the body on and compares what was said of it; nothing, if nobody wants the rest.
async fn pump(incoming: Incoming, mut to: DuplexStream) -> Result<Option<Ingested>, PutError> {
    let mut ingest = Ingest::new(incoming);
    let mut digester = ingest.digester();
    loop {
        // In one piece, so that the reader sees how it begins.
        let bytes = ingest.batch(STEP).await?.pieces.concat();
        if bytes.is_empty() {
            break;
        }
        digester.update(&bytes);
        if to.write_all(&bytes).await.is_err() {
            return Ok(None);
        }
    }
    let ingested = ingest.finish(digester.finish()).await?;
    drop(to);
    Ok(Some(ingested))
}

async fn store(
    writer: &Writer,
    door: &Door<'_>,
    unpack: &Unpack,
    (following, target): (&Following, &Target),
    body: DuplexStream,
) -> S3Result<()> {
    let plain: Plain = if unpack.decompress {
        decompress(body).await.map_err(|broken| match broken.kind() {
            io::ErrorKind::ResourceBusy => S3Error::new(S3ErrorCode::SlowDown),
            _ => refuse(&broken.into()),
        })?
    } else {
        Box::new(body)
    };
    let mut tar: Tar<Plain> = Tar::new(Box::new(plain.take(READ_MAX)));
    let (mut files, mut bytes) = (0_u64, 0_u64);
    while let Some(file) = tar.next().await.map_err(|broken| refuse(&broken))? {
        files += 1;
        bytes = bytes.saturating_add(file.size);
        if files > FILES_MAX || bytes > FILES_BYTES_MAX || file.size > PUT_MAX {
            return Err(S3Error::new(S3ErrorCode::EntityTooLarge));
        }
        let key = unpack.key(&file.path)?;
        let allowed = door.write(&key).await?;
        let mut to = Target { bucket: allowed.at(), key: describe::key(&key)?, ..target.clone() };
        to.sequel = following.created(&to.key, Event::CreatedPut, &mut to.detail);
        store_file(writer, to, &mut tar, &file).await?;
    }
    // What follows the archive's end belongs to the body, whose digests are still to be compared.
    let rest = tokio::io::copy(tar.reader(), &mut tokio::io::sink()).await;
    rest.map(|_| ()).map_err(|broken| refuse(&broken.into()))
}

/// Stores one file: its bytes are read here and go through a channel, because a PUT takes a body that stands for itself.
async fn store_file(
    writer: &Writer,
    target: Target,
    tar: &mut Tar<Plain>,
    file: &File,
) -> S3Result<()> {
    let (send, mut receive) = mpsc::channel::<Result<Bytes, BodyError>>(PIECES);
    let body = futures::stream::poll_fn(move |cx| receive.poll_recv(cx)).boxed();
    let incoming = Incoming {
        len: file.size,
        slack: 0,
        body,
        content_md5: None,
        checksums: vec![(checksum::DEFAULT, None)],
        trailer: None,
    };
    let reading = read(tar, file.size, send);
    let storing = Box::pin(writer.put_object(target, incoming));
    let (read, put) = futures::future::join(reading, storing).await;
    read.map_err(|broken| refuse(&broken))?;
    put.map(|_| ()).map_err(error::put)
}

/// Reads a file's bytes, even if nobody wants the rest of them.
async fn read(
    tar: &mut Tar<Plain>,
    size: u64,
    send: mpsc::Sender<Result<Bytes, BodyError>>,
) -> Result<(), TarError> {
    let mut pieces = tokio_util::io::ReaderStream::with_capacity(tar.reader().take(size), STEP);
    let mut left = size;
    while let Some(piece) = pieces.try_next().await? {
        left = left.saturating_sub(piece.len() as u64);
        if send.send(Ok(piece)).await.is_err() {
            return Ok(());
        }
    }
    if left > 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(())
}

/// The answer to a body that is no archive.
fn refuse(broken: &TarError) -> S3Error {
    tracing::debug!(error = %broken, "an archive was refused");
    let mut refusal =
        S3Error::with_message(S3ErrorCode::Custom("InvalidArchive".into()), broken.to_string());
    refusal.set_status_code(StatusCode::BAD_REQUEST);
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> Option<String> {
        let unpack = Unpack { base: "in/".to_owned(), decompress: true };
        unpack.key(path.as_bytes()).ok()
    }

    #[test]
    fn a_path_stays_below_its_folder() {
        for (path, expected) in
            [("a", "in/a"), ("./a/b", "in/a/b"), ("a/./b c", "in/a/b c"), ("..a/b..", "in/..a/b..")]
        {
            assert_eq!(key(path).as_deref(), Some(expected), "{path}");
        }
        for bad in ["", ".", "/a", "../a", "a/../../b", "a//b", "a/..", "a\0b"] {
            assert_eq!(key(bad), None, "{bad}");
        }
        let unpack = Unpack { base: String::new(), decompress: true };
        assert!(unpack.key(b"\xff").is_err());
        assert_eq!((folder("a/b/c.tar"), folder("c.tar")), ("a/b/", ""));
    }
}
