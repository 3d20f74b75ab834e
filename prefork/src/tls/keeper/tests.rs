//! What is told of certificates while they are exchanged, grow old and expire.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use prefork_options::Pem;
use tempfile::TempDir;

use super::*;
use crate::tls::ratchet::PERIOD;
use crate::tls::testing::{self, Authority, Pair, now, server, valid};

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

    fn sources(&self) -> Sources {
        Sources {
            cert: Pem::Path(self.path("cert.pem")),
            key: Pem::Path(self.path("key.pem")),
            ..testing::sources(&server())
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper::new(self.sources(), now()).expect("a good pair")
    }
}

/// Which news there are, and their lines.
fn told(news: &[News]) -> String {
    let told = |news: &News| {
        let kind = match news {
            News::Renewed { .. } => "renewed",
            News::Astray { .. } => "astray",
            News::NearItsEnd { .. } => "soon",
            News::Refused(_) => "refused",
            News::Expired(_) => "expired",
        };
        format!("{kind}: {news}")
    };
    let told: Vec<String> = news.iter().map(told).collect();
    match told.as_slice() {
        [] => "nothing".to_owned(),
        told => told.join("\n"),
    }
}

fn end_of(keeper: &Keeper) -> SystemTime {
    keeper.serving.leaf().expired_from()
}

const RENEWED: &str =
    "renewed: new certificate, good until 2040-01-01T00:00:00Z; it serves from the next worker on";

#[test]
fn a_bad_pair_at_the_start_is_refused() {
    let files = Files::new(&valid(2020, 2024));
    let refusal = Keeper::new(files.sources(), now()).expect_err("it is expired");
    let text = refusal.to_string();
    assert!(
        text.contains("cert.pem'): the certificate expired"),
        "{text}"
    );
}

#[test]
fn a_new_pair_is_told_once_and_serves() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    assert_eq!(told(&keeper.renew(now())), "nothing");
    let renewed = valid(2026, 2040);
    files.write(&renewed);
    assert_eq!(told(&keeper.renew(now())), RENEWED);
    assert_eq!(told(&keeper.renew(now())), "nothing");
    assert_eq!(
        *keeper.serving.material().chain.pem,
        renewed.cert.as_bytes()
    );
}

#[test]
fn a_bad_pair_is_told_once_while_the_last_good_one_serves_on() {
    let good = server();
    let files = Files::new(&good);
    let mut keeper = files.keeper();
    let half = Pair {
        cert: valid(2026, 2040).cert,
        ..good.clone()
    };
    files.write(&half);
    let text = told(&keeper.renew(now()));
    assert!(text.starts_with("refused: tls_key ('"), "{text}");
    assert_eq!(told(&keeper.renew(now())), "nothing");
    assert_eq!(*keeper.serving.material().chain.pem, good.cert.as_bytes());
    let other = Pair {
        cert: valid(2026, 2041).cert,
        ..good.clone()
    };
    files.write(&other);
    let text = told(&keeper.renew(now()));
    assert!(
        text.starts_with("refused: tls_key ('"),
        "another bad one: {text}"
    );
    files.write(&good);
    assert_eq!(told(&keeper.renew(now())), "nothing");
    files.write(&half);
    let text = told(&keeper.renew(now()));
    assert!(text.starts_with("refused"), "it came again: {text}");
}

#[test]
fn nothing_shows_the_key() {
    let pair = server();
    let keeper = Files::new(&pair).keeper();
    let shown = format!("{keeper:?} {keeper:#?}");
    let mut lines = pair.key.lines().filter(|line| line.len() > 8);
    assert!(lines.all(|line| !shown.contains(line)), "{shown}");
    assert!(!shown.contains("45, 45, 45"), "{shown}");
}

#[test]
fn files_that_went_are_told_once() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    fs::remove_file(files.path("key.pem")).expect("it is there");
    let text = told(&keeper.renew(now()));
    assert!(text.contains("key.pem'): there is no such file"), "{text}");
    assert_eq!(told(&keeper.renew(now())), "nothing");
    fs::remove_file(files.path("cert.pem")).expect("it is there");
    let text = told(&keeper.renew(now()));
    assert!(text.contains("cert.pem'): there is no such file"), "{text}");
}

