//! When to get a certificate: at once if there is none for the names, and again two thirds through its life, or when the authority suggests.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::CertificateIdentifier;
use rcgen::{CertificateParams, KeyPair};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::Timestamp;
use types::clock::SharedClock;
use types::entropy::random_below;

use super::dns::{TsigText, Updates};
use super::https::{Https, authority};
use super::proof::{Prover, together};
use super::renewal::{self, Hint};
use super::store::{Facts, Store};
use super::{AcmeError, AcmeSettings, order};
use crate::http::Certificate;

/// How long to wait after the first failure; twice as long after each further one. Authorities count failures: Let's Encrypt allows five an
/// hour for a name.
const RETRY: Duration = Duration::from_secs(60);
/// Never longer than this.
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);
/// How long to sleep at a time, so that a clock that was set is noticed.
const NAP: Duration = Duration::from_secs(60);
/// The longest name, in bytes (RFC 1035).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Keeps the certificate of a door fresh.
pub struct AcmeWorker {
    settings: AcmeSettings,
    store: Store,
    prover: Prover,
    certificate: Certificate,
    facts: Option<Facts>,
    /// What the authority said of the certificate last.
    hint: Option<Hint>,
    clock: SharedClock,
}

impl AcmeWorker {
    /// Reads what is stored in the data folder, and gives the certificate to show: the stored one, or one that this door signed itself.
    ///
    /// # Errors
    /// [`AcmeError`]: what is wrong with the settings or the files.
    pub fn open(
        mut settings: AcmeSettings,
        data: &Path,
        clock: SharedClock,
    ) -> Result<(Self, Certificate), AcmeError> {
        check(&mut settings)?;
        if let Some(binding) = &settings.binding {
            binding.key()?;
        }
        // What is wrong with the roots is said at the start.
        Https::new(settings.ca.as_deref())?;
        let store = Store::open(data)?;
        let (certificate, facts) = match stored(&store)? {
            Some((certificate, facts)) => (certificate, Some(facts)),
            None => (own(&settings.domains)?, None),
        };
        let prover = match (&settings.dns_exec, settings.dns_server) {
            (Some(_), Some(_)) => return Err(AcmeError::TwoWays),
            (Some(program), None) => Prover::Program(program.clone()),
            (None, Some(server)) => {
                let key = settings.tsig.as_ref().map(TsigText::key).transpose()?;
                Prover::Server(Updates::new(server, key, Arc::clone(&clock)))
            }
            (None, None) => Prover::Door(certificate.clone()),
        };
        let shown = certificate.clone();
        let worker = Self { settings, store, prover, certificate: shown, facts, hint: None, clock };
        Ok((worker, certificate))
    }

