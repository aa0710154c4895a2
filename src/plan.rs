//! What start and stop do next, decided on what EC2 said last. Nothing here calls, waits or prints.

use crate::ec2::{Address, Association, Error, Kind, Owner};
use crate::ids::{AssociationId, Destination, InstanceId, InterfaceId};

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

/// Whether an address, as it was described, is where it belongs on this instance.
#[must_use]
pub fn is_mine(address: &Address, destination: &Destination) -> bool {
    let Some(held) = &address.association else { return false };
    let here = match &held.owner {
        Owner::Instance(owner) => *owner == destination.instance,
        // Not every service tells the instance of an interface.
        Owner::Interface(_) => destination.interface.is_some(),
    };
    here && destination.interface.as_ref().is_none_or(|interface| held.interface.as_ref() == Some(interface))
        && destination.private.is_none_or(|private| held.private == Some(private))
}

/// What was described may be used again only where the failed call has surely changed nothing.
fn is_untouched(error: &Error) -> bool {
    matches!(error.kind, Kind::Throttled | Kind::Unsent)
}

/// The next step of a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take<'a> {
    /// Ask EC2 who has the address.
    Describe,
    /// Ask which interface of this instance is the primary one: it has several, and EC2 wants one named.
    FindPrimary,
    /// Put the address, as it was described, where it belongs.
    Associate(&'a Address, &'a Destination),
    /// Nothing: it is this instance's.
    Keep,
    /// Give up: this owner has the address, and no owner may be dispossessed.
    LeaveTo(&'a Owner),
    /// Give up: this owner has taken the address since the takeover began, so it knows better who is alive.
    LostTo(&'a Owner),
}

/// Making an address this instance's.
#[derive(Clone, Debug)]
pub struct Takeover {
    destination: Destination,
    allow_reassociation: bool,
    /// EC2 has refused the instance's own name.
    find_primary: bool,
    /// The address as it was described first.
    first: Option<Address>,
    known: Option<Address>,
}

impl Takeover {
    /// Without `allow_reassociation`, an address that somebody holds is left to its owner.
    #[must_use]
    pub fn new(destination: Destination, allow_reassociation: bool) -> Self {
        Self { destination, allow_reassociation, find_primary: false, first: None, known: None }
    }

    /// The instance that acts.
    #[must_use]
    pub fn me(&self) -> &InstanceId {
        &self.destination.instance
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self) -> Take<'_> {
        match &self.known {
            _ if self.find_primary => Take::FindPrimary,
            None => Take::Describe,
            Some(address) => match &address.association {
                Some(_) if is_mine(address, &self.destination) => Take::Keep,
                Some(held) if !self.allow_reassociation => Take::LeaveTo(&held.owner),
                Some(held) if self.first.as_ref().is_some_and(|first| first.association != address.association) => {
                    Take::LostTo(&held.owner)
                }
                _ => Take::Associate(address, &self.destination),
            },
        }
    }

    /// EC2 has told who has the address.
    pub fn described(&mut self, address: Address) {
        self.first.get_or_insert_with(|| address.clone());
        self.known = Some(address);
    }

    /// Time has passed since EC2 told who has the address, in which a peer may have taken it.
    pub fn doubt(&mut self) {
        self.known = None;
    }

    /// EC2 has acknowledged the association. `true` if that settles it: where associations have no ids the word names nothing,
    /// so that a describe must show it.
    pub fn associated(&mut self, id: Option<&AssociationId>) -> bool {
        self.known = None;
        id.is_some()
    }

    /// The associate has failed, or was applied and the answer is lost. `true` if there is another way to be tried at once.
    pub fn failed(&mut self, error: &Error) -> bool {
        // So EC2 refuses an instance that has several interfaces, among other faults of the name.
        self.find_primary = self.destination.interface.is_none() && error.is_refusal("InvalidInstanceID");
        if !self.find_primary && !is_untouched(error) {
            self.known = None;
        }
        self.find_primary
    }

    /// This is the instance's primary interface.
    pub fn found_primary(&mut self, interface: InterfaceId) {
        self.destination.interface = Some(interface);
        self.find_primary = false;
    }
}

/// The next step of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetGo<'a> {
    /// Ask EC2 who has the address.
    Describe,
    /// End this association of the address, which is this instance's.
    Disassociate(&'a Address, &'a Association),
    /// Leave the address where it is, and remember that this node claims it no more.
    HandOver,
    /// Nothing: it is not this instance's, or no more.
    End(Outcome),
}

/// Letting go of an address, if it is this instance's.
#[derive(Clone, Debug)]
pub struct Release {
    destination: Destination,
    hand_over: bool,
    known: Option<Address>,
    /// A disassociate was sent that may have been applied.
    asked: bool,
    /// The association that was this instance's exists no more.
    gone: bool,
}

