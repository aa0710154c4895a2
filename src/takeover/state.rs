//! What a node knows of an address from one call to the next.
//!
//! EC2's describes may show what was so some time ago. Its changes act on what is so, and an association id is never used again.
//! From these two follow the guarantees that later calls owe their caller, whichever describe they get: *read your writes* and
//! *monotonic reads* (Terry et al., "Session Guarantees for Weakly Consistent Replicated Data", 1994).

use std::time::Duration;

use super::Outcome;
use crate::clock::Moment;
use crate::ids::{AllocationId, AssociationId};

/// How far EC2's describes may lag behind its changes. AWS names no bound and advises to repeat a describe for minutes; public
/// reports tell of seconds (<https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>). For so long after its start
/// a node cannot tell that somebody else has taken the address.
pub const LAG: Duration = Duration::from_secs(60);

/// How many ended associations are remembered: more than there can be moves while a describe may show one of them.
const MOST_ENDED: usize = 16;

/// What one describe showed of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// The association, where there is one and it has an id.
    pub(crate) association: Option<AssociationId>,
    /// Whether the address is where it belongs on this node.
    pub(crate) mine: bool,
}

/// What a describe means for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So it is.
    Known(Outcome),
    /// It may be older than what this node has done or seen, so that it says nothing.
    Old,
    /// The address is shown here, and a stop has failed: nobody may conclude that this node still claims it.
    StopFailed,
}

/// The latest that is known of who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    pub(super) shown: Shown,
    /// When it became known.
    pub(super) since: Moment,
    /// By EC2's acknowledgement of a change of this node's, so that nothing older can be the present.
    pub(super) acknowledged: bool,
}

/// What a node knows of an address from one call to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(super) allocation: Option<AllocationId>,
    pub(super) latest: Option<Latest>,
    /// Associations that exist no more, the latest last.
    pub(super) ended: Vec<AssociationId>,
    /// When this node stopped holding the address and left it here for a peer.
    pub(super) handed_over: Option<Moment>,
    /// When a stop failed.
    pub(super) stop_failed: Option<Moment>,
}

impl State {
    /// The address's allocation id, as a describe showed it.
    #[must_use]
    pub(crate) fn allocation(&self) -> Option<&AllocationId> {
        self.allocation.as_ref()
    }

    /// This node's own association, unless it is known to be over.
    #[must_use]
    pub(crate) fn held(&self) -> Option<&AssociationId> {
        self.latest.as_ref().filter(|latest| latest.shown.mine)?.shown.association.as_ref()
    }

    /// How long ago EC2 acknowledged this node's own association.
    #[must_use]
    pub(crate) fn age(&self, now: Moment) -> Option<Duration> {
        self.latest.as_ref().filter(|latest| latest.shown.mine && latest.acknowledged).map(|latest| now.since(latest.since))
    }

    /// Whether a stop has failed and nothing has settled that.
    #[must_use]
    pub(crate) fn has_failed_stop(&self) -> bool {
        self.stop_failed.is_some()
    }

    /// Whether this node has stopped holding the address and left it here for a peer.
    #[must_use]
    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    /// Whether an association is known to exist no more, so that a describe that shows it is old.
    #[must_use]
    pub fn has_ended(&self, association: Option<&AssociationId>) -> bool {
        association.is_some_and(|id| self.ended.contains(id))
    }

