//! Certificates and private keys in PEM texts (RFC 7468), and the reasons if there are none.
//!
//! Knows labels and base64. Does not know X.509; `check` does, and its tests cover this file.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::credentials::{CERT, PemText};
use super::error::{Reason, TlsError};

/// Returns all certificates of a text, at least one.
pub(super) fn certificates(piece: &PemText) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    // The same file may contain a key that is encrypted in the form of RFC 1421. Its section is not
    // base64; ignore that error.
    let has_encrypted = is_encrypted(&piece.pem);
    let is_ignored =
        |error: &pem::Error| has_encrypted && matches!(error, pem::Error::Base64Decode(_));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&piece.pem)
        .filter(|found| !found.as_ref().is_err_and(is_ignored))
        .collect();
    let reject = |reason| Err(TlsError::new(&piece.provenance, reason));
    let read = found.as_ref().map_or(0, Vec::len);
    let there = sections(&piece.pem);
    match found {
        // Without this check a certificate would be skipped silently: the server's own, or a
        // trusted CA.
        Ok(_) if read < there => reject(Reason::SkippedCertificates { there, read }),
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if piece.provenance.option == CERT && is_key(&piece.pem) => {
            reject(Reason::KeyForCertificate)
        }
        Ok(_) => reject(why_none(&piece.pem, Reason::NoCertificate)),
        Err(error) => reject(damage(&error)),
    }
}

/// Returns the first private key of a text. Ignores certificates: one file may contain both.
pub(super) fn private_key(piece: &PemText) -> Result<PrivateKeyDer<'static>, TlsError> {
    let reject = |reason| Err(TlsError::new(&piece.provenance, reason));
    match PrivateKeyDer::from_pem_slice(&piece.pem) {
        Ok(key) => Ok(key),
        // Before all other errors: a key that is encrypted in the form of RFC 1421 looks damaged.
        Err(_) if is_encrypted(&piece.pem) => reject(Reason::EncryptedKey),
        Err(pem::Error::NoItemsFound) if CertificateDer::from_pem_slice(&piece.pem).is_ok() => {
            reject(Reason::CertificateForKey)
        }
        Err(pem::Error::NoItemsFound) => reject(why_none(&piece.pem, Reason::NoKey)),
        Err(error) => reject(damage(&error)),
    }
}

/// Why a text contains nothing of the expected kind; `missing` if it contains other PEM sections.
fn why_none(text: &[u8], missing: Reason) -> Reason {
    if text.trim_ascii().is_empty() {
        Reason::Empty
    } else if contains(text, b"-----BEGIN") {
        missing
    } else {
        Reason::NotPem
    }
}

/// The error of the parser, without the lines that it quotes.
fn damage(error: &pem::Error) -> Reason {
    Reason::DamagedPem(match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a section has no '-----END' line; is the file truncated, or were its line breaks lost?"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a '-----BEGIN' line does not end with five hyphens, or has a tab after them"
        }
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be parsed",
    })
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