impl Release {
    /// With `hand_over`, the address stays where it is until a peer takes it.
    #[must_use]
    pub fn new(destination: Destination, hand_over: bool) -> Self {
        Self { destination, hand_over, known: None, asked: false, gone: false }
    }

    /// The instance that acts.
    #[must_use]
    pub fn me(&self) -> &InstanceId {
        &self.destination.instance
    }

    /// What to do now.
    #[must_use]
    pub fn next(&self) -> LetGo<'_> {
        let end = LetGo::End(self.outcome());
        match &self.known {
            _ if self.gone => end,
            None => LetGo::Describe,
            Some(address) => match &address.association {
                Some(_) if !is_mine(address, &self.destination) => end,
                Some(_) if self.hand_over => LetGo::HandOver,
                Some(held) => LetGo::Disassociate(address, held),
                None => end,
            },
        }
    }

    /// EC2 has told who has the address.
    pub fn described(&mut self, address: Address) {
        self.known = Some(address);
    }

    /// The handover cannot be remembered, so that status would go on to claim the address for this node: release it instead.
    pub fn cannot_hand_over(&mut self) {
        self.hand_over = false;
    }

    /// EC2 has acknowledged the disassociation.
    pub fn disassociated(&mut self) {
        self.asked = true;
        self.gone = true;
    }

    /// The disassociate has failed, or was applied and the answer is lost. Some errors settle it all the same: if the association
    /// that was this instance's is gone, somebody else has the address by now, or nobody.
    pub fn failed(&mut self, error: &Error) -> Option<Outcome> {
        self.gone = error.is_refusal("InvalidAssociationID.NotFound");
        self.asked |= error.kind == Kind::Ambiguous;
        // Without an id, the call names the address, and a peer may have taken that meanwhile.
        let named = self.known.as_ref().and_then(|address| address.association.as_ref()).is_some_and(|held| held.id.is_some());
        if !named || !is_untouched(error) {
            self.known = None;
        }
        self.gone.then(|| self.outcome())
    }

    fn outcome(&self) -> Outcome {
        if self.asked { Outcome::Released } else { Outcome::NotMine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: &str = "i-0aaaaaaaaaaaaaaaa";
    const PEER: &str = "i-0bbbbbbbbbbbbbbbb";
    const GATEWAY: &str = "eni-0bbbbbbbbbbbbbbbb";
    const ETH0: &str = "eni-0aaaaaaaaaaaaaaaa";
    const ETH1: &str = "eni-0aaaaaaaaaaaaaaab";

    fn me() -> Destination {
        Destination { instance: ME.parse().unwrap(), interface: None, private: None }
    }

    fn on(interface: &str, private: Option<&str>) -> Destination {
        Destination { interface: Some(interface.parse().unwrap()), private: private.map(|ip| ip.parse().unwrap()), ..me() }
    }

    fn association_id() -> AssociationId {
        "eipassoc-0123456789abcdef0".parse().unwrap()
    }

    fn held_by(owner: Option<&str>) -> Address {
        let association = owner.map(|owner| Association {
            id: Some(association_id()),
            owner: owner.parse().map_or_else(|_| Owner::Interface(owner.parse().unwrap()), Owner::Instance),
            interface: Some(owner.parse().unwrap_or_else(|_| ETH0.parse().unwrap())),
            private: Some("10.0.0.4".parse().unwrap()),
        });
        Address { public: "203.0.113.25".parse().unwrap(), allocation: Some("eipalloc-0123456789abcdef0".parse().unwrap()), association }
    }

    fn takeover(owner: Option<&str>, allow_reassociation: bool) -> Takeover {
        let mut plan = Takeover::new(me(), allow_reassociation);
        assert_eq!(plan.next(), Take::Describe);
        plan.described(held_by(owner));
        plan
    }

    fn release(owner: Option<&str>, hand_over: bool) -> Release {
        let mut plan = Release::new(me(), hand_over);
        assert_eq!(plan.next(), LetGo::Describe);
        plan.described(held_by(owner));
        plan
    }

    #[test]
    fn start_takes_what_is_not_mine_and_keeps_what_is() {
        assert_eq!(takeover(Some(ME), true).next(), Take::Keep);
        for other in [None, Some(PEER), Some(GATEWAY)] {
            assert_eq!(takeover(other, true).next(), Take::Associate(&held_by(other), &me()), "{other:?}");
        }
    }

    #[test]
    fn start_leaves_a_held_address_where_reassociation_is_forbidden() {
        assert_eq!(takeover(Some(PEER), false).next(), Take::LeaveTo(&Owner::Instance(PEER.parse().unwrap())));
        assert_eq!(takeover(None, false).next(), Take::Associate(&held_by(None), &me()));
        assert_eq!(takeover(Some(ME), false).next(), Take::Keep);
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
    fn an_instance_that_ec2_refuses_by_its_name_is_named_by_its_primary_interface() {
        let mut plan = takeover(Some(PEER), true);
        assert!(plan.failed(&Error::new(Kind::Refused("InvalidInstanceID".to_owned()), "")));
        assert_eq!(plan.next(), Take::FindPrimary);
        plan.found_primary(ETH0.parse().unwrap());
        assert_eq!(plan.next(), Take::Associate(&held_by(Some(PEER)), &on(ETH0, None)));
        assert!(!plan.failed(&Error::new(Kind::Refused("InvalidInstanceID".to_owned()), "")), "it is asked for once");
    }

    #[test]
    fn start_ends_with_the_acknowledgement_and_without_an_id_with_a_describe() {
        let mut plan = takeover(Some(PEER), true);
        assert!(plan.associated(Some(&association_id())));
        let mut plan = takeover(Some(PEER), true);
        assert!(!plan.associated(None));
        assert_eq!(plan.next(), Take::Describe);
    }

    #[test]
    fn a_call_that_may_have_been_applied_is_followed_by_a_describe() {
        for (kind, again) in [(Kind::Throttled, true), (Kind::Unsent, true), (Kind::Ambiguous, false)] {
            let error = Error::new(kind, "");
            let mut plan = takeover(Some(PEER), true);
            plan.failed(&error);
            assert_eq!(plan.next() == Take::Associate(&held_by(Some(PEER)), &me()), again, "{error:?}");
            let mut plan = release(Some(ME), false);
            assert_eq!(plan.failed(&error), None);
            assert_eq!(plan.next() == LetGo::Describe, !again, "{error:?}");
        }
    }

    #[test]
    fn start_leaves_the_address_to_a_peer_that_took_it_while_the_start_was_held_up() {
        let peer = Owner::Instance(PEER.parse().unwrap());
        for first in [None, Some(GATEWAY)] {
            let mut plan = takeover(first, true);
            plan.doubt();
            assert_eq!(plan.next(), Take::Describe);
            plan.described(held_by(Some(PEER)));
            assert_eq!(plan.next(), Take::LostTo(&peer), "{first:?}");
        }
        let mut plan = takeover(Some(PEER), true);
        plan.doubt();
        plan.described(held_by(Some(PEER)));
        assert_eq!(plan.next(), Take::Associate(&held_by(Some(PEER)), &me()), "the owner is the one that was to be replaced");
        plan.doubt();
        plan.described(held_by(None));
        assert_eq!(plan.next(), Take::Associate(&held_by(None), &me()), "the owner has gone");
    }

    #[test]
    fn stop_lets_go_only_of_what_is_mine() {
        for other in [None, Some(PEER), Some(GATEWAY)] {
            assert_eq!(release(other, false).next(), LetGo::End(Outcome::NotMine), "{other:?}");
            assert_eq!(release(other, true).next(), LetGo::End(Outcome::NotMine), "{other:?}");
        }
        let mine = held_by(Some(ME));
        assert_eq!(release(Some(ME), false).next(), LetGo::Disassociate(&mine, mine.association.as_ref().unwrap()));
    }

    #[test]
    fn an_association_without_an_id_is_looked_at_again_before_it_is_ended_again() {
        let mut unnamed = held_by(Some(ME));
        unnamed.association.as_mut().unwrap().id = None;
        let mut plan = Release::new(me(), false);
        plan.described(unnamed);
        assert!(matches!(plan.next(), LetGo::Disassociate(..)));
        assert_eq!(plan.failed(&Error::new(Kind::Throttled, "")), None);
        assert_eq!(plan.next(), LetGo::Describe);
    }

    #[test]
    fn a_handover_that_cannot_be_remembered_becomes_a_release() {
        let mut plan = release(Some(ME), true);
        assert_eq!(plan.next(), LetGo::HandOver);
        plan.cannot_hand_over();
        assert!(matches!(plan.next(), LetGo::Disassociate(..)));
    }

    #[test]
    fn stop_is_done_when_the_association_is_gone_by_whosever_hand() {
        let mut plan = release(Some(ME), false);
        let lost = Error::new(Kind::Refused("InvalidAssociationID.NotFound".to_owned()), "");
        assert_eq!(plan.failed(&lost), Some(Outcome::NotMine));
        assert_eq!(plan.next(), LetGo::End(Outcome::NotMine));
        let mut plan = release(Some(ME), false);
        plan.failed(&Error::new(Kind::Ambiguous, ""));
        plan.described(held_by(Some(PEER)));
        assert_eq!(plan.next(), LetGo::End(Outcome::Released));
        let mut plan = release(Some(ME), false);
        plan.disassociated();
        assert_eq!(plan.next(), LetGo::End(Outcome::Released));
    }
}
