//! What stop does next.

use std::time::Duration;

use super::state::{State, Verdict};
use super::{Outcome, shown};
use crate::clock::Moment;
use crate::ec2::{Address, Error, Kind, Tie};
use crate::ids::{AssociationId, Destination, InstanceId};

/// So EC2 refuses to end an association that is over.
const NO_SUCH_ASSOCIATION: &str = "InvalidAssociationID.NotFound";

/// Before an association is so old, EC2 may not know of it everywhere.
const YOUNG: Duration = Duration::from_secs(5);

/// The next step of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReleaseStep {
    /// Ask EC2 who has the address.
    Describe,
    /// End what ties the address to this instance.
    Disassociate(Tie),
    /// Leave the address where it is, and remember that this node claims it no more.
    HandOver,
    /// Nothing: it is not this instance's, or no more.
    End(Outcome),
}

/// Letting go of an address, if it is this instance's.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    destination: Destination,
    hand_over: bool,
    state: State,
    step: ReleaseStep,
    /// A disassociate was sent that may have been applied.
    asked: bool,
    /// The association that EC2 says does not exist.
    missing: Option<AssociationId>,
}

impl Release {
    /// `state` is what is remembered: this node's own association is ended by its id, and nothing needs to be asked before. With
    /// `hand_over`, the address stays where it is until a peer takes it.
    #[must_use]
    pub(crate) fn new(destination: Destination, hand_over: bool, state: State) -> Self {
        let step = match state.held() {
            Some(id) if !hand_over => ReleaseStep::Disassociate(Tie::Association(id.clone())),
            _ => ReleaseStep::Describe,
        };
        Self { destination, hand_over, state, step, asked: false, missing: None }
    }

    /// The instance that acts.
    #[must_use]
    pub(crate) fn me(&self) -> &InstanceId {
        &self.destination.instance
    }

    /// Where the address belongs.
    #[must_use]
    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// What to do now.
    #[must_use]
    pub(crate) fn next(&self) -> &ReleaseStep {
        &self.step
    }

    /// EC2 has said who has the address, by a describe that was sent at the moment `asked`. `false` if it contradicts itself: it shows
    /// a young association that it does not know, so the next step is to be taken in a while.
    #[must_use]
    pub(crate) fn described(&mut self, address: &Address, asked: Moment, now: Moment) -> bool {
        let shown = shown(address, &self.destination);
        let is_here = shown.mine && !self.state.has_ended(shown.association.as_ref());
        if self.hand_over {
            let mut state = self.state.clone();
            let verdict = state.judge(&shown, asked);
            // Where a describe cannot tell, the node claims the address no more, whichever is true.
            let stays = state.held().is_some() || (is_here && verdict != Verdict::Known(Outcome::NotHeld));
            self.step = if stays { ReleaseStep::HandOver } else { self.end() };
            return true;
        }
        let is_missing = shown.association.is_some() && shown.association == self.missing;
        let is_young = || self.state.held() == self.missing.as_ref() && self.state.age(now).is_some_and(|age| age < YOUNG);
        self.step = match address.tie().filter(|_| is_here) {
            Some(tie) if !is_missing || is_young() => ReleaseStep::Disassociate(tie),
            _ => self.end(),
        };
        !is_missing || matches!(self.step, ReleaseStep::End(_))
    }

    /// The handover cannot be remembered, so that status would go on to claim the address for this node: release it instead.
    pub(crate) fn cannot_hand_over(&mut self) {
        self.hand_over = false;
        self.step = match self.state.held() {
            Some(id) => ReleaseStep::Disassociate(Tie::Association(id.clone())),
            None => ReleaseStep::Describe,
        };
    }

    /// EC2 has acknowledged the disassociation.
    pub(crate) fn disassociated(&mut self) {
        self.asked = true;
        self.step = self.end();
    }

    /// The disassociate has failed, or was applied and the answer is lost. `true` if the next step can be taken at once.
    pub(crate) fn failed(&mut self, error: &Error) -> bool {
        let ReleaseStep::Disassociate(tie) = &self.step else { return false };
        let Tie::Association(id) = tie else {
            // The call names the address, which a peer may have taken meanwhile.
            self.asked |= error.kind == Kind::Ambiguous;
            self.step = ReleaseStep::Describe;
            return false;
        };
        if !error.is_refusal(NO_SUCH_ASSOCIATION) {
            self.asked |= error.kind == Kind::Ambiguous;
            return false;
        }
        // By this node's own call, or else somebody has taken the address: perhaps an earlier call of this node's.
        let is_done = self.asked;
        self.missing = Some(id.clone());
        self.step = if is_done { self.end() } else { ReleaseStep::Describe };
        true
    }

    /// The association that EC2 says does not exist.
    #[must_use]
    pub(crate) fn missing(&self) -> Option<&AssociationId> {
        self.missing.as_ref()
    }

    fn end(&self) -> ReleaseStep {
        ReleaseStep::End(if self.asked { Outcome::Released } else { Outcome::NotHeld })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GATEWAY, ME, PEER, association_id, held_by, me, refusal, without_ids};
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn release(state: State, hand_over: bool, owner: Option<&str>) -> Release {
        let mut plan = Release::new(me(), hand_over, state);
        assert_eq!(*plan.next(), ReleaseStep::Describe);
        assert!(plan.described(&held_by(owner), at(1000), at(1000)));
        plan
    }

