//! What start does next, decided on what EC2 said last and on what is remembered. Nothing here calls, waits or prints.

pub mod operation;
pub(crate) mod release;
pub mod state;
pub mod store;

use crate::ec2::{Address, Error, Kind, Owner};
use crate::ids::{AllocationId, AssociationId, Destination, InterfaceId, Name};
use state::Shown;

/// What became of an action on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This instance has the address.
    Held,
    /// This instance does not have the address.
    NotHeld,
    /// This instance had the address and has released it.
    Released,
    /// This node has stopped holding the address; EC2 leaves it here until a peer takes it.
    HandedOver,
    /// A dry run ended where a call would have changed something.
    DryRun,
}

/// EC2 refuses by this code to associate an address that somebody has, where reassociation is not allowed.
const ALREADY_ASSOCIATED: &str = "Resource.AlreadyAssociated";

/// Whether an address, as it was described, is where it belongs on this instance.
#[must_use]
pub(crate) fn is_mine(address: &Address, destination: &Destination) -> bool {
    let Some(held) = &address.association else { return false };
    let here = match &held.owner {
        Owner::Instance(owner) => *owner == destination.instance,
        // Not every service tells the instance of an interface.
        Owner::Interface(_) => destination.interface.is_some(),
    };
    here && destination.interface.as_ref().is_none_or(|interface| held.interface.as_ref() == Some(interface))
        && destination.private.is_none_or(|private| held.private == Some(private))
}

/// What a describe shows, as it is remembered.
#[must_use]
pub(crate) fn shown(address: &Address, destination: &Destination) -> Shown {
    let association = address.association.as_ref().and_then(|held| held.id.clone());
    Shown { association, mine: is_mine(address, destination) }
}

/// What was described may be used again only where the failed call has surely changed nothing.
fn is_untouched(error: &Error) -> bool {
    matches!(error.kind, Kind::Throttled | Kind::Unsent | Kind::NotYet(_))
}

/// The next step of a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TakeoverStep<'a> {
    /// Ask EC2 who has the address.
    Describe,
    /// Ask which interface of this instance is the primary one: it has several, and EC2 wants one named.
    FindPrimary,
    /// Put the address where it belongs, from whoever was described to have it.
    Associate(Name, &'a Destination, Option<&'a Address>),
    /// Give up: this owner has the address, and no owner may be dispossessed. EC2 has said so where no describe shows an owner.
    LeaveTo(Option<&'a Owner>),
    /// Give up: this owner has taken the address since the takeover began, so it knows better who is alive.
    LostTo(&'a Owner),
    /// Nothing: EC2 has acknowledged an association that has no id, and shows it.
    End,
}

/// From whom an address may be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permission {
    /// From whoever has it.
    #[default]
    Anybody,
    /// From nobody. EC2 refuses where somebody has it.
    Nobody,
    /// From nobody, and EC2 is asked first who has it, so that an address which somebody has costs no attempt.
    NobodyAsked,
}

/// What a takeover knows of the address.
#[derive(Clone, Debug)]
enum View {
    /// Nothing is asked yet. The caller has only just decided that the address belongs here.
    Unasked,
    /// It must be asked.
    Stale,
    /// So it was described.
    Described(Address),
}

/// Making an address this instance's.
#[derive(Clone, Debug)]
pub(crate) struct Takeover {
    destination: Destination,
    permission: Permission,
    /// The allocation id that is known before anything is asked.
    allocation: Option<AllocationId>,
    /// EC2 has refused the instance's own name.
    find_primary: bool,
    /// EC2 has refused to take the address from its owner.
    refused: bool,
    /// EC2 has acknowledged an association that has no id.
    unnamed: bool,
    /// The association that was described first, of which nothing says that it was old.
    first: Option<Address>,
    view: View,
}

impl Takeover {
    /// With a known allocation id, nothing needs to be asked before the address is taken, unless `permission` says so.
    #[must_use]
    pub(crate) fn new(destination: Destination, permission: Permission, allocation: Option<AllocationId>) -> Self {
        Self {
            destination,
            permission,
            allocation: allocation.filter(|_| permission != Permission::NobodyAsked),
            find_primary: false,
            refused: false,
            unnamed: false,
            first: None,
            view: View::Unasked,
        }
    }