#[test]
fn a_pair_that_is_not_valid_yet_serves_as_soon_as_it_is() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    files.write(&valid(2031, 2036));
    assert!(told(&keeper.renew(now())).starts_with("refused"));
    assert_eq!(told(&keeper.renew(now())), "nothing");
    let later = now() + Duration::from_hours(24 * 365);
    assert!(told(&keeper.renew(later)).starts_with("renewed"));
}

#[test]
fn that_what_serves_has_expired_is_told_once_for_each_pair() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    let expired = end_of(&keeper);
    let text = told(&keeper.renew(expired));
    assert!(text.starts_with("expired: tls_cert ('"), "{text}");
    assert_eq!(told(&keeper.renew(expired)), "nothing");
    files.write(&valid(2026, 2040));
    assert_eq!(told(&keeper.renew(expired)), RENEWED);
    let expired = end_of(&keeper);
    assert!(told(&keeper.renew(expired)).starts_with("expired"));
}

#[test]
fn that_the_end_is_near_is_told_once_and_then_that_it_came() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    assert_eq!(told(&keeper.concerns(now())), "nothing");
    let end = end_of(&keeper);
    let day = Duration::from_hours(24);
    let text = told(&keeper.renew(end - day));
    assert!(text.starts_with("soon: tls_cert ('"), "{text}");
    assert!(
        text.ends_with("expires at 2035-01-01T00:00:00Z, and there is no newer one yet"),
        "{text}"
    );
    assert_eq!(told(&keeper.renew(end - day)), "nothing");
    assert!(told(&keeper.renew(end)).starts_with("expired"));
    assert_eq!(told(&keeper.renew(end)), "nothing");
}

#[test]
fn a_clock_that_was_wrong_does_not_have_the_last_word() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    let end = end_of(&keeper);
    assert!(told(&keeper.renew(end)).starts_with("expired"));
    assert_eq!(told(&keeper.renew(now())), "nothing");
    let day = Duration::from_hours(24);
    assert!(told(&keeper.renew(end - day)).starts_with("soon"));
    assert!(told(&keeper.renew(end)).starts_with("expired"));
}

#[test]
fn that_a_new_pair_is_near_its_end_is_told_with_it() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    let backup = valid(2026, 2036);
    files.write(&backup);
    let day = Duration::from_hours(24);
    let end = SystemTime::from(rcgen::date_time_ymd(2036, 1, 1));
    let text = told(&keeper.renew(end - day));
    let (renewed, soon) = text.split_once('\n').expect("two lines");
    assert!(renewed.starts_with("renewed"), "{text}");
    assert!(soon.starts_with("soon"), "{text}");
    assert_eq!(told(&keeper.renew(end - day)), "nothing");
}

#[test]
fn a_refusal_does_not_hide_that_what_serves_has_expired() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    fs::remove_file(files.path("key.pem")).expect("it is there");
    let expired = end_of(&keeper);
    let text = told(&keeper.renew(expired));
    assert!(text.starts_with("refused: tls_key ('"), "{text}");
    assert!(text.contains("\nexpired: tls_cert ('"), "{text}");
    assert_eq!(told(&keeper.renew(expired)), "nothing");
}

#[test]
fn files_that_are_exchanged_while_they_are_read_are_read_again() {
    let files = Files::new(&server());
    let (half, whole) = (valid(2026, 2040), valid(2026, 2041));
    files.write(&half);
    let read = |judge: &dyn Fn(&Material) -> Result<(), Refusal>| {
        read_and_judge(&files.sources(), |seen| {
            judge(seen).map(|()| seen.chain.pem.to_vec())
        })
    };
    let bad = |seen: &Material| Err(Refusal::new(&seen.key.provenance, Reason::OtherKey));
    let half_read = |seen: &Material| {
        if *seen.chain.pem == whole.cert.as_bytes() {
            return Ok(());
        }
        files.write(&whole);
        bad(seen)
    };
    assert_eq!(read(&half_read).expect("whole now"), whole.cert.as_bytes());
    let (seen, _) = read(&bad).expect_err("it is bad, and stays the same");
    assert_eq!(*seen.expect("it was read").chain.pem, whole.cert.as_bytes());
    let count = std::cell::Cell::new(0);
    let ever_other = |seen: &Material| {
        count.set(count.get() + 1);
        files.write(&server());
        bad(seen)
    };
    assert!(read(&ever_other).is_err());
    assert_eq!(count.get(), 2, "it has an end");
}

