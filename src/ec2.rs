//! The three EC2 calls, with typed answers and typed errors.

mod dry_run;
mod response;
mod transport;

use std::cell::Cell;
use std::fmt;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures::future::{join, join_all};
use rusoto_core::credential::StaticProvider;
use rusoto_core::{Region, RusotoError};
use rusoto_ec2::{AssociateAddressRequest, DescribeAddressesRequest, DisassociateAddressRequest};
use rusoto_ec2::{Ec2 as _, Ec2Client};

use crate::credentials::{self, Keys};
use crate::deadline::Deadline;
use crate::endpoint::Endpoint;
use crate::escape::printable;
use crate::ids::{AllocationId, AssociationId, Destination, InstanceId, InterfaceId, Name, Target};
use crate::message::Message;
use crate::retry::{Pace, Transient};
use transport::Transport;

/// An Elastic IP as one describe showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The public address, or in a Wavelength Zone or on an Outpost the one that is there in its place.
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
    /// The interface that it is mapped to, where EC2 tells.
    pub interface: Option<InterfaceId>,
    /// The private address that it is mapped to, where EC2 tells.
    pub private: Option<Ipv4Addr>,
}

impl Address {
    /// What names the address in a change: its public address only where it has no allocation id.
    #[must_use]
    pub fn name(&self) -> Name {
        self.allocation.clone().map_or(Name::Address(self.public), Name::Allocation)
    }

    /// What names the end of its association, if it has one.
    #[must_use]
    pub fn tie(&self) -> Option<Tie> {
        let held = self.association.as_ref()?;
        Some(held.id.clone().map_or(Tie::Address(self.public), Tie::Association))
    }
}

/// What a disassociate ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tie {
    /// This association, and never a later one.
    Association(AssociationId),
    /// Whatever association this public address has, where associations have no ids.
    Address(Ipv4Addr),
}

/// An acknowledged change.
#[derive(Clone, Debug)]
pub struct Response<T> {
    /// What EC2 says about it.
    pub value: T,
    /// The request's id, by which AWS's support and `CloudTrail` know it; may be empty.
    pub request: String,
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
    /// EC2 has not done the call, and refuses with this code what it may allow within a minute.
    NotYet(String),
    /// EC2 answered with an error that trying again does not help. Holds its code.
    Refused(String),
}

/// A failed call.
#[derive(Clone, Debug)]
pub struct Error {
    /// What kind of failure.
    pub kind: Kind,
    message: Message,
    /// The request's id, where EC2 has given it.
    request: String,
    /// The deadline left it less than its full time, in which there was no answer.
    is_cut_short: bool,
}

impl Error {
    /// A failure of this kind, for this reason.
    #[must_use]
    pub fn new(kind: Kind, reason: impl Into<Message>) -> Self {
        Self { kind, message: reason.into(), request: String::new(), is_cut_short: false }
    }

    fn malformed(what: impl fmt::Display) -> Self {
        Self::new(Kind::Ambiguous, format!("EC2's answer cannot be used: {what}"))
    }

    /// A change that was acknowledged, and that no describe shows.
    #[must_use]
    pub(crate) fn unconfirmed(change: &str) -> Self {
        Self::new(Kind::Ambiguous, format!("{change} was acknowledged but cannot be seen yet"))
    }

    /// The same, of an address that a describe has shown at `owner`. EC2 refuses to take one from a NAT gateway or a load balancer with
    /// the codes that it has for bad keys.
    #[must_use]
    pub(crate) fn of_an_address_at(mut self, owner: &Owner) -> Self {
        if !self.may_be_for_the_owner() {
            return self;
        }
        self.message.what.push_str(&format!("; EC2 shows the address at {owner}"));
        if let Owner::Interface(id) = owner {
            self.message.remedy = Some(
                format!("if {id} is a NAT gateway's or a load balancer's, release the address there; else check the keys and this machine's clock")
                    .into(),
            );
        }
        self
    }

    /// Whether EC2 may have refused for the sake of who has the address.
    #[must_use]
    pub(crate) fn may_be_for_the_owner(&self) -> bool {
        ["AuthFailure", "InvalidIPAddress.InUse", "OperationNotPermitted"].iter().any(|code| self.is_refusal(code))
    }

