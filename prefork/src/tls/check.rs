//! Whether what was read is of any use: each mistake that people make with certificates has its own words.
//!
//! It reads X.509 and asks the cryptography that serves later whether it takes the key; it opens no file and is told what
//! time it is.
//!
//! Only the server's own certificate is judged by its dates. Chains carry expired certificates of CAs on purpose (a
//! cross-signature for old clients); and the dates of a client CA are not looked at in a handshake either (RFC 5280,
//! 6.1.1, trusts a name and a key), so that refusing here what serves there would only make the exchange of a CA harder,
//! where the old and the new one stand in one file for a while.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, RootCertStore};
use x509_parser::certificate::X509Certificate;

use super::leaf::{Age, Leaf};
use super::material::{Material, Piece};
use super::pem::{certificates, private_key};
use super::refusal::{Reason, Refusal};

/// The most bytes of a chain: clients take no handshake message of more than 64 KiB, and nothing else stands in this one.
const MOST_CHAIN: usize = 60 * 1024;

impl Material {
    /// Judges everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn check(&self, now: SystemTime) -> Result<(), Refusal> {
        self.check_use()?;
        self.check_dates(now)
    }

    /// Judges everything but dates.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(super) fn check_use(&self) -> Result<(), Refusal> {
        self.certified_key(&provider())?;
        self.anchors()?;
        Ok(())
    }

    /// What the server's own certificate says.
    ///
    /// # Errors
    /// There is none that can be read.
    pub(super) fn leaf(&self) -> Result<Leaf, Refusal> {
        let chain = certificates(&self.chain)?;
        Ok(Leaf::of(&parse(&self.chain, &chain, 0)?))
    }

    /// Judges the dates of the server's certificate.
    ///
    /// # Errors
    /// It is expired, or not valid yet.
    pub(super) fn check_dates(&self, now: SystemTime) -> Result<(), Refusal> {
        let leaf = self.leaf()?;
        let reason = match leaf.age(now) {
            Age::Good | Age::NearItsEnd => return Ok(()),
            Age::Expired => Reason::Expired(leaf.until()),
            Age::NotYetValid => Reason::NotYetValid(leaf.from()),
        };
        Err(Refusal::new(&self.chain.provenance, reason))
    }

    /// Which certificate of the chain has signed none of those before it; its number, from 1. Clients may sort a chain
    /// (RFC 8446, 4.4.2), but nothing helps where one is missing. One that has signed any of them is no cause for a word:
    /// a chain may lead to two roots.
    pub(super) fn astray(&self) -> Result<Option<usize>, Refusal> {
        let chain = certificates(&self.chain)?;
        let places = 0..chain.len();
        let certificates: Result<Vec<_>, _> = places
            .map(|place| parse(&self.chain, &chain, place))
            .collect();
        let certificates = certificates?;
        let is_astray = |&place: &usize| {
            let subject = certificates[place].subject();
            let mut before = certificates[..place].iter();
            !before.any(|certificate| certificate.issuer() == subject)
        };
        Ok((1..certificates.len())
            .find(is_astray)
            .map(|place| place + 1))
    }

    /// The server's chain with its key, which fit each other.
    pub(super) fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Refusal> {
        let chain = certificates(&self.chain)?;
        let count = chain.len();
        for place in 0..count {
            parse(&self.chain, &chain, place)?;
        }
        let size = chain
            .iter()
            .map(|certificate| certificate.len())
            .sum::<usize>();
        if size > MOST_CHAIN {
            return Err(Refusal::new(
                &self.chain.provenance,
                Reason::LongChain { count, size },
            ));
        }
        let key = private_key(&self.key)?;
        let refuse_key = |reason| Refusal::new(&self.key.provenance, reason);
        let key = provider.key_provider.load_private_key(key);
        // What a provider says is not repeated: it saw the key.
        let key = key.map_err(|_| refuse_key(Reason::UnsupportedKey))?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key in hardware may not tell its public half; the handshake will.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(Error::InconsistentKeys(_)) => Err(refuse_key(Reason::OtherKey)),
            Err(_) => {
                let reason = Reason::BadCertificate { number: 1, count };
                Err(Refusal::new(&self.chain.provenance, reason))
            }
        }
    }

    /// Who may sign clients' certificates, where they are asked for.
    pub(super) fn anchors(&self) -> Result<Option<RootCertStore>, Refusal> {
        let Some(piece) = &self.client_ca else {
            return Ok(None);
        };
        let found = certificates(piece)?;
        let count = found.len();
        let mut store = RootCertStore::empty();
        for (place, der) in found.iter().enumerate() {
            let number = place + 1;
            let refuse = |reason| Refusal::new(&piece.provenance, reason);
            if !may_sign(&parse(piece, &found, place)?) {
                return Err(refuse(Reason::NoAuthority { number, count }));
            }
            let added = store.add(der.clone());
            added.map_err(|_| refuse(Reason::BadCertificate { number, count }))?;
        }
        Ok(Some(store))
    }
}

