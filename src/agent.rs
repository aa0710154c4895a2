//! Start, stop, status: decide on what EC2 says, then act.

use std::cell::RefCell;

use crate::address::{InstanceId, Target};
use crate::ec2::{Address, Association, Ec2, Error, Kind, Owner};
use crate::marks::{Mark, Marks};
use crate::retry::{self, Deadline, Transient};

/// What became of an action on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This instance has the address.
    Mine,
    /// This instance does not have the address.
    NotMine,
    /// This instance had the address and has released it.
    Released,
    /// This node has stopped holding the address; EC2 leaves it here until a peer takes it.
    HandedOver,
    /// A dry run ended where a call would have changed something.
    Rehearsed,
}

/// How to act.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Whether start may take an address that somebody holds.
    pub allow_reassociation: bool,
    /// Whether stop releases the address, or leaves it until a peer takes it.
    pub release_on_stop: bool,
    /// Whether to say what would be called, and change nothing.
    pub dry_run: bool,
}

/// One instance's hand on its addresses.
pub struct Agent {
    /// The API.
    pub ec2: Ec2,
    /// What earlier calls left to remember.
    pub marks: Marks,
    /// This instance.
    pub me: InstanceId,
    /// How to act.
    pub rules: Rules,
    /// When every action must have ended.
    pub deadline: Deadline,
    /// The calls whose effect is not known.
    pub unsettled: RefCell<Vec<String>>,
}

/// What start is to do.
#[derive(Debug, PartialEq, Eq)]
enum Take<'a> {
    Keep,
    Associate,
    LeaveTo(&'a Owner),
}

/// What stop is to do.
#[derive(Debug, PartialEq, Eq)]
enum LetGo<'a> {
    Nothing,
    HandOver(&'a Association),
    Disassociate(&'a Association),
}

fn is_mine(address: &Address, me: &InstanceId) -> bool {
    matches!(&address.association, Some(Association { owner: Owner::Instance(owner), .. }) if owner == me)
}

fn decide_start<'a>(address: &'a Address, me: &InstanceId, rules: Rules) -> Take<'a> {
    match &address.association {
        Some(_) if is_mine(address, me) => Take::Keep,
        Some(held) if !rules.allow_reassociation => Take::LeaveTo(&held.owner),
        _ => Take::Associate,
    }
}

fn decide_stop<'a>(address: &'a Address, me: &InstanceId, rules: Rules) -> LetGo<'a> {
    match &address.association {
        Some(held) if is_mine(address, me) => {
            if rules.release_on_stop {
                LetGo::Disassociate(held)
            } else {
                LetGo::HandOver(held)
            }
        }
        _ => LetGo::Nothing,
    }
}

impl Agent {
    /// Makes the address this instance's. The error is the reason why it is not known to be, in one line.
    pub async fn start(&self, target: Target) -> Result<Outcome, String> {
        let outcome = self.take(target).await?;
        if outcome == Outcome::Mine && !self.rules.dry_run {
            self.marks.clear(Mark::HandedOver, target);
            self.marks.clear(Mark::StopFailed, target);
        }
        Ok(outcome)
    }

    /// Stops holding the address, if this instance does. The error is the reason why it is not known to be so, in one line.
    pub async fn stop(&self, target: Target) -> Result<Outcome, String> {
        let outcome = self.let_go(target).await?;
        if !self.rules.dry_run {
            self.marks.clear(Mark::StopFailed, target);
            if outcome != Outcome::HandedOver {
                self.marks.clear(Mark::HandedOver, target);
            }
        }
        Ok(outcome)
    }

    /// Whether this instance has the address. The error is the reason why that cannot be told, in one line.
    pub async fn status(&self, target: Target) -> Result<Outcome, String> {
        if self.marks.stands(Mark::StopFailed, target) {
            return Err("a stop failed earlier, and whether it took effect is not known; run start or stop again".to_owned());
        }
        let what = format!("status of {target}");
        let address =
            retry::until(self.deadline, &what, async || self.ec2.describe(target).await).await.map_err(|error| self.verdict(&error))?;
        if !is_mine(&address, &self.me) {
            self.marks.clear(Mark::HandedOver, target);
            return Ok(Outcome::NotMine);
        }
        Ok(if self.marks.stands(Mark::HandedOver, target) { Outcome::HandedOver } else { Outcome::Mine })
    }

