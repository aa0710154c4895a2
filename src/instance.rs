//! Which instance, in which region, am I?

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::config::{FILE, below};
use crate::file;
use crate::ids::{InstanceId, RegionName};
use crate::imds::{self, Imds};

/// Where the hardware of a Nitro instance carries its id
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>).
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// Why it is not known, in one line.
#[derive(Debug)]
pub struct Error(pub String);

impl From<imds::Error> for Error {
    fn from(error: imds::Error) -> Self {
        Self(format!("{error}; set MY_ID and AWS_REGION in {FILE} to do without it"))
    }
}

/// This instance's id, found out once, when it is first asked for.
pub struct Identity {
    configured: Option<InstanceId>,
    root: PathBuf,
    imds: Rc<Imds>,
    told: OnceCell<Result<InstanceId, String>>,
}

impl Identity {
    /// Nothing is asked yet. The hardware's id is looked for below `root`.
    #[must_use]
    pub fn new(configured: Option<InstanceId>, root: &Path, imds: Rc<Imds>) -> Self {
        Self { configured, root: root.to_owned(), imds, told: OnceCell::new() }
    }

    /// The configured id, or the hardware's, which costs no network, or the metadata service's. The error is one line with the
    /// remedy.
    pub async fn id(&self) -> Result<InstanceId, String> {
        self.told.get_or_init(|| self.find()).await.clone()
    }

    /// The id, where it has been found out.
    #[must_use]
    pub fn known(&self) -> Option<InstanceId> {
        self.told.get()?.clone().ok()
    }

    async fn find(&self) -> Result<InstanceId, String> {
        if let Some(id) = self.configured.clone().or_else(|| asset_tag(&self.root)) {
            return Ok(id);
        }
        let told = self.imds.instance_id().await.map_err(|error| Error::from(error).0)?;
        told.parse().map_err(|error| format!("the metadata service's instance id cannot be read: {error}"))
    }
}

/// The region: the configured one, else the one this instance is in.
pub async fn locate(configured: Option<RegionName>, imds: &Imds) -> Result<RegionName, Error> {
    match configured {
        Some(region) => Ok(region),
        None => imds.region().await?.parse().map_err(|what| Error(format!("the metadata service's region cannot be read: {what}"))),
    }
}

/// The id that the firmware holds, where it does.
#[must_use]
pub fn asset_tag(root: &Path) -> Option<InstanceId> {
    let tag = file::read(&below(root, Path::new(ASSET_TAG))).ok()?;
    tag.text.trim().parse().ok()
}
