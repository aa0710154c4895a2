//! Where the EC2 API of a region is, and how it is reached.

use std::time::Duration;

use reqwest::{NoProxy, Proxy, Url};
use rusoto_core::Region;

use crate::address::RegionName;
use crate::config::Config;
use crate::http;

/// The EC2 API of one region.
#[derive(Clone)]
pub struct Endpoint {
    region: String,
    url: String,
    proxy: Option<Url>,
    no_proxy: Option<String>,
}

impl Endpoint {
    /// The configured endpoint, else the region's own.
    #[must_use]
    pub fn new(region: &RegionName, config: &Config) -> Self {
        let own = || region_url(&region.to_string(), config.fips, config.dualstack);
        let url = config.endpoint.as_ref().map_or_else(own, |url| url.as_str().trim_end_matches('/').to_owned());
        Self { region: region.to_string(), url, proxy: config.proxy.clone(), no_proxy: config.no_proxy.clone() }
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
        if let Some(url) = &self.proxy {
            let except = self.no_proxy.as_deref().and_then(NoProxy::from_string);
            builder = builder.proxy(Proxy::https(url.clone())?.no_proxy(except));
        }
        Ok(builder.build()?)
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
