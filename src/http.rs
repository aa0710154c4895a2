//! One HTTP exchange over reqwest: no redirect, and limits in time and size.

use std::io;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, redirect};

use crate::escape::printable;
use crate::failure::Failure;
use crate::message::Message;

/// The largest answer that is read, in bytes. EC2's answer about one address has 1 kB, and with 50 long tags 40 kB.
const LIMIT: usize = 256 * 1024;

/// What came back. It cannot be shown as a whole, for it may hold keys.
pub struct Answer {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// The body, whole.
    pub(crate) body: Vec<u8>,
    /// The `Date` header, where it can be read.
    pub(crate) date: Option<String>,
}

/// Why nothing came back.
pub(crate) type Error = Failure<Kind>;

/// What is known of a request to which nothing came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// The peer may have seen the request, and may have done what it asks.
    pub(crate) is_sent: bool,
    /// The time was over.
    pub(crate) is_timeout: bool,
}

/// What every client here has in common: it follows no redirect and takes no proxy from the environment.
pub(crate) fn client(connect_limit: Duration) -> ClientBuilder {
    // Of rustls's providers, ring is the smaller and the faster to start. An error says that it is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(connect_limit)
        .user_agent(concat!("elastic-ip/", env!("CARGO_PKG_VERSION")))
}

/// Why there is no client: the error with all its causes. What an exchange ends in is said in other words.
impl From<anyhow::Error> for Message {
    fn from(error: anyhow::Error) -> Self {
        format!("{error:#}").into()
    }
}

/// Makes one request. Name look-up, connection, TLS and body are all done within `limit`, or it is an error.
/// `proxy` is what an error calls the proxy on the way.
pub(crate) async fn exchange(request: RequestBuilder, proxy: Option<&str>, limit: Duration) -> Result<Answer, Error> {
    let (client, request) = request.timeout(limit).build_split();
    let request = request.map_err(|error| reason(&error, "the URL that is configured", None, limit))?;
    let host = request.url().host_str().unwrap_or_default().to_owned();
    let failed = |error: reqwest::Error| reason(&error, &host, proxy, limit);
    let mut response = client.execute(request).await.map_err(failed)?;
    let date = response.headers().get("date").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LIMIT {
            return Err(Error::new(Kind { is_sent: true, is_timeout: false }, "the answer is larger than 256 KiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status: response.status(), body, date })
}

/// The cause at the bottom of the chain: reqwest's own words only say that a request failed.
fn reason(error: &reqwest::Error, host: &str, proxy: Option<&str>, limit: Duration) -> Error {
    let is_sent = !(error.is_connect() || error.is_builder());
    let is_timeout = error.is_timeout();
    let message = if is_timeout && is_sent {
        format!("no answer from {host} within {} ms", limit.as_millis()).into()
    } else if is_timeout {
        format!("no connection to {host}").into()
    } else {
        let mut cause: &(dyn std::error::Error + 'static) = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = refused_by_proxy(&cause.to_string(), proxy)
            .or_else(|| handshake(error).and_then(flaw))
            .unwrap_or_else(|| printable(&cause.to_string()).into());
        cause.at(if is_sent { format!("broken answer from {host}") } else { format!("no connection to {host}") })
    };
    Error::new(Kind { is_sent, is_timeout }, message)
}

/// What it means that a proxy does not connect. hyper-util's error has no type that could be asked, and does not tell the status.
fn refused_by_proxy(cause: &str, proxy: Option<&str>) -> Option<Message> {
    let (why, proxy) = (cause.strip_prefix("tunnel error: ")?, proxy?);
    Some(if why.starts_with("proxy authorization") {
        Message::new(
            format!("the proxy {proxy} wants a user and a password"),
            "write them into HTTPS_PROXY as http://USER:PASSWORD@HOST:PORT",
        )
    } else {
        Message::new(
            format!("the proxy {proxy} refuses to connect to it"),
            "have the proxy allow it, or name it in NO_PROXY if it can be reached without the proxy",
        )
    })
}

/// The error of TLS in the chain. An `io::Error` passes over what it wraps when it is asked for its source.
fn handshake<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    match error.downcast_ref::<io::Error>() {
        Some(wrapper) => handshake(wrapper.get_ref()?),
        None => error.downcast_ref().or_else(|| handshake(error.source()?)),
    }
}

/// What a failed TLS handshake means for a person, where rustls's own words do not tell.
fn flaw(error: &rustls::Error) -> Option<Message> {
    use rustls::{CertificateError as Certificate, Error};
    let Error::InvalidCertificate(certificate) = error else {
        let is_plain = matches!(error, Error::InvalidMessage(_));
        return is_plain.then(|| Message::new("what it speaks is not TLS", "if it has none, its URL begins with http://"));
    };
    Some(match certificate {
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            Message::new("its certificate has expired", "look whether this machine's clock is right")
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            Message::new("its certificate is not valid yet", "look whether this machine's clock is right")
        }
        Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
            Message::new("its certificate is for another name", "look whether its URL is right, and what is in between")
        }
        Certificate::UnknownIssuer => {
            Message::new("its certificate is signed by an unknown CA", "if that is your own, name its file in AWS_CA_BUNDLE")
        }
        _ => return None,
    })
}
