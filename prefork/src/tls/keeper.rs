//! The master's side: what serves now, read again before each later start.
//!
//! It knows nothing of children; what is new it hands out once, in words for a line.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::SystemTime;

use super::envelope::Envelope;
use super::leaf::{Age, Leaf};
use super::material::{Material, Sources};
use super::news::News;
use super::parcel::Parcel;
use super::ratchet::Ratchet;
use super::refusal::{Reason, Refusal};
use super::tickets::since_boot;
use crate::config::Config;
use crate::error::Error;

/// Keeps the last good certificate and key, and the keys of tickets.
#[derive(Debug)]
pub(crate) struct Keeper {
    sources: Sources,
    serving: Material,
    /// What the certificate in it says.
    leaf: Leaf,
    tickets: Ratchet,
    /// What was refused last, so that it is told once.
    refused: Option<Refused>,
    /// How old what serves was said to be.
    told: Age,
    envelope: Envelope,
}

/// Something bad that was seen: what, where it could be read, and in which words it was refused.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    seen: Option<Material>,
    words: String,
}

impl Keeper {
    /// For the first start of what the options say; none where they say nothing.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub(crate) fn of(config: &Config, now: SystemTime) -> Result<Option<Self>, Error> {
        let keeper = Sources::of(config).map(|sources| Self::new(sources, now));
        Ok(keeper.transpose()?)
    }

    /// Reads and checks for the first start.
    ///
    /// # Errors
    /// What cannot be used: there is no last good one to serve on with.
    pub(crate) fn new(sources: Sources, now: SystemTime) -> Result<Self, Refusal> {
        let serving = Material::read(&sources)?;
        serving.check(now)?;
        Ok(Self {
            tickets: new_tickets(&serving)?,
            sources,
            leaf: serving.leaf()?,
            serving,
            refused: None,
            told: Age::Good,
            envelope: Envelope::default(),
        })
    }

    /// Reads again, before a later start. What was refused is judged again each time, since a certificate that is not
    /// valid yet becomes so; it is told again only when something is different.
    pub(crate) fn renew(&mut self, now: SystemTime) -> Option<News> {
        let refusal = match Material::read(&self.sources) {
            Ok(seen) if seen == self.serving => {
                self.refused = None;
                None
            }
            Ok(seen) => match self.take(&seen, now) {
                Ok(what) => return Some(News::Renewed(what)),
                Err(refusal) => self.first_time(Some(seen), refusal),
            },
            Err(refusal) => self.first_time(None, refusal),
        };
        refusal.map(News::Refused).or_else(|| self.age(now))
    }

    /// That what serves has come to its end, or is near it; each is told once, and begins anew with another certificate.
    pub(crate) fn age(&mut self, now: SystemTime) -> Option<News> {
        let age = self.leaf.age(now);
        // A clock that goes back and forth says nothing new.
        if age <= self.told {
            return None;
        }
        self.told = age;
        let provenance = self.serving.chain.provenance.clone();
        let until = self.leaf.until();
        match age {
            Age::NotYetValid | Age::Good => None,
            Age::NearItsEnd => Some(News::NearItsEnd { provenance, until }),
            Age::Expired => Some(News::Expired(Refusal::new(
                &provenance,
                Reason::Expired(until),
            ))),
        }
    }

    /// The certificate that serves, for people.
    pub(crate) fn certificate(&self) -> String {
        self.leaf.to_string()
    }

    /// What a child gets, in a sealed file: the same for all of them while nothing is different. The keys of tickets
    /// in it are those of now, and older ones are forgotten here as well.
    ///
    /// # Errors
    /// No descriptors or no memory left.
    pub(crate) fn parcel_fd(&mut self) -> io::Result<BorrowedFd<'_>> {
        self.tickets.advance(since_boot()?);
        self.envelope.file(&self.serving, &self.tickets)
    }

    /// For the one process that is its own worker.
    pub(super) fn into_parcel(self) -> Parcel {
        Parcel {
            material: self.serving,
            tickets: self.tickets,
        }
    }

    /// Serves with what was seen from here on and says what is new, or changes nothing.
    fn take(&mut self, seen: &Material, now: SystemTime) -> Result<String, Refusal> {
        let has_new_pair = seen.chain != self.serving.chain || seen.key != self.serving.key;
        let has_new_ca = seen.client_ca != self.serving.client_ca;
        seen.check_use()?;
        if has_new_pair {
            // That the old one has expired is no reason to trust the old client CA any longer.
            seen.check_dates(now)?;
        }
        let leaf = seen.leaf()?;
        // What no worker can be given serves nobody: found out while there is something else to serve with.
        let mut envelope = Envelope::default();
        let sealed = envelope.file(seen, &self.tickets).map(drop);
        let refuse =
            |error| Refusal::from_system(&seen.chain.provenance, Reason::NotHandedOut, error);
        sealed.map_err(refuse)?;
        self.leaf = leaf;
        self.serving = seen.clone();
        self.envelope = envelope;
        self.refused = None;
        if has_new_pair {
            self.told = Age::Good;
        }
        let until = self.leaf.until();
        Ok(match (has_new_pair, has_new_ca) {
            (true, true) => format!("new certificate, good until {until}, and new client CA"),
            (true, false) => format!("new certificate, good until {until}"),
            (false, _) => "new client CA".to_owned(),
        })
    }

    /// The refusal, where it was not told before.
    fn first_time(&mut self, seen: Option<Material>, refusal: Refusal) -> Option<Refusal> {
        let words = refusal.one_line();
        let refused = Some(Refused { seen, words });
        if self.refused == refused {
            return None;
        }
        self.refused = refused;
        Some(refusal)
    }
}

