//! Why TLS cannot be spoken with what was given.

/// What is wrong with a certificate, a key or the authorities of clients. As text it is the rest of a sentence, in which
/// nothing of a key ever stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsReason {
    /// No file has that name.
    #[error("there is no such file")]
    Missing,
    /// A directory.
    #[error("is a directory, expected a PEM file")]
    Directory,
    /// A pipe, a device or the like.
    #[error(
        "is a pipe, a device or the like, expected a regular file: it is read again for each start"
    )]
    NoFile,
    /// The system does not let it be read.
    #[error("cannot be read")]
    Unreadable,
    /// Over 1 MiB.
    #[error("is over 1 MiB, too large for PEM texts")]
    TooLarge,
    /// Nothing but blanks.
    #[error("is empty")]
    Empty,
    /// Most likely DER.
    #[error(
        "is not PEM text, there is no '-----BEGIN' line in it (`openssl x509` and `openssl pkey` with `-inform DER` \
         make PEM of DER)"
    )]
    NotPem,
    /// A section that cannot be decoded; how.
    #[error("the PEM text is damaged: {0}")]
    DamagedPem(&'static str),
    /// PEM of other things.
    #[error("holds no certificate, no line of it begins with '-----BEGIN CERTIFICATE-----'")]
    NoCertificate,
    /// PEM of other things.
    #[error(
        "holds no private key, no line of it begins with '-----BEGIN PRIVATE KEY-----' or the like"
    )]
    NoKey,
    /// A key with a password.
    #[error(
        "the private key is encrypted, and nobody is there to type its password (`openssl pkey` decrypts it)"
    )]
    EncryptedKey,
    /// The two options are swapped, most likely.
    #[error("holds a private key and no certificate; are tls_cert and tls_key swapped?")]
    KeyForCertificate,
    /// The two options are swapped, most likely.
    #[error("holds a certificate and no private key; are tls_cert and tls_key swapped?")]
    CertificateForKey,
    /// X.509 that cannot be read.
    #[error(
        "certificate {number} of {count} cannot be read: it is damaged, or not of version 3 (`openssl x509 -noout -text` shows which)"
    )]
    BadCertificate {
        /// Which one, from 1.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// More than clients take in a handshake.
    #[error(
        "its {count} certificates have {size} bytes, and clients take about 64 KiB; only those belong here that lead \
         from the server's own to a root"
    )]
    LongChain {
        /// How many there are.
        count: usize,
        /// Their bytes together.
        size: usize,
    },
    /// Sections that look like certificates and are none to a reader of PEM.
    #[error(
        "{read} of the {there} certificates in it can be read: a line of its own, '-----BEGIN CERTIFICATE-----', has to \
         begin each, with no blanks, byte order mark or end of another one before it; `BEGIN TRUSTED CERTIFICATE` is of \
         another kind"
    )]
    SkippedCertificates {
        /// How many there seem to be.
        there: usize,
        /// How many can be read.
        read: usize,
    },
    /// Also a key that is damaged inside.
    #[error(
        "the private key is damaged, or of a kind or size that is not supported (ring, which is used unless the program \
         installs another provider in `init`, takes RSA with 2048 to 4096 bits, ECDSA with P-256 or P-384, and Ed25519)"
    )]
    UnsupportedKey,
    /// Certificate and key are no pair.
    #[error(
        "the private key does not belong to the certificate of tls_cert: of a chain the server's own comes first, and of \
         several keys the first one counts"
    )]
    OtherKey,
    /// Since when, as RFC 3339 writes it.
    #[error("the certificate expired at {0}")]
    Expired(String),
    /// Until when, as RFC 3339 writes it.
    #[error("the certificate is not valid before {0}; is this machine's clock right?")]
    NotYetValid(String),
    /// A client CA that may sign nothing.
    #[error(
        "certificate {number} of {count} is not that of a CA: clients' certificates cannot be checked by it"
    )]
    NoAuthority {
        /// Which one, from 1.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// `getrandom(2)` failed.
    #[error("the system gives no random bytes for the secret of session tickets")]
    NoRandom,
    /// `clock_gettime(2)` failed.
    #[error("the system does not tell how long it runs, which session tickets are counted by")]
    NoClock,
    /// No memory file can be made of it.
    #[error("cannot be handed to workers")]
    NotHandedOut,
    /// What it said.
    #[error("the cryptography that this program installed for rustls cannot be used: {0}")]
    Provider(String),
}
