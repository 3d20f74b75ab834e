//! Events while certificates are replaced and while they expire.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use prefork_options::Pem;
use tempfile::TempDir;

use super::*;
use crate::tls::certificates::ratchet::PERIOD;
use crate::tls::certificates::testing::{self, Authority, Pair, now, server, valid};

/// A certificate and a key on disk, as an operator has them.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new(pair: &Pair) -> Self {
        let folder = TempDir::new().expect("a folder");
        let files = Self { folder };
        files.write(pair);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, pair: &Pair) {
        fs::write(self.path("cert.pem"), &pair.cert).expect("a file");
        fs::write(self.path("key.pem"), &pair.key).expect("a file");
    }

    fn sources(&self) -> CredentialSources {
        CredentialSources {
            cert: Pem::Path(self.path("cert.pem")),
            key: Pem::Path(self.path("key.pem")),
            ..testing::sources(&server())
        }
    }

    fn store(&self) -> CertificateStore {
        CertificateStore::new(self.sources(), now()).expect("a valid pair")
    }
}

/// The kinds of the events and their log lines.
fn lines(events: &[TlsEvent]) -> String {
    let line = |event: &TlsEvent| {
        let is = |part: &str| event.text.contains(part);
        let (kind, level) = if is("; used by all workers that start from now on") {
            ("renewed", TlsEventLevel::Info)
        } else if is("is not the issuer of any certificate before it") {
            ("unrelated", TlsEventLevel::Warning)
        } else if is("; renew it") {
            ("soon", TlsEventLevel::Warning)
        } else if is("; keeping the previous certificate") {
            ("rejected", TlsEventLevel::Error)
        } else {
            assert!(is("and is still in use"), "{event:?}");
            ("expired", TlsEventLevel::Error)
        };
        assert_eq!(event.level, level, "{event:?}");
        format!("{kind}: {}", event.text)
    };
    let lines: Vec<String> = events.iter().map(line).collect();
    match lines.as_slice() {
        [] => "nothing".to_owned(),
        lines => lines.join("\n"),
    }
}

fn end_of(store: &CertificateStore) -> SystemTime {
    store.active.leaf.expired_from()
}

const RENEWED: &str = "renewed: new certificate, valid until 2040-01-01T00:00:00Z; \
                       used by all workers that start from now on";

#[test]
fn an_invalid_pair_at_the_start_is_an_error() {
    let files = Files::new(&valid(2020, 2024));
    let error = CertificateStore::new(files.sources(), now()).expect_err("it has expired");
    let text = error.to_string();
    assert!(
        text.contains("cert.pem'): the certificate expired"),
        "{text}"
    );
}

#[test]
fn a_new_pair_is_reported_once_and_becomes_active() {
    let files = Files::new(&server());
    let mut store = files.store();
    assert_eq!(lines(&store.reload(now())), "nothing");
    let renewed = valid(2026, 2040);
    files.write(&renewed);
    assert_eq!(lines(&store.reload(now())), RENEWED);
    assert_eq!(lines(&store.reload(now())), "nothing");
    assert_eq!(*store.active.credentials.chain.pem, renewed.cert.as_bytes());
}

#[test]
fn an_invalid_pair_is_reported_once_and_the_previous_one_stays_active() {
    let good = server();
    let files = Files::new(&good);
    let mut store = files.store();
    let half = Pair {
        cert: valid(2026, 2040).cert,
        ..good.clone()
    };
    files.write(&half);
    let text = lines(&store.reload(now()));
    assert!(text.starts_with("rejected: tls_key ('"), "{text}");
    assert!(
        text.ends_with("; keeping the previous certificate"),
        "{text}"
    );
    assert_eq!(lines(&store.reload(now())), "nothing");
    assert_eq!(*store.active.credentials.chain.pem, good.cert.as_bytes());
    let other = Pair {
        cert: valid(2026, 2041).cert,
        ..good.clone()
    };
    files.write(&other);
    let text = lines(&store.reload(now()));
    assert!(
        text.starts_with("rejected: tls_key ('"),
        "another invalid pair: {text}"
    );
    files.write(&good);
    assert_eq!(lines(&store.reload(now())), "nothing");
    files.write(&half);
    let text = lines(&store.reload(now()));
    assert!(text.starts_with("rejected"), "it came again: {text}");
}

#[test]
fn debug_does_not_print_the_key() {
    let pair = server();
    let store = Files::new(&pair).store();
    let text = format!("{store:?} {store:#?}");
    let mut lines = pair.key.lines().filter(|line| line.len() > 8);
    assert!(lines.all(|line| !text.contains(line)), "{text}");
    assert!(!text.contains("45, 45, 45"), "{text}");
}

#[test]
fn removed_files_are_reported_once() {
    let files = Files::new(&server());
    let mut store = files.store();
    fs::remove_file(files.path("key.pem")).expect("it is there");
    let text = lines(&store.reload(now()));
    assert!(text.contains("key.pem'): no such file"), "{text}");
    assert_eq!(lines(&store.reload(now())), "nothing");
    fs::remove_file(files.path("cert.pem")).expect("it is there");
    let text = lines(&store.reload(now()));
    assert!(text.contains("cert.pem'): no such file"), "{text}");
}

