//! S3's checksum headers, trailers and XML fields ⇄ [`ChecksumAlgorithm`].
//!
//! Rules: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html>

use std::sync::{Arc, OnceLock};

use ::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metadata::records::{Checksum, ChecksumAlgorithm, ChecksumKind};
use s3s::dto::{self, ChecksumType};
use s3s::{S3Error, S3ErrorCode, S3Result, TrailingHeaders};

use super::error;
use crate::put::BodyError;

/// What S3 computes when the client names nothing.
pub(super) const DEFAULT: ChecksumAlgorithm = ChecksumAlgorithm::Crc64Nvme;

const ALL: [ChecksumAlgorithm; 10] = [
    ChecksumAlgorithm::Crc32,
    ChecksumAlgorithm::Crc32c,
    ChecksumAlgorithm::Crc64Nvme,
    ChecksumAlgorithm::Sha1,
    ChecksumAlgorithm::Sha256,
    ChecksumAlgorithm::Sha512,
    ChecksumAlgorithm::Md5,
    ChecksumAlgorithm::XxHash64,
    ChecksumAlgorithm::XxHash3,
    ChecksumAlgorithm::XxHash128,
];

/// The algorithm's name in headers, trailers and XML, in capitals.
pub(super) const fn name(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc32 => dto::ChecksumAlgorithm::CRC32,
        ChecksumAlgorithm::Crc32c => dto::ChecksumAlgorithm::CRC32C,
        ChecksumAlgorithm::Crc64Nvme => dto::ChecksumAlgorithm::CRC64NVME,
        ChecksumAlgorithm::Sha1 => dto::ChecksumAlgorithm::SHA1,
        ChecksumAlgorithm::Sha256 => dto::ChecksumAlgorithm::SHA256,
        ChecksumAlgorithm::Sha512 => dto::ChecksumAlgorithm::SHA512,
        ChecksumAlgorithm::Md5 => dto::ChecksumAlgorithm::MD5,
        ChecksumAlgorithm::XxHash64 => dto::ChecksumAlgorithm::XXHASH64,
        ChecksumAlgorithm::XxHash3 => dto::ChecksumAlgorithm::XXHASH3,
        ChecksumAlgorithm::XxHash128 => dto::ChecksumAlgorithm::XXHASH128,
    }
}

/// The algorithm of that name.
pub(super) fn parse_name(text: &str) -> S3Result<ChecksumAlgorithm> {
    ALL.into_iter().find(|algorithm| name(*algorithm).eq_ignore_ascii_case(text)).ok_or_else(|| {
        error::refuse(S3ErrorCode::InvalidRequest, "Checksum algorithm provided is unsupported.")
    })
}

/// The algorithm whose header or trailer has that name.
pub(super) fn parse_header_name(text: &str) -> Option<ChecksumAlgorithm> {
    let tail = text.trim().to_ascii_lowercase();
    let tail = tail.strip_prefix("x-amz-checksum-")?;
    ALL.into_iter().find(|algorithm| name(*algorithm).eq_ignore_ascii_case(tail))
}

/// A value's bytes. Nothing that is not base64 of the right length is a value; it becomes the empty one, which no digest equals.
fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text.trim()).unwrap_or_default()
}

/// A checksum as S3 writes it: base64, and the number of parts if it is composite.
pub(super) fn encode(checksum: &Checksum) -> String {
    let value = STANDARD.encode(&checksum.value);
    match checksum.kind {
        ChecksumKind::FullObject => value,
        ChecksumKind::Composite { parts } => format!("{value}-{parts}"),
    }
}

/// How the checksum covers its object, as S3 calls it.
pub(super) fn type_of(kind: ChecksumKind) -> ChecksumType {
    ChecksumType::from_static(match kind {
        ChecksumKind::FullObject => ChecksumType::FULL_OBJECT,
        ChecksumKind::Composite { .. } => ChecksumType::COMPOSITE,
    })
}

