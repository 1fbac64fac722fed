//! The tar format: POSIX ustar with pax headers, and GNU's long names. Only regular files are told of; directories, links and devices are
//! passed over.
//!
//! <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>,
//! <https://www.gnu.org/software/tar/manual/html_node/Standard.html>. Names of any length are read by common libraries into memory; here everything
//! beside the files' bytes has a limit.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use types::KIB;

/// Headers and contents fill whole blocks of so many bytes.
const BLOCK: usize = 512;
/// The longest pax header or long name. A key has at most 1 KiB.
const EXTENSION_MAX: u64 = 64 * KIB;

/// Why something is no archive.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// It ends or breaks off within an entry, or its compression is broken.
    #[error("the archive cannot be read: {0}")]
    Broken(#[from] io::Error),
    /// A header's sum is wrong.
    #[error("the archive has a header that is none")]
    Header,
    /// A number in a header is none.
    #[error("the archive has a size that is none")]
    Number,
    /// A pax header is none, or is too long.
    #[error("the archive has an extended header that is malformed or longer than 64 KiB")]
    Extension,
    /// An archive of a form that is not read.
    #[error("the archive has a sparse file, which is not supported")]
    Sparse,
}

/// A regular file, whose bytes come next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its path as the archive has it.
    pub path: Vec<u8>,
    /// Its bytes.
    pub size: u64,
}

/// Reads an archive. After [`Tar::next`] has told of a file, its `size` bytes are read from [`Tar::reader`] before the next call.
pub struct Tar<R> {
    reader: R,
    /// Zeros that fill the present file's last block.
    padding: usize,
}

/// What headers say of the entry that follows them.
#[derive(Default)]
struct Said {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: AsyncRead + Unpin> Tar<R> {
    /// An archive that begins here.
    pub const fn new(reader: R) -> Self {
        Self { reader, padding: 0 }
    }

    /// The bytes after the last header.
    pub const fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// The next regular file; `None` at the archive's end.
    ///
    /// # Errors
    /// [`TarError`].
    pub async fn next(&mut self) -> Result<Option<File>, TarError> {
        let padding = std::mem::take(&mut self.padding);
        self.skip(padding as u64).await?;
        let mut said = Said::default();
        loop {
            let Some(header) = self.header().await? else { return Ok(None) };
            let size = header.size()?;
            match header.kind() {
                b'x' => said.read_pax(&self.extension(size).await?)?,
                b'L' => said.path = Some(until_zero(&self.extension(size).await?).to_vec()),
                b'S' => return Err(TarError::Sparse),
                b'0' | 0 | b'7' => {
                    let size = said.size.unwrap_or(size);
                    let path = said.path.take().unwrap_or_else(|| header.path());
                    self.padding = padding_of(size);
                    // Before POSIX, a directory was a file whose name ends so.
                    if path.ends_with(b"/") {
                        self.skip(size).await?;
                        self.skip(padding_of(size) as u64).await?;
                        self.padding = 0;
                        said = Said::default();
                        continue;
                    }
                    return Ok(Some(File { path, size }));
                }
                // What is said in `g` is of no interest, `K` is the name of a link's target, and the link comes after it.
                kind => {
                    let size = if has_content(kind) { said.size.unwrap_or(size) } else { 0 };
                    self.skip(size).await?;
                    self.skip(padding_of(size) as u64).await?;
                    if !matches!(kind, b'g' | b'K') {
                        said = Said::default();
                    }
                }
            }
        }
    }

    /// The next header; `None` where a block of zeros, or the body, ends the archive.
    async fn header(&mut self) -> Result<Option<Header>, TarError> {
        let mut block = [0; BLOCK];
        let first = self.reader.read(&mut block[..1]).await?;
        if first == 0 {
            return Ok(None);
        }
        self.reader.read_exact(&mut block[1..]).await?;
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        Header::check(block).map(Some)
    }

    async fn extension(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > EXTENSION_MAX {
            return Err(TarError::Extension);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        self.reader.read_exact(&mut bytes).await?;
        self.skip(padding_of(size) as u64).await?;
        Ok(bytes)
    }

    async fn skip(&mut self, bytes: u64) -> Result<(), TarError> {
        let mut passed = (&mut self.reader).take(bytes);
        if tokio::io::copy(&mut passed, &mut tokio::io::sink()).await? < bytes {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(())
    }
}

/// A header block whose sum is right.
struct Header([u8; BLOCK]);

impl Header {
    fn check(block: [u8; BLOCK]) -> Result<Self, TarError> {
        let told = octal(&block[148..156]).ok_or(TarError::Header)?;
        // The sum itself counts as eight spaces.
        let sum = |range: std::ops::Range<usize>| {
            block[range].iter().map(|byte| u64::from(*byte)).sum::<u64>()
        };
        let sum = sum(0..148) + 8 * u64::from(b' ') + sum(156..BLOCK);
        if sum == told { Ok(Self(block)) } else { Err(TarError::Header) }
    }

    const fn kind(&self) -> u8 {
        self.0[156]
    }

    fn size(&self) -> Result<u64, TarError> {
        number(&self.0[124..136]).ok_or(TarError::Number)
    }

    fn path(&self) -> Vec<u8> {
        let name = until_zero(&self.0[..100]);
        let prefix = until_zero(&self.0[345..500]);
        // GNU's own magic ends with spaces, and has other things where POSIX has the prefix.
        if &self.0[257..263] == b"ustar\0" && !prefix.is_empty() {
            [prefix, b"/", name].concat()
        } else {
            name.to_vec()
        }
    }
}

impl Said {
    /// Reads records of the form `LENGTH NAME=VALUE\n`; an empty value says nothing.
    fn read_pax(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        while !bytes.is_empty() {
            let (record, rest) = pax_record(bytes).ok_or(TarError::Extension)?;
            bytes = rest;
            let equals = record.iter().position(|byte| *byte == b'=');
            let (name, value) = record.split_at(equals.ok_or(TarError::Extension)?);
            let value = &value[1..];
            match name {
                b"path" => self.path = (!value.is_empty()).then(|| value.to_vec()),
                b"size" if !value.is_empty() => {
                    self.size = Some(decimal(value).ok_or(TarError::Number)?);
                }
                _ if name.starts_with(b"GNU.sparse.") => return Err(TarError::Sparse),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The first record without its length and end, and what follows.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..len)?;
    Some((record.strip_suffix(b"\n")?, &bytes[len..]))
}

/// Whether an entry of that kind has bytes behind its header, whatever its size says: links, devices, directories and pipes have none.
const fn has_content(kind: u8) -> bool {
    !matches!(kind, b'1'..=b'6')
}

const fn padding_of(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// A number in a header: octal digits, or GNU's big-endian bytes after a first one of 0x80.
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first()? {
        (0x80, rest) => {
            let (high, low) = rest.split_at(rest.len().checked_sub(8)?);
            let low = low.try_into().map(u64::from_be_bytes).ok()?;
            high.iter().all(|byte| *byte == 0).then_some(low)
        }
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(until_zero(field)).ok()?.trim_matches(' ');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
