//! From what a worker got to what rustls serves with.
//!
//! It decides nothing about certificates; it says which of rustls's doors are open: sessions resume by tickets alone,
//! which any worker opens, where clients show no certificates; nothing is taken before the handshake is through.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::check::provider;
use super::material::Material;
use super::parcel::Parcel;
use super::refusal::{Reason, Refusal};
use super::tickets::Tickets;

/// The most bytes of names of authorities that clients are shown, to choose a certificate by. The list may be left out
/// (RFC 8446, 4.2.4), and a longer one fits into no message (RFC 5246, 7.4.4: 64 KiB with everything else).
const MOST_HINTS: usize = 32 * 1024;

impl Parcel {
    /// The configuration of a server. A client has to show a certificate where there is a client CA.
    ///
    /// A client with a certificate gets no ticket. A session that resumes is not checked again, and comes with a new
    /// ticket: rustls would let in for ever whom it knew once, after the end of the certificate and of its CA.
    ///
    /// # Errors
    /// What [`Material::check`] refuses, but for dates; an installed provider without any cipher suite.
    pub(crate) fn server_config(self) -> Result<Arc<ServerConfig>, Refusal> {
        let Self { material, tickets } = self;
        let provider = provider();
        let unusable = |error: &dyn std::fmt::Display| refuse_provider(&material, error);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match material.anchors()? {
            Some(anchors) => {
                let names = anchors.subjects();
                let anchors = Arc::new(anchors);
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(anchors, Arc::clone(&provider));
                if names.iter().map(|name| name.as_ref().len()).sum::<usize>() > MOST_HINTS {
                    verifier = verifier.clear_root_hint_subjects();
                }
                let verifier = verifier.build().map_err(|error| unusable(&error))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let key = material.certified_key(&provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        let names = material.alpn.names().iter();
        config.alpn_protocols = names.map(|name| name.as_bytes().to_vec()).collect();
        if material.client_ca.is_none() {
            config.ticketer = Arc::new(Tickets::new(tickets));
        }
        // A session that one worker remembers is unknown to the others, at which most of its clients arrive.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // The default as well; said here, since early data can be sent again by anybody who saw it (RFC 8446, 8).
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

fn refuse_provider(material: &Material, error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        &material.chain.provenance,
        Reason::Provider(error.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::client::Resumption;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
    use rustls::time_provider::TimeProvider;
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConnection,
        SupportedProtocolVersion,
    };

    use super::super::material::Sources;
    use super::super::ratchet::Ratchet;
    use super::super::testing::{Authority, Pair, alpn, bytes, sources};
    use super::*;
    use crate::sys::clock::since_boot;

    /// What a master hands to its children.
    fn parcel(sources: &Sources) -> Vec<u8> {
        let material = Material::read(sources).expect("bytes");
        let tickets = since_boot().and_then(Ratchet::random);
        Parcel::encode(&material, &tickets.expect("random bytes")).to_vec()
    }

    fn worker(parcel: &[u8]) -> Arc<ServerConfig> {
        let parcel = Parcel::decode(parcel).expect("whole");
        parcel.server_config().expect("a good pair")
    }

    fn client(
        authority: &Authority,
        own: Option<&Pair>,
        version: &'static SupportedProtocolVersion,
        protocols: &[&str],
    ) -> Arc<ClientConfig> {
        let pem = authority.pem();
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
        roots.add(root).expect("a CA");
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .expect("ring has it")
            .with_root_certificates(roots);
        let mut config = match own {
            Some(Pair { cert, key }) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("one");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("one");
                builder
                    .with_client_auth_cert(vec![cert], key)
                    .expect("a pair")
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::in_memory_sessions(8);
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().into())
            .collect();
        Arc::new(config)
    }

    /// A whole handshake in memory, and a byte each way, after which tickets have arrived.
    fn meet(
        client: &Arc<ClientConfig>,
        server: &Arc<ServerConfig>,
    ) -> Result<(HandshakeKind, Option<Vec<u8>>), Error> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(client), name)?;
        let mut server = ServerConnection::new(Arc::clone(server))?;
        for _ in 0..8 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            server.read_tls(&mut wire.as_slice()).expect("memory");
            server.process_new_packets()?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            client.read_tls(&mut wire.as_slice()).expect("memory");
            client.process_new_packets()?;
        }
        let kind = server.handshake_kind().expect("it is through");
        Ok((kind, server.alpn_protocol().map(<[u8]>::to_vec)))
    }

    fn kind(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
        meet(client, server).expect("a handshake").0
    }

    /// Their names alone are more than a message of the handshake holds.
    #[test]
    fn many_authorities_are_trusted_and_not_told() {
        let authority = Authority::new();
        let mut trusted = authority.pem();
        for _ in 0..400 {
            trusted.push_str(&Authority::called(&"x".repeat(200)).pem());
        }
        let mut sources = sources(&authority.sign("localhost"));
        sources.client_ca = Some(bytes(&trusted));
        let server = worker(&parcel(&sources));
        for version in [&TLS12, &TLS13] {
            let own = authority.sign("client");
            let known = client(&authority, Some(&own), version, &[]);
            meet(&known, &server).expect("it is trusted");
            let stranger = client(&authority, None, version, &[]);
            meet(&stranger, &server).expect_err("it shows nothing");
        }
    }

    #[test]
    fn a_session_of_one_worker_resumes_at_another() {
        let authority = Authority::new();
        let parcel = parcel(&sources(&authority.sign("localhost")));
        let (one, other) = (worker(&parcel), worker(&parcel));
        for version in [&TLS12, &TLS13] {
            let client = client(&authority, None, version, &[]);
            assert_eq!(kind(&client, &one), HandshakeKind::Full);
            assert_eq!(kind(&client, &other), HandshakeKind::Resumed);
        }
    }

    #[test]
    fn a_session_of_another_master_does_not_resume() {
        let authority = Authority::new();
        let sources = sources(&authority.sign("localhost"));
        for version in [&TLS12, &TLS13] {
            let client = client(&authority, None, version, &[]);
            assert_eq!(
                kind(&client, &worker(&parcel(&sources))),
                HandshakeKind::Full
            );
            assert_eq!(
                kind(&client, &worker(&parcel(&sources))),
                HandshakeKind::Full
            );
        }
    }

    #[test]
    fn a_session_outlives_the_certificate_that_it_began_with() {
        let authority = Authority::new();
        let before =
            Parcel::decode(&parcel(&sources(&authority.sign("localhost")))).expect("whole");
        let material = Material::read(&sources(&authority.sign("localhost"))).expect("bytes");
        let after = Parcel {
            material,
            tickets: before.tickets.clone(),
        };
        let before = before.server_config().expect("a good pair");
        let after = after.server_config().expect("a good pair");
        let client = client(&authority, None, &TLS13, &[]);
        assert_eq!(kind(&client, &before), HandshakeKind::Full);
        assert_eq!(kind(&client, &after), HandshakeKind::Resumed);
    }

    #[test]
    fn our_first_protocol_that_the_client_speaks_is_chosen() {
        let authority = Authority::new();
        let mut sources = sources(&authority.sign("localhost"));
        sources.alpn = alpn("h2,http/1.1");
        let server = worker(&parcel(&sources));
        for (offer, chosen) in [
            (["http/1.1", "h2"].as_slice(), Some(b"h2".to_vec())),
            (&["http/1.1"], Some(b"http/1.1".to_vec())),
            (&[], None),
        ] {
            let client = client(&authority, None, &TLS13, offer);
            assert_eq!(meet(&client, &server).expect("a handshake").1, chosen);
        }
        let stranger = client(&authority, None, &TLS13, &["smtp"]);
        meet(&stranger, &server).expect_err("they have no protocol in common");
    }

    #[test]
    fn where_there_is_a_client_ca_a_client_has_to_show_a_certificate_of_it() {
        let (authority, clients) = (Authority::new(), Authority::new());
        let mut sources = sources(&authority.sign("localhost"));
        sources.client_ca = Some(bytes(&clients.pem()));
        let parcel = parcel(&sources);
        let (one, other) = (worker(&parcel), worker(&parcel));
        for version in [&TLS12, &TLS13] {
            let nobody = client(&authority, None, version, &[]);
            meet(&nobody, &one).expect_err("it has no certificate");
            let stranger = authority.sign("client");
            let stranger = client(&authority, Some(&stranger), version, &[]);
            meet(&stranger, &one).expect_err("its certificate is another CA's");
            let friend = clients.sign("client");
            let friend = client(&authority, Some(&friend), version, &[]);
            assert_eq!(kind(&friend, &one), HandshakeKind::Full);
            assert_eq!(kind(&friend, &other), HandshakeKind::Full, "checked anew");
        }
    }

    #[test]
    fn a_client_whose_certificate_has_expired_is_refused_although_it_was_known() {
        /// A clock that stands.
        #[derive(Debug)]
        struct At(u64);
        impl TimeProvider for At {
            fn current_time(&self) -> Option<UnixTime> {
                Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
            }
        }

        let (authority, clients) = (Authority::new(), Authority::new());
        let mut sources = sources(&authority.sign("localhost"));
        sources.client_ca = Some(bytes(&clients.pem()));
        let parcel = parcel(&sources);
        let at = |year: u64| {
            let mut config = ServerConfig::clone(&worker(&parcel));
            config.time_provider = Arc::new(At((year - 1970) * 366 * 86_400));
            Arc::new(config)
        };
        let known = clients.sign_until("client", 2040);
        for version in [&TLS12, &TLS13] {
            let known = client(&authority, Some(&known), version, &[]);
            meet(&known, &at(2030)).expect("it is valid");
            meet(&known, &at(2050)).expect_err("it has expired");
        }
    }

    #[test]
    fn no_early_data_and_no_sessions_in_memory() {
        let authority = Authority::new();
        let config = worker(&parcel(&sources(&authority.sign("localhost"))));
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.session_storage.can_cache());
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn what_a_worker_refuses_names_the_option() {
        let authority = Authority::new();
        let mut pair = authority.sign("localhost");
        pair.key = authority.sign("localhost").key;
        let material = Material::read(&sources(&pair)).expect("bytes");
        let tickets = Ratchet::new([0; 32], Duration::ZERO);
        let parcel = Parcel::decode(&Parcel::encode(&material, &tickets)).expect("whole");
        let refusal = parcel.server_config().expect_err("they do not fit");
        let text = refusal.to_string();
        assert!(
            text.starts_with("tls_key (bytes from the master): "),
            "{text}"
        );
    }
}
