//! Object lock in S3's words: modes, dates, legal holds, and what a write asks for.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use metadata::records::{Lock, LockMode, Retention};
use s3s::dto;
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::Timestamp;

use super::error;

const GOVERNANCE: &str = "GOVERNANCE";
const COMPLIANCE: &str = "COMPLIANCE";
const ON: &str = "ON";
const OFF: &str = "OFF";

/// What a PUT, copy or Create says of the lock of what it writes.
pub(super) struct Asked<'a> {
    pub(super) mode: Option<&'a str>,
    pub(super) until: Option<&'a dto::Timestamp>,
    pub(super) hold: Option<&'a str>,
}

/// Reads [`Asked`] off a PUT, copy or Create.
macro_rules! asked {
    ($input:expr) => {
        $crate::s3::protection::Asked {
            mode: $input.object_lock_mode.as_ref().map(|mode| mode.as_str()),
            until: $input.object_lock_retain_until_date.as_ref(),
            hold: $input.object_lock_legal_hold_status.as_ref().map(|status| status.as_str()),
        }
    };
}
pub(super) use asked;

impl Asked<'_> {
    /// The lock that is asked for. Whether the bucket has object lock is the commit's to say.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn read(&self, now: Timestamp) -> S3Result<Lock> {
        let invalid = |message| error::refuse(S3ErrorCode::InvalidArgument, message);
        let retention = match (self.mode, self.until) {
            (None, None) => None,
            (Some(mode), Some(until)) => {
                let mode = mode_of(mode).ok_or_else(|| invalid("Unknown wormMode directive."))?;
                Some(Retention { mode, until: until_after(until, now)? })
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err(invalid(
                    "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
                ));
            }
        };
        let unknown = || invalid("Legal Hold must be either of 'ON' or 'OFF'");
        let hold = |status| hold_of(status).ok_or_else(unknown);
        Ok(Lock { retention, legal_hold: self.hold.map(hold).transpose()? })
    }
}

/// A retention's end, which must be to come.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn until_after(until: &dto::Timestamp, now: Timestamp) -> S3Result<Timestamp> {
    let nanos = time::OffsetDateTime::from(until.clone()).unix_timestamp_nanos();
    let until = Timestamp(u64::try_from(nanos / 1_000_000).unwrap_or(0));
    if until <= now {
        return Err(error::refuse(
            S3ErrorCode::InvalidArgument,
            "The retain until date must be in the future!",
        ));
    }
    Ok(until)
}

/// The mode of that name.
pub(super) fn mode_of(name: &str) -> Option<LockMode> {
    match name {
        GOVERNANCE => Some(LockMode::Governance),
        COMPLIANCE => Some(LockMode::Compliance),
        _ => None,
    }
}

/// The name of a mode.
pub(super) fn mode_name(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => GOVERNANCE,
        LockMode::Compliance => COMPLIANCE,
    }
}

/// A legal hold of that name: on or off.
pub(super) fn hold_of(name: &str) -> Option<bool> {
    match name {
        ON => Some(true),
        OFF => Some(false),
        _ => None,
    }
}

/// A legal hold as it is told: nothing, if none was ever said.
pub(super) fn told_hold(lock: &Lock) -> Option<&'static str> {
    lock.legal_hold.map(|on| if on { ON } else { OFF })
}

/// A retention's end as it is told: to the millisecond, for its exact value decides.
pub(super) fn told_until(until: Timestamp) -> dto::Timestamp {
    std::time::SystemTime::from(until).into()
}

/// A document of object lock that says nothing S3 knows.
pub(super) fn malformed() -> S3Error {
    S3Error::new(S3ErrorCode::MalformedXML)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_500);

    fn at(millis: i64) -> dto::Timestamp {
        let nanos = i128::from(millis) * 1_000_000;
        time::OffsetDateTime::from_unix_timestamp_nanos(nanos).expect("a time").into()
    }

    #[test]
    fn mode_and_date_stand_together_and_the_date_is_to_come() {
        let (later, earlier) = (at(1_700_000_000_501), at(1_700_000_000_500));
        let read = |mode, until, hold| Asked { mode, until, hold }.read(NOW);
        assert_eq!(read(None, None, None).expect("none"), Lock::default());
        let lock = read(Some("COMPLIANCE"), Some(&later), Some("ON")).expect("a lock");
        let retention = Retention { mode: LockMode::Compliance, until: Timestamp(NOW.0 + 1) };
        assert_eq!(lock, Lock { retention: Some(retention), legal_hold: Some(true) });
        for (mode, until, hold) in [
            (Some("COMPLIANCE"), None, None),
            (None, Some(&later), None),
            (Some("governance"), Some(&later), None),
            (Some("GOVERNANCE"), Some(&earlier), None),
            (None, None, Some("on")),
        ] {
            let refused = read(mode, until, hold).expect_err("refused");
            assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn names_read_back() {
        for mode in [LockMode::Governance, LockMode::Compliance] {
            assert_eq!(mode_of(mode_name(mode)), Some(mode));
        }
        for hold in [None, Some(true), Some(false)] {
            let told = told_hold(&Lock { retention: None, legal_hold: hold });
            assert_eq!(told.and_then(hold_of), hold);
        }
    }
}
