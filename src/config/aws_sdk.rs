//! What AWS's SDKs read from their variables (<https://docs.aws.amazon.com/sdkref/latest/guide/settings-reference.html>).

use std::time::Duration;

use reqwest::Url;

use super::Settings;

/// Where and how the metadata service is asked.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Its URL.
    pub url: Url,
    /// It is not to be asked.
    pub is_disabled: bool,
    /// How long one question may take, where that is configured.
    pub timeout: Option<Duration>,
}

impl Settings<'_> {
    /// The metadata service.
    pub(super) fn metadata(&self, allow_plain: bool) -> Result<Metadata, String> {
        let mode = self.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]);
        let standard = match &mode {
            Some(mode) if mode.text.eq_ignore_ascii_case("ipv6") => "http://[fd00:ec2::254]",
            Some(mode) if !mode.text.eq_ignore_ascii_case("ipv4") => {
                return Err(mode.wrong(&format!("{:?} is neither IPv4 nor IPv6", mode.text)));
            }
            _ => "http://169.254.169.254",
        };
        Ok(Metadata {
            url: match self.first(&["AWS_EC2_METADATA_SERVICE_ENDPOINT"]) {
                Some(setting) => setting.guarded_url(&["http"], allow_plain)?,
                None => Url::parse(standard).map_err(|error| error.to_string())?,
            },
            is_disabled: self.truth("AWS_EC2_METADATA_DISABLED", false)?,
            timeout: self.first(&["AWS_METADATA_SERVICE_TIMEOUT"]).map(|setting| setting.seconds()).transpose()?,
        })
    }
}
