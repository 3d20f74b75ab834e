//! Kinds of errors of certificates, private keys and client CAs.

/// The kind of error of a certificate, a private key or a client CA.
///
/// It is in [`Error::Tls`](crate::Error::Tls), next to a sentence with the details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// The file does not exist or cannot be read.
    Unreadable,
    /// The path is not a PEM file, or the PEM text does not contain what the option takes.
    InvalidPem,
    /// A certificate is damaged, its chain is too long, or it is not a CA certificate.
    InvalidCertificate,
    /// The private key is encrypted, damaged or not supported, or does not match the certificate.
    InvalidKey,
    /// The certificate has expired or is not valid yet.
    OutsideValidity,
    /// A system call failed: `memfd_create`, `getrandom` or `clock_gettime`.
    System,
    /// The crypto provider that the program installed for rustls cannot be used.
    Provider,
}