    /// Gets certificates when they are due, until `stop`. Stopped in the middle of an order, it may leave a DNS record behind, which proves
    /// nothing any more.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            self.measure();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.ask_when() => {}
            }
            let wait = self.due().since(self.clock.now());
            let step = async {
                if wait > Duration::ZERO {
                    sleep(wait.min(NAP)).await;
                    return;
                }
                match self.renew().await {
                    Ok(()) if self.due() > self.clock.now() => failures = 0,
                    // A clock that is wrong, on one side or the other: no reason to ask again and again.
                    Ok(()) => {
                        tracing::warn!("the new certificate is due for renewal already");
                        sleep(pause(failures)).await;
                        failures += 1;
                    }
                    Err(error) => {
                        let pause = pause(failures);
                        failures += 1;
                        self.complain(&error, pause);
                        sleep(pause).await;
                    }
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = step => {}
            }
        }
    }

    /// When the next certificate is due; the past, if there is none that will do.
    fn due(&self) -> Timestamp {
        match &self.facts {
            Some(facts) if facts.covers(&self.settings.domains) => {
                // A window that was suggested counts, whether it is sooner or later; but never the end of the certificate's life.
                let suggested = self.hint.and_then(|hint| hint.renewal);
                suggested.map_or_else(|| facts.renewal(), |renewal| renewal.min(facts.latest()))
            }
            _ => Timestamp(0),
        }
    }

    /// Asks the authority when it wants the certificate renewed, if it is time to ask.
    async fn ask_when(&mut self) {
        let now = self.clock.now();
        let due = self.hint.is_none_or(|hint| hint.again <= now);
        if !due || self.due() <= now {
            return;
        }
        match self.store.certificate() {
            Ok(Some(pem)) => {
                let hint = renewal::ask(&self.settings, &pem, now).await;
                // A moment that was chosen stays chosen, as long as the authority does not suggest an earlier one.
                let before = self.hint.and_then(|hint| hint.renewal);
                let renewal = match (before, hint.renewal) {
                    (Some(before), Some(new)) => Some(before.min(new)),
                    (before, new) => new.or(before),
                };
                self.hint = Some(Hint { renewal, ..hint });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the stored certificate cannot be read"),
        }
    }

    /// The certificate that the next one takes the place of, for an authority that suggested when.
    fn replaced(&self) -> Result<Option<CertificateIdentifier<'static>>, AcmeError> {
        let suggested = self.hint.is_some_and(|hint| hint.renewal.is_some());
        let covers = |facts: &Facts| facts.covers(&self.settings.domains);
        if !suggested || !self.facts.as_ref().is_some_and(covers) {
            return Ok(None);
        }
        Ok(self.store.certificate()?.and_then(|pem| renewal::identifier(&pem)))
    }

    async fn renew(&mut self) -> Result<(), AcmeError> {
        let replaced = self.replaced()?;
        let pem = order::fetch(&self.settings, &self.store, &self.prover, replaced).await?;
        // In use only if it can be used; kept first, so that a crash does not order another.
        let tried = Certificate::from_pem(&pem)?;
        drop(tried);
        self.store.keep_certificate(&pem)?;
        self.certificate.replace(&pem)?;
        self.facts = Facts::of(&pem);
        // Not asked at once: an authority that suggests the past of every certificate is not to be asked for one after the other.
        let again = self.clock.now().plus(renewal::UNASKED);
        self.hint = Some(Hint { renewal: None, again });
        let names = self.settings.domains.join(", ");
        let until = self.facts.as_ref().map(|facts| facts.until.seconds());
        tracing::info!(names, until, "a new certificate is in use");
        Ok(())
    }

    /// Shows monitoring until when all is well.
    fn measure(&self) {
        if let Some(facts) = &self.facts {
            metrics::gauge!("drystone_certificate_expires").set(facts.until.seconds() as f64);
        }
    }

    fn complain(&self, error: &AcmeError, pause: Duration) {
        let seconds = pause.as_secs();
        match &self.facts {
            Some(facts) if facts.until > self.clock.now() => {
                tracing::warn!(%error, retry_in_seconds = seconds, "the certificate could not be renewed yet");
            }
            _ => {
                tracing::error!(%error, retry_in_seconds = seconds, "there is no valid certificate");
            }
        }
    }
}

/// A stored certificate that can be shown.
fn stored(store: &Store) -> Result<Option<(Certificate, Facts)>, AcmeError> {
    let Some(pem) = store.certificate()? else { return Ok(None) };
    match (Certificate::from_pem(&pem), Facts::of(&pem)) {
        (Ok(certificate), Some(facts)) => Ok(Some((certificate, facts))),
        (Err(error), _) => {
            tracing::warn!(%error, "the stored certificate cannot be used");
            store.set_aside()?;
            Ok(None)
        }
        (Ok(_), None) => {
            tracing::warn!("the stored certificate cannot be read");
            store.set_aside()?;
            Ok(None)
        }
    }
}

/// What is shown until there is something better.
fn own(names: &[String]) -> Result<Certificate, AcmeError> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names.to_vec())?.self_signed(&key)?;
    Ok(Certificate::from_pem(&together(&key, &certificate.pem()))?)
}

