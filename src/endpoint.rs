//! Where an API of a region is, and how it is reached.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use reqwest::{Certificate, NoProxy, Proxy, Url};
use rusoto_core::Region;

use crate::config::Config;
use crate::file;
use crate::http;
use crate::ids::RegionName;
use crate::message::Message;
use crate::partition::Partition;
use crate::signing;

/// An API of one region.
#[derive(Clone)]
pub struct Endpoint {
    region: String,
    url: String,
    /// The authorities to trust, for an `https` endpoint. Without them, the system is searched.
    authorities: Option<Vec<Certificate>>,
    proxy: Option<Url>,
    no_proxy: Option<String>,
}

/// That the endpoint answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    /// How long it took, with name look-up, connection and TLS.
    pub(crate) elapsed: Duration,
    /// How far its clock is ahead of this machine's at least, where it tells.
    pub(crate) ahead: Option<TimeDelta>,
}

impl Endpoint {
    /// EC2, at the configured endpoint, else at the region's own. The error is one line with the file of authorities and the remedy.
    pub fn new(region: &RegionName, config: &Config) -> Result<Self, Message> {
        Self::of("ec2", config.endpoint.as_ref(), region, config)
    }

    /// STS, in the same way.
    pub(crate) fn sts(region: &RegionName, config: &Config) -> Result<Self, Message> {
        Self::of("sts", config.sts_endpoint.as_ref(), region, config)
    }

    fn of(service: &str, configured: Option<&Url>, region: &RegionName, config: &Config) -> Result<Self, Message> {
        let own = || region_url(service, region, config.fips, config.dualstack);
        let url = configured.map_or_else(own, |url| url.as_str().trim_end_matches('/').to_owned());
        let authorities = if url.starts_with("https:") { authorities(config)? } else { None };
        Ok(Self { region: region.to_string(), url, authorities, proxy: config.proxy.clone(), no_proxy: config.no_proxy.clone() })
    }

    /// The endpoint as rusoto wants it. Its own list of regions is of 2022.
    #[must_use]
    pub(crate) fn region(&self) -> Region {
        Region::Custom { name: self.region.clone(), endpoint: self.url.clone() }
    }

    /// Where it is, without what a configured URL may hold before its host: that could be a password.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        shown(&self.url)
    }

    /// The proxy on the way, shown in the same way.
    #[must_use]
    pub(crate) fn proxy(&self) -> Option<String> {
        let proxy = self.proxy.as_ref().filter(|_| self.url.starts_with("https:"))?;
        Some(shown(proxy.as_str()))
    }

    /// Whether anything answers there, asked without keys. The error is one line.
    pub(crate) async fn reach(&self, connect_limit: Duration, limit: Duration) -> Result<Reached, Message> {
        let client = self.client(connect_limit)?;
        let begun = Instant::now();
        let answer = http::exchange(client.get(&self.url), self.proxy().as_deref(), limit).await.map_err(|error| error.message)?;
        let elapsed = begun.elapsed();
        let ahead = answer.date.as_deref().and_then(signing::ahead);
        Ok(Reached { elapsed, ahead: ahead.map(|ahead| least(ahead, elapsed)) })
    }

    /// A client that reaches the endpoint, through the proxy where one is configured.
    pub(crate) fn client(&self, connect_limit: Duration) -> anyhow::Result<reqwest::Client> {
        let mut builder = http::client(connect_limit);
        if !self.url.starts_with("https:") {
            // Reading the root certificates costs more than the rest of a call.
            return Ok(builder.tls_certs_only([]).build()?);
        }
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.clone());
        }
        if let Some(url) = &self.proxy {
            let except = self.no_proxy.as_deref().and_then(NoProxy::from_string);
            builder = builder.proxy(Proxy::https(url.clone())?.no_proxy(except));
        }
        Ok(builder.build()?)
    }
}

/// Debian's own file has 220 kB.
const MOST_AUTHORITIES: u64 = 1024 * 1024;

/// The configured authorities, else those of the system's one file. Where there is none, the system will be searched, which takes
/// longer: the search reads that file, and then the folder that has each of its certificates once more.
fn authorities(config: &Config) -> Result<Option<Vec<Certificate>>, Message> {
    match &config.authorities {
        Some(path) => read_authorities(path).map(Some),
        None => Ok(read_authorities(&config.system_authorities).ok()),
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Message> {
    let file = file::read_up_to(MOST_AUTHORITIES, path).map_err(|error| match error.kind {
        file::Kind::Missing => error.message.or_advise("AWS_CA_BUNDLE is to name a file of authorities"),
        _ => error.message,
    })?;
    match Certificate::from_pem_bundle(file.text.as_bytes()) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        _ => Err(Message::new(format!("{} holds no certificate that can be read", path.display()), "AWS_CA_BUNDLE is to name a PEM file")),
    }
}

/// What is sure of an offset that was read from a `Date`, which may have been written at any moment of the exchange and has no
/// fractions of a second.
fn least(ahead: TimeDelta, elapsed: Duration) -> TimeDelta {
    let most = ahead + TimeDelta::from_std(elapsed).unwrap_or_default() + TimeDelta::seconds(1);
    if ahead > TimeDelta::zero() { ahead } else { most.min(TimeDelta::zero()) }
}

fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    // Only a URL without a host refuses these.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.as_str().trim_end_matches('/').to_owned()
}

/// The rules that AWS publishes with botocore (`data/SERVICE/VERSION/endpoint-rule-set-1.json`).
fn region_url(service: &str, region: &RegionName, fips: bool, dualstack: bool) -> String {
    let partition = Partition::of(region);
    let suffix = if dualstack { partition.dualstack_suffix } else { partition.suffix };
    // GovCloud's plain endpoint is a FIPS endpoint.
    let kind = if fips && (dualstack || partition.name != "aws-us-gov") { "-fips" } else { "" };
    format!("https://{service}{kind}.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_the_endpoints_that_aws_publishes() {
        let table = include_str!("../tests/endpoints/endpoints.tsv");
        let regions = table.lines().filter(|line| !line.starts_with('#'));
        assert!(regions.clone().count() > 40);
        for line in regions {
            let (region, urls) = line.split_once('\t').unwrap();
            let kinds = [(false, false), (false, true), (true, false), (true, true)];
            let region = region.parse().unwrap();
            let own = ["ec2", "sts"].map(|service| kinds.map(|(fips, dualstack)| region_url(service, &region, fips, dualstack)).join("\t"));
            assert_eq!(own.join("\t"), urls);
        }
    }
}
