//! The log book: lines of buckets' access logs that wait for their delivery, in bounded memory.
//!
//! Requests write into it and never wait for it; `upkeep::logging` takes what is there and makes objects of it. What does not fit is
//! dropped and counted: like AWS's, these logs are a best effort.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use types::{AccountId, BucketId, BucketName, MIB};

use crate::rules::logging::Day;

/// Bytes of lines that wait at most; at the limit new lines are dropped.
const BYTES_MAX: usize = 16 * MIB as usize;
/// At this many bytes the worker is called before its time.
const BYTES_MANY: usize = BYTES_MAX / 4;

/// Lines that wait.
#[derive(Default)]
pub struct LogBook {
    book: Mutex<Book>,
    many: Notify,
}

#[derive(Default)]
struct Book {
    pages: HashMap<(BucketId, Day), Page>,
    bytes: usize,
    dropped: u64,
}

/// The lines of one bucket and day.
#[derive(Clone, Debug)]
pub struct Page {
    /// The bucket.
    pub bucket: BucketName,
    /// Its identity.
    pub id: BucketId,
    /// Its owner.
    pub owner: AccountId,
    /// The day.
    pub day: Day,
    /// The lines.
    pub text: Vec<u8>,
}

impl LogBook {
    /// Writes a line, or drops it where there is no room.
    pub fn write(&self, at: (&BucketName, BucketId, &AccountId), day: Day, line: &str) {
        let mut book = self.book();
        if book.bytes + line.len() > BYTES_MAX {
            book.dropped += 1;
            return;
        }
        book.bytes += line.len();
        let page = book.pages.entry((at.1, day)).or_insert_with(|| Page {
            bucket: at.0.clone(),
            id: at.1,
            owner: at.2.clone(),
            day,
            text: Vec::new(),
        });
        page.text.extend_from_slice(line.as_bytes());
        if book.bytes >= BYTES_MANY {
            self.many.notify_one();
        }
    }

    /// Takes everything, and how many lines were dropped since the last time.
    pub fn take(&self) -> (Vec<Page>, u64) {
        let book = std::mem::take(&mut *self.book());
        (book.pages.into_values().collect(), book.dropped)
    }

    /// Gives a page back that could not be delivered, as far as there is room.
    pub fn give_back(&self, mut page: Page) {
        let mut book = self.book();
        if book.bytes + page.text.len() > BYTES_MAX {
            book.dropped += page.text.iter().filter(|byte| **byte == b'\n').count() as u64;
            return;
        }
        book.bytes += page.text.len();
        match book.pages.get_mut(&(page.id, page.day)) {
            Some(newer) => {
                page.text.append(&mut newer.text);
                newer.text = page.text;
            }
            None => {
                book.pages.insert((page.id, page.day), page);
            }
        }
    }

    /// Resolves when there is much to deliver.
    pub async fn many(&self) {
        self.many.notified().await;
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn lines_come_back_in_order_and_what_does_not_fit_is_counted() {
        let book = LogBook::default();
        let (name, owner) = ("logged".parse().expect("a name"), "alice".parse().expect("an id"));
        let at = (&name, BucketId([1; 16]), &owner);
        let day = Day::of(Timestamp(0));
        book.write(at, day, "1\n");
        let (mut pages, dropped) = book.take();
        assert_eq!(dropped, 0);
        book.write(at, day, "2\n");
        book.give_back(pages.pop().expect("a page"));
        let (pages, _) = book.take();
        assert_eq!(pages[0].text, b"1\n2\n");

        let long = "x".repeat(BYTES_MAX);
        book.write(at, day, &long);
        book.write(at, day, "3\n");
        let (pages, dropped) = book.take();
        assert_eq!((pages.len(), dropped), (1, 1));
    }
}
