//! What a node remembers of an address from one call to the next, and what that does to its status.

use crate::plan::Outcome;

/// What a node remembers of an address from one call to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// This node has stopped holding the address, which stays until a peer takes it.
    pub handed_over: bool,
    /// A stop failed, so while EC2 shows the address here, nobody may conclude that this node still claims it.
    pub stop_failed: bool,
}

impl Memory {
    /// What to remember after a start, of which `None` means that it failed.
    #[must_use]
    pub fn after_start(self, outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(Outcome::Mine) => Self::default(),
            _ => self,
        }
    }

    /// What to remember after a stop, of which `None` means that it failed.
    #[must_use]
    pub fn after_stop(self, outcome: Option<Outcome>) -> Self {
        match outcome {
            None => Self { stop_failed: true, ..self },
            Some(Outcome::Rehearsed) => self,
            Some(outcome) => Self { handed_over: outcome == Outcome::HandedOver, stop_failed: false },
        }
    }

    /// What to remember once a describe has shown whether the address is this instance's: where it is not, a handover has ended,
    /// and a failed stop is settled.
    #[must_use]
    pub fn after_describe(self, mine: bool) -> Self {
        if mine { self } else { Self::default() }
    }

    /// What status says once a describe has shown whether the address is this instance's. `None` is for what cannot be told.
    #[must_use]
    pub fn judge(self, mine: bool) -> Option<Outcome> {
        match (mine, self) {
            (false, _) => Some(Outcome::NotMine),
            (true, Self { stop_failed: true, .. }) => None,
            (true, Self { handed_over: true, .. }) => Some(Outcome::HandedOver),
            (true, _) => Some(Outcome::Mine),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_is_done_forgets_all_and_any_other_nothing() {
        let full = Memory { handed_over: true, stop_failed: true };
        assert_eq!(full.after_start(Some(Outcome::Mine)), Memory::default());
        for other in [None, Some(Outcome::Rehearsed)] {
            assert_eq!(full.after_start(other), full, "{other:?}");
            assert_eq!(Memory::default().after_start(other), Memory::default(), "{other:?}");
        }
    }

    #[test]
    fn a_stop_is_remembered_for_what_it_came_to() {
        for before in [(false, false), (true, false), (false, true), (true, true)] {
            let before = Memory { handed_over: before.0, stop_failed: before.1 };
            assert_eq!(before.after_stop(None), Memory { stop_failed: true, ..before });
            assert_eq!(before.after_stop(Some(Outcome::Rehearsed)), before);
            assert_eq!(before.after_stop(Some(Outcome::HandedOver)), Memory { handed_over: true, stop_failed: false });
            for gone in [Outcome::NotMine, Outcome::Released] {
                assert_eq!(before.after_stop(Some(gone)), Memory::default());
            }
        }
    }

    #[test]
    fn nothing_is_remembered_of_an_address_that_is_seen_not_to_be_mine() {
        for (handed_over, stop_failed) in [(false, false), (true, false), (false, true), (true, true)] {
            let memory = Memory { handed_over, stop_failed };
            assert_eq!(memory.after_describe(true), memory);
            assert_eq!(memory.after_describe(false), Memory::default());
        }
    }

    #[test]
    fn status_claims_the_address_only_where_nothing_speaks_against_it() {
        let memory = |handed_over, stop_failed| Memory { handed_over, stop_failed };
        assert_eq!(memory(false, false).judge(true), Some(Outcome::Mine));
        assert_eq!(memory(true, false).judge(true), Some(Outcome::HandedOver));
        for handed_over in [false, true] {
            assert_eq!(memory(handed_over, true).judge(true), None);
            for stop_failed in [false, true] {
                assert_eq!(memory(handed_over, stop_failed).judge(false), Some(Outcome::NotMine));
            }
        }
    }
}
