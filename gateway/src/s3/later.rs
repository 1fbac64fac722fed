//! What S3 can do and this version cannot yet: refused clearly, because a header that is ignored is a promise broken.

use s3s::S3Result;

use super::error;

/// The headers of a write that ask for something not there yet.
#[derive(Default)]
pub(super) struct Asked {
    /// `x-amz-server-side-encryption` or one of its companions (not SSE-C).
    pub(super) encryption: bool,
}

/// Reads [`Asked`] off a PUT, copy or Create.
macro_rules! asked {
    ($input:expr) => {
        $crate::s3::later::Asked {
            encryption: $input.server_side_encryption.is_some()
                || $input.ssekms_key_id.is_some()
                || $input.ssekms_encryption_context.is_some(),
        }
    };
}
pub(super) use asked;

impl Asked {
    /// Refuses what cannot be done.
    pub(super) fn refuse(&self) -> S3Result<()> {
        if self.encryption {
            return Err(error::later(
                "Choosing server-side encryption (every object is encrypted; SSE-C is supported)",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use s3s::S3ErrorCode;

    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused_and_what_holds_anyway_is_not() {
        let code = |asked: Asked| asked.refuse().err().map(|error| error.code().clone());
        assert_eq!(code(Asked::default()), None);
        assert_eq!(
            code(Asked { encryption: true, ..Asked::default() }),
            Some(S3ErrorCode::NotImplemented)
        );
    }
}