/// Takes the ten `checksum_*` fields out of a request or one of its parts: name, value.
macro_rules! given {
    ($input:expr) => {
        [
            (::metadata::records::ChecksumAlgorithm::Crc32, $input.checksum_crc32.take()),
            (::metadata::records::ChecksumAlgorithm::Crc32c, $input.checksum_crc32c.take()),
            (::metadata::records::ChecksumAlgorithm::Crc64Nvme, $input.checksum_crc64nvme.take()),
            (::metadata::records::ChecksumAlgorithm::Sha1, $input.checksum_sha1.take()),
            (::metadata::records::ChecksumAlgorithm::Sha256, $input.checksum_sha256.take()),
            (::metadata::records::ChecksumAlgorithm::Sha512, $input.checksum_sha512.take()),
            (::metadata::records::ChecksumAlgorithm::Md5, $input.checksum_md5.take()),
            (::metadata::records::ChecksumAlgorithm::XxHash64, $input.checksum_xxhash64.take()),
            (::metadata::records::ChecksumAlgorithm::XxHash3, $input.checksum_xxhash3.take()),
            (::metadata::records::ChecksumAlgorithm::XxHash128, $input.checksum_xxhash128.take()),
        ]
        .into_iter()
        .filter_map(|(algorithm, text)| Some((algorithm, text?)))
        .collect::<Vec<_>>()
    };
}
pub(super) use given;

/// Fills the `checksum_*` fields of an answer.
macro_rules! show {
    ($output:expr, $checksums:expr) => {
        for checksum in $checksums {
            let text = Some($crate::s3::checksum::encode(checksum));
            match checksum.algorithm {
                ::metadata::records::ChecksumAlgorithm::Crc32 => $output.checksum_crc32 = text,
                ::metadata::records::ChecksumAlgorithm::Crc32c => $output.checksum_crc32c = text,
                ::metadata::records::ChecksumAlgorithm::Crc64Nvme => {
                    $output.checksum_crc64nvme = text
                }
                ::metadata::records::ChecksumAlgorithm::Sha1 => $output.checksum_sha1 = text,
                ::metadata::records::ChecksumAlgorithm::Sha256 => $output.checksum_sha256 = text,
                ::metadata::records::ChecksumAlgorithm::Sha512 => $output.checksum_sha512 = text,
                ::metadata::records::ChecksumAlgorithm::Md5 => $output.checksum_md5 = text,
                ::metadata::records::ChecksumAlgorithm::XxHash64 => {
                    $output.checksum_xxhash64 = text
                }
                ::metadata::records::ChecksumAlgorithm::XxHash3 => $output.checksum_xxhash3 = text,
                ::metadata::records::ChecksumAlgorithm::XxHash128 => {
                    $output.checksum_xxhash128 = text
                }
            }
        }
    };
}
pub(super) use show;

/// What a request says of the bytes in its body.
#[derive(Default)]
pub(super) struct Claims {
    /// `Content-MD5`.
    pub(super) content_md5: Option<[u8; 16]>,
    /// The one checksum the client names, with its value if it is known before the body.
    pub(super) named: Option<(ChecksumAlgorithm, Option<Vec<u8>>)>,
    /// Where the trailer will be found, if it carries the value.
    trailer: Option<TrailingHeaders>,
    /// The value that came in the trailer.
    came: Arc<OnceLock<Vec<u8>>>,
}

/// The question [`crate::put::Incoming::trailer`] asks.
type Trailer = Box<dyn FnOnce() -> Result<Vec<(ChecksumAlgorithm, Vec<u8>)>, BodyError> + Send>;

