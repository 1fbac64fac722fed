//! Reading a log from end to end, past whatever is damaged.

use std::io;

use types::MIB;

use crate::error::Error;
use crate::store::log::{Log, name_of};
use crate::store::record::{
    ALIGN, Checksum, Notice, Place, PutHeader, StoreKey, Trailer, body_at, notice_span, trailer_len,
};

/// Bytes read at a time while looking for the next record.
const WINDOW: u64 = MIB;

/// A record as it lies in a log.
pub(crate) enum Found {
    /// A put that was committed.
    Put(PutHeader, Trailer),
    /// A put without its commit mark: it never happened.
    Unfinished,
    /// A notice.
    Notice(Notice),
}

/// Calls `visit` for every record of `log` from `from` on, in the order of their places; returns where the last one ends.
///
/// Behind a record that was not finished, and wherever nothing is recognised, it looks at the start of every page.
pub(crate) fn walk(
    log: &Log,
    key: &StoreKey,
    from: u64,
    mut visit: impl FnMut(Place, Found) -> Result<(), Error>,
) -> Result<u64, Error> {
    let len = log.file.len().map_err(Error::io("measure a log"))?;
    let mut window = Window { log, start: 0, bytes: Vec::new(), len };
    let mut at = from.max(ALIGN).next_multiple_of(ALIGN);
    let mut end = at;
    while at < len {
        let place = Place { file: log.number, offset: at };
        let page = window.page(at);
        if let Some((header, checksum)) = PutHeader::decode(key, place, page) {
            end = end.max(at + header.span());
            match read_trailer(log, key, place, &header, &checksum) {
                Ok(Some(trailer)) => {
                    at += header.span();
                    visit(place, Found::Put(header, trailer))?;
                }
                Ok(None) | Err(_) => {
                    at += ALIGN;
                    visit(place, Found::Unfinished)?;
                }
            }
        } else if let Some(notice) = read_notice(log, key, place, page) {
            at += notice_span(notice.drops.len());
            end = end.max(at);
            visit(place, Found::Notice(notice))?;
        } else {
            at += ALIGN;
        }
    }
    Ok(end)
}

/// Reads the put record at `place`: its header and trailer, or `None` if one of them is damaged.
///
/// # Errors
/// If the disk does not give them; they may be whole all the same.
pub(crate) fn read_put(
    log: &Log,
    key: &StoreKey,
    place: Place,
    label_len: usize,
) -> io::Result<Option<(PutHeader, Trailer)>> {
    let page = log.file.read_at(place.offset, body_at(label_len) as usize)?;
    let Some((header, checksum)) = PutHeader::decode(key, place, &page) else { return Ok(None) };
    let trailer = read_trailer(log, key, place, &header, &checksum)?;
    Ok(trailer.map(|trailer| (header, trailer)))
}

fn read_trailer(
    log: &Log,
    key: &StoreKey,
    place: Place,
    header: &PutHeader,
    checksum: &Checksum,
) -> io::Result<Option<Trailer>> {
    let at = place.offset + header.trailer_at();
    let bytes = log.file.read_at(at, trailer_len(header.len) as usize)?;
    Ok(Trailer::decode(key, checksum, &bytes))
}

fn read_notice(log: &Log, key: &StoreKey, place: Place, page: &[u8]) -> Option<Notice> {
    let len = Notice::encoded_len(page)?;
    match page.get(..len) {
        Some(bytes) => Notice::decode(key, place, bytes),
        None => Notice::decode(key, place, &log.file.read_at(place.offset, len).ok()?),
    }
}

/// A part of the log in memory. Unreadable sectors read as zeros: they hold no record.
struct Window<'a> {
    log: &'a Log,
    start: u64,
    bytes: Vec<u8>,
    len: u64,
}

impl Window<'_> {
    fn page(&mut self, at: u64) -> &[u8] {
        let wanted = (self.len - at).min(ALIGN);
        if at < self.start || at + wanted > self.start + self.bytes.len() as u64 {
            self.fill(at);
        }
        let from = (at - self.start) as usize;
        &self.bytes[from..from + wanted as usize]
    }

    fn fill(&mut self, at: u64) {
        // After a jump one page is enough to see the next header; a second look nearby is the sign of a search.
        let near = at >= self.start && at <= self.start + self.bytes.len() as u64 + ALIGN;
        let len = (self.len - at).min(if near { WINDOW } else { ALIGN });
        self.start = at;
        self.bytes = match self.log.file.read_at(at, len as usize) {
            Ok(bytes) => bytes,
            Err(_) if len > ALIGN => match self.log.file.read_at(at, ALIGN as usize) {
                Ok(bytes) => bytes,
                Err(error) => self.unreadable(at, ALIGN, &error),
            },
            Err(error) => self.unreadable(at, len, &error),
        };
    }

    fn unreadable(&self, at: u64, len: u64, error: &io::Error) -> Vec<u8> {
        tracing::warn!(log = name_of(self.log.number), at, %error, "a page of a log cannot be read");
        vec![0; len as usize]
    }
}
