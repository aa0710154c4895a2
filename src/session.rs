//! What a configuration comes to on this machine: the region, the keys, the endpoint, and which instance this is. Each is found out
//! once, when it is first asked for.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::future::join;

use crate::config::{self, Config};
use crate::credentials::{self, Found, Keys, Places};
use crate::deadline::Deadline;
use crate::ec2::{Address, Ec2, Error, Limits, Response, Tie};
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::ids::{AssociationId, Destination, InstanceId, InterfaceId, Name, RegionName, Target};
use crate::imds::Imds;
use crate::instance::{self, Identity};
use crate::interfaces::Interfaces;
use crate::retry::Retry;
use crate::takeover::operation::Cloud;

/// Why nothing can be asked of EC2.
pub(crate) type SetupError = Failure<Kind>;

/// What kind of reason that is. The exit codes depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The configuration is missing or wrong.
    NotConfigured,
    /// No credentials in any place.
    NoCredentials,
    /// The caller may not read what is needed.
    NotAllowed,
    /// Something did not answer, which says nothing about the address.
    Unavailable,
}

impl From<config::Error> for SetupError {
    fn from(error: config::Error) -> Self {
        error.map(|kind| match kind {
            config::Kind::NotAllowed => Kind::NotAllowed,
            config::Kind::Unfit => Kind::NotConfigured,
        })
    }
}

impl From<credentials::Error> for SetupError {
    fn from(error: credentials::Error) -> Self {
        error.map(|kind| match kind {
            credentials::Kind::Nowhere => Kind::NoCredentials,
            credentials::Kind::NotAllowed => Kind::NotAllowed,
            credentials::Kind::Foreign | credentials::Kind::Unfit => Kind::NotConfigured,
            credentials::Kind::NotYet | credentials::Kind::Unavailable => Kind::Unavailable,
        })
    }
}

impl From<instance::Error> for SetupError {
    fn from(error: instance::Error) -> Self {
        error.map(|kind| match kind {
            instance::Kind::Unfit => Kind::NotConfigured,
            instance::Kind::Final | instance::Kind::NotYet | instance::Kind::Unavailable { .. } => Kind::Unavailable,
        })
    }
}

/// Where a region's name was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `AWS_PARAMS`, a variable or a parameter.
    Configuration,
    /// `~/.aws/config`.
    Profile,
    /// The metadata service.
    Imds,
}

/// A configuration on this machine.
pub(crate) struct Session {
    config: Rc<Config>,
    root: PathBuf,
    imds: Rc<Imds>,
    keys: Rc<Keys>,
    /// Which instance this is.
    pub(crate) identity: Identity,
    /// Its interfaces.
    pub(crate) interfaces: Interfaces,
}

impl Session {
    /// Nothing is asked yet. No question to the metadata service takes longer than `deadline`.
    pub(crate) fn new(config: Config, root: &Path, deadline: Deadline) -> Result<Self, SetupError> {
        let imds = Imds::new(&config.imds, deadline.clone()).map_err(|error| SetupError::new(Kind::Unavailable, error))?;
        let imds = Rc::new(imds);
        let config = Rc::new(config);
        Ok(Self {
            keys: Rc::new(Keys::new(Rc::clone(&config), root, Rc::clone(&imds), deadline)),
            identity: Identity::new(config.instance.clone(), root, Rc::clone(&imds)),
            interfaces: Interfaces::new(root, Rc::clone(&imds)),
            root: root.to_owned(),
            config,
            imds,
        })
    }

    /// The region, and where its name was found.
    pub(crate) async fn region(&self) -> Result<(RegionName, Origin), instance::Error> {
        if let Some(region) = &self.config.region {
            return Ok((region.clone(), Origin::Configuration));
        }
        match Places::new(&self.root, &config::environment).profile_region(&self.config) {
            Err(line) => Err(instance::Error::new(instance::Kind::Unfit, line)),
            Ok(Some(region)) => Ok((region, Origin::Profile)),
            Ok(None) => Ok((instance::region(&self.imds).await?, Origin::Imds)),
        }
    }

    /// The keys, with where they were found.
    pub(crate) async fn credentials(&self) -> Result<Found, credentials::Error> {
        self.keys.find().await
    }

    /// Whether the configuration's keys can be used, as far as no network is needed to know it.
    pub(crate) fn validate(&self) -> Result<(), SetupError> {
        self.identity.check()?;
        let places = Places::new(&self.root, &config::environment);
        Ok(credentials::check(&self.config, &places, &config::environment)?)
    }

    /// EC2 in the region, with keys that are looked for anew when it refuses them. Nothing is sent yet.
    pub(crate) fn ec2(&self, endpoint: &Endpoint, limits: Limits) -> Result<Ec2, SetupError> {
        Ec2::new(endpoint, Rc::clone(&self.keys), limits).map_err(|error| SetupError::new(Kind::Unavailable, error))
    }

    /// Finds out the region and the keys, at the same time, until `retry` ends. Which instance this is, is found out while EC2 is asked.
    pub(crate) async fn connect(self, retry: &Retry, limits: Limits) -> Result<Connection, SetupError> {
        self.identity.check()?;
        let region = retry.run("region", async || self.region().await);
        let keys = retry.run("credentials", async || self.keys.get().await);
        let (region, keys) = join(region, keys).await;
        keys?;
        let (region, _) = region?;
        let endpoint = Endpoint::new(&region, &self.config).map_err(|line| SetupError::new(Kind::NotConfigured, line))?;
        Ok(Connection { ec2: self.ec2(&endpoint, limits)?, session: self })
    }
}

/// A session whose EC2 is known.
pub(crate) struct Connection {
    session: Session,
    ec2: Ec2,
}

impl Connection {
    /// This instance, where that has been found out.
    #[must_use]
    pub(crate) fn me(&self) -> Option<InstanceId> {
        self.session.identity.known()
    }
}

impl Cloud for Connection {
    async fn destination(&self, target: &Target) -> Result<Destination, instance::Error> {
        let Session { identity, interfaces, config, .. } = &self.session;
        interfaces.destination(&identity.id().await?, target, &config.targets).await
    }

    async fn primary(&self) -> Result<Option<InterfaceId>, instance::Error> {
        self.session.interfaces.primary().await
    }

    async fn public_address(&self, place: &Destination) -> Option<Ipv4Addr> {
        self.session.interfaces.public_address(place).await
    }

    async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
        self.ec2.describe(targets).await
    }

    async fn associate(&self, name: &Name, to: &Destination, reassociate: bool) -> Result<Response<Option<AssociationId>>, Error> {
        self.ec2.associate(name, to, reassociate).await
    }

    async fn disassociate(&self, tie: &Tie) -> Result<Response<()>, Error> {
        self.ec2.disassociate(tie).await
    }
}
