//! Where the EC2 API of a region is, and how it is reached.

use std::time::Duration;

use reqwest::{NoProxy, Proxy, Url};
use rusoto_core::Region;

use crate::address::RegionName;
use crate::config::Config;
use crate::http;

/// The EC2 API of one region.
#[derive(Clone, Debug)]
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

/// The rules of botocore's `endpoints.json`.
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
    let service = if fips && !region.starts_with("us-gov-") { "ec2-fips" } else { "ec2" };
    format!("https://{service}.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_endpoints() {
        for (region, fips, dualstack, url) in [
            ("eu-west-1", false, false, "https://ec2.eu-west-1.amazonaws.com"),
            ("us-east-1", true, false, "https://ec2-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "https://ec2.us-gov-west-1.amazonaws.com"),
            ("eu-west-1", false, true, "https://ec2.eu-west-1.api.aws"),
            ("cn-north-1", false, false, "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", false, false, "https://ec2.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, false, "https://ec2.us-isob-east-1.sc2s.sgov.gov"),
            ("eu-isoe-west-1", false, false, "https://ec2.eu-isoe-west-1.cloud.adc-e.uk"),
            ("us-isof-south-1", false, false, "https://ec2.us-isof-south-1.csp.hci.ic.gov"),
        ] {
            assert_eq!(region_url(region, fips, dualstack), url);
        }
    }
}
