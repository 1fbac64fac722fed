//! Ranges of bytes: of a GET or HEAD, and of a copy's source.

use std::ops::Range;

use s3s::{S3ErrorCode, S3Result, dto};

use super::error;

/// The bytes that a `Range` header means in an object of `size` bytes.
///
/// # Errors
/// 416 if it means none.
pub(super) fn resolve(range: &dto::Range, size: u64) -> S3Result<Range<u64>> {
    let bytes = match *range {
        dto::Range::Int { first, last } => {
            first..last.map_or(size, |last| last.saturating_add(1).min(size))
        }
        dto::Range::Suffix { length } => size.saturating_sub(length)..size,
    };
    if bytes.is_empty() { Err(error::unsatisfiable(size)) } else { Ok(bytes) }
}

/// The value of `Content-Range`.
pub(super) fn content_range(bytes: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", bytes.start, bytes.end.saturating_sub(1))
}

/// The bytes that `x-amz-copy-source-range` means: `bytes=first-last`, both given and both inside the source.
///
/// # Errors
/// `InvalidArgument` for any other form, `InvalidRange` beyond the source.
pub(super) fn of_copy(text: &str, size: u64) -> S3Result<Range<u64>> {
    let parse = || {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let both = digits(first) && digits(last);
        both.then(|| Some(first.parse::<u64>().ok()?..=last.parse::<u64>().ok()?)).flatten()
    };
    let range = parse().filter(|range| !range.is_empty()).ok_or_else(|| {
        error::refuse(
            S3ErrorCode::InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based \
             offsets of the first and last bytes to copy.",
        )
    })?;
    if *range.end() < size {
        Ok(*range.start()..*range.end() + 1)
    } else {
        Err(error::unsatisfiable(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_range() {
        for (header, size, expected) in [
            ("bytes=0-0", 10, Some(0..1)),
            ("bytes=4-100", 10, Some(4..10)),
            ("bytes=9-", 10, Some(9..10)),
            ("bytes=-3", 10, Some(7..10)),
            ("bytes=-30", 10, Some(0..10)),
            ("bytes=10-", 10, None),
            ("bytes=10-20", 10, None),
            ("bytes=-0", 10, None),
            ("bytes=0-0", 0, None),
            ("bytes=-1", 0, None),
            ("bytes=0-9223372036854775807", 10, Some(0..10)),
        ] {
            let range = dto::Range::parse(header).expect("a range");
            assert_eq!(resolve(&range, size).ok(), expected, "{header} of {size}");
        }
    }

    #[test]
    fn content_range_is_inclusive() {
        assert_eq!(content_range(&(4..7), 9), "bytes 4-6/9");
    }

    #[test]
    fn a_copy_range_has_both_ends_inside_the_source() {
        assert_eq!(of_copy("bytes=0-4", 5).ok(), Some(0..5));
        let code = |text| of_copy(text, 5).expect_err("refused").code().clone();
        assert_eq!(code("bytes=0-21"), S3ErrorCode::InvalidRange);
        for text in [
            "0-2",
            "bytes=0",
            "bytes=hello-world",
            "bytes=0-bar",
            "bytes=hello-",
            "bytes=0-2,3-5",
            "bytes=3-1",
            "bytes=-2",
            "bytes=+1-2",
        ] {
            assert_eq!(code(text), S3ErrorCode::InvalidArgument, "{text}");
        }
    }
}