impl Claims {
    /// Reads headers. `values` are the checksum headers.
    pub(super) fn read(
        headers: &HeaderMap,
        values: Vec<(ChecksumAlgorithm, String)>,
        trailer: Option<&TrailingHeaders>,
    ) -> S3Result<Self> {
        let announced = announced_trailers(headers);
        if values.len() + announced.len() > 1 {
            return Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            ));
        }
        let content_md5 = read_content_md5(headers)?;
        let named = match (values.into_iter().next(), announced.first()) {
            (Some((algorithm, text)), _) => Some((algorithm, Some(decode(&text)))),
            (None, Some(algorithm)) => Some((*algorithm, None)),
            (None, None) => None,
        };
        let trailer = if announced.is_empty() { None } else { trailer.cloned() };
        if trailer.is_none() && !announced.is_empty() {
            return Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "x-amz-trailer announces a checksum, but the body has no trailer.",
            ));
        }
        let claims = Self { content_md5, named, trailer, came: Arc::default() };
        claims.agree_with(headers)?;
        Ok(claims)
    }

    /// `x-amz-sdk-checksum-algorithm` must name what a header or trailer then carries.
    fn agree_with(&self, headers: &HeaderMap) -> S3Result<()> {
        let Some(text) =
            headers.get("x-amz-sdk-checksum-algorithm").and_then(|value| value.to_str().ok())
        else {
            return Ok(());
        };
        let algorithm = parse_name(text)?;
        match &self.named {
            Some((named, _)) if *named == algorithm => Ok(()),
            Some(_) => Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "Value for x-amz-sdk-checksum-algorithm header is invalid.",
            )),
            None => Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers \
                 were found.",
            )),
        }
    }

    /// The checksums to compute and compare for an object: the one named, or else S3's default.
    pub(super) fn of_object(&self) -> Vec<(ChecksumAlgorithm, Option<Vec<u8>>)> {
        vec![self.named.clone().unwrap_or((DEFAULT, None))]
    }

    /// The checksums to compute and compare for a part: the one named, and the one its upload needs.
    pub(super) fn of_part(
        &self,
        wanted: ChecksumAlgorithm,
    ) -> Vec<(ChecksumAlgorithm, Option<Vec<u8>>)> {
        let named = self.named.clone();
        let more = named.as_ref().is_none_or(|(algorithm, _)| *algorithm != wanted);
        named.into_iter().chain(more.then_some((wanted, None))).collect()
    }

    /// The question to ask once the body has ended.
    pub(super) fn trailer(&self) -> Option<Trailer> {
        let (algorithm, _) = self.named.as_ref()?;
        let (algorithm, trailer, came) =
            (*algorithm, self.trailer.clone()?, Arc::clone(&self.came));
        Some(Box::new(move || {
            let header = format!("x-amz-checksum-{}", name(algorithm).to_ascii_lowercase());
            let text = trailer
                .read(|trailers| Some(trailers.get(&header)?.to_str().ok()?.to_owned()))
                .flatten();
            let value =
                decode(&text.ok_or_else(|| {
                    BodyError::Broken(format!("the trailer {header} is missing"))
                })?);
            came.get_or_init(|| value.clone());
            Ok(vec![(algorithm, value)])
        }))
    }

    /// After the body was stored, and so every claim held: the checksum the client named.
    pub(super) fn held(&self) -> Option<Checksum> {
        let (algorithm, value) = self.named.as_ref()?;
        let value = value.clone().or_else(|| self.came.get().cloned())?;
        Some(Checksum { algorithm: *algorithm, kind: ChecksumKind::FullObject, value })
    }

    /// Compares a body that is in memory whole.
    pub(super) fn check(&self, bytes: &[u8]) -> S3Result<()> {
        let algorithms: Vec<_> = self.named.iter().map(|(algorithm, _)| *algorithm).collect();
        let mut digester = crate::digest::Digester::new(&algorithms);
        digester.update(bytes);
        let digests = digester.finish();
        let md5 = self.content_md5.is_none_or(|given| given == digests.md5);
        let named = self.named.as_ref().and_then(|(_, value)| value.as_ref());
        let checksum =
            named.is_none_or(|given| digests.checksums.iter().any(|(_, value)| value == given));
        if md5 && checksum { Ok(()) } else { Err(S3Error::new(S3ErrorCode::BadDigest)) }
    }
}

fn announced_trailers(headers: &HeaderMap) -> Vec<ChecksumAlgorithm> {
    let all = headers.get_all("x-amz-trailer").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).filter_map(parse_header_name).collect()
}