    /// What a describe means that was sent at the moment `asked`, and takes note of it.
    pub(crate) fn judge(&mut self, shown: &Shown, asked: Moment) -> Verdict {
        let claims = self.latest.as_ref().is_some_and(|latest| latest.shown.mine) && self.handed_over.is_none();
        if self.has_ended(shown.association.as_ref()) {
            // Whoever has the address now, it is not this node by an association that is over.
            return if claims { Verdict::Old } else { Verdict::Known(Outcome::NotHeld) };
        }
        let latest = Latest { shown: shown.clone(), since: asked, acknowledged: false };
        match &mut self.latest {
            None => self.latest = Some(latest),
            // An association is the same as before. That nobody has it, or somebody by an association without an id, may be so once more.
            Some(known) if known.shown == *shown && !shown.mine && shown.association.is_none() => known.since = known.since.max(asked),
            Some(known) if known.shown == *shown => {}
            // What is shown was so after the other became known, so that this is its successor.
            Some(known) if asked.since(known.since) >= LAG => {
                let ended = known.shown.association.clone();
                self.end(ended);
                self.latest = Some(latest);
            }
            Some(known) => match (known.shown.mine, shown.mine) {
                (true, false) if known.acknowledged && self.handed_over.is_some() => {}
                (true, false) if known.acknowledged => return Verdict::Old,
                // Without ids an association cannot be known to be over, but this node's own release can.
                (false, true) if known.acknowledged && shown.association.is_none() => return Verdict::Known(Outcome::NotHeld),
                // A node that has handed over claims nothing, whichever of the two is the later.
                (_, true) if self.handed_over.is_some() => {}
                (_, true) => return Verdict::Old,
                // Which of the two is the later is not known: neither is over, and neither lets this node claim the address.
                (_, false) => self.latest = Some(latest),
            },
        }
        if !shown.mine {
            let is_settled = |since: Moment| asked.since(since) >= LAG;
            self.handed_over = self.handed_over.filter(|since| !is_settled(*since));
            self.stop_failed = self.stop_failed.filter(|since| !is_settled(*since));
            return Verdict::Known(Outcome::NotHeld);
        }
        match (self.stop_failed, self.handed_over) {
            (Some(_), _) => Verdict::StopFailed,
            (None, Some(_)) => Verdict::Known(Outcome::HandedOver),
            (None, None) => Verdict::Known(Outcome::Held),
        }
    }

    /// A describe showed this allocation id.
    pub(crate) fn is_allocated(&mut self, allocation: Option<&AllocationId>) {
        if let Some(allocation) = allocation {
            self.allocation = Some(allocation.clone());
        }
    }

    /// EC2 has acknowledged an associate of this node's that was sent at the moment `sent`, when a describe had shown what it replaced.
    pub(crate) fn associated(&mut self, association: Option<AssociationId>, replaced: Option<AssociationId>, sent: Moment, now: Moment) {
        // A later call of this node's was faster: it has ended this one already.
        if self.has_ended(association.as_ref()) {
            return;
        }
        // Of two starts at the same time, which was the later is not known.
        let known = self.latest.take().filter(|latest| latest.since < sent).and_then(|latest| latest.shown.association);
        for ended in [known, replaced].into_iter().filter(|ended| *ended != association) {
            self.end(ended);
        }
        self.latest = Some(Latest { shown: Shown { association, mine: true }, since: now, acknowledged: true });
        self.handed_over = None;
        self.stop_failed = None;
    }

    /// EC2 has acknowledged a disassociate of this node's, which held `before` when it was sent. EC2 ends nothing but the present
    /// association, so that one is over as well.
    pub(crate) fn released(&mut self, association: Option<AssociationId>, before: Option<AssociationId>, now: Moment) {
        // A later start may have been faster.
        if self.held().is_none_or(|held| [&association, &before].contains(&&Some(held.clone()))) {
            self.latest = Some(Latest { shown: Shown { association: None, mine: false }, since: now, acknowledged: true });
        }
        self.end(before);
        self.end(association);
        self.handed_over = None;
        self.stop_failed = None;
    }

    /// This node's own association exists no more, and who has the address now is not known.
    pub(crate) fn lost(&mut self, association: AssociationId) {
        if self.held() == Some(&association) {
            self.latest = None;
        }
        self.end(Some(association));
    }

    /// A stop has found nothing to release.
    pub(crate) fn stopped(&mut self) {
        self.handed_over = None;
        self.stop_failed = None;
    }

    /// A stop has left the address here for a peer.
    pub(crate) fn handed_over(&mut self, now: Moment) {
        self.handed_over = Some(now);
        self.stop_failed = None;
    }

    /// A stop has failed.
    pub(crate) fn stop_failed(&mut self, now: Moment) {
        self.stop_failed = Some(now);
    }

