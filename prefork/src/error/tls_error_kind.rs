//! Errors of certificates, private keys and client CAs.

/// The kind of error of a certificate, a private key or a client CA.
///
/// Its text follows the name of the file or option. It never contains a part of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsErrorKind {
    /// The file does not exist.
    #[error("no such file")]
    Missing,
    /// The path is a directory.
    #[error("is a directory, expected a PEM file")]
    Directory,
    /// The path is not a regular file.
    #[error(
        "is not a regular file; it must be one, because the master reads it again at each start of a worker"
    )]
    NoFile,
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable,
    /// The file is larger than 1 MiB.
    #[error("is larger than 1 MiB")]
    TooLarge,
    /// The file is empty or contains only white space.
    #[error("is empty")]
    Empty,
    /// The file is not PEM, probably DER.
    #[error(
        "is not PEM: no line begins with '-----BEGIN' (`openssl x509 -inform DER` and `openssl pkey -inform DER` \
         convert DER to PEM)"
    )]
    NotPem,
    /// A PEM section cannot be decoded; the reason.
    #[error("the PEM is damaged: {0}")]
    DamagedPem(&'static str),
    /// The file contains no certificate.
    #[error("contains no certificate: no line begins with '-----BEGIN CERTIFICATE-----'")]
    NoCertificate,
    /// The file contains no private key.
    #[error(
        "contains no private key: no line begins with '-----BEGIN PRIVATE KEY-----', '-----BEGIN RSA PRIVATE KEY-----' \
         or '-----BEGIN EC PRIVATE KEY-----'"
    )]
    NoKey,
    /// The private key is encrypted.
    #[error("the private key is encrypted, which is not supported (`openssl pkey` decrypts it)")]
    EncryptedKey,
    /// The file contains a private key and no certificate.
    #[error("contains a private key and no certificate; are tls_cert and tls_key swapped?")]
    KeyForCertificate,
    /// The file contains a certificate and no private key.
    #[error("contains a certificate and no private key; are tls_cert and tls_key swapped?")]
    CertificateForKey,
    /// A certificate cannot be parsed.
    #[error(
        "certificate {number} of {count} cannot be parsed: it is damaged or not of version 3 \
         (`openssl x509 -noout -text` shows it)"
    )]
    BadCertificate {
        /// Its number in the file, from 1.
        number: usize,
        /// The number of certificates in the file.
        count: usize,
    },
    /// The chain is larger than clients accept in a handshake.
    #[error(
        "its {count} certificates have {size} bytes, but clients accept about 64 KiB; keep only the certificate of the \
         server and its intermediates"
    )]
    LongChain {
        /// The number of certificates in the file.
        count: usize,
        /// Their size in bytes.
        size: usize,
    },
    /// Some sections of the file look like certificates but are not valid PEM.
    #[error(
        "only {read} of {there} certificates can be read: each must begin with a line '-----BEGIN CERTIFICATE-----' \
         without leading white space or byte order mark; 'BEGIN TRUSTED CERTIFICATE' is not supported"
    )]
    SkippedCertificates {
        /// The number of sections that look like certificates.
        there: usize,
        /// The number of certificates that can be read.
        read: usize,
    },
    /// The private key is damaged or of a kind that is not supported.
    #[error(
        "the private key is damaged or not supported (ring, the default provider, supports RSA with 2048 to 4096 bits, \
         ECDSA with P-256 or P-384, and Ed25519; `init` may install another provider)"
    )]
    UnsupportedKey,
    /// The private key does not match the certificate.
    #[error(
        "the private key does not match the first certificate of tls_cert (the certificate of the server must come first; \
         if the file contains several keys, the first one is used)"
    )]
    OtherKey,
    /// The certificate has expired; the time in the format of RFC 3339.
    #[error("the certificate expired at {0}")]
    Expired(String),
    /// The certificate is not valid yet; the time in the format of RFC 3339.
    #[error("the certificate is not valid before {0}; check the clock of this machine")]
    NotYetValid(String),
    /// A certificate of the client CA is not a CA certificate.
    #[error(
        "certificate {number} of {count} is not a CA certificate, so it cannot verify client certificates"
    )]
    NoAuthority {
        /// Its number in the file, from 1.
        number: usize,
        /// The number of certificates in the file.
        count: usize,
    },
    /// `getrandom(2)` failed.
    #[error("no random bytes for the key of session tickets (getrandom)")]
    NoRandom,
    /// `clock_gettime(2)` failed.
    #[error("no clock for session tickets (clock_gettime)")]
    NoClock,
    /// No memory file can be created for the workers.
    #[error("cannot be passed to workers")]
    NotPassed,
    /// The crypto provider that the program installed cannot be used; the reason.
    #[error("the crypto provider that this program installed for rustls cannot be used: {0}")]
    Provider(String),
}
