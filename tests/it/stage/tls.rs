//! A TLS server before a plain one, with a certificate of its own authority.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::wire::{read_message, wait_for_the_end};

/// The name that the certificate is for, beside `localhost`.
pub const NAME: &str = "ec2.test";

/// What is wrong with the TLS of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    Early,
    /// The certificate is for another name.
    OtherName,
    /// The certificate is of an authority that the client does not know.
    UnknownAuthority,
    /// It speaks plain HTTP.
    Plain,
    /// It takes the connection, and says nothing.
    Stalled,
}

/// A TLS server that carries each request on to a plain one.
pub struct Tls {
    address: SocketAddr,
    /// The certificate of the authority that a client is to trust, as PEM.
    pub authority: String,
}

impl Tls {
    pub fn before(url: &str, flaw: Flaw) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let trusted = authority("trusted");
        let signer = if flaw == Flaw::UnknownAuthority { &authority("unknown") } else { &trusted };
        let config = Arc::new(configuration(signer, flaw));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tls = Self { address: listener.local_addr().unwrap(), authority: trusted.pem() };
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (config, server) = (Arc::clone(&config), server.clone());
                thread::spawn(move || carry(client, config, &server, flaw));
            }
        });
        tls
    }

    pub fn url(&self, host: &str) -> String {
        format!("https://{host}:{}", self.address.port())
    }
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn configuration(authority: &CertifiedIssuer<'static, KeyPair>, flaw: Flaw) -> ServerConfig {
    let names = if flaw == Flaw::OtherName { vec!["ec2.example".to_owned()] } else { vec!["localhost".to_owned(), NAME.to_owned()] };
    let mut parameters = CertificateParams::new(names).unwrap();
    (parameters.not_before, parameters.not_after) = match flaw {
        Flaw::Expired => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
        Flaw::Early => (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1)),
        _ => (parameters.not_before, parameters.not_after),
    };
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, authority).unwrap();
    let chain: Vec<CertificateDer> = vec![certificate.into()];
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap()
}

fn carry(mut client: TcpStream, config: Arc<ServerConfig>, server: &str, flaw: Flaw) -> std::io::Result<()> {
    match flaw {
        Flaw::Plain => return client.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        Flaw::Stalled => return wait_for_the_end(&mut client),
        _ => {}
    }
    let mut client = StreamOwned::new(ServerConnection::new(config).map_err(std::io::Error::other)?, client);
    let mut server = TcpStream::connect(server)?;
    loop {
        server.write_all(&read_message(&mut client)?)?;
        client.write_all(&read_message(&mut server)?)?;
    }
}