    /// Whether EC2 refused with this error code.
    #[must_use]
    pub(crate) fn is_refusal(&self, code: &str) -> bool {
        matches!(&self.kind, Kind::Refused(actual) | Kind::NotYet(actual) if actual == code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message::from(self.clone()).fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Message {
    fn from(Error { message: Self { mut what, remedy }, request, .. }: Error) -> Self {
        if !request.is_empty() {
            what.push_str(&format!(" (request {request})"));
        }
        Self { what, remedy }
    }
}

/// A call that could not be signed was not sent.
impl From<credentials::Error> for Error {
    fn from(error: credentials::Error) -> Self {
        let kind = match error.pace() {
            Some(Pace::Refused) => Kind::NotYet(String::new()),
            Some(_) => Kind::Unsent,
            None => Kind::Refused(String::new()),
        };
        Self::new(kind, error)
    }
}

impl Transient for Error {
    fn pace(&self) -> Option<Pace> {
        match self.kind {
            Kind::Throttled => Some(Pace::Throttled),
            Kind::Unsent | Kind::Ambiguous => Some(Pace::Brisk),
            Kind::NotYet(_) => Some(Pace::Refused),
            Kind::Clock(_) | Kind::Refused(_) => None,
        }
    }

    fn is_cut_short(&self) -> bool {
        self.is_cut_short
    }

    fn reason(&self) -> String {
        Self { request: String::new(), ..self.clone() }.to_string()
    }
}

/// How long one call may take.
#[derive(Clone, Debug)]
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
    /// What an error calls the proxy on the way.
    proxy: Option<String>,
    region: Region,
    keys: Rc<Keys>,
    limits: Limits,
    /// How far EC2's clock is ahead, once it has said so.
    skew: Cell<Option<TimeDelta>>,
}

impl Ec2 {
    /// Nothing is sent yet; one connection will serve all calls.
    pub fn new(endpoint: &Endpoint, keys: Rc<Keys>, limits: Limits) -> anyhow::Result<Self> {
        Ok(Self {
            http: endpoint.client(limits.connect)?,
            proxy: endpoint.proxy(),
            region: endpoint.region(),
            keys,
            limits,
            skew: Cell::default(),
        })
    }

    /// Asks what EC2 knows of some addresses, in their order. All are asked for in one call; where that is refused, each is asked
    /// for by itself, so that one that does not exist does not hide the others. An answer with another number of addresses, or with
    /// others, is an error.
    pub async fn describe(&self, targets: &[Target]) -> Vec<Result<Address, Error>> {
        // Addresses and allocation ids in one call would be those that are both.
        let (by_address, by_id): (Vec<_>, Vec<_>) = targets.iter().partition(|target| matches!(target.name, Name::Address(_)));
        let (by_address, by_id) = join(self.describe_like(&by_address), self.describe_like(&by_id)).await;
        let (mut by_address, mut by_id) = (by_address.into_iter(), by_id.into_iter());
        let take = |target: &Target| if matches!(target.name, Name::Address(_)) { by_address.next() } else { by_id.next() };
        targets.iter().map(take).map(|answer| answer.unwrap_or_else(|| Err(Error::malformed("it is short")))).collect()
    }

    /// `targets` are all named in the same way.
    async fn describe_like(&self, targets: &[&Target]) -> Vec<Result<Address, Error>> {
        if targets.is_empty() {
            return Vec::new();
        }
        match self.describe_together(targets).await {
            Ok(addresses) => addresses,
            Err(Error { kind: Kind::Refused(_) | Kind::NotYet(_), .. }) if targets.len() > 1 => {
                join_all(targets.iter().map(async |target| self.describe_together(&[target]).await?.swap_remove(0))).await
            }
            Err(error) => targets.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// As many as were asked for.
    async fn describe_together(&self, targets: &[&Target]) -> Result<Vec<Result<Address, Error>>, Error> {
        let request = describe_request(targets);
        let answer = self.call("DescribeAddresses", async |ec2| ec2.describe_addresses(request.clone()).await).await?.value;
        let items = answer.addresses.unwrap_or_default();
        if items.len() != targets.len() {
            let asked = targets.iter().map(|target| target.name.to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::malformed(format!("it lists {} addresses where {asked} was asked for", items.len())));
        }
        Ok(targets.iter().map(|target| find(&items, &target.name)).collect())
    }

    /// Puts an address where it belongs, in one step, from whomever has it if `reassociate`. `None` is given where associations
    /// have no ids.
    pub async fn associate(
        &self,
        name: &Name,
        destination: &Destination,
        reassociate: bool,
    ) -> Result<Response<Option<AssociationId>>, Error> {
        let call = associate_request(name, destination, reassociate);
        let Response { value, request } = self.call("AssociateAddress", async |ec2| ec2.associate_address(call.clone()).await).await?;
        Ok(Response { value: id(value.association_id)?, request })
    }

    /// Ends an association.
    pub async fn disassociate(&self, tie: &Tie) -> Result<Response<()>, Error> {
        let request = disassociate_request(tie);
        self.call("DisassociateAddress", async |ec2| ec2.disassociate_address(request.clone()).await).await
    }

    async fn call<T, E>(
        &self,
        action: &'static str,
        send: impl AsyncFn(Ec2Client) -> Result<T, RusotoError<E>>,
    ) -> Result<Response<T>, Error> {
        // Calls that are made side by side may all learn of the clock at once.
        let unaware = self.skew.get().is_none();
        let error = match self.attempt(action, &send).await {
            Err(error) if unaware => error,
            result => return result,
        };
        let Kind::Clock(skew) = error.kind else { return Err(error) };
        log::warn!("{error}; trying again with EC2's time");
        self.skew.set(Some(skew));
        self.attempt(action, &send).await
    }

    async fn attempt<T, E>(
        &self,
        action: &'static str,
        send: impl AsyncFn(Ec2Client) -> Result<T, RusotoError<E>>,
    ) -> Result<Response<T>, Error> {
        let keys = self.keys.get().await?;
        let left = self.limits.deadline.left();
        let transport = Transport::new(
            self.http.clone(),
            self.proxy.clone(),
            action,
            self.limits.attempt.min(left),
            self.skew.get().map(|skew| (skew, keys.clone())),
        );
        let begun = Instant::now();
        let result = send(Ec2Client::new_with(transport.clone(), StaticProvider::from(keys), self.region.clone())).await;
        let result = match (result, transport.ended()) {
            (_, Some(Err(error))) => Err(Error { is_cut_short: error.is_cut_short && left < self.limits.attempt, ..error }),
            (Ok(value), ended) => Ok(Response { value, request: ended.and_then(Result::ok).unwrap_or_default() }),
            (Err(RusotoError::ParseError(text)), _) => Err(Error::malformed(printable(&text))),
            (Err(_), _) => Err(Error::malformed("it is not of the form that EC2 documents")),
        };
        let ended = if result.is_ok() { "done" } else { "failed" };
        log::debug!("{action} {ended} after {} ms", begun.elapsed().as_millis());
        if matches!(&result, Err(Error { kind: Kind::NotYet(_), .. })) {
            // They may be what is not known everywhere yet, or no more.
            self.keys.invalidate();
        }
        result
    }
}

/// `targets` are all named in the same way.
fn describe_request(targets: &[&Target]) -> DescribeAddressesRequest {
    let names = || Some(targets.iter().map(|target| target.name.to_string()).collect());
    match targets.first().map(|target| &target.name) {
        Some(Name::Allocation(_)) => DescribeAddressesRequest { allocation_ids: names(), ..Default::default() },
        _ => DescribeAddressesRequest { public_ips: names(), ..Default::default() },
    }
}

fn associate_request(name: &Name, destination: &Destination, reassociate: bool) -> AssociateAddressRequest {
    let (allocation_id, public_ip) = match name {
        Name::Allocation(id) => (Some(id.to_string()), None),
        Name::Address(address) => (None, Some(address.to_string())),
    };
    AssociateAddressRequest {
        // Where addresses have no allocation ids, the word is not known.
        allow_reassociation: allocation_id.is_some().then_some(reassociate),
        allocation_id,
        public_ip,
        instance_id: destination.interface.is_none().then(|| destination.instance.to_string()),
        network_interface_id: destination.interface.as_ref().map(ToString::to_string),
        private_ip_address: destination.private.map(|private| private.to_string()),
        ..Default::default()
    }
}

fn disassociate_request(tie: &Tie) -> DisassociateAddressRequest {
    match tie {
        Tie::Association(id) => DisassociateAddressRequest { association_id: Some(id.to_string()), ..Default::default() },
        Tie::Address(address) => DisassociateAddressRequest { public_ip: Some(address.to_string()), ..Default::default() },
    }
}

fn id<T: FromStr<Err: fmt::Display>>(text: Option<String>) -> Result<Option<T>, Error> {
    text.filter(|text| !text.is_empty()).map(|text| text.parse().map_err(Error::malformed)).transpose()
}

/// The one item of a list about this address.
fn find(items: &[rusoto_ec2::Address], asked: &Name) -> Result<Address, Error> {
    let name = |item: &rusoto_ec2::Address| match asked {
        Name::Address(_) => item.public_ip.clone().unwrap_or_default(),
        Name::Allocation(_) => item.allocation_id.clone().unwrap_or_default(),
    };
    let mut found = items.iter().filter(|item| match asked {
        Name::Address(address) => name(item).parse() == Ok(*address),
        Name::Allocation(id) => name(item) == id.to_string(),
    });
    if let (Some(item), None) = (found.next(), found.next()) {
        return read(item, asked);
    }
    let all = items.iter().map(name).collect::<Vec<_>>().join(", ");
    Err(Error::malformed(format!("it tells of {:?} where {asked} was asked for", printable(&all))))
}

fn read(item: &rusoto_ec2::Address, asked: &Name) -> Result<Address, Error> {
    // An address of a Wavelength Zone or of an Outpost is moved like any other, by its allocation id, and has its own name for what others
    // reach it by (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Address.html).
    let public = [&item.public_ip, &item.carrier_ip, &item.customer_owned_ip].into_iter().flatten().find(|text| !text.is_empty());
    let public = public.map_or("", String::as_str);
    let public = public.parse().map_err(|_| Error::malformed(format!("it tells of {:?} for {asked}", printable(public))))?;
    let association: Option<AssociationId> = id(item.association_id.clone())?;
    let interface: Option<InterfaceId> = id(item.network_interface_id.clone())?;
    let private: Option<Ipv4Addr> = id(item.private_ip_address.clone())?;
    let owner = match id(item.instance_id.clone())? {
        Some(instance) => Some(Owner::Instance(instance)),
        None => interface.clone().map(Owner::Interface),
    };
    let association = match (association, owner) {
        (id, Some(owner)) => Some(Association { id, owner, interface, private }),
        (None, None) => None,
        (Some(id), None) => return Err(Error::malformed(format!("{id} ties {asked} to nothing"))),
    };
    Ok(Address { public, allocation: id(item.allocation_id.clone())?, association })
}