    fn end(&mut self, association: Option<AssociationId>) {
        let Some(association) = association.filter(|id| !self.ended.contains(id)) else { return };
        self.ended.push(association);
        let surplus = self.ended.len().saturating_sub(MOST_ENDED);
        self.ended.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: (&str, bool) = ("eipassoc-1", true);
    const PEERS: (&str, bool) = ("eipassoc-2", false);
    const OTHER: (&str, bool) = ("eipassoc-3", false);
    const HELD: Verdict = Verdict::Known(Outcome::Held);
    const NOT_HELD: Verdict = Verdict::Known(Outcome::NotHeld);
    const HANDED_OVER: Verdict = Verdict::Known(Outcome::HandedOver);

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn id((id, _): (&str, bool)) -> AssociationId {
        id.parse().unwrap()
    }

    /// What a describe means that is sent after so many seconds and shows this.
    fn judge(state: &mut State, seconds: i64, what: (&str, bool)) -> Verdict {
        state.judge(&Shown { association: Some(id(what)), mine: what.1 }, at(seconds))
    }

    fn nobody(state: &mut State, seconds: i64) -> Verdict {
        state.judge(&Shown { association: None, mine: false }, at(seconds))
    }

    fn started() -> State {
        let mut state = State::default();
        state.associated(Some(id(MINE)), Some(id(OTHER)), at(1000), at(1000));
        state
    }

    #[test]
    fn a_node_that_has_done_and_seen_nothing_believes_what_it_is_shown() {
        assert_eq!(judge(&mut State::default(), 1, MINE), HELD);
        assert_eq!(judge(&mut State::default(), 1, PEERS), NOT_HELD);
        assert_eq!(nobody(&mut State::default(), 1), NOT_HELD);
    }

    #[test]
    fn after_a_start_only_its_own_association_is_believed_for_a_minute() {
        let mut state = started();
        assert_eq!(judge(&mut state, 1001, PEERS), Verdict::Old);
        assert_eq!(nobody(&mut state, 1002), Verdict::Old);
        assert_eq!(judge(&mut state, 1003, MINE), HELD);
        assert_eq!(judge(&mut state, 1059, PEERS), Verdict::Old);
        assert_eq!(judge(&mut state, 1060, PEERS), NOT_HELD, "a new owner");
        assert_eq!(state.held(), None);
        assert_eq!(judge(&mut state, 1061, MINE), NOT_HELD, "an older describe, of what is over");
    }

    #[test]
    fn what_a_start_has_replaced_is_over_for_ever() {
        let mut state = started();
        assert_eq!(judge(&mut state, 1001, OTHER), Verdict::Old);
        assert_eq!(judge(&mut state, 9999, OTHER), Verdict::Old);
    }

    #[test]
    fn of_two_starts_at_the_same_time_neither_is_taken_for_the_earlier() {
        let mut state = started();
        state.associated(Some(id(("eipassoc-4", true))), None, at(1000), at(1001));
        assert_eq!(judge(&mut state, 1002, MINE), Verdict::Old);
        assert!(!state.has_ended(Some(&id(MINE))));
        assert_eq!(judge(&mut state, 1061, MINE), HELD, "it was the later");
    }

    #[test]
    fn a_release_that_is_learned_of_late_leaves_the_association_of_a_later_start_alone() {
        let mut state = started();
        state.associated(Some(id(("eipassoc-4", true))), None, at(1001), at(1002));
        state.released(Some(id(MINE)), None, at(1003));
        assert_eq!(state.held(), Some(&id(("eipassoc-4", true))));
    }

    #[test]
    fn what_was_held_when_a_release_was_sent_is_over_whatever_was_released() {
        let mut state = started();
        state.released(Some(id(("eipassoc-4", true))), Some(id(MINE)), at(1001));
        state.associated(Some(id(("eipassoc-4", true))), None, at(1000), at(1002));
        assert_eq!(state.held(), None);
        assert_eq!(judge(&mut state, 1003, MINE), NOT_HELD);
    }

    #[test]
    fn an_associate_that_is_learned_of_after_its_end_is_not_held() {
        let mut state = State::default();
        state.released(Some(id(MINE)), None, at(1001));
        state.associated(Some(id(MINE)), None, at(1000), at(1002));
        assert_eq!(state.held(), None);
        assert_eq!(judge(&mut state, 1003, MINE), NOT_HELD);
    }

    #[test]
    fn after_a_release_this_nodes_association_is_over_for_ever() {
        let mut state = started();
        state.released(Some(id(MINE)), None, at(1001));
        for seconds in [1001, 9999] {
            assert_eq!(judge(&mut state, seconds, MINE), NOT_HELD);
        }
        assert_eq!(judge(&mut state, 1002, ("eipassoc-4", true)), Verdict::Old, "one that nobody here has made, and that may be older");
        assert_eq!(judge(&mut state, 1003, PEERS), NOT_HELD);
    }

    #[test]
    fn without_ids_a_release_is_known_all_the_same() {
        let mut state = State::default();
        state.associated(None, None, at(1000), at(1000));
        assert_eq!(nobody(&mut state, 1001), Verdict::Old);
        state.released(None, None, at(1002));
        assert_eq!(state.judge(&Shown { association: None, mine: true }, at(1003)), NOT_HELD);
        assert_eq!(state.judge(&Shown { association: None, mine: true }, at(1062)), HELD, "somebody has given it back");
    }

    #[test]
    fn who_has_seen_the_peers_association_does_not_claim_the_address_by_one_that_may_be_older() {
        let mut state = State::default();
        assert_eq!(judge(&mut state, 1000, MINE), HELD);
        assert_eq!(judge(&mut state, 1010, PEERS), NOT_HELD);
        assert_eq!(judge(&mut state, 1011, MINE), Verdict::Old);
        assert_eq!(judge(&mut state, 1020, OTHER), NOT_HELD);
        assert_eq!(judge(&mut state, 1071, MINE), Verdict::Old, "the other was seen later");
        assert_eq!(judge(&mut state, 1080, MINE), HELD, "somebody has given it back");
        assert_eq!(judge(&mut state, 1081, OTHER), Verdict::Old);
    }

    #[test]
    fn an_address_that_is_nobodys_again_may_have_been_here_between() {
        let mut state = State::default();
        assert_eq!(nobody(&mut state, 1000), NOT_HELD);
        assert_eq!(nobody(&mut state, 1060), NOT_HELD);
        assert_eq!(judge(&mut state, 1061, MINE), Verdict::Old);
        assert_eq!(judge(&mut state, 1120, MINE), HELD);
    }

    #[test]
    fn a_handover_is_told_until_the_address_is_seen_elsewhere_for_sure_or_started_again() {
        let mut state = started();
        state.handed_over(at(1010));
        assert_eq!(judge(&mut state, 1011, MINE), HANDED_OVER);
        assert_eq!(judge(&mut state, 1012, PEERS), NOT_HELD);
        assert_eq!(judge(&mut state, 1013, MINE), HANDED_OVER);
        assert_eq!(judge(&mut state, 1070, PEERS), NOT_HELD);
        assert!(!state.is_handed_over());
        let mut state = started();
        state.handed_over(at(1010));
        state.associated(Some(id(MINE)), None, at(1020), at(1020));
        assert_eq!(judge(&mut state, 1021, MINE), HELD);
    }

    #[test]
    fn a_failed_stop_keeps_the_node_from_claiming_the_address_until_it_is_settled_for_sure() {
        let failed = || {
            let mut state = State::default();
            assert_eq!(judge(&mut state, 1000, MINE), HELD);
            state.stop_failed(at(1010));
            state
        };
        let mut state = failed();
        assert_eq!(judge(&mut state, 1011, MINE), Verdict::StopFailed);
        assert_eq!(judge(&mut state, 1012, PEERS), NOT_HELD);
        assert!(state.has_failed_stop(), "the describe may be older than the failure");
        assert_eq!(judge(&mut state, 1070, PEERS), NOT_HELD);
        assert!(!state.has_failed_stop());
        for settle in [
            |state: &mut State| state.stopped(),
            |state: &mut State| state.associated(Some(id(MINE)), None, at(1020), at(1020)),
            |state: &mut State| state.released(Some(id(MINE)), None, at(1020)),
        ] {
            let mut state = failed();
            settle(&mut state);
            assert!(!state.has_failed_stop());
        }
    }

    #[test]
    fn of_the_ended_associations_the_latest_are_remembered() {
        let mut state = State::default();
        let one = |number: i64| -> Option<AssociationId> { Some(format!("eipassoc-{number}").parse().unwrap()) };
        for number in 0..40 {
            state.associated(one(number), None, at(number), at(number));
        }
        assert_eq!(state.ended.len(), MOST_ENDED);
        assert!(state.has_ended(one(38).as_ref()) && !state.has_ended(one(39).as_ref()) && !state.has_ended(one(0).as_ref()));
    }
}