/// The raw header: one that is there but empty is wrong too.
fn read_content_md5(headers: &HeaderMap) -> S3Result<Option<[u8; 16]>> {
    let Some(value) = headers.get("content-md5") else { return Ok(None) };
    let md5 = STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    md5.map(Some).ok_or_else(|| S3Error::new(S3ErrorCode::InvalidDigest))
}

/// The checksum a multipart object will carry, as Create announces it: algorithm, and whether it will be of the full object.
pub(super) fn announced(
    algorithm: Option<&dto::ChecksumAlgorithm>,
    kind: Option<&ChecksumType>,
) -> S3Result<Option<(ChecksumAlgorithm, bool)>> {
    let Some(algorithm) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
            )),
        };
    };
    let algorithm = parse_name(algorithm.as_str())?;
    let full = match kind.map(ChecksumType::as_str) {
        None => algorithm == ChecksumAlgorithm::Crc64Nvme,
        Some(ChecksumType::FULL_OBJECT) => true,
        Some(ChecksumType::COMPOSITE) => false,
        Some(_) => {
            return Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "Value for x-amz-checksum-type header is invalid.",
            ));
        }
    };
    if full == may_be_full(algorithm) || (!full && algorithm != ChecksumAlgorithm::Crc64Nvme) {
        return Ok(Some((algorithm, full)));
    }
    let kind = if full { ChecksumType::FULL_OBJECT } else { ChecksumType::COMPOSITE };
    Err(error::refuse(
        S3ErrorCode::InvalidRequest,
        format!(
            "The {kind} checksum type cannot be used with the {} checksum algorithm.",
            name(algorithm)
        ),
    ))
}

/// Whether the checksum of a whole follows from those of its parts.
fn may_be_full(algorithm: ChecksumAlgorithm) -> bool {
    match algorithm {
        ChecksumAlgorithm::Crc32 | ChecksumAlgorithm::Crc32c | ChecksumAlgorithm::Crc64Nvme => true,
        ChecksumAlgorithm::Sha1
        | ChecksumAlgorithm::Sha256
        | ChecksumAlgorithm::Sha512
        | ChecksumAlgorithm::Md5
        | ChecksumAlgorithm::XxHash64
        | ChecksumAlgorithm::XxHash3
        | ChecksumAlgorithm::XxHash128 => false,
    }
}

#[cfg(test)]
mod tests {
    use ::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = all
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn code<T>(result: S3Result<T>) -> S3ErrorCode {
        result.err().expect("an error").code().clone()
    }

    #[test]
    fn names_survive_their_headers() {
        for algorithm in ALL {
            assert_eq!(parse_name(name(algorithm)).ok(), Some(algorithm));
            let header = format!("x-amz-checksum-{}", name(algorithm).to_lowercase());
            assert_eq!(parse_header_name(&header), Some(algorithm));
        }
        assert_eq!(code(parse_name("CRC16")), S3ErrorCode::InvalidRequest);
    }

