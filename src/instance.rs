//! Which instance, in which region, am I?

use std::path::Path;

use crate::address::{InstanceId, RegionName};
use crate::config::{FILE, below};
use crate::file;
use crate::metadata::{self, Metadata};

/// Where the hardware of a Nitro instance carries its id
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>).
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// Why it is not known, in one line.
#[derive(Debug)]
pub struct Error(pub String);

impl From<metadata::Error> for Error {
    fn from(error: metadata::Error) -> Self {
        Self(format!("{error}; set MY_ID and AWS_REGION in {FILE} to do without it"))
    }
}

/// This instance's id: the configured one, or the hardware's, which costs no network, or the metadata service's.
pub async fn identify(configured: Option<InstanceId>, root: &Path, metadata: &Metadata) -> Result<InstanceId, Error> {
    if let Some(id) = configured.or_else(|| asset_tag(root)) {
        return Ok(id);
    }
    let told = metadata.instance_id().await?;
    told.parse().map_err(|error| Error(format!("the metadata service's instance id cannot be read: {error}")))
}

/// The region: the configured one, else the one this instance is in.
pub async fn locate(configured: Option<RegionName>, metadata: &Metadata) -> Result<RegionName, Error> {
    match configured {
        Some(region) => Ok(region),
        None => metadata.region().await?.parse().map_err(|what| Error(format!("the metadata service's region cannot be read: {what}"))),
    }
}

/// The id that the firmware holds, where it does.
#[must_use]
pub fn asset_tag(root: &Path) -> Option<InstanceId> {
    let tag = file::read(&below(root, Path::new(ASSET_TAG))).ok()?;
    tag.text.trim().parse().ok()
}
