//! Who has the addresses, where they belong, and what EC2 allows for them.

use futures::future::{join, join_all};

use super::{Fact, MEND, Verdict, permissions};
use crate::address::{InstanceId, Seat};
use crate::config::Config;
use crate::ec2::{Address, Ec2, Error, Owner};
use crate::interfaces::Interfaces;
use crate::plan::is_mine;

/// What EC2 tells of the addresses, and what it allows.
pub async fn ask(ec2: &Ec2, config: &Config, me: Option<&InstanceId>, interfaces: &Interfaces) -> Vec<Fact> {
    let seats = config.targets.iter().map(async |target| match me {
        Some(me) => Some(interfaces.seat(me, target, &config.targets).await),
        None => None,
    });
    let (described, seats) = join(ec2.describe(&config.targets), join_all(seats)).await;
    let mut facts = Vec::new();
    for ((target, address), seat) in config.targets.iter().zip(&described).zip(&seats) {
        facts.push(holder(config, address, me).about(target));
        facts.extend(seat.as_ref().map(|seat| place(seat, address.as_ref().ok(), me).about(target)));
    }
    facts.push(independence(&described, &seats, me));
    let known = config.targets.iter().zip(&described).zip(seats);
    let known = known.filter_map(|((target, address), seat)| Some((target, address.as_ref().ok()?, seat?.ok()?)));
    facts.extend(permissions::ask(ec2, config, interfaces, &known.collect::<Vec<_>>()).await);
    facts
}

fn is_here(address: &Address, me: Option<&InstanceId>) -> bool {
    matches!(&address.association, Some(held) if me.is_some_and(|me| held.owner == Owner::Instance(me.clone())))
}

fn holder(config: &Config, address: &Result<Address, Error>, me: Option<&InstanceId>) -> Fact {
    let address = match address {
        Ok(address) => address,
        Err(error) => return Fact::message("address", Verdict::Fail, &error.to_string()),
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

fn place(seat: &Result<Seat, String>, address: Option<&Address>, me: Option<&InstanceId>) -> Fact {
    match seat {
        Err(line) => Fact::message("interface", Verdict::Fail, line),
        Ok(seat) if address.is_some_and(|address| is_here(address, me) && !is_mine(address, seat)) => {
            Fact::warn("interface", &format!("belongs on {seat}, but is elsewhere on this instance"), "start moves it to where it belongs")
        }
        Ok(seat @ Seat { interface: None, .. }) => Fact::ok("interface", &format!("belongs on {seat}, whose primary interface takes it")),
        Ok(seat) => Fact::ok("interface", &format!("belongs on {seat}")),
    }
}

/// Whether this node reaches EC2 by another way than the address itself.
fn independence(described: &[Result<Address, Error>], seats: &[Option<Result<Seat, String>>], me: Option<&InstanceId>) -> Fact {
    let is_here = |(address, seat): (&Address, &Option<Result<Seat, String>>)| {
        is_here(address, me) || matches!(seat, Some(Ok(seat)) if is_mine(address, seat))
    };
    let mut known = described.iter().zip(seats).filter_map(|(address, seat)| Some((address.as_ref().ok()?, seat)));
    if known.any(is_here) {
        return Fact::warn(
            "route",
            "whether EC2 is reached without the address is known only once the address is elsewhere",
            "check again then; README, A way to the EC2 API that is not the Elastic IP",
        );
    }
    if me.is_none() || described.iter().any(Result::is_err) {
        return Fact::warn("route", "not known, for it is not known who has the address", MEND);
    }
    Fact::ok("route", "EC2 is reached without the address")
}
