//! Who has the addresses, where they belong, and what EC2 allows for them.

use futures::future::{join, join_all};

use super::{FAILURES_FIRST, Fact, Verdict, permissions};
use crate::config::Config;
use crate::ec2::{Address, Ec2, Error, Owner};
use crate::ids::{Destination, InstanceId, Name, Target};
use crate::instance;
use crate::interfaces::Interfaces;
use crate::takeover::is_mine;

/// What EC2 says about the addresses, and what it allows.
pub(super) async fn ask(ec2: &Ec2, config: &Config, me: Option<&InstanceId>, interfaces: &Interfaces) -> Vec<Fact> {
    let destinations = config.targets.iter().map(async |target| match me {
        Some(me) => Some(interfaces.destination(me, target, &config.targets).await),
        None => None,
    });
    let (described, destinations) = join(ec2.describe(&config.targets), join_all(destinations)).await;
    let mut facts = Vec::new();
    for ((target, address), destination) in config.targets.iter().zip(&described).zip(&destinations) {
        facts.push(holder(config, address, me).about(target));
        facts.extend(destination.as_ref().map(|destination| place(destination, address.as_ref().ok(), me).about(target)));
        if let Some(Ok(destination)) = destination {
            facts.extend(displaced(ec2, interfaces, destination, &described).await.map(|fact| fact.about(target)));
        }
    }
    facts.push(independence(&described, &destinations, me));
    let known = config.targets.iter().zip(&described).zip(destinations);
    let known = known.filter_map(|((target, address), destination)| Some((target, address.as_ref().ok()?, destination?.ok()?)));
    facts.extend(permissions::ask(ec2, config, interfaces, &known.collect::<Vec<_>>()).await);
    facts
}

fn is_here(address: &Address, me: Option<&InstanceId>) -> bool {
    matches!(&address.association, Some(held) if me.is_some_and(|me| held.owner == Owner::Instance(me.clone())))
}

fn holder(config: &Config, address: &Result<Address, Error>, me: Option<&InstanceId>) -> Fact {
    let address = match address {
        Ok(address) => address,
        Err(error) => return Fact::message("address", Verdict::Fail, error.clone()),
    };
    let id = address.allocation.as_ref().map_or_else(|| "no allocation id".to_owned(), ToString::to_string);
    match &address.association {
        None => Fact::ok("address", &format!("{id}, nobody has it")),
        Some(_) if is_here(address, me) => Fact::ok("address", &format!("{id}, this instance has it")),
        Some(held) if config.allow_reassociation => Fact::ok("address", &format!("{id}, {} has it", held.owner)),
        Some(held) => Fact::fail(
            "address",
            &format!("{id}, {} has it, and ALLOW_REASSOCIATION=no forbids taking it", held.owner),
            "release it there first",
        ),
    }
}

fn place(destination: &Result<Destination, instance::Error>, address: Option<&Address>, me: Option<&InstanceId>) -> Fact {
    match destination {
        Err(error) => Fact::message("interface", Verdict::Fail, error.clone()),
        Ok(destination) if address.is_some_and(|address| is_here(address, me) && !is_mine(address, destination)) => Fact::warn(
            "interface",
            &format!("belongs on {destination}, but is elsewhere on this instance"),
            "start moves it to where it belongs",
        ),
        Ok(destination @ Destination { interface: None, .. }) => {
            Fact::ok("interface", &format!("belongs on {destination}, whose primary interface takes it"))
        }
        Ok(destination) => Fact::ok("interface", &format!("belongs on {destination}")),
    }
}

/// What another Elastic IP has to give way to a start. An address that EC2 has assigned by itself is none of the account's.
async fn displaced(ec2: &Ec2, interfaces: &Interfaces, place: &Destination, described: &[Result<Address, Error>]) -> Option<Fact> {
    let public = interfaces.public_address(place).await?;
    if described.iter().flatten().any(|address| address.public == public) {
        return None;
    }
    let target = Target { name: Name::Address(public), interface: None };
    let other = ec2.describe(&[target]).await.pop()?.ok()?;
    let id = other.allocation.map_or_else(String::new, |id| format!(" ({id})"));
    Some(Fact::warn(
        "displaced",
        &format!("a start takes the place of {public}{id}, which this instance has at {place}"),
        "if both are needed, give one another interface or private address with @",
    ))
}

/// Whether this node reaches EC2 by another way than the address itself.
fn independence(
    described: &[Result<Address, Error>],
    destinations: &[Option<Result<Destination, instance::Error>>],
    me: Option<&InstanceId>,
) -> Fact {
    let is_here = |(address, destination): (&Address, &Option<Result<Destination, instance::Error>>)| {
        is_here(address, me) || matches!(destination, Some(Ok(destination)) if is_mine(address, destination))
    };
    let mut known = described.iter().zip(destinations).filter_map(|(address, destination)| Some((address.as_ref().ok()?, destination)));
    if known.any(is_here) {
        return Fact::warn(
            "route",
            "whether EC2 is reached without the address is known only once the address is elsewhere",
            "check again then: see THE WAY TO EC2 in elastic-ip(8)",
        );
    }
    if me.is_none() || described.iter().any(Result::is_err) {
        return Fact::warn("route", "not known, for it is not known who has the address", FAILURES_FIRST);
    }
    Fact::ok("route", "EC2 is reached without the address")
}