    #[test]
    fn content_md5_is_sixteen_bytes_of_base64() {
        for bad in ["", "YWJyYWNhZGFicmE=", "no base64!"] {
            let claims = Claims::read(&headers(&[("content-md5", bad)]), Vec::new(), None);
            assert_eq!(code(claims), S3ErrorCode::InvalidDigest, "{bad}");
        }
        let claims = Claims::read(
            &headers(&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")]),
            Vec::new(),
            None,
        );
        assert_eq!(claims.expect("an MD5").content_md5, Some(crate::digest::md5(b"")));
    }

    #[test]
    fn only_one_checksum_may_be_named() {
        let crc = (ChecksumAlgorithm::Crc32, "AAAAAA==".to_owned());
        let sha = (ChecksumAlgorithm::Sha1, "AAAA".to_owned());
        assert_eq!(
            code(Claims::read(&headers(&[]), vec![crc.clone(), sha], None)),
            S3ErrorCode::InvalidRequest
        );
        let trailer = headers(&[("x-amz-trailer", "x-amz-checksum-crc32c")]);
        assert_eq!(code(Claims::read(&trailer, vec![crc], None)), S3ErrorCode::InvalidRequest);
    }

    #[test]
    fn the_announced_algorithm_must_come() {
        let announced = headers(&[("x-amz-sdk-checksum-algorithm", "SHA256")]);
        assert_eq!(code(Claims::read(&announced, Vec::new(), None)), S3ErrorCode::InvalidRequest);
        let crc = (ChecksumAlgorithm::Crc32, "AAAAAA==".to_owned());
        assert_eq!(code(Claims::read(&announced, vec![crc], None)), S3ErrorCode::InvalidRequest);
        let sha = (ChecksumAlgorithm::Sha256, "AAAA".to_owned());
        assert!(Claims::read(&announced, vec![sha], None).is_ok());
    }

    #[test]
    fn a_malformed_value_equals_no_digest() {
        let bad = (ChecksumAlgorithm::Crc64Nvme, "bad".to_owned());
        let claims = Claims::read(&headers(&[]), vec![bad], None).expect("read");
        assert_eq!(claims.named, Some((ChecksumAlgorithm::Crc64Nvme, Some(Vec::new()))));
        assert_eq!(code(claims.check(b"x")), S3ErrorCode::BadDigest);
    }

    #[test]
    fn a_body_in_memory_is_compared_with_all_that_was_said() {
        let crc = (ChecksumAlgorithm::Crc32, "y/Q5Jg==".to_owned());
        let md5 = headers(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")]);
        let claims = Claims::read(&md5, vec![crc], None).expect("read");
        assert!(claims.check(b"123456789").is_ok());
        assert_eq!(code(claims.check(b"12345678")), S3ErrorCode::BadDigest);
    }

    #[test]
    fn a_part_gets_the_checksum_its_upload_needs_besides_the_one_named() {
        let named = |named| Claims { named, ..Claims::default() };
        assert_eq!(named(None).of_part(DEFAULT), [(DEFAULT, None)]);
        assert_eq!(named(None).of_object(), [(DEFAULT, None)]);
        let sha = (ChecksumAlgorithm::Sha1, None);
        assert_eq!(named(Some(sha.clone())).of_part(DEFAULT), [sha.clone(), (DEFAULT, None)]);
        assert_eq!(named(Some(sha.clone())).of_part(ChecksumAlgorithm::Sha1), [sha]);
    }

    #[test]
    fn which_checksums_may_be_of_the_full_object() {
        let ask = |algorithm, kind: Option<&'static str>| {
            let algorithm = dto::ChecksumAlgorithm::from_static(algorithm);
            announced(Some(&algorithm), kind.map(ChecksumType::from_static).as_ref()).ok().flatten()
        };
        assert_eq!(ask("CRC64NVME", None), Some((ChecksumAlgorithm::Crc64Nvme, true)));
        assert_eq!(ask("CRC64NVME", Some("COMPOSITE")), None);
        assert_eq!(ask("CRC32", None), Some((ChecksumAlgorithm::Crc32, false)));
        assert_eq!(ask("CRC32", Some("FULL_OBJECT")), Some((ChecksumAlgorithm::Crc32, true)));
        assert_eq!(ask("SHA256", None), Some((ChecksumAlgorithm::Sha256, false)));
        assert_eq!(ask("SHA256", Some("FULL_OBJECT")), None);
        assert_eq!(ask("XXHASH3", Some("half")), None);
        assert_eq!(
            code(announced(None, Some(&ChecksumType::from_static("COMPOSITE")))),
            S3ErrorCode::InvalidRequest
        );
    }

    #[test]
    fn a_composite_value_carries_its_number_of_parts() {
        let kind = ChecksumKind::Composite { parts: 3 };
        let checksum = Checksum { algorithm: ChecksumAlgorithm::Crc32, kind, value: vec![0; 4] };
        assert_eq!(encode(&checksum), "AAAAAA==-3");
    }
}