#[test]
fn a_pair_that_is_not_valid_yet_becomes_active_when_it_is_valid() {
    let files = Files::new(&server());
    let mut store = files.store();
    files.write(&valid(2031, 2036));
    assert!(lines(&store.reload(now())).starts_with("rejected"));
    assert_eq!(lines(&store.reload(now())), "nothing");
    let later = now() + Duration::from_hours(24 * 365);
    assert!(lines(&store.reload(later)).starts_with("renewed"));
}

#[test]
fn an_expired_certificate_is_reported_once_for_each_pair() {
    let files = Files::new(&server());
    let mut store = files.store();
    let expired = end_of(&store);
    let text = lines(&store.reload(expired));
    assert!(text.starts_with("expired: tls_cert ('"), "{text}");
    assert_eq!(lines(&store.reload(expired)), "nothing");
    files.write(&valid(2026, 2040));
    assert_eq!(lines(&store.reload(expired)), RENEWED);
    let expired = end_of(&store);
    assert!(lines(&store.reload(expired)).starts_with("expired"));
}

#[test]
fn a_certificate_is_reported_once_before_and_once_after_it_expires() {
    let files = Files::new(&server());
    let mut store = files.store();
    assert_eq!(lines(&store.warnings(now())), "nothing");
    let end = end_of(&store);
    let day = Duration::from_hours(24);
    let text = lines(&store.reload(end - day));
    assert!(text.starts_with("soon: tls_cert ('"), "{text}");
    assert!(
        text.ends_with("the certificate expires at 2035-01-01T00:00:00Z; renew it"),
        "{text}"
    );
    assert_eq!(lines(&store.reload(end - day)), "nothing");
    assert!(lines(&store.reload(end)).starts_with("expired"));
    assert_eq!(lines(&store.reload(end)), "nothing");
}

#[test]
fn after_the_clock_was_set_back_events_are_reported_again() {
    let files = Files::new(&server());
    let mut store = files.store();
    let end = end_of(&store);
    assert!(lines(&store.reload(end)).starts_with("expired"));
    assert_eq!(lines(&store.reload(now())), "nothing");
    let day = Duration::from_hours(24);
    assert!(lines(&store.reload(end - day)).starts_with("soon"));
    assert!(lines(&store.reload(end)).starts_with("expired"));
}

#[test]
fn a_new_pair_that_expires_soon_is_reported_with_the_reload() {
    let files = Files::new(&server());
    let mut store = files.store();
    let backup = valid(2026, 2036);
    files.write(&backup);
    let day = Duration::from_hours(24);
    let end = SystemTime::from(rcgen::date_time_ymd(2036, 1, 1));
    let text = lines(&store.reload(end - day));
    let (renewed, soon) = text.split_once('\n').expect("two lines");
    assert!(renewed.starts_with("renewed"), "{text}");
    assert!(soon.starts_with("soon"), "{text}");
    assert_eq!(lines(&store.reload(end - day)), "nothing");
}

#[test]
fn an_invalid_pair_does_not_hide_that_the_active_one_has_expired() {
    let files = Files::new(&server());
    let mut store = files.store();
    fs::remove_file(files.path("key.pem")).expect("it is there");
    let expired = end_of(&store);
    let text = lines(&store.reload(expired));
    assert!(text.starts_with("rejected: tls_key ('"), "{text}");
    assert!(text.contains("\nexpired: tls_cert ('"), "{text}");
    assert_eq!(lines(&store.reload(expired)), "nothing");
}

#[test]
fn files_that_are_replaced_while_they_are_read_are_read_again() {
    let files = Files::new(&server());
    let (old, new) = (valid(2026, 2040), valid(2026, 2041));
    files.write(&old);
    let read = |check: &dyn Fn(&Credentials) -> Result<(), Error>| {
        read_and_check(&files.sources(), |found| {
            check(found).map(|()| found.chain.pem.to_vec())
        })
    };
    let reject = |found: &Credentials| {
        Err(found
            .key
            .source
            .error(TlsErrorKind::InvalidKey, "another key"))
    };
    let reject_first = |found: &Credentials| {
        if *found.chain.pem == new.cert.as_bytes() {
            return Ok(());
        }
        files.write(&new);
        reject(found)
    };
    assert_eq!(
        read(&reject_first).expect("the new pair"),
        new.cert.as_bytes()
    );
    let (found, _) = read(&reject).expect_err("it is rejected, and does not change");
    assert_eq!(*found.expect("it was read").chain.pem, new.cert.as_bytes());
    let count = std::cell::Cell::new(0);
    let reject_and_change = |found: &Credentials| {
        count.set(count.get() + 1);
        files.write(&server());
        reject(found)
    };
    assert!(read(&reject_and_change).is_err());
    assert_eq!(count.get(), 2, "read again only once");
}

