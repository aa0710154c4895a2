//! The three EC2 calls, with typed answers and typed errors.

mod answer;
mod clock;
mod endpoint;
mod transport;

use std::cell::Cell;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use rusoto_core::credential::{AwsCredentials, StaticProvider};
use rusoto_core::{Region, RusotoError};
use rusoto_ec2::{AssociateAddressRequest, DescribeAddressesRequest, DisassociateAddressRequest};
use rusoto_ec2::{Ec2 as _, Ec2Client};

use crate::address::{AllocationId, AssociationId, InstanceId, InterfaceId, Target};
use crate::escape::printable;
use crate::retry::{Deadline, Pace, Transient};
pub use endpoint::Endpoint;
use transport::Transport;

/// An Elastic IP as one describe showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The public address.
    pub public: Ipv4Addr,
    /// `None` where addresses have no allocation ids (Eucalyptus, EC2-Classic).
    pub allocation: Option<AllocationId>,
    /// What holds it, if anything does.
    pub association: Option<Association>,
}

/// The tie of an address to its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Association {
    /// `None` where associations have no ids (Eucalyptus, EC2-Classic).
    pub id: Option<AssociationId>,
    /// Who holds the address.
    pub owner: Owner,
}

/// Who holds an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// An instance.
    Instance(InstanceId),
    /// A network interface that is no instance's, such as a NAT gateway's.
    Interface(InterfaceId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance(id) => id.fmt(f),
            Self::Interface(id) => id.fmt(f),
        }
    }
}

/// What kind of failure a call ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// EC2 asks for fewer calls; it has not done this one.
    Throttled,
    /// The call did not reach EC2.
    Unsent,
    /// EC2 may have done the call, or not.
    Ambiguous,
    /// EC2 has not done the call, because its clock is this far ahead of this machine's.
    Clock(TimeDelta),
    /// EC2 answered with an error that trying again does not mend. Holds its code.
    Refused(String),
}

/// A failed call.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    text: String,
}

impl Error {
    /// A failure of this kind, for this reason.
    #[must_use]
    pub fn new(kind: Kind, reason: impl Into<String>) -> Self {
        Self { kind, text: reason.into() }
    }

    fn malformed(what: impl fmt::Display) -> Self {
        Self { kind: Kind::Ambiguous, text: format!("EC2's answer cannot be used: {what}") }
    }

    /// A change that was acknowledged without an id, and that no describe shows.
    #[must_use]
    pub fn unconfirmed(change: &str) -> Self {
        Self { kind: Kind::Ambiguous, text: format!("{change} was acknowledged but cannot be seen yet") }
    }

    /// Whether EC2 refused with this error code.
    #[must_use]
    pub fn is_refusal(&self, code: &str) -> bool {
        matches!(&self.kind, Kind::Refused(actual) if actual == code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self.kind {
            Kind::Throttled => Some(Pace::Throttled),
            Kind::Unsent | Kind::Ambiguous => Some(Pace::Brisk),
            Kind::Clock(_) | Kind::Refused(_) => None,
        }
    }
}

/// How long one call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For name look-up and connection.
    pub connect: Duration,
    /// For the whole call.
    pub attempt: Duration,
    /// For all that is done in this run.
    pub deadline: Deadline,
}

/// EC2, in one region, with keys.
pub struct Ec2 {
    http: reqwest::Client,
    region: Region,
    credentials: AwsCredentials,
    limits: Limits,
    /// How far EC2's clock is ahead, once it has said so.
    skew: Cell<Option<TimeDelta>>,
}

impl Ec2 {
    /// Nothing is sent yet; one connection will serve all calls.
    pub fn new(endpoint: &Endpoint, credentials: AwsCredentials, limits: Limits) -> anyhow::Result<Self> {
        Ok(Self { http: endpoint.client(limits.connect)?, region: endpoint.region(), credentials, limits, skew: Cell::default() })
    }

