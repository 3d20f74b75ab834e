//! Certificates for tests, valid and invalid ones.

use std::borrow::Cow;
use std::time::SystemTime;

use prefork_options::{OptionValue, Pem, Protocols};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use super::credentials::CredentialSources;
use crate::config::ErrorLabels;

/// A time at which the certificate of [`server`] is valid: 1 June 2030.
pub(super) fn now() -> SystemTime {
    date_time_ymd(2030, 6, 1).into()
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// A CA.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new() -> Self {
        Self::called("an authority")
    }

    pub(super) fn called(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn sign(&self, name: &str) -> Pair {
        self.sign_until(name, 4000)
    }

    /// Signs a certificate that is valid until 1 January of `year`.
    pub(super) fn sign_until(&self, name: &str, year: i32) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = date_time_ymd(year, 1, 1);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        Pair {
            cert: params
                .signed_by(&key, &self.0)
                .expect("a certificate")
                .pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A pair for `localhost`, valid from 2025 to 2035.
pub(super) fn server() -> Pair {
    valid(2025, 2035)
}

/// A pair for `localhost`, valid from 1 January of one year to 1 January of another.
pub(super) fn valid(from: i32, to: i32) -> Pair {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().expect("a key");
    Pair {
        cert: params.self_signed(&key).expect("a certificate").pem(),
        key: key.serialize_pem(),
    }
}

/// The pair as bytes that the program contains.
pub(super) fn sources(pair: &Pair) -> CredentialSources {
    CredentialSources {
        cert: bytes(&pair.cert),
        key: bytes(&pair.key),
        client_ca: None,
        alpn: Protocols::default(),
        labels: labels(),
    }
}

/// The labels if the program set all options.
pub(super) fn labels() -> ErrorLabels {
    ErrorLabels {
        listen: "listen".to_owned(),
        workers: "workers".to_owned(),
        standby: "standby".to_owned(),
        tls_cert: "tls_cert".to_owned(),
        tls_key: "tls_key".to_owned(),
        tls_client_ca: "tls_client_ca".to_owned(),
    }
}

pub(super) fn bytes(text: &str) -> Pem {
    Pem::Bytes(Cow::Owned(text.as_bytes().to_vec()))
}

pub(super) fn alpn(names: &str) -> Protocols {
    OptionValue::parse(names).expect("protocols")
}
