//! When the authority wants a certificate renewed: ACME renewal information (RFC 9773). An authority that revokes many certificates at once,
//! or wants its load spread, says so here.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::RETRY_AFTER;
use instant_acme::CertificateIdentifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::Timestamp;
use types::entropy::random_below;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::https::Https;
use super::{AcmeError, AcmeSettings};

/// How soon to ask again, whatever the authority says, and how late (RFC 9773, 4.3.2 and 4.3.3).
const ASK_AGAIN: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(60)..=Duration::from_secs(24 * 3600);
/// How soon to ask again if the authority did not say, or could not be asked.
pub(super) const UNASKED: Duration = Duration::from_secs(6 * 3600);

/// What an authority says of a certificate, and when to ask it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hint {
    /// A moment of the window that it suggests; `None` if it suggests none.
    pub(super) renewal: Option<Timestamp>,
    /// When to ask again.
    pub(super) again: Timestamp,
}

/// The part of a directory that matters here.
#[derive(Deserialize)]
struct Directory {
    #[serde(rename = "renewalInfo")]
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RenewalInfo {
    suggested_window: Window,
    #[serde(rename = "explanationURL")]
    explanation: Option<String>,
}

#[derive(Deserialize)]
struct Window {
    start: String,
    end: String,
}

/// Asks for a certificate (in PEM form). An authority that cannot be asked, or does not know of this, suggests nothing.
pub(super) async fn ask(settings: &AcmeSettings, pem: &[u8], now: Timestamp) -> Hint {
    match fetch(settings, pem, now).await {
        Ok(hint) => hint,
        Err(error) => {
            tracing::debug!(%error, "the certificate authority suggests no time of renewal");
            Hint { renewal: None, again: now.plus(UNASKED) }
        }
    }
}

async fn fetch(settings: &AcmeSettings, pem: &[u8], now: Timestamp) -> Result<Hint, AcmeError> {
    let none = Hint { renewal: None, again: now.plus(UNASKED) };
    let https = Https::new(settings.ca.as_deref())?;
    let (_, directory) = https.get(&settings.directory).await?;
    let directory: Directory =
        serde_json::from_slice(&directory).map_err(instant_acme::Error::from)?;
    let (Some(url), Some(id)) = (directory.renewal_info, identifier(pem)) else { return Ok(none) };
    let (headers, body) = https.get(&format!("{url}/{id}")).await?;
    let info: RenewalInfo = serde_json::from_slice(&body).map_err(instant_acme::Error::from)?;
    let after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let after = after.map_or(UNASKED, Duration::from_secs);
    let again = now.plus(after.clamp(*ASK_AGAIN.start(), *ASK_AGAIN.end()));
    let Some(renewal) = within(&info.suggested_window) else { return Ok(none) };
    if let Some(explanation) = info.explanation.filter(|_| renewal <= now) {
        tracing::info!(explanation, "the certificate authority wants the certificate renewed now");
    }
    Ok(Hint { renewal: Some(renewal), again })
}

/// Some moment of a window, so that not everybody comes at once.
fn within(window: &Window) -> Option<Timestamp> {
    let moment = |text: &str| {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp();
        Some(Timestamp(u64::try_from(moment).ok()?.checked_mul(1000)?))
    };
    let (start, end) = (moment(&window.start)?, moment(&window.end)?);
    let length = u64::try_from(end.since(start).as_millis()).ok()?;
    Some(start.plus(Duration::from_millis(random_below(length.max(1)))))
}

/// By what the authority knows a certificate again: the id of its key, and the certificate's serial number (RFC 9773, 4.1).
pub(super) fn identifier(pem: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let key =
        certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(found) => found.key_identifier.as_ref(),
            _ => None,
        })?;
    Some(CertificateIdentifier {
        authority_key_identifier: URL_SAFE_NO_PAD.encode(key.0).into(),
        serial: URL_SAFE_NO_PAD.encode(certificate.tbs_certificate.raw_serial()).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window { start: start.to_owned(), end: end.to_owned() }
    }

    #[test]
    fn a_moment_lies_within_its_window() {
        let of = |start, end| within(&window(start, end));
        let (start, end) = ("2023-11-14T22:13:20Z", "2023-11-15T00:13:20+01:00");
        let (from, until) = (1_700_000_000_000, 1_700_003_600_000);
        for _ in 0..100 {
            let moment = of(start, end).expect("a moment").0;
            assert!((from..until).contains(&moment), "{moment}");
        }
        assert_eq!(of(start, start), Some(Timestamp(from)));
        assert_eq!(of("yesterday", end), None);
    }

    #[test]
    fn a_certificate_is_known_by_its_issuer_s_key_and_its_number() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.serial_number = Some(rcgen::SerialNumber::from(vec![0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), key);
        let own = rcgen::KeyPair::generate().expect("a key");
        let pem = params.signed_by(&own, &issuer).expect("a certificate").pem();
        let id = identifier(pem.as_bytes()).expect("an identifier").to_string();
        // The example of RFC 9773: a leading zero keeps the number positive.
        assert!(id.ends_with(".AIdlQyE"), "{id}");
        params.use_authority_key_identifier_extension = false;
        let pem = params.signed_by(&own, &issuer).expect("a certificate").pem();
        assert_eq!(identifier(pem.as_bytes()), None);
    }
}
