//! Where the EC2 API of a region is, and how it is reached.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, NoProxy, Proxy, Url};
use rusoto_core::Region;

use crate::address::RegionName;
use crate::config::Config;
use crate::file;
use crate::http;

/// The EC2 API of one region.
#[derive(Clone)]
pub struct Endpoint {
    region: String,
    url: String,
    /// The only authorities to trust, where they are not the system's.
    authorities: Option<Vec<Certificate>>,
    proxy: Option<Url>,
    no_proxy: Option<String>,
}

impl Endpoint {
    /// The configured endpoint, else the region's own. The error is one line with the file of authorities and the remedy.
    pub fn new(region: &RegionName, config: &Config) -> Result<Self, String> {
        let own = || region_url(&region.to_string(), config.fips, config.dualstack);
        let url = config.endpoint.as_ref().map_or_else(own, |url| url.as_str().trim_end_matches('/').to_owned());
        let authorities = config.authorities.as_deref().filter(|_| url.starts_with("https:")).map(read_authorities).transpose()?;
        Ok(Self { region: region.to_string(), url, authorities, proxy: config.proxy.clone(), no_proxy: config.no_proxy.clone() })
    }

    /// The endpoint as rusoto is told of it. Its own list of regions is of 2022.
    #[must_use]
    pub fn region(&self) -> Region {
        Region::Custom { name: self.region.clone(), endpoint: self.url.clone() }
    }

    /// A client that reaches the endpoint, through the proxy where one is configured.
    pub fn client(&self, connect_limit: Duration) -> anyhow::Result<reqwest::Client> {
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

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, String> {
    let file = file::read_up_to(MOST_AUTHORITIES, path).map_err(|error| match error {
        file::Error::Missing => format!("{} does not exist; AWS_CA_BUNDLE is to name a file of authorities", path.display()),
        file::Error::Denied(line) | file::Error::Unfit(line) => line,
    })?;
    match Certificate::from_pem_bundle(file.text.as_bytes()) {
        Ok(authorities) if !authorities.is_empty() => Ok(authorities),
        _ => Err(format!("{} holds no certificate that can be read; AWS_CA_BUNDLE is to name a PEM file", path.display())),
    }
}

/// The rules that AWS publishes with botocore (`data/ec2/2016-11-15/endpoint-rule-set-1.json`).
fn region_url(region: &str, fips: bool, dualstack: bool) -> String {
    let (suffix, dualstack_suffix) = match region.split('-').collect::<Vec<_>>().as_slice() {
        ["cn", ..] => ("amazonaws.com.cn", "api.amazonwebservices.com.cn"),
        [_, "iso", ..] => ("c2s.ic.gov", "api.aws.ic.gov"),
        [_, "isob", ..] => ("sc2s.sgov.gov", "api.aws.scloud"),
        [_, "isoe", ..] => ("cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
        [_, "isof", ..] => ("csp.hci.ic.gov", "api.aws.hci.ic.gov"),
        ["eusc", ..] => ("amazonaws.eu", "api.amazonwebservices.eu"),
        _ => ("amazonaws.com", "api.aws"),
    };
    let suffix = if dualstack { dualstack_suffix } else { suffix };
    // GovCloud's plain endpoint is a FIPS endpoint.
    let service = if fips && (dualstack || !region.starts_with("us-gov-")) { "ec2-fips" } else { "ec2" };
    format!("https://{service}.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_has_the_endpoints_that_aws_publishes() {
        let table = include_str!("../../tests/endpoints/endpoints.tsv");
        let regions = table.lines().filter(|line| !line.starts_with('#'));
        assert!(regions.clone().count() > 40);
        for line in regions {
            let (region, urls) = line.split_once('\t').unwrap();
            let own = [(false, false), (false, true), (true, false), (true, true)];
            let own = own.map(|(fips, dualstack)| region_url(region, fips, dualstack)).join("\t");
            assert_eq!(own, urls);
            assert!(region.parse::<RegionName>().is_ok(), "{region}");
        }
    }
}