#[test]
fn a_symbolic_link_to_a_new_target_is_a_new_pair() {
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for (name, pair) in [("1", server()), ("2", valid(2026, 2040))] {
        fs::create_dir(path(name)).expect("a folder");
        fs::write(path(name).join("cert.pem"), &pair.cert).expect("a file");
        fs::write(path(name).join("key.pem"), &pair.key).expect("a file");
    }
    let switch = |to: &str| {
        std::os::unix::fs::symlink(to, path("next")).expect("a link");
        fs::rename(path("next"), path("live")).expect("it is switched");
    };
    switch("1");
    let sources = CredentialSources {
        cert: Pem::Path(path("live").join("cert.pem")),
        key: Pem::Path(path("live").join("key.pem")),
        ..testing::sources(&server())
    };
    let mut store = CertificateStore::new(sources, now()).expect("a valid pair");
    assert_eq!(lines(&store.reload(now())), "nothing");
    switch("2");
    assert_eq!(lines(&store.reload(now())), RENEWED);
}

#[test]
fn an_unrelated_certificate_is_reported_once_for_each_pair() {
    let (authority, unrelated) = (Authority::new(), Authority::called("another CA"));
    let signed = authority.sign("localhost");
    let with = |others: &[&Authority]| {
        let others: Vec<String> = others.iter().map(|other| other.pem()).collect();
        Pair {
            cert: [signed.cert.clone(), others.concat()].concat(),
            key: signed.key.clone(),
        }
    };
    let files = Files::new(&with(&[&authority, &unrelated]));
    let mut store = files.store();
    let text = lines(&store.warnings(now()));
    assert!(text.starts_with("unrelated: tls_cert ('"), "{text}");
    assert!(
        text.contains("certificate 3 is not the issuer of any certificate before it"),
        "{text}"
    );
    assert_eq!(lines(&store.reload(now())), "nothing");
    files.write(&with(&[&authority]));
    let text = lines(&store.reload(now()));
    assert!(
        text.starts_with("renewed") && !text.contains("unrelated"),
        "{text}"
    );
    files.write(&with(&[&unrelated]));
    let text = lines(&store.reload(now()));
    assert!(text.contains("\nunrelated: "), "{text}");
}

#[test]
fn a_child_gets_the_active_certificate() {
    let received = |store: &mut CertificateStore| {
        let fd = store.bundle_fd(Duration::ZERO).expect("a file");
        TlsBundle::read(fd).expect("complete").credentials.chain.pem
    };
    let files = Files::new(&server());
    let mut store = files.store();
    assert_eq!(received(&mut store), store.active.credentials.chain.pem);
    let renewed = valid(2026, 2040);
    files.write(&renewed);
    assert_eq!(lines(&store.reload(now())), RENEWED);
    assert_eq!(*received(&mut store), renewed.cert.as_bytes());
}

#[test]
fn a_later_child_gets_no_old_ticket_secrets() {
    let start = since_boot().expect("a clock");
    let mut store = Files::new(&server()).store();
    let mut tickets_at = |now| {
        let fd = store.bundle_fd(now).expect("a file");
        TlsBundle::read(fd).expect("complete").tickets
    };
    let first = tickets_at(start);
    let later = start + 3 * PERIOD;
    let mut expected = first.clone();
    expected.advance(later);
    let tickets = tickets_at(later);
    assert_eq!(tickets, expected);
    assert_ne!(tickets, first);
}

#[test]
fn a_new_pair_does_not_change_the_ticket_keys() {
    let files = Files::new(&server());
    let mut store = files.store();
    let first = store.tickets.clone();
    files.write(&valid(2026, 2040));
    assert_eq!(lines(&store.reload(now())), RENEWED);
    assert_eq!(store.tickets, first);
}

#[test]
fn a_new_client_ca_becomes_active_although_the_certificate_has_expired() {
    let files = Files::new(&server());
    let ca = files.path("ca.pem");
    fs::write(&ca, Authority::new().pem()).expect("a file");
    let mut sources = files.sources();
    sources.client_ca = Some(Pem::Path(ca.clone()));
    let mut store = CertificateStore::new(sources, now()).expect("a valid pair");
    let expired = end_of(&store);
    assert!(lines(&store.reload(expired)).starts_with("expired"));
    let trusted = Authority::new().pem();
    fs::write(&ca, &trusted).expect("a file");
    let text = lines(&store.reload(expired));
    assert!(text.starts_with("renewed: new client CA; "), "{text}");
    let client_ca = store.active.credentials.client_ca.as_ref().expect("one");
    assert_eq!(*client_ca.pem, trusted.as_bytes());
    assert_eq!(lines(&store.reload(expired)), "nothing");
    files.write(&valid(2026, 2040));
    fs::write(&ca, Authority::new().pem()).expect("a file");
    let text = lines(&store.reload(expired));
    assert!(
        text.contains("2040-01-01T00:00:00Z, and new client CA; "),
        "{text}"
    );
}

#[test]
fn single_process_mode_gets_the_bundle_of_a_child() {
    let files = Files::new(&server());
    let store = files.store();
    let tickets = store.tickets.clone();
    let bundle = store.into_bundle();
    assert_eq!(bundle.tickets, tickets);
    bundle.server_config().expect("a valid pair");
}
