//! The names and the validity of the server's own certificate.
//!
//! The time is an argument. Rejects nothing: a certificate without names is described like any
//! other.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

/// The names and dates of the first certificate of a chain.
#[derive(Debug)]
pub(crate) struct Leaf {
    names: Vec<String>,
    not_before: ASN1Time,
    not_after: ASN1Time,
}

/// The validity of a certificate at a time. The variants are in chronological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Validity {
    NotYetValid,
    Valid,
    /// Less than a tenth of the validity period is left.
    ///
    /// Automatic renewal happens much earlier, when a third or a half of the period is left.
    ExpiresSoon,
    Expired,
}

impl Leaf {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            names: names(certificate),
            not_before: validity.not_before,
            not_after: validity.not_after,
        }
    }

    pub(super) fn validity(&self, now: SystemTime) -> Validity {
        let (from, until) = (system_time(self.not_before), self.expired_from());
        if now >= until {
            return Validity::Expired;
        }
        if now < from {
            return Validity::NotYetValid;
        }
        let span = |from, to: SystemTime| to.duration_since(from).unwrap_or_default();
        if span(now, until) < span(from, until) / 10 {
            return Validity::ExpiresSoon;
        }
        Validity::Valid
    }

    /// The first second of the validity, in the format of RFC 3339.
    pub(super) fn from(&self) -> String {
        utc(self.not_before)
    }

    /// The last second of the validity, in the format of RFC 3339.
    pub(super) fn until(&self) -> String {
        utc(self.not_after)
    }

    /// The first time at which the certificate has expired.
    ///
    /// The second in the certificate still belongs to the validity (RFC 5280, 4.1.2.5).
    pub(super) fn expired_from(&self) -> SystemTime {
        system_time(self.not_after) + Duration::from_secs(1)
    }
}

/// The names and the end of the validity, for `PREFORK_EXPLAIN`.
impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.names.as_slice() {
            [] => f.write_str("for no name, so most clients reject it")?,
            names => write!(f, "for {}", names.join(", "))?,
        }
        write!(f, "; valid until {}", self.until())
    }
}

/// The subject alternative names. Clients compare only these, not the subject (RFC 9525, 2).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let name = |name: &GeneralName<'_>| match *name {
        GeneralName::DNSName(name) => Some(name.to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(name)
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).to_string());
    let v6 = <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).to_string());
    v4.or(v6).ok()
}

fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

fn utc(time: ASN1Time) -> String {
    let time = time.to_datetime();
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn leaf(params: &CertificateParams) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let parsed = x509_parser::parse_x509_certificate(certificate.der());
        let (_, parsed) = parsed.expect("a certificate");
        Leaf::of(&parsed)
    }

    fn named(names: &[&str]) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2030, 4, 11);
        params
    }

    #[test]
    fn the_text_contains_the_names_and_the_end_of_the_validity() {
        let names = ["*.example.org", "127.0.0.1", "::1"];
        assert_eq!(
            leaf(&named(&names)).to_string(),
            "for *.example.org, 127.0.0.1, ::1; valid until 2030-04-11T00:00:00Z"
        );
        let unnamed = leaf(&named(&[])).to_string();
        assert!(unnamed.starts_with("for no name, "), "{unnamed}");
    }

    #[test]
    fn a_certificate_expires_soon_in_the_last_tenth_of_its_validity() {
        // The validity is 100 days.
        let leaf = leaf(&named(&[]));
        for (month, day, age) in [
            (1, 1, Validity::Valid),
            (3, 31, Validity::Valid),
            (4, 2, Validity::ExpiresSoon),
            (4, 11, Validity::ExpiresSoon),
            (4, 12, Validity::Expired),
        ] {
            let now = date_time_ymd(2030, month, day).into();
            assert_eq!(leaf.validity(now), age, "{month}/{day}");
        }
        let before = date_time_ymd(2029, 12, 31).into();
        assert_eq!(leaf.validity(before), Validity::NotYetValid);
    }

    #[test]
    fn the_last_second_belongs_to_the_validity() {
        let leaf = leaf(&named(&[]));
        let end: SystemTime = date_time_ymd(2030, 4, 11).into();
        let age = |end| leaf.validity(end);
        assert_eq!(age(end), Validity::ExpiresSoon);
        assert_eq!(age(end + Duration::from_millis(999)), Validity::ExpiresSoon);
        assert_eq!(age(end + Duration::from_secs(1)), Validity::Expired);
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_has_expired() {
        let mut params = named(&[]);
        std::mem::swap(&mut params.not_before, &mut params.not_after);
        let leaf = leaf(&params);
        let inside = date_time_ymd(2030, 2, 1).into();
        assert_eq!(leaf.validity(inside), Validity::Expired);
    }
}