    /// Asks what EC2 knows of an address. An answer with no address, several or another one is an error.
    pub async fn describe(&self, target: Target) -> Result<Address, Error> {
        let request = DescribeAddressesRequest { public_ips: Some(vec![target.to_string()]), ..Default::default() };
        let answer = self.call("DescribeAddresses", async |ec2| ec2.describe_addresses(request.clone()).await).await?;
        match answer.addresses.unwrap_or_default().as_slice() {
            [item] => read(item, target),
            items => Err(Error::malformed(format!("it lists {} addresses where {target} was asked for", items.len()))),
        }
    }

    /// Gives an address to an instance, in one step, from whomever has it if `reassociate`. `None` is returned where
    /// associations have no ids.
    pub async fn associate(&self, address: &Address, instance: &InstanceId, reassociate: bool) -> Result<Option<AssociationId>, Error> {
        let vpc = address.allocation.is_some();
        let request = AssociateAddressRequest {
            allocation_id: address.allocation.as_ref().map(ToString::to_string),
            public_ip: (!vpc).then(|| address.public.to_string()),
            instance_id: Some(instance.to_string()),
            allow_reassociation: vpc.then_some(reassociate),
            ..Default::default()
        };
        let answer = self.call("AssociateAddress", async |ec2| ec2.associate_address(request.clone()).await).await?;
        id(answer.association_id)
    }

    /// Ends one association, and never a later one: it is named by its own id. Only an address without association ids is
    /// named by its public address.
    pub async fn disassociate(&self, address: &Address, association: &Association) -> Result<(), Error> {
        let request = DisassociateAddressRequest {
            association_id: association.id.as_ref().map(ToString::to_string),
            public_ip: association.id.is_none().then(|| address.public.to_string()),
            ..Default::default()
        };
        self.call("DisassociateAddress", async |ec2| ec2.disassociate_address(request.clone()).await).await
    }

    async fn call<T, E>(&self, action: &'static str, send: impl AsyncFn(Ec2Client) -> Result<T, RusotoError<E>>) -> Result<T, Error> {
        let error = match self.attempt(action, &send).await {
            Err(error) if self.skew.get().is_none() => error,
            result => return result,
        };
        let Kind::Clock(skew) = error.kind else { return Err(error) };
        log::warn!("{error}; trying again with EC2's time");
        self.skew.set(Some(skew));
        self.attempt(action, &send).await
    }

    async fn attempt<T, E>(&self, action: &'static str, send: impl AsyncFn(Ec2Client) -> Result<T, RusotoError<E>>) -> Result<T, Error> {
        let limit = self.limits.attempt.min(self.limits.deadline.left());
        let transport = Transport::new(self.http.clone(), action, limit, self.skew.get().map(|skew| (skew, self.credentials.clone())));
        let keys = StaticProvider::from(self.credentials.clone());
        let begun = Instant::now();
        let result = send(Ec2Client::new_with(transport.clone(), keys, self.region.clone())).await;
        let result = result.map_err(|error| {
            transport.failure().unwrap_or_else(|| {
                Error::malformed(match error {
                    RusotoError::ParseError(text) => printable(&text),
                    _ => "it is not of the form that EC2 documents".to_owned(),
                })
            })
        });
        let ended = if result.is_ok() { "done" } else { "failed" };
        log::debug!("{action} {ended} after {} ms", begun.elapsed().as_millis());
        result
    }
}

fn id<T: FromStr<Err: fmt::Display>>(text: Option<String>) -> Result<Option<T>, Error> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(Error::malformed)).transpose()
}

fn read(item: &rusoto_ec2::Address, asked: Target) -> Result<Address, Error> {
    let told = item.public_ip.as_deref().unwrap_or_default();
    if told.parse() != Ok(asked.address) {
        return Err(Error::malformed(format!("it tells of {:?} where {asked} was asked for", printable(told))));
    }
    let association: Option<AssociationId> = id(item.association_id.clone())?;
    let owner = match id(item.instance_id.clone())? {
        Some(instance) => Some(Owner::Instance(instance)),
        None => id(item.network_interface_id.clone())?.map(Owner::Interface),
    };
    let association = match (association, owner) {
        (id, Some(owner)) => Some(Association { id, owner }),
        (None, None) => None,
        (Some(id), None) => return Err(Error::malformed(format!("{id} ties {asked} to nothing"))),
    };
    Ok(Address { public: asked.address, allocation: id(item.allocation_id.clone())?, association })
}
