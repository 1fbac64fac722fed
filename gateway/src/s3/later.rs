//! What S3 can do and this version cannot yet: refused clearly, because a header that is ignored is a promise broken.

use s3s::{S3ErrorCode, S3Result};

use super::error;

/// The headers of a write that ask for something not there yet.
#[derive(Default)]
pub(super) struct Asked<'a> {
    /// `x-amz-acl`.
    pub(super) acl: Option<&'a str>,
    /// Any `x-amz-grant-*`.
    pub(super) grants: bool,
    /// `x-amz-server-side-encryption` or one of its companions (not SSE-C).
    pub(super) encryption: bool,
}

/// Reads [`Asked`] off a PUT, copy or Create.
macro_rules! asked {
    ($input:expr) => {
        $crate::s3::later::Asked {
            acl: $input.acl.as_ref().map(|acl| acl.as_str()),
            grants: $input.grant_full_control.is_some()
                || $input.grant_read.is_some()
                || $input.grant_read_acp.is_some()
                || $input.grant_write_acp.is_some(),
            encryption: $input.server_side_encryption.is_some()
                || $input.ssekms_key_id.is_some()
                || $input.ssekms_encryption_context.is_some(),
        }
    };
}
pub(super) use asked;

impl Asked<'_> {
    /// Refuses what cannot be done.
    pub(super) fn refuse(&self) -> S3Result<()> {
        if let Some(acl) = self.acl {
            object_acl(acl)?;
        }
        if self.grants {
            return Err(error::later("Granting access by header"));
        }
        if self.encryption {
            return Err(error::later(
                "Choosing server-side encryption (every object is encrypted; SSE-C is supported)",
            ));
        }
        Ok(())
    }
}

/// Canned ACLs that say no more than what holds anyway: the owner may do everything.
fn object_acl(acl: &str) -> S3Result<()> {
    match acl {
        "private" | "bucket-owner-full-control" => Ok(()),
        "public-read" | "public-read-write" | "authenticated-read" | "aws-exec-read"
        | "bucket-owner-read" => {
            Err(error::later("A canned ACL other than private and bucket-owner-full-control"))
        }
        _ => Err(unknown_acl()),
    }
}

/// As for objects; a bucket has fewer canned ACLs.
pub(super) fn bucket_acl(acl: &str) -> S3Result<()> {
    match acl {
        "private" => Ok(()),
        "public-read" | "public-read-write" | "authenticated-read" => {
            Err(error::later("A canned ACL other than private"))
        }
        _ => Err(unknown_acl()),
    }
}

fn unknown_acl() -> s3s::S3Error {
    error::refuse(S3ErrorCode::InvalidArgument, "The canned ACL is unknown.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_done_is_refused_and_what_holds_anyway_is_not() {
        let code = |asked: Asked<'_>| asked.refuse().err().map(|error| error.code().clone());
        assert_eq!(code(Asked::default()), None);
        assert_eq!(code(Asked { acl: Some("private"), ..Asked::default() }), None);
        assert_eq!(
            code(Asked { acl: Some("public-read"), ..Asked::default() }),
            Some(S3ErrorCode::NotImplemented)
        );
        assert_eq!(
            code(Asked { acl: Some("public-ready"), ..Asked::default() }),
            Some(S3ErrorCode::InvalidArgument)
        );
        assert_eq!(
            code(Asked { grants: true, ..Asked::default() }),
            Some(S3ErrorCode::NotImplemented)
        );
    }
}
