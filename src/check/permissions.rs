//! Whether EC2 allows what a start and a stop call, each asked by `DryRun`.

use futures::future::{join, join_all};

use super::{FAILURES_FIRST, Fact, Verdict};
use crate::config::Config;
use crate::ec2::{Address, Ec2, Error};
use crate::ids::{Destination, Target};
use crate::interfaces::Interfaces;

const DESCRIBE: &str = "may-describe";
const ASSOCIATE: &str = "may-associate";
const DISASSOCIATE: &str = "may-disassociate";
/// What to do where there is no `DryRun`, as on Eucalyptus.
const TRY: &str = "see a start and a stop work before you rely on them";

/// Tries each call for each address that EC2 knows. One that could change something is tried only once EC2 has shown that it
/// heeds `DryRun`.
pub(super) async fn ask(ec2: &Ec2, config: &Config, interfaces: &Interfaces, known: &[(&Target, &Address, Destination)]) -> Vec<Fact> {
    let described = known.first().map(|(target, ..)| *target);
    let Some(first) = described.or(config.targets.first()) else { return Vec::new() };
    let mut facts = vec![Fact::ok(DESCRIBE, "allowed")];
    match (ec2.may_describe(first).await, described) {
        (Ok(()), _) => {}
        // It has just been described without DryRun.
        (Err(error), Some(_)) => {
            facts.extend([ASSOCIATE, DISASSOCIATE].map(|name| Fact::warn(name, &format!("could not be tried: {error}"), TRY)));
            return facts;
        }
        (Err(error), None) => {
            return vec![Fact::message(DESCRIBE, Verdict::Fail, error), untried(ASSOCIATE), untried(DISASSOCIATE)];
        }
    }
    let tried = join_all(known.iter().map(async |(target, address, destination)| {
        let (associate, disassociate) =
            join(associate(ec2, config, interfaces, address, destination), disassociate(ec2, config, address)).await;
        [associate.about(target), disassociate.about(target)]
    }));
    facts.extend(tried.await.into_iter().flatten());
    if known.is_empty() {
        facts.extend([untried(ASSOCIATE), untried(DISASSOCIATE)]);
    }
    facts
}

fn untried(name: &'static str) -> Fact {
    Fact::warn(name, "could not be tried", FAILURES_FIRST)
}

async fn associate(ec2: &Ec2, config: &Config, interfaces: &Interfaces, address: &Address, destination: &Destination) -> Fact {
    let mut answer = ec2.may_associate(&address.name(), destination, config.allow_reassociation).await;
    // So EC2 refuses an instance that has several interfaces, and a start names the primary one then.
    if destination.interface.is_none()
        && answer.as_ref().is_err_and(|error| error.is_refusal("InvalidInstanceID"))
        && let Ok(Some(primary)) = interfaces.primary().await
    {
        let destination = Destination { interface: Some(primary), ..destination.clone() };
        answer = ec2.may_associate(&address.name(), &destination, config.allow_reassociation).await;
    }
    let answer = answer.map_err(|error| match &address.association {
        Some(held) => error.of_an_address_at(&held.owner),
        None => error,
    });
    judge(ASSOCIATE, Verdict::Fail, answer)
}

async fn disassociate(ec2: &Ec2, config: &Config, address: &Address) -> Fact {
    let Some(tie) = address.tie() else {
        return Fact::ok(DISASSOCIATE, "not tried, for nobody has the address");
    };
    // A handover needs it only where it cannot be remembered.
    let refused = if config.release_on_stop { Verdict::Fail } else { Verdict::Warn };
    judge(DISASSOCIATE, refused, ec2.may_disassociate(&tie).await)
}

fn judge(name: &'static str, refused: Verdict, answer: Result<(), Error>) -> Fact {
    match answer {
        Ok(()) => Fact::ok(name, "allowed"),
        Err(error) => Fact::message(name, refused, error),
    }
}
