//! The limit of the wire: sends requests over one connection, reads the answer to each, and does nothing else.
//!
//! `limit HOST:PORT AUTHORITY|- REQUEST…` where AUTHORITY is a PEM file to trust, `-` stands for plain HTTP, and each REQUEST is a
//! file with the bytes to send.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(peer), Some(authority)) = (arguments.next(), arguments.next()) else {
        return Err("usage: limit HOST:PORT AUTHORITY|- REQUEST…".into());
    };
    let requests = arguments.map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let stream = TcpStream::connect(&peer)?;
    stream.set_nodelay(true)?;
    if authority == "-" {
        return exchange(stream, &requests);
    }
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(&authority)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let host = peer.rsplit_once(':').map_or(peer.as_str(), |(host, _)| host).to_owned();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host)?)?;
    exchange(StreamOwned::new(connection, stream), &requests)
}

fn exchange(mut peer: impl Read + Write, requests: &[Vec<u8>]) -> Result<(), Box<dyn Error>> {
    for request in requests {
        peer.write_all(request)?;
        peer.flush()?;
        let mut answer = Vec::new();
        let mut chunk = [0; 16 * 1024];
        while !is_whole(&answer)? {
            let read = peer.read(&mut chunk)?;
            if read == 0 {
                return Err("the peer closed the connection".into());
            }
            answer.extend_from_slice(&chunk[..read]);
        }
        if !answer.starts_with(b"HTTP/1.1 200 ") {
            return Err(String::from_utf8_lossy(&answer).into());
        }
    }
    Ok(())
}

/// Whether the answer has come to its end, as its `Content-Length` tells.
fn is_whole(answer: &[u8]) -> Result<bool, Box<dyn Error>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(false) };
    let head = str::from_utf8(&answer[..end])?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).ok_or("no Content-Length")?;
    Ok(answer.len() >= end + 4 + length.parse::<usize>()?)
}
