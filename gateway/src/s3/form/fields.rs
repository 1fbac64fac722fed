//! The fields of a form, up to its file.

use std::fmt;

use ::http::{HeaderMap, header};
use futures::StreamExt as _;
use s3s::{Body, S3Error, S3ErrorCode, S3Result};
use s3s_multipart::{Boundary, Error as FormError, Multipart, Part, parse_content_disposition};

use super::file::{self, Bytes as FileBytes, File};
use super::{error, invalid};

/// The most bytes of all fields before the file, and of the head of each part. AWS allows 20 KB.
const FIELDS_MAX: usize = 64 * 1024;
/// The most fields.
const PARTS_MAX: usize = 200;
/// What the user's name for the file replaces in the key.
const FILE_NAME: &str = "${filename}";

/// The fields that stand before the file, by lower-case name, each once. Secrets may be among them: not to be logged.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields.iter().map(|(name, _)| name)).finish()
    }
}

impl Form {
    /// Reads up to the file; that is for the caller to read on.
    ///
    /// # Errors
    /// `MissingContentLength`, `MalformedPOSTRequest`, `MaxPostPreDataLengthExceeded`, `InvalidArgument` for a field that comes twice.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> S3Result<(Self, File)> {
        let total = content_length(headers)?;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let boundary = kind.and_then(boundary).ok_or_else(|| malformed("there is no boundary"))?;
        let marker = Boundary::new(boundary.as_bytes()).map_err(broken)?;
        let body: FileBytes =
            Box::pin(body.map(|piece| piece.map_err(FormError::stream_read_failed)));
        let mut parts = Multipart::new(body, &marker, FIELDS_MAX);
        let mut form = Self::default();
        let mut left = FIELDS_MAX;
        for _ in 0..PARTS_MAX {
            let mut part = parts.next_part().await.map_err(broken)?.ok_or_else(no_file)?;
            let (name, file_name) = describe(&mut part).await?;
            if name == "file" {
                let data = part.take_data_stream().map_err(broken)?;
                let file = File::new(data, total, boundary.len(), file_name.unwrap_or_default())?;
                return Ok((form, file));
            }
            let value = value(&mut part, &mut left).await?;
            form.add(name, value)?;
        }
        Err(S3Error::new(S3ErrorCode::MaxPostPreDataLengthExceededError))
    }

    /// A field's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As [`Self::get`], of a field that must be there.
    pub(super) fn need(&self, name: &'static str) -> S3Result<&str> {
        self.get(name).ok_or_else(|| {
            invalid(format!(
                "Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
            ))
        })
    }

    /// All fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Puts the user's name for the file into the key, before anything is asked of the key.
    ///
    /// # Errors
    /// If there is no key.
    pub(super) fn name_key(&mut self, file_name: &str) -> S3Result<()> {
        self.need("key")?;
        for (name, value) in &mut self.fields {
            if name == "key" {
                *value = value.replace(FILE_NAME, file_name);
            }
        }
        Ok(())
    }

    /// Takes a field in.
    pub(super) fn add(&mut self, name: String, value: String) -> S3Result<()> {
        // Of two values one would be checked and the other used.
        if self.get(&name).is_some() {
            return Err(invalid(format!("The form has more than one field named '{name}'.")));
        }
        self.fields.push((name, value));
        Ok(())
    }
}

/// The boundary, if this is the content type of a form.
pub(super) fn boundary(kind: &str) -> Option<String> {
    let (essence, parameters) = kind.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim();
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        name.trim().eq_ignore_ascii_case("boundary").then(|| bare.unwrap_or(value).to_owned())
    })
}

/// Name, in lower case, and file name of a part. Any field may have a file name: some clients give each its own.
async fn describe(part: &mut Part<'_, FileBytes>) -> S3Result<(String, Option<String>)> {
    let mut found = None;
    while let Some(header) = part.next_header().await.map_err(broken)? {
        if header.name.eq_ignore_ascii_case("content-disposition") {
            let said = parse_content_disposition(header.value);
            let said = said.ok_or_else(|| malformed("a field has no name"))?;
            let name = said.name.map(text).transpose()?;
            found = Some((name, said.file_name.map(text).transpose()?));
        }
    }
    let Some((Some(name), file_name)) = found else {
        return Err(malformed("a field has no name"));
    };
    Ok((name.to_ascii_lowercase(), file_name.map(|name| file::base_name(&name).to_owned())))
}

