//! When a call must have ended.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// The moment at which a call must have ended, and when it began. Its clones are one and the same.
#[derive(Clone, Debug)]
pub struct Deadline {
    begun: Instant,
    end: Instant,
    /// How long to go on while EC2 does not answer.
    no_response_limit: Duration,
    /// When EC2 last said anything but that it is at fault.
    heard: Rc<Cell<Instant>>,
}

impl Deadline {
    /// The deadline that lies `limit` ahead.
    #[must_use]
    pub fn after(limit: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, end: begun + limit, no_response_limit: limit, heard: Rc::new(Cell::new(begun)) }
    }

    /// The same deadline, but for the end that comes earlier where EC2 does not answer for so long, not even that it has too many
    /// calls.
    #[must_use]
    pub fn without_response_for(self, limit: Duration) -> Self {
        Self { no_response_limit: limit, ..self }
    }

    /// The time that is left if EC2 says no more, zero when it has passed.
    #[must_use]
    pub(crate) fn left(&self) -> Duration {
        self.left_for_answers().min(self.no_response_limit.saturating_sub(self.heard.get().elapsed()))
    }

    /// The time that is left while EC2 answers.
    #[must_use]
    pub(crate) fn left_for_answers(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// EC2 has answered.
    pub(crate) fn heard(&self) {
        self.heard.set(Instant::now());
    }

    /// The time since the call began.
    #[must_use]
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
