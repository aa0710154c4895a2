//! One HTTP exchange over reqwest: no redirect, and limits in time and size.

use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, redirect};

use crate::escape::printable;

/// The largest answer that is read, in bytes. EC2's answer about one address has 1 kB, and with 50 long tags 40 kB.
const LIMIT: usize = 256 * 1024;

/// What came back. It cannot be shown as a whole, for it may hold keys.
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body, whole.
    pub body: Vec<u8>,
    /// The `Date` header, where it can be read.
    pub date: Option<String>,
}

/// Why nothing came back.
#[derive(Debug)]
pub struct Error {
    /// The peer may have seen the request, and may have done what it asks.
    pub is_sent: bool,
    /// The time was over.
    pub is_timeout: bool,
    text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// What every client here has in common: it follows no redirect and takes no proxy from the environment.
pub fn client(connect_limit: Duration) -> ClientBuilder {
    // Of rustls's providers, ring is the smaller and the faster to start. An error says that it is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(connect_limit)
        .user_agent(concat!("elastic-ip/", env!("CARGO_PKG_VERSION")))
}

/// Makes one request. Name look-up, connection, TLS and body are all done within `limit`, or it is an error.
pub async fn exchange(request: RequestBuilder, limit: Duration) -> Result<Answer, Error> {
    let (client, request) = request.timeout(limit).build_split();
    let request = request.map_err(|error| reason(&error, "the URL that is configured", limit))?;
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let failed = |error: reqwest::Error| reason(&error, &host, limit);
    let mut response = client.execute(request).await.map_err(failed)?;
    let date = response.headers().get("date").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LIMIT {
            return Err(Error { is_sent: true, is_timeout: false, text: "the answer is larger than 256 KiB".to_owned() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), body, date })
}

/// The cause at the bottom of the chain: reqwest's own words only say that a request failed.
fn reason(error: &reqwest::Error, host: &str, limit: Duration) -> Error {
    let is_sent = !(error.is_connect() || error.is_builder());
    let is_timeout = error.is_timeout();
    let text = if is_timeout && is_sent {
        format!("no answer from {host} within {} ms", limit.as_millis())
    } else if is_timeout {
        format!("no connection to {host}")
    } else {
        let mut cause: &(dyn std::error::Error + 'static) = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = handshake(error).and_then(flaw).map_or_else(|| printable(&cause.to_string()), str::to_owned);
        if is_sent { format!("broken answer from {host}: {cause}") } else { format!("no connection to {host}: {cause}") }
    };
    Error { is_sent, is_timeout, text }
}

/// The error of TLS in the chain. An `io::Error` passes over what it wraps when it is asked for its source.
fn handshake<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(wrapper) => handshake(wrapper.get_ref()?),
        None => error.downcast_ref().or_else(|| handshake(error.source()?)),
    }
}

/// What a failed TLS handshake means for a person, where rustls's own words do not tell.
fn flaw(error: &rustls::Error) -> Option<&'static str> {
    use rustls::{CertificateError as Certificate, Error};
    let Error::InvalidCertificate(certificate) = error else {
        return matches!(error, Error::InvalidMessage(_)).then_some("what it speaks is not TLS; is its URL one of http://?");
    };
    Some(match certificate {
        Certificate::Expired | Certificate::ExpiredContext { .. } => "its certificate has expired; is this machine's clock right?",
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "its certificate is not valid yet; is this machine's clock right?"
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            "its certificate is for another name; is its URL right, or is something in between?"
        }
        Certificate::UnknownIssuer => "its certificate is of an unknown authority; if that is your own, name its file in AWS_CA_BUNDLE",
        _ => return None,
    })
}