fn new_tickets(material: &Material) -> Result<Ratchet, Refusal> {
    let refuse =
        |reason| move |error| Refusal::from_system(&material.key.provenance, reason, error);
    let now = since_boot().map_err(refuse(Reason::NoClock))?;
    Ratchet::random(now).map_err(refuse(Reason::NoRandom))
}

// Elsewhere nothing is read again: there is no master.
#[cfg(all(test, target_os = "linux", not(prefork_portable)))]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use prefork_options::Pem;
    use tempfile::TempDir;

    use super::super::testing::{self, Authority, Pair, now, server, valid};
    use super::*;

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

    /// Which news it is, and its line.
    fn told(news: Option<News>) -> String {
        match news {
            None => "nothing".to_owned(),
            Some(news @ News::Renewed(_)) => format!("renewed: {news}"),
            Some(news @ News::NearItsEnd { .. }) => format!("soon: {news}"),
            Some(news @ News::Refused(_)) => format!("refused: {news}"),
            Some(news @ News::Expired(_)) => format!("expired: {news}"),
        }
    }

    fn end_of(keeper: &Keeper) -> SystemTime {
        keeper.leaf.expired_from()
    }

    const RENEWED: &str = "renewed: new certificate, good until 2040-01-01T00:00:00Z; it serves from the next worker on";

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
        assert_eq!(told(keeper.renew(now())), "nothing");
        let renewed = valid(2026, 2040);
        files.write(&renewed);
        assert_eq!(told(keeper.renew(now())), RENEWED);
        assert_eq!(told(keeper.renew(now())), "nothing");
        assert_eq!(*keeper.serving.chain.pem, renewed.cert.as_bytes());
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
        let text = told(keeper.renew(now()));
        assert!(text.starts_with("refused: tls_key ('"), "{text}");
        assert_eq!(told(keeper.renew(now())), "nothing");
        assert_eq!(*keeper.serving.chain.pem, good.cert.as_bytes());
        let other = Pair {
            cert: valid(2026, 2041).cert,
            ..good.clone()
        };
        files.write(&other);
        let text = told(keeper.renew(now()));
        assert!(
            text.starts_with("refused: tls_key ('"),
            "another bad one: {text}"
        );
        files.write(&good);
        assert_eq!(told(keeper.renew(now())), "nothing");
        files.write(&half);
        let text = told(keeper.renew(now()));
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
        let text = told(keeper.renew(now()));
        assert!(text.contains("key.pem'): there is no such file"), "{text}");
        assert_eq!(told(keeper.renew(now())), "nothing");
        fs::remove_file(files.path("cert.pem")).expect("it is there");
        let text = told(keeper.renew(now()));
        assert!(text.contains("cert.pem'): there is no such file"), "{text}");
    }

    #[test]
    fn a_pair_that_is_not_valid_yet_serves_as_soon_as_it_is() {
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        files.write(&valid(2031, 2036));
        assert!(told(keeper.renew(now())).starts_with("refused"));
        assert_eq!(told(keeper.renew(now())), "nothing");
        let later = now() + Duration::from_hours(24 * 365);
        assert!(told(keeper.renew(later)).starts_with("renewed"));
    }

    #[test]
    fn that_what_serves_has_expired_is_told_once_for_each_pair() {
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        let expired = end_of(&keeper);
        let text = told(keeper.renew(expired));
        assert!(text.starts_with("expired: tls_cert ('"), "{text}");
        assert_eq!(told(keeper.renew(expired)), "nothing");
        files.write(&valid(2026, 2040));
        assert_eq!(told(keeper.renew(expired)), RENEWED);
        let expired = end_of(&keeper);
        assert!(told(keeper.renew(expired)).starts_with("expired"));
    }

    #[test]
    fn that_the_end_is_near_is_told_once_and_then_that_it_came() {
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        assert_eq!(told(keeper.age(now())), "nothing");
        let end = end_of(&keeper);
        let day = Duration::from_hours(24);
        let text = told(keeper.renew(end - day));
        assert!(text.starts_with("soon: tls_cert ('"), "{text}");
        assert!(
            text.ends_with("expires at 2035-01-01T00:00:00Z, and there is no newer one yet"),
            "{text}"
        );
        assert_eq!(told(keeper.renew(end - day)), "nothing");
        assert!(told(keeper.renew(end)).starts_with("expired"));
        // The clock was set back.
        assert_eq!(told(keeper.renew(end - day)), "nothing");
        files.write(&valid(2026, 2036));
        assert!(told(keeper.renew(end - day)).starts_with("renewed"));
        let text = told(keeper.age(end_of(&keeper) - day));
        assert!(text.starts_with("soon"), "{text}");
    }

    #[test]
    fn a_refusal_does_not_hide_that_what_serves_has_expired() {
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        fs::remove_file(files.path("key.pem")).expect("it is there");
        let expired = end_of(&keeper);
        assert!(told(keeper.renew(expired)).starts_with("refused"));
        assert!(told(keeper.renew(expired)).starts_with("expired"));
        assert_eq!(told(keeper.renew(expired)), "nothing");
    }

    #[test]
    fn a_child_gets_what_serves_then() {
        let received = |keeper: &mut Keeper| {
            let fd = keeper.parcel_fd().expect("a file");
            Parcel::read(fd).expect("whole").material.chain.pem
        };
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        assert_eq!(received(&mut keeper), keeper.serving.chain.pem);
        let renewed = valid(2026, 2040);
        files.write(&renewed);
        assert_eq!(told(keeper.renew(now())), RENEWED);
        assert_eq!(*received(&mut keeper), renewed.cert.as_bytes());
    }

    #[test]
    fn tickets_outlive_a_new_pair() {
        let files = Files::new(&server());
        let mut keeper = files.keeper();
        let first = keeper.tickets.clone();
        files.write(&valid(2026, 2040));
        assert_eq!(told(keeper.renew(now())), RENEWED);
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
        assert!(told(keeper.renew(expired)).starts_with("expired"));
        let trusted = Authority::new().pem();
        fs::write(&ca, &trusted).expect("a file");
        let text = told(keeper.renew(expired));
        assert!(text.starts_with("renewed: new client CA; "), "{text}");
        let client_ca = keeper.serving.client_ca.as_ref().expect("one");
        assert_eq!(*client_ca.pem, trusted.as_bytes());
        assert_eq!(told(keeper.renew(expired)), "nothing");
        files.write(&valid(2026, 2040));
        fs::write(&ca, Authority::new().pem()).expect("a file");
        let text = told(keeper.renew(expired));
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
}