    async fn take(&self, target: Target) -> Result<Outcome, String> {
        let mut known: Option<Address> = None;
        let what = format!("start of {target}");
        let taken = retry::until(self.deadline, &what, async || {
            let address = match known.take() {
                Some(address) => address,
                None => self.ec2.describe(target).await?,
            };
            match decide_start(&address, &self.me, self.rules) {
                Take::Keep => {
                    log::info!("{target}: {} has it already", self.me);
                    Ok(Ok(Outcome::Mine))
                }
                Take::LeaveTo(owner) => {
                    Ok(Err(format!("{owner} has it, and ALLOW_REASSOCIATION=no forbids taking it; release it there first")))
                }
                Take::Associate if self.rules.dry_run => {
                    log::info!("{target}: would call AssociateAddress to move it from {} to {}", holder(&address), self.me);
                    Ok(Ok(Outcome::Rehearsed))
                }
                Take::Associate => match self.associate(&address, target).await {
                    Ok(()) => Ok(Ok(Outcome::Mine)),
                    Err(error) => {
                        known = still_valid(&error, address);
                        Err(error)
                    }
                },
            }
        });
        taken.await.map_err(|error| self.verdict(&error))?
    }

    async fn associate(&self, address: &Address, target: Target) -> Result<(), Error> {
        let change = format!("AssociateAddress of {target} to {}", self.me);
        let association = self.settle(&change, self.ec2.associate(address, &self.me, self.rules.allow_reassociation)).await?;
        let id = match association {
            Some(id) => format!("association {id}"),
            // Without association ids, the word that it is done names nothing; a describe must show it.
            None if is_mine(&self.ec2.describe(target).await?, &self.me) => "no association id".to_owned(),
            None => return Err(Error::unconfirmed(&change)),
        };
        log::info!("{target}: moved from {} to {}, {id}", holder(address), self.me);
        Ok(())
    }

    async fn let_go(&self, target: Target) -> Result<Outcome, String> {
        let mut known: Option<Address> = None;
        let mut asked = false;
        let what = format!("stop of {target}");
        let gone = retry::until(self.deadline, &what, async || {
            let address = match known.take() {
                Some(address) => address,
                None => self.ec2.describe(target).await?,
            };
            let held = match decide_stop(&address, &self.me, self.rules) {
                LetGo::Nothing if asked => return Ok(Outcome::Released),
                LetGo::Nothing => {
                    log::info!("{target}: {} does not have it, {} has; nothing to release", self.me, holder(&address));
                    return Ok(Outcome::NotMine);
                }
                LetGo::HandOver(_) if self.rules.dry_run => {
                    log::info!("{target}: would leave it with {} until a peer takes it", self.me);
                    return Ok(Outcome::Rehearsed);
                }
                LetGo::HandOver(held) => match self.marks.set(Mark::HandedOver, target) {
                    Ok(()) => {
                        log::info!("{target}: stays with {} until a peer takes it (RELEASE_ON_STOP=no)", self.me);
                        return Ok(Outcome::HandedOver);
                    }
                    // Without the mark, status would go on to claim it for this node.
                    Err(error) => {
                        log::warn!("{target}: cannot write the mark of the handover: {error}; releasing it instead");
                        held
                    }
                },
                LetGo::Disassociate(held) => held,
            };
            if self.rules.dry_run {
                log::info!("{target}: would call DisassociateAddress to release it from {}", self.me);
                return Ok(Outcome::Rehearsed);
            }
            let change = format!("DisassociateAddress of {target} from {}", self.me);
            match self.settle(&change, self.ec2.disassociate(&address, held)).await {
                Ok(()) => {
                    log::info!("{target}: released from {}", self.me);
                    Ok(Outcome::Released)
                }
                // The association that was ours is gone, so somebody else has the address by now, or nobody.
                Err(error) if error.is_refusal("InvalidAssociationID.NotFound") => {
                    log::info!("{target}: {} lost it meanwhile; nothing to release", self.me);
                    Ok(if asked { Outcome::Released } else { Outcome::NotMine })
                }
                Err(error) => {
                    asked |= error.kind == Kind::Ambiguous;
                    known = still_valid(&error, address);
                    Err(error)
                }
            }
        });
        gone.await.map_err(|error| self.verdict(&error))
    }

