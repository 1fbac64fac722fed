//! What is kept in the data folder's `acme/`: the account's key, and the certificate with its own.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use types::Timestamp;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use super::AcmeError;
use crate::operator::{self, OperatorError};

/// The folder's name.
const DIR: &str = "acme";
/// The private key and the chain, in one file so that they change together.
const CERTIFICATE: &str = "certificate.pem";

/// The folder.
pub(super) struct Store(PathBuf);

/// A certificate's life and its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    pub(super) names: Vec<String>,
}

impl Store {
    pub(super) fn open(data: &Path) -> Result<Self, AcmeError> {
        let dir = data.join(DIR);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|source| OperatorError::Io { path: dir.clone(), source })?;
        Ok(Self(dir))
    }

    /// The account with the authority of that directory.
    pub(super) fn account(&self, directory: &str) -> Result<Option<AccountCredentials>, AcmeError> {
        let path = self.account_path(directory);
        let Some(text) = operator::read_secret(&path)?.map(Zeroizing::new) else { return Ok(None) };
        // The parser's message might quote the key.
        serde_json::from_slice(&text).map(Some).map_err(|_| AcmeError::Stored {
            path,
            why: "it holds no account; remove it to make a new one".to_owned(),
        })
    }

    pub(super) fn keep_account(
        &self,
        directory: &str,
        account: &AccountCredentials,
    ) -> Result<(), AcmeError> {
        let text = serde_json::to_vec(account).map(Zeroizing::new);
        let text = text.map_err(instant_acme::Error::from)?;
        Ok(operator::write_secret(&self.account_path(directory), &text)?)
    }

    pub(super) fn forget_account(&self, directory: &str) -> Result<(), AcmeError> {
        let path = self.account_path(directory);
        fs::remove_file(&path).map_err(|source| OperatorError::Io { path, source }.into())
    }

    /// An account is nothing to another authority.
    fn account_path(&self, directory: &str) -> PathBuf {
        let of = blake3::hash(directory.as_bytes()).to_hex();
        self.0.join(format!("account-{}.json", &of[..16]))
    }

    /// Key and chain, in PEM form.
    pub(super) fn certificate(&self) -> Result<Option<Zeroizing<Vec<u8>>>, AcmeError> {
        Ok(operator::read_secret(&self.0.join(CERTIFICATE))?.map(Zeroizing::new))
    }

    pub(super) fn keep_certificate(&self, pem: &[u8]) -> Result<(), AcmeError> {
        Ok(operator::write_secret(&self.0.join(CERTIFICATE), pem)?)
    }

    /// Sets a certificate aside that cannot be used, for whoever wonders.
    pub(super) fn set_aside(&self) -> Result<(), AcmeError> {
        let path = self.0.join(CERTIFICATE);
        fs::rename(&path, path.with_extension("unusable"))
            .map_err(|source| OperatorError::Io { path, source }.into())
    }
}

impl Facts {
    /// Of the first certificate in a text in PEM form.
    pub(super) fn of(pem: &[u8]) -> Option<Self> {
        let der = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let time =
            |seconds: i64| Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().ok()??.value.general_names.iter();
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        Some(Self {
            from: time(validity.not_before.timestamp()),
            until: time(validity.not_after.timestamp()),
            names: names.collect(),
        })
    }

    /// When to ask for the next one: two thirds through its life.
    pub(super) fn renewal(&self) -> Timestamp {
        self.from.plus(self.until.since(self.from) / 3 * 2)
    }

    /// When to ask for it at the latest, whatever the authority suggests: before nine tenths of its life have passed.
    pub(super) fn latest(&self) -> Timestamp {
        self.from.plus(self.until.since(self.from) / 10 * 9)
    }

    pub(super) fn covers(&self, domains: &[String]) -> bool {
        domains.iter().all(|domain| self.names.contains(domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_to_renew_it_and_for_whom_it_is() {
        let names = ["a.example.com".to_owned(), "*.a.example.com".to_owned()];
        let mut params = rcgen::CertificateParams::new(names.to_vec()).expect("names");
        let begin = Timestamp(1_700_000_000_000);
        let minutes = |count: u64| begin.plus(std::time::Duration::from_secs(60 * count));
        params.not_before = std::time::SystemTime::from(begin).into();
        params.not_after = std::time::SystemTime::from(minutes(15)).into();
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let facts = Facts::of(format!("{}{pem}", key.serialize_pem()).as_bytes()).expect("facts");
        assert_eq!(facts.from, begin);
        assert_eq!(facts.renewal(), minutes(10));
        assert!(facts.covers(&names));
        assert!(!facts.covers(&["b.example.com".to_owned()]));
        assert_eq!(Facts::of(b"nothing"), None);
    }

    #[test]
    fn what_is_kept_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().expect("a folder");
        let store = Store::open(data.path()).expect("opened");
        assert!(store.certificate().expect("readable").is_none());
        store.keep_certificate(b"one").expect("kept");
        store.keep_certificate(b"two").expect("kept");
        assert_eq!(**store.certificate().expect("readable").expect("there"), *b"two");
        let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(data.path().join(DIR)), 0o700);
        assert_eq!(mode(data.path().join(DIR).join(CERTIFICATE)), 0o600);
    }
}