    /// Where the address belongs.
    #[must_use]
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What to do now.
    #[must_use]
    pub(crate) fn next(&self) -> TakeoverStep<'_> {
        match &self.view {
            _ if self.find_primary => TakeoverStep::FindPrimary,
            View::Unasked if !self.refused => match &self.allocation {
                Some(id) => TakeoverStep::Associate(Name::Allocation(id.clone()), &self.destination, None),
                None => TakeoverStep::Describe,
            },
            View::Unasked | View::Stale => TakeoverStep::Describe,
            View::Described(address) => self.with(address),
        }
    }

    fn with<'a>(&'a self, address: &'a Address) -> TakeoverStep<'a> {
        let other = address.association.as_ref().filter(|_| !is_mine(address, &self.destination));
        // Where addresses have no allocation ids, the call says nothing about reassociation.
        let forbidden = match self.permission {
            Permission::Anybody => false,
            Permission::Nobody => address.allocation.is_none(),
            Permission::NobodyAsked => true,
        };
        match other {
            None if self.unnamed && address.association.is_some() => TakeoverStep::End,
            _ if self.refused => TakeoverStep::LeaveTo(other.map(|held| &held.owner)),
            Some(held) if forbidden => TakeoverStep::LeaveTo(Some(&held.owner)),
            Some(held) if self.first.as_ref().is_some_and(|first| first.association != address.association) => {
                TakeoverStep::LostTo(&held.owner)
            }
            _ => TakeoverStep::Associate(address.name(), &self.destination, Some(address)),
        }
    }

    /// EC2 has said who has the address. If that is known to be old, it does not say who had it when the takeover began.
    pub(crate) fn described(&mut self, address: Address, is_old: bool) {
        if !is_old {
            self.first.get_or_insert_with(|| address.clone());
        }
        self.view = View::Described(address);
    }

    /// Time has passed since EC2 said who has the address, or since the caller decided, in which a peer may have taken it.
    pub(crate) fn invalidate(&mut self) {
        self.view = View::Stale;
    }

    /// EC2 has acknowledged the association. `true` if that settles it: where associations have no ids the word names nothing,
    /// so that a describe must show it.
    pub(crate) fn associated(&mut self, id: Option<&AssociationId>) -> bool {
        self.view = View::Stale;
        self.unnamed = id.is_none();
        id.is_some()
    }

    /// The associate has failed, or was applied and the answer is lost. `true` if there is another way to be tried at once.
    pub(crate) fn failed(&mut self, error: &Error) -> bool {
        if self.permission != Permission::Anybody && error.is_refusal(ALREADY_ASSOCIATED) {
            self.refused = true;
            if matches!(self.view, View::Unasked) {
                self.view = View::Stale;
            }
            return true;
        }
        // So EC2 refuses an instance that has several interfaces, among other faults of the name.
        if self.destination.interface.is_none() && error.is_refusal("InvalidInstanceID") {
            self.find_primary = true;
            return true;
        }
        // The id may be one that is remembered from an earlier allocation of the same address.
        if matches!(self.view, View::Unasked) && error.is_refusal("InvalidAllocationID.NotFound") {
            self.view = View::Stale;
            return true;
        }
        // The reason names who has the address, where that may be why.
        if matches!(self.view, View::Unasked) && error.may_be_for_the_owner() {
            self.view = View::Stale;
            return true;
        }
        if !is_untouched(error) {
            self.view = View::Stale;
        }
        false
    }

    /// This is the instance's primary interface, or it has no other.
    pub(crate) fn found_primary(&mut self, interface: Option<InterfaceId>) {
        self.destination.interface = interface;
        self.find_primary = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ec2::Association;

    pub(super) const ME: &str = "i-0aaaaaaaaaaaaaaaa";
    pub(super) const PEER: &str = "i-0bbbbbbbbbbbbbbbb";
    pub(super) const GATEWAY: &str = "eni-0bbbbbbbbbbbbbbbb";
    const ETH0: &str = "eni-0aaaaaaaaaaaaaaaa";
    const ETH1: &str = "eni-0aaaaaaaaaaaaaaab";

    pub(super) fn me() -> Destination {
        Destination { instance: ME.parse().unwrap(), interface: None, private: None }
    }

    fn on(interface: &str, private: Option<&str>) -> Destination {
        Destination { interface: Some(interface.parse().unwrap()), private: private.map(|ip| ip.parse().unwrap()), ..me() }
    }

    pub(super) fn association_id(number: u8) -> AssociationId {
        format!("eipassoc-{number}").parse().unwrap()
    }

    fn allocation_id() -> AllocationId {
        "eipalloc-0123456789abcdef0".parse().unwrap()
    }

    pub(super) fn held_by(owner: Option<&str>) -> Address {
        let association = owner.map(|owner| Association {
            id: Some(association_id(1)),
            owner: owner.parse().map_or_else(|_| Owner::Interface(owner.parse().unwrap()), Owner::Instance),
            interface: Some(owner.parse().unwrap_or_else(|_| ETH0.parse().unwrap())),
            private: Some("10.0.0.4".parse().unwrap()),
        });
        Address { public: "203.0.113.25".parse().unwrap(), allocation: Some(allocation_id()), association }
    }

    pub(super) fn without_ids(owner: Option<&str>) -> Address {
        let mut address = held_by(owner);
        address.allocation = None;
        address.association.iter_mut().for_each(|held| held.id = None);
        address
    }

    pub(super) fn refusal(code: &str) -> Error {
        Error::new(Kind::Refused(code.to_owned()), "")
    }

    fn takeover(address: Address, permission: Permission) -> Takeover {
        let mut plan = Takeover::new(me(), permission, None);
        assert_eq!(plan.next(), TakeoverStep::Describe);
        plan.described(address, false);
        plan
    }

    fn associate<'a>(to: &'a Destination, from: Option<&'a Address>) -> TakeoverStep<'a> {
        TakeoverStep::Associate(Name::Allocation(allocation_id()), to, from)
    }

    #[test]
    fn start_takes_the_address_from_whoever_has_it_and_asks_ec2_for_its_own_as_well() {
        for owner in [None, Some(PEER), Some(GATEWAY), Some(ME)] {
            let address = held_by(owner);
            assert_eq!(takeover(address.clone(), Permission::Anybody).next(), associate(&me(), Some(&address)), "{owner:?}");
        }
    }

    #[test]
    fn a_known_allocation_is_taken_without_asking_first_unless_time_has_passed() {
        let mut plan = Takeover::new(me(), Permission::Anybody, Some(allocation_id()));
        assert_eq!(plan.next(), associate(&me(), None));
        plan.invalidate();
        assert_eq!(plan.next(), TakeoverStep::Describe);
    }

    #[test]
    fn an_allocation_that_ec2_does_not_know_any_more_is_asked_for() {
        let mut plan = Takeover::new(me(), Permission::Anybody, Some(allocation_id()));
        assert!(plan.failed(&refusal("InvalidAllocationID.NotFound")));
        assert_eq!(plan.next(), TakeoverStep::Describe);
        plan.described(held_by(None), false);
        assert!(!plan.failed(&refusal("InvalidAllocationID.NotFound")), "EC2 contradicts itself, which may pass");
    }

    #[test]
    fn ec2_refuses_to_take_a_held_address_where_reassociation_is_forbidden() {
        let peer = Owner::Instance(PEER.parse().unwrap());
        let mut plan = takeover(held_by(Some(PEER)), Permission::Nobody);
        assert_eq!(plan.next(), associate(&me(), Some(&held_by(Some(PEER)))));
        assert!(plan.failed(&refusal("Resource.AlreadyAssociated")));
        assert_eq!(plan.next(), TakeoverStep::LeaveTo(Some(&peer)));
        let mut plan = Takeover::new(me(), Permission::Nobody, Some(allocation_id()));
        assert!(plan.failed(&refusal("Resource.AlreadyAssociated")));
        assert_eq!(plan.next(), TakeoverStep::Describe, "the owner is to be named");
        plan.described(held_by(None), false);
        assert_eq!(plan.next(), TakeoverStep::LeaveTo(None), "EC2 has said so, whatever a describe shows");
        // Without allocation ids the call has no word for it.
        assert_eq!(takeover(without_ids(Some(PEER)), Permission::Nobody).next(), TakeoverStep::LeaveTo(Some(&peer)));
    }

    #[test]
    fn an_address_is_mine_only_on_the_interface_and_private_address_that_are_named() {
        let held = held_by(Some(ME));
        for (destination, mine) in [
            (me(), true),
            (on(ETH0, None), true),
            (on(ETH0, Some("10.0.0.4")), true),
            (on(ETH0, Some("10.0.0.5")), false),
            (on(ETH1, None), false),
            (on(ETH1, Some("10.0.0.4")), false),
        ] {
            assert_eq!(is_mine(&held, &destination), mine, "{destination}");
        }
        assert!(!is_mine(&held_by(Some(PEER)), &on(ETH0, None)), "the peer's, whatever its interface is called");
        assert!(is_mine(&held_by(Some(ETH0)), &on(ETH0, None)), "the service does not tell the instance");
        assert!(!is_mine(&held_by(Some(GATEWAY)), &me()));
    }

    #[test]
    fn an_instance_that_ec2_refuses_by_its_name_is_named_by_its_primary_interface_if_it_has_several() {
        let mut plan = takeover(held_by(Some(PEER)), Permission::Anybody);
        assert!(plan.failed(&refusal("InvalidInstanceID")));
        assert_eq!(plan.next(), TakeoverStep::FindPrimary);
        plan.found_primary(None);
        assert_eq!(plan.next(), associate(&me(), Some(&held_by(Some(PEER)))), "it was refused for another reason");
        assert!(plan.failed(&refusal("InvalidInstanceID")));
        plan.found_primary(Some(ETH0.parse().unwrap()));
        assert_eq!(plan.next(), associate(&on(ETH0, None), Some(&held_by(Some(PEER)))));
        assert!(!plan.failed(&refusal("InvalidInstanceID")), "the interface is named now");
    }

    #[test]
    fn start_ends_with_the_acknowledgement_and_without_an_id_with_a_describe() {
        assert!(takeover(held_by(Some(PEER)), Permission::Anybody).associated(Some(&association_id(2))));
        let mut plan = takeover(without_ids(Some(PEER)), Permission::Anybody);
        assert!(!plan.associated(None));
        assert_eq!(plan.next(), TakeoverStep::Describe);
        plan.described(without_ids(Some(PEER)), false);
        assert!(matches!(plan.next(), TakeoverStep::Associate(Name::Address(_), ..)), "it may be late");
        plan.described(without_ids(Some(ME)), false);
        assert_eq!(plan.next(), TakeoverStep::End);
        assert!(
            matches!(takeover(without_ids(Some(ME)), Permission::Anybody).next(), TakeoverStep::Associate(..)),
            "nothing was acknowledged"
        );
    }

    #[test]
    fn a_start_that_may_have_been_applied_is_followed_by_a_describe() {
        for (kind, again) in
            [(Kind::Throttled, true), (Kind::Unsent, true), (Kind::NotYet("AuthFailure".to_owned()), true), (Kind::Ambiguous, false)]
        {
            let mut plan = takeover(held_by(Some(PEER)), Permission::Anybody);
            assert!(!plan.failed(&Error::new(kind.clone(), "")));
            assert_eq!(plan.next() == TakeoverStep::Describe, !again, "{kind:?}");
        }
    }

    #[test]
    fn start_leaves_the_address_to_a_peer_that_took_it_while_the_start_was_held_up() {
        let peer = Owner::Instance(PEER.parse().unwrap());
        for first in [None, Some(GATEWAY)] {
            let mut plan = takeover(held_by(first), Permission::Anybody);
            plan.invalidate();
            assert_eq!(plan.next(), TakeoverStep::Describe);
            plan.described(held_by(Some(PEER)), false);
            assert_eq!(plan.next(), TakeoverStep::LostTo(&peer), "{first:?}");
        }
        let mut plan = takeover(held_by(Some(PEER)), Permission::Anybody);
        plan.invalidate();
        plan.described(held_by(Some(PEER)), false);
        assert_eq!(plan.next(), associate(&me(), Some(&held_by(Some(PEER)))), "the owner is the one that was to be replaced");
        plan.invalidate();
        plan.described(held_by(None), false);
        assert_eq!(plan.next(), associate(&me(), Some(&held_by(None))), "the owner has gone");
    }

    #[test]
    fn an_old_describe_does_not_tell_who_had_the_address_when_the_start_began() {
        let mut plan = Takeover::new(me(), Permission::Anybody, None);
        plan.described(held_by(None), true);
        plan.invalidate();
        plan.described(held_by(Some(PEER)), false);
        assert_eq!(plan.next(), associate(&me(), Some(&held_by(Some(PEER)))));
    }
}