    /// Keeps a change on the list of unsettled ones while its effect is not known.
    async fn settle<T>(&self, change: &str, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.unsettled.borrow_mut().push(change.to_owned());
        let result = call.await;
        if !matches!(&result, Err(error) if error.kind == Kind::Ambiguous) {
            self.unsettled.borrow_mut().retain(|other| other != change);
        }
        result
    }

    /// What an error means once no more tries are made.
    fn verdict(&self, error: &Error) -> String {
        let advice = match error.kind {
            Kind::Unsent => "; check the region, and that this node reaches the EC2 API without the address",
            Kind::Ambiguous if !self.unsettled.borrow().is_empty() => "; whether it took effect is not known, ask status",
            Kind::Throttled => "; too many calls in this account",
            _ => "",
        };
        let end = if error.pace().is_some() { "; gave up at the deadline" } else { "" };
        format!("{error}{end}{advice}")
    }
}

/// What was described may be used again only where the failed call has surely changed nothing.
fn still_valid(error: &Error, address: Address) -> Option<Address> {
    matches!(error.kind, Kind::Throttled | Kind::Unsent).then_some(address)
}

fn holder(address: &Address) -> String {
    address.association.as_ref().map_or_else(|| "nobody".to_owned(), |held| held.owner.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { allow_reassociation: true, release_on_stop: true, dry_run: false };

    fn me() -> InstanceId {
        "i-0aaaaaaaaaaaaaaaa".parse().unwrap()
    }

    fn held_by(owner: Option<&str>) -> Address {
        let association = owner.map(|owner| Association {
            id: Some("eipassoc-0123456789abcdef0".parse().unwrap()),
            owner: if owner.starts_with("i-") { Owner::Instance(owner.parse().unwrap()) } else { Owner::Interface(owner.parse().unwrap()) },
        });
        Address { public: "203.0.113.25".parse().unwrap(), allocation: Some("eipalloc-0123456789abcdef0".parse().unwrap()), association }
    }

    #[test]
    fn start_takes_what_is_not_mine_and_keeps_what_is() {
        assert_eq!(decide_start(&held_by(Some("i-0aaaaaaaaaaaaaaaa")), &me(), RULES), Take::Keep);
        for other in [None, Some("i-0bbbbbbbbbbbbbbbb"), Some("eni-0bbbbbbbbbbbbbbbb")] {
            assert_eq!(decide_start(&held_by(other), &me(), RULES), Take::Associate, "{other:?}");
        }
    }

    #[test]
    fn start_leaves_a_held_address_where_reassociation_is_forbidden() {
        let rules = Rules { allow_reassociation: false, ..RULES };
        let owner = Owner::Instance("i-0bbbbbbbbbbbbbbbb".parse().unwrap());
        assert_eq!(decide_start(&held_by(Some("i-0bbbbbbbbbbbbbbbb")), &me(), rules), Take::LeaveTo(&owner));
        assert_eq!(decide_start(&held_by(None), &me(), rules), Take::Associate);
    }

    #[test]
    fn stop_lets_go_only_of_what_is_mine() {
        for other in [None, Some("i-0bbbbbbbbbbbbbbbb"), Some("eni-0bbbbbbbbbbbbbbbb")] {
            assert_eq!(decide_stop(&held_by(other), &me(), RULES), LetGo::Nothing, "{other:?}");
        }
        let mine = held_by(Some("i-0aaaaaaaaaaaaaaaa"));
        assert!(matches!(decide_stop(&mine, &me(), RULES), LetGo::Disassociate(_)));
        assert_eq!(
            decide_stop(&mine, &me(), Rules { release_on_stop: false, ..RULES }),
            LetGo::HandOver(mine.association.as_ref().unwrap())
        );
    }
}
