//! Certificates and private keys in PEM texts (RFC 7468), and why there are none in a text where some should be.
//!
//! It looks at labels and base64 alone; what is inside is for others to judge. Its tests stand with those of `check`.

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::material::{CERT, Piece};
use super::refusal::{Reason, Refusal};

/// All certificates of a text, at least one.
pub(super) fn certificates(piece: &Piece) -> Result<Vec<CertificateDer<'static>>, Refusal> {
    // A key beside them that is encrypted in the older way is no base64, and none of ours to read.
    let has_encrypted = is_encrypted(&piece.pem);
    let is_beside =
        |error: &pem::Error| has_encrypted && matches!(error, pem::Error::Base64Decode(_));
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&piece.pem)
        .filter(|found| !found.as_ref().is_err_and(is_beside))
        .collect();
    let refuse = |reason| Err(Refusal::new(&piece.provenance, reason));
    let read = found.as_ref().map_or(0, Vec::len);
    let there = sections(&piece.pem);
    match found {
        // Else one is left out that somebody put there: of a chain the server's own, or an authority that is trusted.
        Ok(_) if read < there => refuse(Reason::SkippedCertificates { there, read }),
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) if piece.provenance.option == CERT && is_key(&piece.pem) => {
            refuse(Reason::KeyForCertificate)
        }
        Ok(_) => refuse(instead(&piece.pem, Reason::NoCertificate)),
        Err(error) => refuse(damage(&error)),
    }
}

/// The first private key of a text; certificates beside it are not looked at, since both may stand in one file.
pub(super) fn private_key(piece: &Piece) -> Result<PrivateKeyDer<'static>, Refusal> {
    let refuse = |reason| Err(Refusal::new(&piece.provenance, reason));
    match PrivateKeyDer::from_pem_slice(&piece.pem) {
        Ok(key) => Ok(key),
        // Before all other errors: of the two forms of encryption one reads like a damaged text.
        Err(_) if is_encrypted(&piece.pem) => refuse(Reason::EncryptedKey),
        Err(pem::Error::NoItemsFound) if CertificateDer::from_pem_slice(&piece.pem).is_ok() => {
            refuse(Reason::CertificateForKey)
        }
        Err(pem::Error::NoItemsFound) => refuse(instead(&piece.pem, Reason::NoKey)),
        Err(error) => refuse(damage(&error)),
    }
}

/// Why nothing was found, where it is not the kind that is missing.
fn instead(text: &[u8], missing: Reason) -> Reason {
    if text.trim_ascii().is_empty() {
        Reason::Empty
    } else if contains(text, b"-----BEGIN") {
        missing
    } else {
        Reason::NotPem
    }
}

/// A parser's error without the lines that it quotes.
fn damage(error: &pem::Error) -> Reason {
    Reason::DamagedPem(match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a section has no '-----END' line; was it cut, or were line ends lost?"
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a '-----BEGIN' line does not end with five hyphens, or a tab stands behind them"
        }
        pem::Error::Base64Decode(_) => "a section is not base64",
        _ => "it cannot be read",
    })
}

/// How many certificates begin somewhere in the text, also under their other names (`openssl x509`) and behind what an
/// editor put before them; a request is none.
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

/// PKCS#8 says it in the label (RFC 7468, 11), the older form in a header (RFC 1421, 4.6.1.1).
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