async fn value(part: &mut Part<'_, FileBytes>, left: &mut usize) -> S3Result<String> {
    let mut value = Vec::new();
    while let Some(piece) = part.next_data().await.map_err(broken)? {
        *left = left
            .checked_sub(piece.len())
            .ok_or_else(|| S3Error::new(S3ErrorCode::MaxPostPreDataLengthExceededError))?;
        value.extend_from_slice(&piece);
    }
    text(&value)
}

fn text(bytes: &[u8]) -> S3Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("a field is not UTF-8"))?;
    Ok(text.to_owned())
}

fn content_length(headers: &HeaderMap) -> S3Result<u64> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length
        .and_then(|length| length.parse().ok())
        .ok_or_else(|| S3Error::new(S3ErrorCode::MissingContentLength))
}

fn no_file() -> S3Error {
    error::refuse(
        S3ErrorCode::IncorrectNumberOfFilesInPostRequest,
        "POST requires exactly one file upload per request.",
    )
}

fn malformed(why: &str) -> S3Error {
    error::refuse(
        S3ErrorCode::MalformedPOSTRequest,
        format!("The body of your POST request is not well-formed multipart/form-data: {why}."),
    )
}

/// A form that cannot be read.
pub(super) fn broken(error: FormError) -> S3Error {
    match error {
        FormError::StreamReadFailed(_) => S3Error::new(S3ErrorCode::IncompleteBody),
        FormError::HeaderSizeExceeded { .. } => {
            S3Error::new(S3ErrorCode::MaxPostPreDataLengthExceededError)
        }
        other => malformed(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=xyz";

    async fn read(text: &str) -> S3Result<(Form, File)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(KIND));
        headers.insert(header::CONTENT_LENGTH, text.len().into());
        Form::read(&headers, Body::from(text.to_owned())).await
    }

    fn part(head: &str, value: &str) -> String {
        format!("--xyz\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    }

    fn code<T>(result: S3Result<T>) -> S3ErrorCode {
        result.err().expect("refused").code().clone()
    }

    #[test]
    fn only_a_form_has_a_boundary() {
        for (kind, found) in [
            (KIND, Some("xyz")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/mixed; boundary=xyz", None),
            ("multipart/form-data", None),
        ] {
            assert_eq!(boundary(kind).as_deref(), found, "{kind}");
        }
    }

    #[tokio::test]
    async fn fields_are_told_apart_by_name_even_if_each_has_a_file_name() {
        let text = part("name=\"KEY\"; filename=\"key\"", "a/${filename}")
            + &part("filename=\"b.txt\"; name=\"file\"", "hello")
            + &part("name=\"submit\"", "Upload")
            + "--xyz--\r\n";
        let (mut form, file) = read(&text).await.expect("a form");
        form.name_key(&file.name).expect("a key");
        assert_eq!(form.get("key"), Some("a/b.txt"));
        assert_eq!(form.iter().count(), 1, "what follows the file is no field");
    }

    #[tokio::test]
    async fn a_form_that_could_be_read_in_two_ways_is_refused() {
        let key = part("name=\"key\"", "k");
        let twice =
            key.clone() + &part("name=\"Key\"", "l") + &part("name=\"file\"", "") + "--xyz--\r\n";
        assert_eq!(code(read(&twice).await), S3ErrorCode::InvalidArgument);
        let fileless = key.clone() + "--xyz--\r\n";
        assert_eq!(code(read(&fileless).await), S3ErrorCode::IncorrectNumberOfFilesInPostRequest);
        assert_eq!(code(read("nothing").await), S3ErrorCode::MalformedPOSTRequest);
        let long = part("name=\"key\"", &"k".repeat(FIELDS_MAX + 1));
        assert_eq!(code(read(&long).await), S3ErrorCode::MaxPostPreDataLengthExceededError);
    }
}
