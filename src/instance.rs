//! Which instance, in which region, am I?

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::config::{FILE, NamedInstance, below};
use crate::file;
use crate::ids::{InstanceId, RegionName};
use crate::imds::{self, Imds};
use crate::message::Message;
use crate::retry::{Pace, Transient};

/// Where the hardware of a Nitro instance carries its id
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/identify_ec2_instances.html>).
const ASSET_TAG: &str = "/sys/devices/virtual/dmi/id/board_asset_tag";

/// Why it is not known. Each holds one line with the remedy.
#[derive(Clone, Debug)]
pub enum Error {
    /// What is configured about it is wrong.
    Unfit(Message),
    /// Asking again does not help.
    Final(Message),
    /// The metadata service does not know it, which it may within a minute.
    NotYet(Message),
    /// The metadata service did not answer, or not well.
    Unavailable {
        /// The reason.
        text: Message,
        /// The deadline left it less than its full time, in which there was no answer.
        is_cut_short: bool,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(text) | Self::Final(text) | Self::NotYet(text) | Self::Unavailable { text, .. } => text.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for Message {
    fn from(error: Error) -> Self {
        match error {
            Error::Unfit(text) | Error::Final(text) | Error::NotYet(text) | Error::Unavailable { text, .. } => text,
        }
    }
}

impl From<imds::Error> for Error {
    fn from(error: imds::Error) -> Self {
        match error {
            imds::Error::Absent(text) | imds::Error::NotYet(text) => Self::NotYet(text),
            imds::Error::Disabled(text) | imds::Error::Refused(text) => Self::Final(text),
            imds::Error::Unavailable { text, is_cut_short } => Self::Unavailable { text, is_cut_short },
        }
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self {
            Self::Unfit(_) | Self::Final(_) => None,
            Self::NotYet(_) => Some(Pace::Refused),
            Self::Unavailable { .. } => Some(Pace::Brisk),
        }
    }

    fn is_cut_short(&self) -> bool {
        matches!(self, Self::Unavailable { is_cut_short: true, .. })
    }
}

impl Error {
    /// The same, with what makes the question needless.
    fn or_configure(self) -> Self {
        let advise = |text: Message| text.or_advise(format!("set MY_ID and AWS_REGION in {FILE} to do without it"));
        match self {
            Self::Unfit(text) => Self::Unfit(text),
            Self::Final(text) => Self::Final(advise(text)),
            Self::NotYet(text) => Self::NotYet(advise(text)),
            Self::Unavailable { text, is_cut_short } => Self::Unavailable { text: advise(text), is_cut_short },
        }
    }
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
            (Some(NamedInstance { id, origin }), Some(firmware)) if *id != firmware => Err(Error::Unfit(Message::new(
                format!("{origin} is {id}, but the firmware says that this is {firmware}"),
                "remove MY_ID: the program finds it out by itself",
            ))),
            _ => Ok(()),
        }
    }

    async fn find(&self) -> Result<InstanceId, Error> {
        self.check()?;
        if let Some(id) = self.configured.as_ref().map(|named| named.id.clone()).or_else(|| asset_tag(&self.root)) {
            return Ok(id);
        }
        let id = self.imds.instance_id().await.map_err(|error| Error::from(error).or_configure())?;
        id.parse().map_err(|error| Error::Final(format!("the metadata service's instance id cannot be read: {error}").into()))
    }
}

/// The region this instance is in.
pub async fn region(imds: &Imds) -> Result<RegionName, Error> {
    let region = imds.region().await.map_err(|error| Error::from(error).or_configure())?;
    region.parse().map_err(|what| Error::Final(format!("the metadata service's region cannot be read: {what}").into()))
}

/// The id that the firmware holds, where it does.
#[must_use]
pub(crate) fn asset_tag(root: &Path) -> Option<InstanceId> {
    let tag = file::read(&below(root, Path::new(ASSET_TAG))).ok()?;
    tag.text.trim().parse().ok()
}
