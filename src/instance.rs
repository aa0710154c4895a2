//! Which instance, in which region, am I?

use std::path::Path;

use crate::address::InstanceId;
use crate::config::below;
use crate::file;
use crate::metadata::{self, Metadata};

/// Where the hardware of a Nitro instance carries its id
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>).
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// Why it is not known. Each holds one line with the remedy.
#[derive(Debug)]
pub enum Error {
    /// What is configured cannot be.
    Unfit(String),
    /// The metadata service did not tell.
    Unavailable(String),
}

impl From<metadata::Error> for Error {
    fn from(error: metadata::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// This instance's id: the configured one, or the hardware's, which costs no network, or the metadata service's.
pub async fn identify(configured: Option<InstanceId>, root: &Path, metadata: &Metadata) -> Result<InstanceId, Error> {
    if let Some(id) = configured.or_else(|| asset_tag(root)) {
        return Ok(id);
    }
    let told = metadata.instance_id().await?;
    told.parse().map_err(|error| Error::Unavailable(format!("the metadata service's instance id cannot be read: {error}")))
}

/// The region: the configured one, else the one this instance is in. The text is a word of a region's form.
pub async fn locate(configured: Option<String>, metadata: &Metadata) -> Result<String, Error> {
    let region = match configured {
        Some(region) => region,
        None => metadata.region().await?,
    };
    let mut parts = region.rsplit('-');
    let numbered = parts.next().is_some_and(|last| !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()));
    let named = region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') && region.matches('-').count() >= 2;
    if numbered && named && !region.starts_with('-') && !region.contains("--") {
        return Ok(region);
    }
    let shown: String = region.chars().take(40).collect();
    Err(Error::Unfit(format!(
        "{shown:?} is not a region; name one such as eu-west-1 with --region= in AWS_PARAMS or with AWS_REGION in {}",
        crate::config::FILE
    )))
}

fn asset_tag(root: &Path) -> Option<InstanceId> {
    let tag = file::read(&below(root, Path::new(ASSET_TAG))).ok()?;
    tag.text.trim().parse().ok()
}