/// How long to wait after so many failures before this one: with some chance in it, so that many gateways do not come back at once.
fn pause(failures: u32) -> Duration {
    let longest = RETRY.saturating_mul(1 << failures.min(16)).min(RETRY_MAX);
    let tenth = u64::try_from(longest.as_millis() / 10).unwrap_or(u64::MAX);
    longest - Duration::from_millis(random_below(tenth.max(1)))
}

fn check(settings: &mut AcmeSettings) -> Result<(), AcmeError> {
    for name in &mut settings.domains {
        name.make_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(name);
        if !is_host(host) {
            return Err(AcmeError::Name(name.clone()));
        }
        let by_dns = settings.dns_exec.is_some() || settings.dns_server.is_some();
        if host.len() < name.len() && !by_dns {
            return Err(AcmeError::Wildcard(name.clone()));
        }
    }
    let directory = settings.directory.parse().ok();
    if directory.is_none_or(|uri| authority(&uri).is_none()) {
        return Err(AcmeError::Directory(settings.directory.clone()));
    }
    Ok(())
}

fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= NAME_MAX && name.parse::<IpAddr>().is_err() && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use types::{Clock as _, SystemClock};

    use super::*;

    fn open(domain: &str, data: &Path) -> AcmeWorker {
        AcmeWorker::open(settings(&[domain]), data, Arc::new(SystemClock)).expect("opened").0
    }

    fn settings(domains: &[&str]) -> AcmeSettings {
        AcmeSettings {
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            directory: "https://acme.example.com/directory".to_owned(),
            email: None,
            binding: None,
            ca: None,
            dns_exec: None,
            dns_server: None,
            tsig: None,
            dns_wait: Duration::ZERO,
        }
    }

    #[test]
    fn what_cannot_be_had_is_said_at_once() {
        let refused = |settings: AcmeSettings| check(&mut { settings }).expect_err("refused");
        assert!(matches!(refused(settings(&["*.s3.example.com"])), AcmeError::Wildcard(_)));
        for name in ["", "192.0.2.1", "a..b", "-a.example", "a b", "*.*.a", "http://a"] {
            let mut settings = settings(&[name]);
            settings.dns_exec = Some("hook".into());
            assert!(matches!(refused(settings), AcmeError::Name(_)), "{name}");
        }
        let mut plain = settings(&["s3.example.com"]);
        plain.directory = "http://acme.example.com/directory".to_owned();
        assert!(matches!(refused(plain), AcmeError::Directory(_)));
        let mut fine = settings(&["S3.Example.com", "*.s3.example.com"]);
        fine.dns_exec = Some("hook".into());
        check(&mut fine).expect("fine");
        assert_eq!(fine.domains, ["s3.example.com", "*.s3.example.com"]);
    }

    #[test]
    fn a_stored_certificate_is_shown_and_renewed_in_time() {
        let data = tempfile::tempdir().expect("a folder");
        let worker = open("a.example", data.path());
        assert_eq!(worker.due(), Timestamp(0), "at once");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        worker.store.keep_certificate(&together(&key, &pem)).expect("kept");
        let worker = open("a.example", data.path());
        assert!(worker.due() > SystemClock.now());
        let worker = open("b.example", data.path());
        assert_eq!(worker.due(), Timestamp(0), "it is not for this name");
        worker.store.keep_certificate(b"rubbish").expect("kept");
        let worker = open("a.example", data.path());
        assert_eq!(worker.due(), Timestamp(0));
        assert!(fs::exists(data.path().join("acme/certificate.unusable")).expect("readable"));
    }

    #[test]
    fn failures_are_followed_by_ever_longer_pauses() {
        assert!((RETRY * 9 / 10..=RETRY).contains(&pause(0)));
        assert!((RETRY * 36 / 10..=RETRY * 4).contains(&pause(2)));
        assert!((RETRY_MAX * 9 / 10..=RETRY_MAX).contains(&pause(40)));
    }
}
