//! A value that was found, and what it is read as.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::ids::{RegionName, Target};
use crate::message::Message;

/// A value that was found, and where. What it is read as either is well-formed, or the error is one line that names where.
#[derive(Clone, Debug)]
pub struct Setting {
    pub(super) text: String,
    pub(super) origin: String,
}

impl Setting {
    /// A value that was found at `origin`; an empty one is none.
    #[must_use]
    pub fn new(text: &str, origin: String) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self { text: text.to_owned(), origin })
    }

    pub(super) fn wrong(&self, what: impl Into<Message>) -> Message {
        what.into().at(&self.origin)
    }

    /// Yes or no.
    pub fn truth(&self) -> Result<bool, Message> {
        match self.text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(true),
            "no" | "false" | "off" | "0" => Ok(false),
            _ => Err(self.wrong(format!("{:?} is neither yes nor no", self.text))),
        }
    }

    /// A region.
    pub fn region(&self) -> Result<RegionName, Message> {
        self.region_named(&self.text)
    }

    pub(super) fn region_named(&self, name: &str) -> Result<RegionName, Message> {
        name.parse().map_err(|what: Message| self.wrong(what))
    }

    /// Elastic IPs, separated by spaces.
    pub fn targets(&self) -> Result<Vec<Target>, Message> {
        Target::list(self.text.split_whitespace()).map_err(|what| self.wrong(what))
    }

    /// A file's or a folder's full path.
    pub fn absolute_path(&self) -> Result<PathBuf, Message> {
        if self.text.starts_with('/') { Ok(PathBuf::from(&self.text)) } else { Err(self.wrong("not an absolute path")) }
    }

    pub(super) fn seconds(&self) -> Result<Duration, Message> {
        let day = 86_400.0;
        match self.text.parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds <= day => Ok(Duration::from_secs_f64(seconds)),
            _ => Err(self.wrong(format!("{:?} is not a number of seconds between 0 and 86400", self.text))),
        }
    }

    /// A URL with one of these schemes.
    pub fn url(&self, schemes: &[&str]) -> Result<Url, Message> {
        let example = format!("a URL such as {}://host:port", schemes[0]);
        let unlike = |what: String| self.wrong(Message::new(what, format!("give {example}")));
        let url = Url::parse(&self.text).map_err(|error| unlike(error.to_string()))?;
        if !schemes.contains(&url.scheme()) || !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(self.wrong(format!("not {example}")));
        }
        Ok(url)
    }

    /// As [`Setting::url`], but plain HTTP only to where no stranger listens on the way, or with a word that it is wanted.
    pub(super) fn guarded_url(&self, schemes: &[&str], allow_plain: bool) -> Result<Url, Message> {
        let url = self.url(schemes)?;
        if url.scheme() == "https" || allow_plain || is_near(&url) {
            return Ok(url);
        }
        let host = url.host_str().unwrap_or_default();
        let instead = if schemes.contains(&"https") { "use https://" } else { "use the service's address" };
        Err(self.wrong(Message::new(
            format!("plain HTTP to {host}, where whoever is on the way can answer in its place"),
            format!("{instead}, or add ALLOW_PLAIN_HTTP=yes if the whole way is your own network (Eucalyptus)"),
        )))
    }
}

/// Whether a URL's host is this machine, its link or a private network. What another name than localhost means is not known
/// before it is looked up.
fn is_near(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => is_near_v4(address),
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().map_or_else(|| is_near_v6(address), is_near_v4),
        Err(_) => host == "localhost",
    }
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    // RFC 6598: shared between a provider and its customers, and used within clouds.
    let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 0x40;
    address.is_loopback() || address.is_link_local() || address.is_private() || is_shared
}

fn is_near_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unicast_link_local() || address.is_unique_local()
}
