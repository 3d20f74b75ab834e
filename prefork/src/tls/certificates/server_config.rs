//! The rustls configuration of a worker, created from a TLS bundle.
//!
//! Decides the settings of rustls, not the rules for certificates. Sessions resume only by tickets,
//! which every worker can decrypt, and only if no client CA is set. Early data is off.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;

use super::bundle::TlsBundle;
use super::check::provider;
use super::credentials::Credentials;
use super::tickets::Tickets;
use crate::error::{Error, TlsErrorKind};

/// The maximum size in bytes of the CA names that are sent to clients.
///
/// A client may choose its certificate by these names. The list is optional (RFC 8446, 4.2.4). A
/// longer one may not fit into its message, which has at most 64 KiB (RFC 5246, 7.4.4).
const MAX_HINTS: usize = 32 * 1024;

impl TlsBundle {
    /// Creates the configuration of a server. If there is a client CA, clients must send a
    /// certificate.
    ///
    /// With a client CA no tickets are issued. rustls does not verify the certificate again when a
    /// session resumes, and issues a new ticket: a client could resume forever, even after its
    /// certificate or the CA has expired.
    ///
    /// # Errors
    /// Those of [`Credentials::check`], except for dates. Also if the installed provider has no
    /// cipher suite.
    pub(crate) fn server_config(self) -> Result<Arc<ServerConfig>, Error> {
        let Self {
            credentials: material,
            tickets,
        } = self;
        let provider = provider();
        let unusable = |error: &dyn std::fmt::Display| provider_error(&material, error);
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?;
        let builder = match material.anchors()? {
            Some(anchors) => {
                let names = anchors.subjects();
                let anchors = Arc::new(anchors);
                let mut verifier =
                    WebPkiClientVerifier::builder_with_provider(anchors, Arc::clone(&provider));
                if names.iter().map(|name| name.as_ref().len()).sum::<usize>() > MAX_HINTS {
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
        // A client that comes back most likely reaches another worker, which does not know the
        // session.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Also the default. Set explicitly because early data can be replayed (RFC 8446, 8).
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

fn provider_error(material: &Credentials, error: &dyn std::fmt::Display) -> Error {
    let reason = format!(
        "the crypto provider that this program installed for rustls cannot be used: {error}"
    );
    material.chain.source.error(TlsErrorKind::Provider, reason)
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

    use super::super::credentials::CredentialSources;
    use super::super::ratchet::Ratchet;
    use super::super::testing::{Authority, Pair, alpn, bytes, sources};
    use super::*;
    use crate::sys::clock::since_boot;

    /// The bytes that a master passes to its children.
    fn bundle(sources: &CredentialSources) -> Vec<u8> {
        let material = Credentials::read(sources).expect("bytes");
        let tickets = since_boot().and_then(Ratchet::random);
        TlsBundle::encode(&material, &tickets.expect("random bytes")).to_vec()
    }

    fn worker(bundle: &[u8]) -> Arc<ServerConfig> {
        let bundle = TlsBundle::decode(bundle).expect("complete");
        bundle.server_config().expect("a valid pair")
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
            .expect("ring supports it")
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

    /// A whole handshake in memory, including the tickets.
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
        let kind = server.handshake_kind().expect("it is complete");
        Ok((kind, server.alpn_protocol().map(<[u8]>::to_vec)))
    }

    fn kind(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
        meet(client, server).expect("a handshake").0
    }

    /// The names of the CAs do not fit into a message of the handshake.
    #[test]
    fn many_client_cas_are_trusted_although_their_names_are_not_sent() {
        let authority = Authority::new();
        let mut trusted = authority.pem();
        for _ in 0..400 {
            trusted.push_str(&Authority::called(&"x".repeat(200)).pem());
        }
        let mut sources = sources(&authority.sign("localhost"));
        sources.client_ca = Some(bytes(&trusted));
        let server = worker(&bundle(&sources));
        for version in [&TLS12, &TLS13] {
            let own = authority.sign("client");
            let known = client(&authority, Some(&own), version, &[]);
            meet(&known, &server).expect("it is trusted");
            let anonymous = client(&authority, None, version, &[]);
            meet(&anonymous, &server).expect_err("it sends no certificate");
        }
    }

    #[test]
    fn a_session_of_one_worker_resumes_at_another() {
        let authority = Authority::new();
        let bundle = bundle(&sources(&authority.sign("localhost")));
        let (one, other) = (worker(&bundle), worker(&bundle));
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
                kind(&client, &worker(&bundle(&sources))),
                HandshakeKind::Full
            );
            assert_eq!(
                kind(&client, &worker(&bundle(&sources))),
                HandshakeKind::Full
            );
        }
    }

    #[test]
    fn a_session_outlives_the_certificate_that_it_began_with() {
        let authority = Authority::new();
        let old = bundle(&sources(&authority.sign("localhost")));
        let old = TlsBundle::decode(&old).expect("complete");
        let material = Credentials::read(&sources(&authority.sign("localhost"))).expect("bytes");
        let new = TlsBundle {
            credentials: material,
            tickets: old.tickets.clone(),
        };
        let old = old.server_config().expect("a valid pair");
        let new = new.server_config().expect("a valid pair");
        let client = client(&authority, None, &TLS13, &[]);
        assert_eq!(kind(&client, &old), HandshakeKind::Full);
        assert_eq!(kind(&client, &new), HandshakeKind::Resumed);
    }

    #[test]
    fn the_first_configured_protocol_that_the_client_offers_is_chosen() {
        let authority = Authority::new();
        let mut sources = sources(&authority.sign("localhost"));
        sources.alpn = alpn("h2,http/1.1");
        let server = worker(&bundle(&sources));
        for (offer, chosen) in [
            (["http/1.1", "h2"].as_slice(), Some(b"h2".to_vec())),
            (&["http/1.1"], Some(b"http/1.1".to_vec())),
            (&[], None),
        ] {
            let client = client(&authority, None, &TLS13, offer);
            assert_eq!(meet(&client, &server).expect("a handshake").1, chosen);
        }
        let other = client(&authority, None, &TLS13, &["smtp"]);
        meet(&other, &server).expect_err("no common protocol");
    }

    #[test]
    fn with_a_client_ca_clients_must_send_a_certificate_of_it() {
        let (authority, clients) = (Authority::new(), Authority::new());
        let mut sources = sources(&authority.sign("localhost"));
        sources.client_ca = Some(bytes(&clients.pem()));
        let bundle = bundle(&sources);
        let (one, other) = (worker(&bundle), worker(&bundle));
        for version in [&TLS12, &TLS13] {
            let anonymous = client(&authority, None, version, &[]);
            meet(&anonymous, &one).expect_err("it has no certificate");
            let unknown = authority.sign("client");
            let unknown = client(&authority, Some(&unknown), version, &[]);
            meet(&unknown, &one).expect_err("another CA signed its certificate");
            let known = clients.sign("client");
            let known = client(&authority, Some(&known), version, &[]);
            assert_eq!(kind(&known, &one), HandshakeKind::Full);
            assert_eq!(kind(&known, &other), HandshakeKind::Full, "verified again");
        }
    }

    #[test]
    fn a_client_with_an_expired_certificate_is_rejected_although_it_connected_before() {
        /// A clock with a constant time.
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
        let bundle = bundle(&sources);
        let at = |year: u64| {
            let mut config = ServerConfig::clone(&worker(&bundle));
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
    fn early_data_and_sessions_in_memory_are_off() {
        let authority = Authority::new();
        let config = worker(&bundle(&sources(&authority.sign("localhost"))));
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.session_storage.can_cache());
        assert!(config.ticketer.enabled());
    }

    #[test]
    fn the_error_of_a_worker_contains_the_option() {
        let authority = Authority::new();
        let mut pair = authority.sign("localhost");
        pair.key = authority.sign("localhost").key;
        let material = Credentials::read(&sources(&pair)).expect("bytes");
        let tickets = Ratchet::new([0; 32], Duration::ZERO);
        let bundle = TlsBundle::decode(&TlsBundle::encode(&material, &tickets)).expect("complete");
        let error = bundle.server_config().expect_err("they do not match");
        let text = error.to_string();
        assert!(
            text.starts_with("tls_key (bytes from the master): "),
            "{text}"
        );
    }
}