/// What the program installed for rustls, else ring.
pub(super) fn provider() -> Arc<CryptoProvider> {
    match CryptoProvider::get_default() {
        Some(installed) => Arc::clone(installed),
        None => Arc::new(rustls::crypto::ring::default_provider()),
    }
}

fn parse<'a>(
    piece: &Piece,
    found: &'a [CertificateDer<'static>],
    place: usize,
) -> Result<X509Certificate<'a>, Refusal> {
    if let Ok(([], certificate)) = x509_parser::parse_x509_certificate(&found[place]) {
        return Ok(certificate);
    }
    let (number, count) = (place + 1, found.len());
    let reason = Reason::BadCertificate { number, count };
    Err(Refusal::new(&piece.provenance, reason))
}

/// Whether certificates can be checked by this one. A client's certificate that signed itself is its own authority: that
/// is how single clients are let in without a CA, where it does not say `CA:TRUE` of itself. One that another has signed
/// says in its extensions whether it may sign.
fn may_sign(certificate: &X509Certificate<'_>) -> bool {
    certificate.is_ca() || certificate.subject() == certificate.issuer()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Pair, bytes, now, server, sources, valid};
    use super::*;

    fn check(pair: &Pair) -> Result<(), Refusal> {
        let material = Material::read(&sources(pair)).expect("bytes can be read");
        material.check(now())
    }

    /// The refusal's text. None of the key's may stand in it.
    fn refused(pair: &Pair) -> String {
        let refusal = check(pair).expect_err("it is bad");
        let shown = format!("{refusal} {refusal:?}");
        for line in pair.key.lines().filter(|line| !line.starts_with("---")) {
            assert!(line.len() < 8 || !shown.contains(line), "{shown}");
        }
        refusal.to_string()
    }

    fn with_client_ca(text: &str) -> Result<(), Refusal> {
        let mut sources = sources(&server());
        sources.client_ca = Some(bytes(text));
        let material = Material::read(&sources).expect("bytes can be read");
        material.check(now())
    }

    /// In the form of RFC 1421: its headers are no base64.
    const ENCRYPTED: &str = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AB\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";

    #[test]
    fn a_pair_that_fits_is_good() {
        let good = server();
        check(&good).expect("a good pair");
        for line_end in ["\r\n", "\r"] {
            let cert = good.cert.replace('\n', line_end);
            let key = good.key.replace('\n', line_end);
            check(&Pair { cert, key }).expect("a good pair");
        }
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
            let params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
            check(&Pair {
                cert: params.self_signed(&key).expect("a certificate").pem(),
                key: key.serialize_pem(),
            })
            .expect("a good pair");
        }
    }

    #[test]
    fn both_may_stand_in_one_file_and_other_texts_beside_them() {
        let Pair { cert, key } = server();
        let parameters =
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let both = format!("subject=/CN=localhost\n{parameters}{key}\n{cert}");
        check(&Pair {
            cert: both.clone(),
            key: both,
        })
        .expect("a good pair");
    }

    #[test]
    fn an_encrypted_key_beside_the_certificate_is_of_no_concern_to_it() {
        let good = server();
        for cert in [
            [&good.cert, ENCRYPTED].concat(),
            [ENCRYPTED, &good.cert].concat(),
        ] {
            let key = cert.clone();
            check(&Pair {
                cert: cert.clone(),
                ..good.clone()
            })
            .expect("a good pair");
            let both = refused(&Pair { cert, key });
            assert!(both.contains("the private key is encrypted"), "{both}");
        }
    }

    #[test]
    fn each_mistake_with_the_certificate_has_its_words() {
        let good = server();
        let half = &good.cert[..good.cert.len() / 2];
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let request =
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        for (cert, reason) in [
            (" \n", "is empty"),
            ("hello", "is not PEM text"),
            (request, "holds no certificate"),
            (
                &good.key,
                "holds a private key and no certificate; are tls_cert and tls_key swapped?",
            ),
            (ENCRYPTED, "holds a private key and no certificate"),
            (half, "a section has no '-----END' line"),
            (&good.cert.replace('\n', " "), "were line ends lost?"),
            (
                &good.cert.replace("-----\nMII", "-MII"),
                "does not end with five hyphens",
            ),
            (&good.cert.replace("MII", "M!I"), "is not base64"),
            (not_x509, "certificate 1 of 1 cannot be read"),
            (
                &format!("\u{feff}{}{}", good.cert, server().cert),
                "1 of the 2 certificates in it can be read",
            ),
            (
                &good.cert.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
                "0 of the 1 certificates in it can be read",
            ),
            (&good.cert.repeat(200), "its 200 certificates have "),
            (
                &format!("{}{not_x509}", good.cert),
                "certificate 2 of 2 cannot be read",
            ),
        ] {
            let pair = Pair {
                cert: cert.to_owned(),
                ..good.clone()
            };
            let text = refused(&pair);
            assert!(
                text.starts_with("tls_cert (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn each_mistake_with_the_key_has_its_words() {
        let good = server();
        let half = &good.key[..good.key.len() / 2];
        let label = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let kind = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        for (key, reason) in [
            ("", "is empty"),
            ("hello", "is not PEM text"),
            (public, "holds no private key"),
            (
                &good.cert,
                "holds a certificate and no private key; are tls_cert and tls_key swapped?",
            ),
            (&label, "the private key is encrypted"),
            (ENCRYPTED, "the private key is encrypted"),
            (half, "a section has no '-----END' line"),
            (&good.key.replace('\n', ""), "were line ends lost?"),
            (
                &good.key.replacen("-----\n", "", 1),
                "does not end with five hyphens",
            ),
            (&good.key.replace('M', "!"), "is not base64"),
            (kind, "of a kind or size that is not supported"),
            (
                &server().key,
                "does not belong to the certificate of tls_cert",
            ),
        ] {
            let pair = Pair {
                key: key.to_owned(),
                ..good.clone()
            };
            let text = refused(&pair);
            assert!(
                text.starts_with("tls_key (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }

    #[test]
    fn a_swapped_pair_is_told_as_one() {
        let Pair { cert, key } = server();
        let swapped = Pair {
            cert: key,
            key: cert,
        };
        let refusal = check(&swapped).expect_err("they are swapped");
        assert_eq!(refusal.reason, Reason::KeyForCertificate);
    }

    #[test]
    fn dates_are_told_in_utc() {
        assert_eq!(
            refused(&valid(2020, 2024)),
            "tls_cert (bytes from the program): the certificate expired at 2024-01-01T00:00:00Z"
        );
        let text = refused(&valid(2034, 2036));
        assert!(
            text.contains("is not valid before 2034-01-01T00:00:00Z"),
            "{text}"
        );
    }

    #[test]
    fn dates_before_the_epoch_are_dates() {
        let text = refused(&valid(1955, 1965));
        assert!(text.contains("expired at 1965-01-01T00:00:00Z"), "{text}");
    }

    #[test]
    fn an_expired_certificate_of_a_ca_in_the_chain_is_not_judged() {
        let good = server();
        let cert = format!("{}{}", good.cert, valid(2020, 2024).cert);
        check(&Pair { cert, ..good }).expect("a good pair");
    }

    #[test]
    fn a_client_ca_may_be_several_and_expired_and_a_client_that_signed_itself() {
        let (one, other) = (Authority::new().pem(), Authority::new().pem());
        with_client_ca(&one).expect("a CA");
        with_client_ca(&format!("{one}{other}")).expect("two");
        with_client_ca(&valid(2020, 2024).cert).expect("it signed itself");
    }

    #[test]
    fn each_mistake_with_the_client_ca_has_its_words() {
        let authority = Authority::new();
        let Pair { cert, key } = authority.sign("client");
        let not_x509 = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, reason) in [
            ("", "is empty"),
            ("hello", "is not PEM text"),
            (&key, "holds no certificate"),
            (not_x509, "certificate 1 of 1 cannot be read"),
            (&cert, "certificate 1 of 1 is not that of a CA"),
            (
                &format!("{}{cert}", authority.pem()),
                "certificate 2 of 2 is not that of a CA",
            ),
        ] {
            let text = with_client_ca(text).expect_err(reason).to_string();
            assert!(
                text.starts_with("tls_client_ca (bytes from the program): "),
                "{text}"
            );
            assert!(text.contains(reason), "{text}");
        }
    }
}
