//! Which instance, in which region, am I?

use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::config::{FILE, NamedInstance, below};
use crate::failure::Failure;
use crate::file;
use crate::ids::{InstanceId, RegionName};
use crate::imds::{self, Imds};
use crate::message::Message;
use crate::retry::{Pace, Transient};

/// Where the hardware of a Nitro instance carries its id
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>).
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// Why it is not known.
pub type Error = Failure<Kind>;

/// What kind of reason that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What is configured about it is wrong.
    Unfit,
    /// Asking again does not help.
    Final,
    /// The metadata service does not know it, which it may within a minute.
    NotYet,
    /// The metadata service did not answer, or not well.
    Unavailable {
        /// The deadline left it less than its full time, in which there was no answer.
        is_cut_short: bool,
    },
}

impl From<imds::Error> for Error {
    fn from(error: imds::Error) -> Self {
        error.map(|kind| match kind {
            imds::Kind::Absent | imds::Kind::NotYet => Kind::NotYet,
            imds::Kind::Disabled | imds::Kind::Refused => Kind::Final,
            imds::Kind::Unavailable { is_cut_short } => Kind::Unavailable { is_cut_short },
        })
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self.kind {
            Kind::Unfit | Kind::Final => None,
            Kind::NotYet => Some(Pace::Refused),
            Kind::Unavailable { .. } => Some(Pace::Brisk),
        }
    }

    fn is_cut_short(&self) -> bool {
        self.kind == Kind::Unavailable { is_cut_short: true }
    }
}

/// What the metadata service failed of, with the settings that make asking it needless.
fn or_configure(error: imds::Error) -> Error {
    Error::from(error).or_advise(format!("set MY_ID and AWS_REGION in {FILE} to do without it"))
}

/// This instance's id, found out once, when it is first asked for.
pub struct Identity {
    configured: Option<NamedInstance>,
    root: PathBuf,
    imds: Rc<Imds>,
    found: OnceCell<InstanceId>,
}

impl Identity {
    /// Nothing is asked yet. The hardware's id is looked for below `root`.
    #[must_use]
    pub fn new(configured: Option<NamedInstance>, root: &Path, imds: Rc<Imds>) -> Self {
        Self { configured, root: root.to_owned(), imds, found: OnceCell::new() }
    }

    /// The configured id, or the hardware's, which costs no network, or the metadata service's.
    pub async fn id(&self) -> Result<InstanceId, Error> {
        self.found.get_or_try_init(|| self.find()).await.cloned()
    }

    /// The id, where it has been found out.
    #[must_use]
    pub(crate) fn known(&self) -> Option<InstanceId> {
        self.found.get().cloned()
    }

    /// Whether the id that is configured is not another's than the hardware's: it may have come here in an image of the peer, and both
    /// would take themselves for one instance.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match (&self.configured, asset_tag(&self.root)) {
            (Some(NamedInstance { id, origin }), Some(firmware)) if *id != firmware => Err(Error::new(
                Kind::Unfit,
                Message::new(
                    format!("{origin} is {id}, but the firmware says that this is {firmware}"),
                    "remove MY_ID: the program finds it out by itself",
                ),
            )),
            _ => Ok(()),
        }
    }

    async fn find(&self) -> Result<InstanceId, Error> {
        self.check()?;
        if let Some(id) = self.configured.as_ref().map(|named| named.id.clone()).or_else(|| asset_tag(&self.root)) {
            return Ok(id);
        }
        let id = self.imds.instance_id().await.map_err(or_configure)?;
        id.parse().map_err(|error| Error::new(Kind::Final, format!("the metadata service's instance id cannot be read: {error}")))
    }
}

/// The region this instance is in.
pub async fn region(imds: &Imds) -> Result<RegionName, Error> {
    let region = imds.region().await.map_err(or_configure)?;
    region.parse().map_err(|what| Error::new(Kind::Final, format!("the metadata service's region cannot be read: {what}")))
}

/// The id that the firmware holds, where it does.
#[must_use]
pub(crate) fn asset_tag(root: &Path) -> Option<InstanceId> {
    let tag = file::read(&below(root, Path::new(ASSET_TAG))).ok()?;
    tag.text.trim().parse().ok()
}
