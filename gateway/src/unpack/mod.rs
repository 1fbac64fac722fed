//! Archives that come as one body: plain, gzip or Zstandard, and tar within. Nothing is ever held whole.
//!
//! ```text
//! body ─▶ plain (told by its first bytes) ─▶ tar ─▶ files, one after another
//! ```

pub mod plain;
pub mod tar;