    fn ending(number: u8) -> ReleaseStep {
        ReleaseStep::Disassociate(Tie::Association(association_id(number)))
    }

    /// The state after an associate that was acknowledged after 1000 s.
    fn holding(number: u8) -> State {
        let mut state = State::default();
        state.associated(Some(association_id(number)), None, at(1000), at(1000));
        state
    }

    #[test]
    fn stop_ends_what_is_remembered_by_its_id_and_asks_for_nothing() {
        assert_eq!(*Release::new(me(), false, holding(1)).next(), ending(1));
        let mut state = holding(1);
        state.released(Some(association_id(1)), None, at(1001));
        assert_eq!(*Release::new(me(), false, state).next(), ReleaseStep::Describe);
    }

    #[test]
    fn a_stop_that_remembers_nothing_lets_go_only_of_what_is_mine() {
        for other in [None, Some(PEER), Some(GATEWAY)] {
            for hand_over in [false, true] {
                assert_eq!(*release(State::default(), hand_over, other).next(), ReleaseStep::End(Outcome::NotHeld), "{other:?}");
            }
        }
        assert_eq!(*release(State::default(), false, Some(ME)).next(), ending(1));
        let mut over = State::default();
        over.released(Some(association_id(1)), None, at(999));
        assert_eq!(*release(over, false, Some(ME)).next(), ReleaseStep::End(Outcome::NotHeld), "a describe shows it that is old");
    }

    #[test]
    fn a_disassociate_without_an_answer_is_made_again_and_one_without_an_id_is_looked_at_before() {
        for kind in [Kind::Throttled, Kind::Unsent, Kind::Ambiguous] {
            let mut plan = Release::new(me(), false, holding(1));
            assert!(!plan.failed(&Error::new(kind.clone(), "")));
            assert_eq!(*plan.next(), ending(1), "{kind:?}");
            let mut plan = Release::new(me(), false, State::default());
            assert!(plan.described(&without_ids(Some(ME)), at(1), at(1)));
            assert!(matches!(plan.next(), ReleaseStep::Disassociate(Tie::Address(_))));
            assert!(!plan.failed(&Error::new(kind, "")));
            assert_eq!(*plan.next(), ReleaseStep::Describe);
        }
    }

    #[test]
    fn stop_is_done_when_the_association_is_gone_by_its_own_hand() {
        let mut plan = Release::new(me(), false, holding(1));
        assert!(!plan.failed(&Error::new(Kind::Ambiguous, "")));
        assert!(plan.failed(&refusal("InvalidAssociationID.NotFound")));
        assert_eq!(*plan.next(), ReleaseStep::End(Outcome::Released));
        let mut plan = Release::new(me(), false, holding(1));
        plan.disassociated();
        assert_eq!(*plan.next(), ReleaseStep::End(Outcome::Released));
    }

    #[test]
    fn where_the_association_is_gone_by_another_hand_a_describe_tells_whether_a_later_one_is_mine() {
        let lost = || {
            let mut plan = Release::new(me(), false, holding(2));
            assert!(plan.failed(&refusal("InvalidAssociationID.NotFound")));
            assert_eq!(*plan.next(), ReleaseStep::Describe);
            plan
        };
        for (owner, next) in
            [(None, ReleaseStep::End(Outcome::NotHeld)), (Some(PEER), ReleaseStep::End(Outcome::NotHeld)), (Some(ME), ending(1))]
        {
            let mut plan = lost();
            assert!(plan.described(&held_by(owner), at(1100), at(1100)));
            assert_eq!(*plan.next(), next, "{owner:?}");
        }
    }

    #[test]
    fn a_young_association_that_ec2_shows_but_does_not_know_is_ended_a_little_later() {
        let mut plan = Release::new(me(), false, holding(1));
        for (now, again) in [(1001, true), (1004, true), (1006, false)] {
            assert!(plan.failed(&refusal("InvalidAssociationID.NotFound")));
            assert_eq!(!plan.described(&held_by(Some(ME)), at(now), at(now)), again);
            assert_eq!(*plan.next() == ending(1), again, "{now}");
        }
        assert_eq!(*plan.next(), ReleaseStep::End(Outcome::NotHeld));
    }

    #[test]
    fn a_handover_is_not_mistaken_for_nothing_to_do_by_a_describe_that_may_be_old() {
        assert_eq!(*release(State::default(), true, Some(ME)).next(), ReleaseStep::HandOver);
        for (asked, next) in [(1001, ReleaseStep::HandOver), (2000, ReleaseStep::End(Outcome::NotHeld))] {
            let mut plan = Release::new(me(), true, holding(2));
            assert!(plan.described(&held_by(Some(PEER)), at(asked), at(asked)));
            assert_eq!(*plan.next(), next, "{asked}");
        }
    }

    #[test]
    fn a_handover_that_cannot_be_remembered_becomes_a_release() {
        let mut plan = release(State::default(), true, Some(ME));
        plan.cannot_hand_over();
        assert_eq!(*plan.next(), ReleaseStep::Describe);
        let mut plan = Release::new(me(), true, holding(1));
        plan.cannot_hand_over();
        assert_eq!(*plan.next(), ending(1));
    }
}