#[test]
fn a_link_that_is_switched_is_a_new_pair() {
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
    let sources = Sources {
        cert: Pem::Path(path("live").join("cert.pem")),
        key: Pem::Path(path("live").join("key.pem")),
        ..testing::sources(&server())
    };
    let mut keeper = Keeper::new(sources, now()).expect("a good pair");
    assert_eq!(told(&keeper.renew(now())), "nothing");
    switch("2");
    assert_eq!(told(&keeper.renew(now())), RENEWED);
}

#[test]
fn a_certificate_that_leads_nowhere_is_told_once_for_each_pair() {
    let (authority, stranger) = (Authority::new(), Authority::called("a stranger"));
    let signed = authority.sign("localhost");
    let with = |others: &[&Authority]| {
        let others: Vec<String> = others.iter().map(|other| other.pem()).collect();
        Pair {
            cert: [signed.cert.clone(), others.concat()].concat(),
            key: signed.key.clone(),
        }
    };
    let files = Files::new(&with(&[&authority, &stranger]));
    let mut keeper = files.keeper();
    let text = told(&keeper.concerns(now()));
    assert!(text.starts_with("astray: tls_cert ('"), "{text}");
    assert!(
        text.contains("certificate 3 has signed none of those before it"),
        "{text}"
    );
    assert_eq!(told(&keeper.renew(now())), "nothing");
    files.write(&with(&[&authority]));
    let text = told(&keeper.renew(now()));
    assert!(
        text.starts_with("renewed") && !text.contains("astray"),
        "{text}"
    );
    files.write(&with(&[&stranger]));
    let text = told(&keeper.renew(now()));
    assert!(text.contains("\nastray: "), "{text}");
}

#[test]
fn a_child_gets_what_serves_then() {
    let received = |keeper: &mut Keeper| {
        let fd = keeper.parcel_fd(Duration::ZERO).expect("a file");
        Parcel::read(fd).expect("whole").material.chain.pem
    };
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    assert_eq!(received(&mut keeper), keeper.serving.material().chain.pem);
    let renewed = valid(2026, 2040);
    files.write(&renewed);
    assert_eq!(told(&keeper.renew(now())), RENEWED);
    assert_eq!(*received(&mut keeper), renewed.cert.as_bytes());
}

#[test]
fn old_secrets_of_tickets_are_in_no_later_child() {
    let start = since_boot().expect("a clock");
    let mut keeper = Files::new(&server()).keeper();
    let mut tickets_at = |now| {
        let fd = keeper.parcel_fd(now).expect("a file");
        Parcel::read(fd).expect("whole").tickets
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
fn tickets_outlive_a_new_pair() {
    let files = Files::new(&server());
    let mut keeper = files.keeper();
    let first = keeper.tickets.clone();
    files.write(&valid(2026, 2040));
    assert_eq!(told(&keeper.renew(now())), RENEWED);
    assert_eq!(keeper.tickets, first);
}

#[test]
fn a_new_client_ca_serves_also_where_the_certificate_has_expired() {
    let files = Files::new(&server());
    let ca = files.path("ca.pem");
    fs::write(&ca, Authority::new().pem()).expect("a file");
    let mut sources = files.sources();
    sources.client_ca = Some(Pem::Path(ca.clone()));
    let mut keeper = Keeper::new(sources, now()).expect("a good pair");
    let expired = end_of(&keeper);
    assert!(told(&keeper.renew(expired)).starts_with("expired"));
    let trusted = Authority::new().pem();
    fs::write(&ca, &trusted).expect("a file");
    let text = told(&keeper.renew(expired));
    assert!(text.starts_with("renewed: new client CA; "), "{text}");
    let client_ca = keeper.serving.material().client_ca.as_ref().expect("one");
    assert_eq!(*client_ca.pem, trusted.as_bytes());
    assert_eq!(told(&keeper.renew(expired)), "nothing");
    files.write(&valid(2026, 2040));
    fs::write(&ca, Authority::new().pem()).expect("a file");
    let text = told(&keeper.renew(expired));
    assert!(
        text.contains("2040-01-01T00:00:00Z, and new client CA; "),
        "{text}"
    );
}

#[test]
fn a_process_that_serves_alone_gets_what_a_child_would() {
    let files = Files::new(&server());
    let keeper = files.keeper();
    let tickets = keeper.tickets.clone();
    let alone = keeper.into_parcel();
    assert_eq!(alone.tickets, tickets);
    alone.server_config().expect("a good pair");
}
