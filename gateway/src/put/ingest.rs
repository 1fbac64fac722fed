//! Ingest: reads the body, batch by batch, and computes what must be known of its bytes.

use bytes::Bytes;
use futures::StreamExt;
use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind};

use super::{Body, Incoming, PutError, Trailer};
use crate::digest::{Digester, Digests};

/// Reads a body in batches of known size and holds it to its announced length.
pub(crate) struct Ingest {
    body: Body,
    announced: u64,
    slack: u64,
    got: u64,
    /// Bytes that came beyond the batch being filled.
    rest: Bytes,
    expected: Expected,
}

/// What the client said of its bytes.
pub(crate) struct Expected {
    content_md5: Option<[u8; 16]>,
    checksums: Vec<(ChecksumAlgorithm, Option<Vec<u8>>)>,
    trailer: Option<Trailer>,
}

/// Bytes on their way to be sealed.
pub(crate) struct Batch {
    /// What came, in whatever pieces it came.
    pub(crate) pieces: Vec<Bytes>,
    /// Zeros that stand in for announced bytes which did not come and need not. They are sealed, so that the stream has the length it was
    /// laid out for, and belong to no object.
    pub(crate) padding: usize,
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + self.padding
    }

    /// All of it, as it is sealed.
    pub(crate) fn sealed(&self) -> Vec<Bytes> {
        let mut all = self.pieces.clone();
        if self.padding > 0 {
            all.push(Bytes::from(vec![0; self.padding]));
        }
        all
    }
}

/// What was found of bytes that are all that was announced, and match all that was said of them.
pub(crate) struct Ingested {
    /// How many came.
    pub(crate) len: u64,
    /// MD5 of the plaintext.
    pub(crate) md5: [u8; 16],
    /// Checksums to keep.
    pub(crate) checksums: Vec<Checksum>,
}

impl Ingest {
    pub(crate) fn new(incoming: Incoming) -> Self {
        let Incoming { len, slack, body, content_md5, checksums, trailer } = incoming;
        let expected = Expected { content_md5, checksums, trailer };
        Self { body, announced: len, slack, got: 0, rest: Bytes::new(), expected }
    }

    /// A digester for what this body needs.
    pub(crate) fn digester(&self) -> Digester {
        let algorithms: Vec<ChecksumAlgorithm> =
            self.expected.checksums.iter().map(|(algorithm, _)| *algorithm).collect();
        Digester::new(&algorithms)
    }

    /// The next `want` bytes; fewer only at the body's end, and then only if more than the slack is missing.
    pub(crate) async fn batch(&mut self, want: usize) -> Result<Batch, PutError> {
        let mut pieces = Vec::new();
        let mut missing = want;
        while missing > 0 {
            if self.rest.is_empty() {
                match self.body.next().await {
                    None => break,
                    Some(piece) => self.rest = piece?,
                }
                self.got += self.rest.len() as u64;
                if self.got > self.announced {
                    return Err(self.wrong_length());
                }
                continue;
            }
            let piece = self.rest.split_to(missing.min(self.rest.len()));
            missing -= piece.len();
            pieces.push(piece);
        }
        let short = self.announced - self.got;
        let padding = if short <= self.slack { missing } else { 0 };
        Ok(Batch { pieces, padding })
    }

    /// Ends the body: nothing may be left, nothing may lack, and everything said of it must hold.
    pub(crate) async fn finish(mut self, digests: Digests) -> Result<Ingested, PutError> {
        while let Some(piece) = self.body.next().await {
            self.got += piece?.len() as u64;
            if self.got > self.announced {
                break;
            }
        }
        if self.got > self.announced || self.got + self.slack < self.announced {
            return Err(self.wrong_length());
        }
        let (md5, checksums) = self.expected.compare(digests)?;
        Ok(Ingested { len: self.got, md5, checksums })
    }

    fn wrong_length(&self) -> PutError {
        PutError::Length { got: self.got, announced: self.announced }
    }
}

impl Expected {
    fn compare(self, digests: Digests) -> Result<([u8; 16], Vec<Checksum>), PutError> {
        if self.content_md5.is_some_and(|given| given != digests.md5) {
            return Err(PutError::ContentMd5);
        }
        let trailer = self.trailer.map_or(Ok(Vec::new()), |ask| ask())?;
        let given = self
            .checksums
            .iter()
            .filter_map(|(algorithm, value)| Some((*algorithm, value.as_ref()?)));
        let given = given.chain(trailer.iter().map(|(algorithm, value)| (*algorithm, value)));
        for (algorithm, value) in given {
            let computed = digests.checksums.iter().find(|(found, _)| *found == algorithm);
            if computed.is_none_or(|(_, computed)| computed != value) {
                return Err(PutError::Checksum(algorithm));
            }
        }
        let keep =
            |(algorithm, value)| Checksum { algorithm, kind: ChecksumKind::FullObject, value };
        Ok((digests.md5, digests.checksums.into_iter().map(keep).collect()))
    }
}
