//! The partition that a region is in: a set of regions with accounts, names and hosts of their own.

use crate::ids::RegionName;

/// What differs between partitions (botocore's `partitions.json` and `endpoints.json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// Its name, as in an ARN.
    pub name: &'static str,
    /// How the hosts of its services end.
    pub suffix: &'static str,
    /// How those end that speak IPv6 as well.
    pub dualstack_suffix: &'static str,
}

impl Partition {
    /// The partition of a region, by the form of its name.
    #[must_use]
    pub(crate) fn of(region: &RegionName) -> Self {
        let region = region.to_string();
        let (name, suffix, dualstack_suffix) = match region.split('-').collect::<Vec<_>>().as_slice() {
            ["cn", ..] => ("aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn"),
            ["us", "gov", ..] => ("aws-us-gov", "amazonaws.com", "api.aws"),
            [_, "iso", ..] => ("aws-iso", "c2s.ic.gov", "api.aws.ic.gov"),
            [_, "isob", ..] => ("aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud"),
            [_, "isoe", ..] => ("aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"),
            [_, "isof", ..] => ("aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov"),
            ["eusc", ..] => ("aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu"),
            _ => ("aws", "amazonaws.com", "api.aws"),
        };
        Self { name, suffix, dualstack_suffix }
    }
}
