//! Certificates and private keys in PEM texts (RFC 7468), and the reasons if there are none.
//!
//! Knows labels and base64. Does not know X.509; `check` does, and its tests cover this file.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::credentials::{CERT, PemText};
use crate::error::{Error, TlsErrorKind};

/// Returns all certificates of a text, at least one.
pub(super) fn certificates(piece: &PemText) -> Result<Vec<CertificateDer<'static>>, Error> {
    // The same file may contain a key that is encrypted in the form of RFC 1421. Its section is not
    // base64; ignore that error.
    let has_encrypted = is_encrypted(&piece.pem);
    let is_ignored =
        |error: &pem::Error| has_encrypted && matches!(error, pem::Error::Base64Decode(_));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&piece.pem)
        .filter(|found| !found.as_ref().is_err_and(is_ignored))
        .collect();
    let reject = |reason: &str| Err(piece.source.error(TlsErrorKind::InvalidPem, reason));
    let read = found.as_ref().map_or(0, Vec::len);
    let there = sections(&piece.pem);
    match found {
        // Without this check a certificate would be skipped silently: the server's own, or a
        // trusted CA.
        Ok(_) if read < there => reject(&format!(
            "only {read} of {there} certificates can be read: each must begin with a line \
             '-----BEGIN CERTIFICATE-----' without leading white space or byte order mark; \
             'BEGIN TRUSTED CERTIFICATE' is not supported"
        )),
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if piece.source.option == CERT && is_key(&piece.pem) => reject(
            "the PEM contains a private key and no certificate; are tls_cert and tls_key swapped?",
        ),
        Ok(_) => reject(why_none(
            &piece.pem,
            "the PEM contains no certificate: no line begins with '-----BEGIN CERTIFICATE-----'",
        )),
        Err(error) => reject(&damage(&error)),
    }
}

/// Returns the first private key of a text. Ignores certificates: one file may contain both.
pub(super) fn private_key(piece: &PemText) -> Result<PrivateKeyDer<'static>, Error> {
    let reject = |reason: &str| Err(piece.source.error(TlsErrorKind::InvalidPem, reason));
    match PrivateKeyDer::from_pem_slice(&piece.pem) {
        Ok(key) => Ok(key),
        // Before all other errors: a key that is encrypted in the form of RFC 1421 looks damaged.
        Err(_) if is_encrypted(&piece.pem) => Err(piece.source.error(
            TlsErrorKind::InvalidKey,
            "the private key is encrypted, which is not supported (`openssl pkey` decrypts it)",
        )),
        Err(pem::Error::NoItemsFound) if CertificateDer::from_pem_slice(&piece.pem).is_ok() => {
            reject(
                "the PEM contains a certificate and no private key; are tls_cert and tls_key swapped?",
            )
        }
        Err(pem::Error::NoItemsFound) => reject(why_none(
            &piece.pem,
            "the PEM contains no private key: no line begins with '-----BEGIN PRIVATE KEY-----', \
             '-----BEGIN RSA PRIVATE KEY-----' or '-----BEGIN EC PRIVATE KEY-----'",
        )),
        Err(error) => reject(&damage(&error)),
    }
}

/// Why a text contains nothing of the expected kind; `missing` if it contains other PEM sections.
fn why_none<'a>(text: &[u8], missing: &'a str) -> &'a str {
    if text.trim_ascii().is_empty() {
        "the content is empty"
    } else if contains(text, b"-----BEGIN") {
        missing
    } else {
        "the content is not PEM: no line begins with '-----BEGIN' (`openssl x509 -inform DER` and \
         `openssl pkey -inform DER` convert DER to PEM)"
    }
}

/// The error of the parser, without the lines that it quotes.
fn damage(error: &pem::Error) -> String {
    let what = match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a section has no '-----END' line; is the file truncated, or were its line breaks lost?"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a '-----BEGIN' line does not end with five hyphens, or has a tab after them"
        }
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be parsed",
    };
    format!("the PEM is damaged: {what}")
}

/// The number of sections that look like certificates.
///
/// Counts all labels of certificates (`openssl x509`), but not certificate requests. Also counts a
/// section that does not begin at the beginning of a line, for example after a byte order mark.
fn sections(text: &[u8]) -> usize {
    let count = |mark: &[u8]| {
        text.windows(mark.len())
            .filter(|window| *window == mark)
            .count()
    };
    count(b"-----BEGIN CERTIFICATE-----")
        + count(b"-----BEGIN X509 CERTIFICATE-----")
        + count(b"-----BEGIN TRUSTED CERTIFICATE-----")
}

fn is_key(text: &[u8]) -> bool {
    PrivateKeyDer::from_pem_slice(text).is_ok() || is_encrypted(text)
}

/// Whether a section is an encrypted key.
///
/// PKCS#8 has a label for it (RFC 7468, 11), the older form a header (RFC 1421, 4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [
        b"-----BEGIN ENCRYPTED PRIVATE KEY",
        b"Proc-Type: 4,ENCRYPTED",
    ];
    marks.iter().any(|mark| contains(text, mark))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
